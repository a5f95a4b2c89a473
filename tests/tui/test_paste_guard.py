import random

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from kvchat.tui.paste_guard import MAX_CHARACTERS, PasteGuard
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


def test_an_empty_paste_and_a_stray_end_press_nothing() -> None:
    assert read(["a\x1b[200~\x1b[201~b\x1b[201~c"]) == (["a", "b", "c"], [""])


def test_the_parser_reads_a_few_letters_however_long_a_paste_is() -> None:
    guard = PasteGuard()
    text = "[x" * 500_000
    seen = [guard.guarded(part) for part in ("\x1b[200~", *_parts(text), "\x1b[201~")]

    assert sum(map(len, seen)) < 20
    assert guard.taken() == text


def test_a_paste_that_never_ends_does_not_fill_the_memory() -> None:
    guard = PasteGuard()
    guard.guarded("\x1b[200~")
    for _ in range(9):
        guard.guarded("x" * (1 << 20))
    guard.guarded("\x1b[201~")

    assert len(guard.taken()) == MAX_CHARACTERS


def _parts(text: str) -> list[str]:
    return [text[start : start + 4096] for start in range(0, len(text), 4096)]
