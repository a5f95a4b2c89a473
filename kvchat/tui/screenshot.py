"""Draw a picture of the app: `python -m kvchat.tui.screenshot OUT.svg`.

Starts the real app without a terminal and with the bundled model, chats in three sessions, one of
them a fork, and saves the screen with the block panel as an SVG. Nothing is stored.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from kvchat.runtime import ChatRuntime
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp

SIZE = (140, 40)
WAIT_SECONDS = 120.0
PROMPTS = (
    "Tell me a story about a lighthouse and a storm.",
    "Hello! What can you do?",
)
FORK_PROMPT = "Tell me another one, please."


async def take(path: Path, theme: str) -> None:
    """Chat, and write the picture of the screen to `path`."""
    runtime = ChatRuntime(save=False)
    try:
        app = KVChatApp(runtime, Settings(theme=theme))
        async with app.run_test(size=SIZE) as pilot:
            await _until(pilot, lambda: runtime.status().state != "loading")
            if runtime.status().state == "failed":
                raise SystemExit(runtime.status().sentence)
            await _say(pilot, PROMPTS[0])
            await _run(pilot, "/fork What happened next")
            await _say(pilot, FORK_PROMPT)
            await _run(pilot, "/new A first hello")
            await _say(pilot, PROMPTS[1])
            await pilot.press("alt+1")
            await _say(pilot, "Tell me a long story about two friends.", ends=False)
            await _until(pilot, lambda: len(runtime.sessions()[0].messages[-1].text) > 20)
            path.write_text(app.export_screenshot(title="kvchat"), encoding="utf-8")
    finally:
        runtime.close()


async def _say(pilot: Pilot[int], text: str, ends: bool = True) -> None:
    await _run(pilot, text)
    app = pilot.app
    assert isinstance(app, KVChatApp)
    view = app.chat.view
    if ends and view is not None:
        await _until(pilot, lambda: not view.is_running)


async def _run(pilot: Pilot[int], text: str) -> None:
    app = pilot.app
    assert isinstance(app, KVChatApp)
    app.chat.prompt.set_exact_text(text)
    await pilot.press("enter")
    await pilot.pause()


async def _until(pilot: Pilot[int], is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_true():
            await pilot.pause(0.05)
    await pilot.pause(0.3)


def main() -> int:
    """Read the arguments and take the picture."""
    parser = argparse.ArgumentParser(prog="python -m kvchat.tui.screenshot", description=__doc__)
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument("--theme", default="dark", help="dark or light")
    options = parser.parse_args()
    asyncio.run(take(options.out, options.theme))
    return 0


if __name__ == "__main__":
    sys.exit(main())
