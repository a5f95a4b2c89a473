import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kvchat import paths
from kvchat.errors import InvalidArgument
from kvchat.tui.external_editor import editor_command

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


def script(folder: Path, lines: str) -> str:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o700)
    return str(path)


def test_visual_is_preferred_and_may_have_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "env -i 'a b'")

    assert editor_command() == ["env", "-i", "a b"]


def test_an_editor_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor-here")

    with pytest.raises(InvalidArgument, match="EDITOR names no-such-editor-here"):
        editor_command()


def test_an_editor_written_with_an_open_quote_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "vi 'x")

    with pytest.raises(InvalidArgument, match="is no command"):
        editor_command()


async def test_the_editor_changes_the_prompt_and_its_file_is_private_and_gone_after(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = tmp_path / "seen"
    editor = script(
        tmp_path, f'stat -c %a "$1" > {seen}; cat "$1" >> {seen}; printf "two\\nlines\\n" > "$1"'
    )
    monkeypatch.setenv("VISUAL", editor)
    runtime = make_runtime(["a b c d"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.chat.submit("go")
        runtime.step(2)
        await pilot.press(*"written", "ctrl+g")
        text = await settle(pilot)

    assert seen.read_text() == "600\nwritten"
    assert "› two" in text and "  lines" in text
    assert "one" not in text
    assert app.chat.prompt.text == "two\nlines"
    assert list(paths.cache_dir().iterdir()) == []
    assert stat.S_IMODE(os.stat(paths.cache_dir()).st_mode) == 0o700


async def test_an_editor_that_fails_leaves_the_prompt_as_it_was(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR", script(tmp_path, 'echo lost > "$1"; exit 3'))
    app = make_app(make_runtime())
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"kept", "ctrl+g")
        text = await settle(pilot)

    assert app.chat.prompt.text == "kept"
    assert "The editor ended with an error; the prompt is as it was." in text
    assert list(paths.cache_dir().iterdir()) == []


async def test_without_a_working_editor_the_prompt_says_what_to_set(
    make_app: Make, make_runtime: Make, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor-here")
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+g")
        text = await settle(pilot)

    assert "$EDITOR names no-such-editor-here, which is not there." in text
