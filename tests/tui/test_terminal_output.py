"""What leaves the real app for the terminal while it shows stored text that tries to command it."""

import os
import re
import sys
from pathlib import Path

import pytest
from pty_box import REAL_APP, Box  # type: ignore[import-not-found]

from kvchat.runtime import ChatRuntime

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from hostile import hostile_strings  # type: ignore[import-not-found]

MODES = "7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2031|2048"
ALLOWED = re.compile(
    r"\x1b\[(?:"
    r"[0-9;:]*m"  # colours
    r"|[0-9]*(?:;[0-9]*)?[Hf]|[0-9]*[ABCDEFGd]"  # cursor moves
    r"|[0-3]?[JK]"  # erase
    rf"|\?(?:{MODES})[hl]|\?(?:{MODES})\$p"  # modes, and asking for them
    r"|[<>=?][0-9;]*u"  # kitty keyboard
    r")"
    r"|\x1b\]22;[a-z-]+\x07"  # the shape of the mouse pointer
)


def refused(output: bytes) -> list[str]:
    """Return every control that is not on the list, with a little of what follows it."""
    text = ALLOWED.sub("", output.decode("utf-8"))
    found = []
    for place, char in enumerate(text):
        is_control = (ord(char) < 32 and char not in "\r\n") or 0x7F <= ord(char) < 0xA0
        if is_control or 0x202A <= ord(char) <= 0x202E or 0x2066 <= ord(char) <= 0x2069:
            found.append(ascii(text[place : place + 24]))
    return found


@pytest.mark.parametrize(
    "output",
    ["\x1b]52;c;aGk=\x07", "\x1b]0;t\x1b\\", "\x1b[6n", "\x1bP+q\x1b\\", "\x9b2J", "\x07",
     "\x1b[?47h", "\x1bc", "\x1b[5i", "\x08", "\x1b]8;;http://x\x07", "\x1b[>0q"],
)  # fmt: skip
def test_a_sequence_that_is_not_on_the_list_is_found(output: str) -> None:
    assert refused(f"\x1b[2Jok{output}\x1b[0m".encode())


def test_stored_messages_and_titles_never_reach_the_terminal_as_commands(
    tiny_model: Path, tmp_path: Path
) -> None:
    strings = hostile_strings()
    data = tmp_path / "data"
    with ChatRuntime(tiny_model, data_dir=data, device="cpu", threads=1) as runtime:
        for title in strings[::40]:
            runtime.import_session("# t\n\n## User\n\nx\n").rename(f"{title} t")
        said = " ".join(strings)
        markdown = f"# all\n\n## User\n\n{said} asked-end\n\n## Assistant\n\n{said} said-end\n"
        chat = runtime.import_session(markdown)
        chat.rename(f"{strings[0]}{strings[7]} named-end")
        chat_id = chat.id
    arguments = ["--model", str(tiny_model), "--data-dir", str(data), "--device", "cpu"]
    box = Box(REAL_APP, *arguments, "-r", chat_id, width=180, height=120)
    try:
        for wanted in (b"said-end", b"named-end"):
            box.read_until(wanted)
        for key, wanted in ((b"\x1b[1;5H", b"asked-end"), (b"\x14", b"Tree "), (b"\x1b[A", b"")):
            os.write(box.master, key)
            box.read_until(wanted)
        os.write(box.master, b"\x11")
        assert box.end() == 0
        assert not refused(box.output), "\n".join(refused(box.output))
    finally:
        box.close()
