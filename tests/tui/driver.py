"""What tests do with the app: say something, wait until something is so, read the screen."""

from collections.abc import Callable
from typing import Any

from kvchat.tui.app import KVChatApp


def read_screen(app: KVChatApp) -> str:
    """Read the screen as a person does: rows of text, each exactly as wide as the screen."""
    width, height = app.size
    rows = app.screen._compositor.render_strips()[:height]
    assert all(strip.cell_length == width for strip in rows)
    return "\n".join(strip.text.rstrip() for strip in rows)


async def say(pilot: Any, text: str) -> None:
    """Write a line into the prompt and press Enter."""
    pilot.app.chat.prompt.set_exact_text(text)
    await pilot.press("enter")
    await pilot.pause()


async def wait_until(pilot: Any, is_true: Callable[[], object], what: str = "") -> None:
    """Let the app work until something is so; fails with the screen when it never is."""
    for _ in range(400):
        if is_true():
            return
        await pilot.pause(0.01)
    raise AssertionError(f"never: {what}\n{read_screen(pilot.app)}")


async def wait_for_text(pilot: Any, *wanted: str) -> str:
    """Let the app work until all these texts stand on the screen; return the screen."""
    await wait_until(
        pilot, lambda: all(text in read_screen(pilot.app) for text in wanted), repr(wanted)
    )
    return read_screen(pilot.app)
