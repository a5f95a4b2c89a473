from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say  # type: ignore[import-not-found]

from kvchat.tui.safe import safe_line

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


HOSTILE = [
    "[/]",
    "[@click=app.bell]x[/]",
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J\x9b1m",
    "[b + x",
    "\u202eevil",
]


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_hostile_text_is_only_text_wherever_it_stands(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["\n".join(HOSTILE)])
    app = make_app(runtime)
    screens: list[str] = []
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        await say(pilot, "\n".join(HOSTILE))
        runtime.finish_all()
        for text in HOSTILE:
            runtime.new_session(f"{text} title")
            runtime.note("copy", f"{text} event", 1)
            app.notify(f"{text} toast", title=text)
            app.chat.notice(f"{text} notice")
            screens.append(await settle(pilot))
            app.clear_notifications()
        for key in ("ctrl+s", "ctrl+p"):
            await pilot.press(key)
            screens.append(await settle(pilot))
            await pilot.press("escape")
        runtime.open_sessions[0].rename("".join(HOSTILE))
        for line in ("/rewind", "/delete", f"/system {'_'.join(HOSTILE)}", "/stats", "/[/]"):
            await say(pilot, line)
            screens.append(await settle(pilot))
            await pilot.press("escape")
        runtime.open_sessions[-1].error = f"{HOSTILE[3]} failed"
        screens.append(await settle(pilot))

    shown = "\n".join(screens)
    assert not any(ord(char) < 32 and char != "\n" for char in shown)
    assert not any(0x7F <= ord(char) < 0xA0 or char == "\u202e" for char in shown)
    for text, screen in zip(HOSTILE, screens, strict=False):
        visible = safe_line(text)
        assert f"   {visible}" in screen
        assert f" {visible} notice" in screen
        assert f"{visible} toast" in screen
