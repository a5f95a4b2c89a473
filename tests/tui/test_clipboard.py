"""/paste reads the clipboard through the system's program, and says so where it cannot."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.errors import KVChatError
from kvchat.tui.clipboard import read_text

Make = Callable[..., Any]
WriteProgram = Callable[[str], None]


@pytest.fixture
def write_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteProgram:
    """Put a program called xclip into an otherwise ordinary PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(folder))

    def write(script: str) -> None:
        program = folder / "xclip"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


async def test_paste_puts_the_clipboard_as_a_chip(
    make_app: Make, make_runtime: Make, write_program: WriteProgram
) -> None:
    write_program("""[ "$*" = "-selection clipboard -o" ] && printf 'one\\r\\ntwo \\033[2J'""")
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "/paste")
        await wait_for_text(pilot, "[paste 1: 2 lines]")
        assert pilot.app.chat.prompt.exact_text.startswith("one\ntwo ")


async def test_paste_says_in_one_sentence_that_it_cannot_read(
    make_app: Make, make_runtime: Make, write_program: WriteProgram
) -> None:
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "/paste")
        await wait_for_text(pilot, "No program here reads the clipboard")
        assert pilot.app.chat.prompt.text == ""


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "is empty"),
        ("exit 0", "is empty"),
        ("printf '\\377\\376'", "holds no text"),
        ("printf 12345678901", "more than 10 characters"),
        ("while :; do echo 1234567890123456789012345678901234567890; done", "more than 10"),
    ],
)
async def test_what_is_no_text_or_too_much_is_refused(
    write_program: WriteProgram, script: str, sentence: str
) -> None:
    write_program(script)
    with pytest.raises(KVChatError, match=sentence):
        await read_text(10)
