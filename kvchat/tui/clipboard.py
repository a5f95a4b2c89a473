"""Copying text out of the app, saying truthfully where it went; and reading the clipboard."""

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

from kvchat.clean_text import clean
from kvchat.errors import KVChatError
from kvchat.tui.figures import count_of

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

COPY_SECONDS = 2.0
_READERS = {
    "wl-copy": ("wl-paste", "--no-newline", "--type", "text"),
    "xclip": ("xclip", "-selection", "clipboard", "-o"),
    "pbcopy": ("pbpaste",),
}
"""The program that reads what each of those that copy has written"""


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
    count = count_of(len(text), "character")
    for program in [] if app.is_headless else _programs():
        if await _run(program, text):
            return f"Copied {count} with {program[0]}."
    app.copy_to_clipboard(text)
    return f"Sent {count} to the terminal's clipboard."


async def read_text(max_characters: int) -> str:
    """Return the text of the clipboard; raises KVChatError where none can be read, or is longer.

    Only the system's programs can be asked: terminals do not let programs read the clipboard.
    """
    readers = [_READERS[program[0]] for program in _programs()]
    readers = [reader for reader in readers if shutil.which(reader[0])]
    if not readers:
        raise KVChatError("No program here reads the clipboard; use the terminal's own key.")
    for reader in readers:
        content = await _output(reader, 4 * max_characters)
        if content is None:
            continue
        try:
            text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            raise KVChatError("The clipboard holds no text.") from None
        if len(text) > max_characters:
            raise KVChatError(f"The clipboard holds more than {max_characters} characters.")
        if text:
            return text
    raise KVChatError("The clipboard is empty, or holds no text.")


async def _output(program: tuple[str, ...], max_bytes: int) -> bytes | None:
    """Return what a program writes, up to about `max_bytes`; None if it fails or is too slow."""
    devnull = asyncio.subprocess.DEVNULL
    try:
        child = await asyncio.create_subprocess_exec(
            *program, stdin=devnull, stdout=asyncio.subprocess.PIPE, stderr=devnull
        )
    except OSError:
        return None
    assert child.stdout is not None
    content = bytearray()
    try:
        async with asyncio.timeout(COPY_SECONDS):
            while len(content) <= max_bytes and (piece := await child.stdout.read(1 << 16)):
                content += piece
            if len(content) <= max_bytes:
                await child.wait()
    except TimeoutError:
        content.clear()
    if child.returncode is None:
        child.kill()
        await child.wait()
        return bytes(content) or None
    return bytes(content) if child.returncode == 0 else None


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
