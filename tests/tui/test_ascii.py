"""With `ascii` no view, page or question draws anything but ASCII."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text  # type: ignore[import-not-found]

from kvchat.settings import Settings

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]

VIEWS = {
    "chat": ("", "Ask anything"),
    "help": ("f1", "Help"),
    "palette": ("ctrl+p", "Commands"),
    "switcher": ("ctrl+s", "type to narrow"),
    "rewind": ("escape escape", "Rewind"),
    "settings": ("f2", "temperature"),
    "tree": ("ctrl+t", "Tree"),
    "message": ("alt+up", "back"),
    "menu": ("alt+up enter", "This message"),
    "info": ("alt+up i", "said by"),
    "tokens": ("alt+up t", "heat"),
    "ask": ("f5", "plan:"),
    "find": ("ctrl+f", "find"),
    "history": ("ctrl+r", "type to"),
}
SLASHES = {
    "/stats": "Figures",
    "/context": "tokens",
    "/theme": "dark",
    "/delete": "Delete",
    "/export": "Wrote",
    "/window": "sees",
    "/hel": "complete",
    "/nothing": "no command",
    "/fork": "shares every block",
    "/model": "weights",
    "/params": "temperature",
}


async def talked(pilot: Any, runtime: Any, settle: Settle) -> None:
    await settle(pilot)
    await say(pilot, "hello")
    runtime.finish_all()
    await settle(pilot)


@pytest.mark.parametrize("name", list(VIEWS))
async def test_in_ascii_no_view_draws_another_character(
    name: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi there"])
    keys, wanted = VIEWS[name]
    async with make_app(runtime, settings=Settings(ascii=True)).run_test(size=(100, 30)) as pilot:
        await talked(pilot, runtime, settle)
        await pilot.press(*keys.split())
        text = await wait_for_text(pilot, wanted)

    assert [row for row in text.splitlines() if not row.isascii()] == []


async def test_in_ascii_no_answer_to_a_command_draws_another_character(
    make_app: Make, make_runtime: Make, settle: Settle, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    runtime = make_runtime(["hi there"])
    wrong = []
    async with make_app(runtime, settings=Settings(ascii=True)).run_test(size=(100, 30)) as pilot:
        await talked(pilot, runtime, settle)
        for line in SLASHES:
            await say(pilot, line)
            await settle(pilot)
            text = read_screen(pilot.app)
            wrong += [(line, row) for row in text.splitlines() if not row.isascii()]
            await pilot.press("escape")
            pilot.app.chat.prompt.set_exact_text("")
    assert wrong == []
