"""What tests do with the app: say something, wait until something is so, read the screen."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from kvchat.tui.app import KVChatApp

PATIENCE = 60
"""Seconds to wait for what must come; a busy machine may take long."""


def read_screen(app: KVChatApp) -> str:
    """Read the screen as a person does: rows of text, each exactly as wide as the screen."""
    screen = _screen_text(app)
    assert screen is not None, "a row is not as wide as the screen"
    return screen


def _screen_text(app: KVChatApp) -> str | None:
    """Return the rows of text; None while they have not the width of the screen."""
    width, height = app.size
    rows = app.screen._compositor.render_strips()[:height]
    if any(strip.cell_length != width for strip in rows):
        return None
    return "\n".join(strip.text.rstrip() for strip in rows)


async def say(pilot: Any, text: str) -> None:
    """Write a line into the prompt and press Enter."""
    pilot.app.chat.prompt.set_exact_text(text)
    await pilot.press("enter")
    await pilot.pause()


async def wait_until(pilot: Any, is_true: Callable[[], object], what: str = "") -> None:
    """Let the app work until something is so; fails with the screen when it never is."""
    end = monotonic() + PATIENCE
    while not is_true():
        if monotonic() > end:
            raise AssertionError(f"never: {what}\n{_screen_text(pilot.app)}")
        await pilot.pause(0.01)


async def wait_for_text(pilot: Any, *wanted: str) -> str:
    """Let the app work until all these texts stand on the screen; return the screen.

    Right after a change of the size the rows may still have the old width: that is waited for too.
    """

    def has_all() -> bool:
        screen = _screen_text(pilot.app)
        return screen is not None and all(text in screen for text in wanted)

    await wait_until(pilot, has_all, repr(wanted))
    return read_screen(pilot.app)
