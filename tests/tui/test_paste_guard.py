import random

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from kvchat.tui.terminal import repair_input

HOSTILE = "a\x1b[31mred\x1b[0m\x1b" + "x" * 40 + "\r\x1b[A\x1b\x1b[201\x1b[200~z"


@pytest.fixture(autouse=True)
def repaired() -> None:
    repair_input()


def read(chunks: list[str]) -> tuple[list[str], list[str]]:
    parser = XTermParser()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return (
        [event.key for event in found if isinstance(event, events.Key)],
        [event.text for event in found if isinstance(event, events.Paste)],
    )


def test_escapes_in_a_paste_press_no_key_and_stay_in_its_text() -> None:
    assert read([f"k\x1b[200~{HOSTILE}\x1b[201~l"]) == (["k", "l"], [HOSTILE])


def test_a_paste_cut_anywhere_is_the_same_paste() -> None:
    typed = f"k\x1b[200~{HOSTILE}\x1b[201~l\x1b[200~two\x1b[201~m"
    numbers = random.Random(3)
    for _ in range(200):
        cuts = sorted(numbers.sample(range(2, len(typed)), numbers.randint(1, 12)))
        chunks = [typed[a:b] for a, b in zip([0, *cuts], [*cuts, len(typed)], strict=True)]
        assert read(chunks) == (["k", "l", "m"], [HOSTILE, "two"])
