import os
import termios

import pytest
from pty_box import REAL_APP, Box  # type: ignore[import-not-found]

from kvchat.errors import InvalidArgument
from kvchat.tui.commands import Registry
from kvchat.tui.key_probe import KeyProbe, probe


def lines_for(*received: bytes, registry: Registry | None = None) -> list[str]:
    keys = KeyProbe(registry or Registry())
    return [line for part in received for line in keys.feed(part)]


@pytest.mark.parametrize(
    ("received", "key", "sent", "does"),
    [
        (b"\x1b[A", "up", "ESC [A", "prompt.history_older"),
        (b"\x1b1", "alt+1", "ESC 1", "session.go"),
        (b"\x1b\r", "alt+enter", "ESC ^M", "prompt.newline"),
        (b"\x0e", "ctrl+n", "^N", "session.new"),
        (b"\x08", "backspace", "^H", "no command"),
        (b"\x02", "ctrl+b", "^B", "it is the prefix of tmux"),
        (b"\x1bOQ", "f2", "ESC OQ", "session.settings"),
        (b"\x1b[20~", "f9", "ESC [20~", "view.mouse"),
        ("ä".encode(), "ä", "<c3><a4>", "types itself"),
    ],
)
def test_a_key_is_told_as_it_came_with_its_name_and_what_it_does(
    received: bytes, key: str, sent: str, does: str
) -> None:
    (line,) = lines_for(received)

    assert line.split()[0] == key
    assert f" {sent} " in line and does in line


def test_a_key_that_arrives_in_parts_is_one_line() -> None:
    assert len(lines_for(b"\x1b", b"[", b"A")) == 1


def test_the_users_own_keys_are_told() -> None:
    (line,) = lines_for(b"\x1b[19~", registry=Registry({"view.blocks": ["f8"]}))

    assert "view.blocks" in line


def test_a_paste_is_told_by_its_length_alone_and_what_it_holds_presses_nothing() -> None:
    assert lines_for(b"\x1b[200~secret\x03\x03\x1b[201~") == ["paste           8 characters"]


def test_only_two_interrupts_in_a_row_end_it() -> None:
    keys = KeyProbe(Registry())
    list(keys.feed(b"\x03a\x03"))
    between = keys.is_ended
    list(keys.feed(b"\x03"))

    assert (between, keys.is_ended) == (False, True)


def test_damaged_input_and_mouse_reports_never_raise() -> None:
    assert lines_for(b"\xff\xfe\x1b[<0;3;4M\x1b[999999999u")


def test_without_a_terminal_it_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="terminal"):
        probe(Registry())


def test_the_terminal_is_as_before_when_it_ends() -> None:
    box = Box(REAL_APP, "keys", "--probe")
    try:
        box.read_until(b"Press keys")
        box.read_until(b"\x1b[?2004h")
        os.write(box.master, b"\x1b")
        box.read_until(b"escape")
        os.write(box.master, b"\x03\x03")

        assert box.end() == 0
        assert termios.tcgetattr(box.slave) == box.before
        assert box.output.endswith(b"\x1b[<u\x1b[?2004l")
    finally:
        box.close()
