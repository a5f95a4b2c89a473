"""Copying text out of the app, and saying truthfully where it went."""

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

from kvchat.clean_text import clean

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

COPY_SECONDS = 2.0


def _programs() -> list[tuple[str, ...]]:
    programs: list[tuple[str, ...]] = []
    if os.environ.get("WAYLAND_DISPLAY"):
        programs.append(("wl-copy",))
    if os.environ.get("DISPLAY"):
        programs.append(("xclip", "-selection", "clipboard"))
    if sys.platform == "darwin":
        programs.append(("pbcopy",))
    return [program for program in programs if shutil.which(program[0])]


async def copy_text(app: "KVChatApp", text: str) -> str:
    """Copy cleaned text with the system's program, else through the terminal; return the words.

    A terminal does not answer, so there we only say that the text was sent.
    """
    text = clean(text)
    count = f"{len(text)} characters"
    for program in [] if app.is_headless else _programs():
        if await _run(program, text):
            return f"Copied {count} with {program[0]}."
    app.copy_to_clipboard(text)
    return f"Sent {count} to the terminal's clipboard."


async def _run(program: tuple[str, ...], text: str) -> bool:
    devnull = asyncio.subprocess.DEVNULL
    try:
        child = await asyncio.create_subprocess_exec(
            *program, stdin=asyncio.subprocess.PIPE, stdout=devnull, stderr=devnull
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(child.communicate(text.encode()), COPY_SECONDS)
    except (TimeoutError, OSError):
        child.kill()
        return False
    return child.returncode == 0
