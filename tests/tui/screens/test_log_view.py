from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import read_screen, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.tui.screens.log_view import SHOWN_BYTES, last_lines

Make = Callable[..., Any]


def test_of_a_long_log_the_end_is_shown_from_a_whole_line_on(tmp_path: Path) -> None:
    path = tmp_path / "kvchat.log"
    path.write_text("".join(f"line {number}\n" for number in range(20_000)))
    lines = last_lines(path).split("\n")

    assert lines[0] == "…" and lines[-1] == "line 19999"
    assert lines[1].startswith("line ") and len(last_lines(path)) <= SHOWN_BYTES


def test_without_a_log_its_place_is_said(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log").startswith("Nothing was logged. The log is")


async def test_the_log_follows_its_end_and_its_text_can_do_nothing(
    make_app: Make, make_runtime: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kvchat.log"
    path.write_text("first\n" + "more\n" * 60 + "evil \x1b]52;c;x\x07 [/]\n")
    monkeypatch.setattr("kvchat.tui.terminal_actions.log_path", lambda: path)
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await pilot.press("f12")
        await wait_for_text(pilot, "evil ␛]52;c;x␇ [/]")
        with open(path, "a") as file:
            file.write("newest\n")
        await wait_for_text(pilot, "newest")
        await pilot.press("g")
        await wait_for_text(pilot, "first")
        with open(path, "a") as file:
            file.write("unseen\n")
        pilot.app.screen.read()
        await pilot.pause()
        kept = read_screen(pilot.app)
        await pilot.press("escape")
        await wait_for_text(pilot, "› Ask anything")

    assert "first" in kept and "unseen" not in kept
