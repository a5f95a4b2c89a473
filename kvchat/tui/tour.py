"""Draw the pictures of the tour: `python -m kvchat.tui.tour FOLDER`.

Runs the real app without a terminal and with the bundled model, walks through its views as the
tour describes them, and saves each as an SVG. Nothing is stored.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp
from kvchat.tui.screens.alternatives import AlternativesScreen
from kvchat.tui.screens.ask import AskScreen

SIZE = (110, 32)
WAIT_SECONDS = 180.0
NAMES = ("chat", "ask", "compare", "tokens", "tree", "window", "lanes")
"""The pictures, in the order of the tour."""


class Tour:
    """One walk through the app; each stop leaves a picture in the folder."""

    def __init__(self, folder: Path, runtime: ChatRuntime) -> None:
        self._folder = folder
        self._runtime = runtime
        self.app = KVChatApp(runtime, Settings(theme="dark"))

    async def walk(self) -> None:
        """Take every picture."""
        async with self.app.run_test(size=SIZE) as pilot:
            await self._until(pilot, lambda: self._runtime.status().state != "loading")
            if self._runtime.status().state == "failed":
                raise SystemExit(self._runtime.status().sentence)
            session = self._runtime.sessions()[0]
            session.set_sampling(SamplingParams(temperature=0.5, seed=11))
            await self._say(pilot, "Tell me a story about a lighthouse.")
            await self._say(pilot, "/fork What happened next")
            await self._say(pilot, "Tell me a story about a fox.")
            self._picture("chat")
            await self._ask(pilot)
            await self._tokens(pilot)
            await pilot.press("ctrl+t")
            await self._rest(pilot)
            self._picture("tree")
            await pilot.press("escape")
            await self._window(pilot)
            await pilot.press("f3")
            await self._rest(pilot)
            await self._rest(pilot)
            self._picture("lanes")

    async def _ask(self, pilot: Pilot[int]) -> None:
        await self._say(pilot, "/ask 3 Tell me a short story.")
        screen = self.app.screen
        assert isinstance(screen, AskScreen)
        await pilot.press("enter")
        await self._until(pilot, lambda: all(b.text for b in screen.branches))
        self._picture("ask")
        await self._until(pilot, lambda: not any(b.is_running for b in screen.branches))
        await pilot.press("tab", "v")
        await self._rest(pilot)
        self._picture("compare")
        await pilot.press("enter")
        await self._rest(pilot)

    async def _tokens(self, pilot: Pilot[int]) -> None:
        await self._say(pilot, "/alt")
        screen = self.app.screen
        assert isinstance(screen, AlternativesScreen)
        await self._until(pilot, lambda: bool(screen.choices))
        await pilot.press("h", "n", "p")
        await self._until(pilot, lambda: not screen.is_previewing)
        self._picture("tokens")
        await pilot.press("escape")

    async def _window(self, pilot: Pilot[int]) -> None:
        await self._say(pilot, "/window 96")
        await self._say(pilot, "Hello! What can you do?")
        transcript = self.app.chat.transcript
        upper_half = range(transcript.size.height // 2)
        while transcript.scroll_offset.y and not any(
            "no longer seen" in transcript.render_line(y).text for y in upper_half
        ):
            await pilot.press("shift+up")
        await self._rest(pilot)
        self._picture("window")
        await pilot.press("end")

    def _picture(self, name: str) -> None:
        picture = self.app.export_screenshot(title=f"kvchat: {name}")
        (self._folder / f"{name}.svg").write_text(picture, encoding="utf-8")

    async def _say(self, pilot: Pilot[int], text: str) -> None:
        self.app.chat.prompt.set_exact_text(text)
        await pilot.press("enter")
        await self._rest(pilot)
        view = self.app.chat.view
        if view is not None:
            await self._until(pilot, lambda: not view.is_running)

    async def _rest(self, pilot: Pilot[int]) -> None:
        await pilot.pause(0.6)

    async def _until(self, pilot: Pilot[int], is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_true():
                await pilot.pause(0.05)
        await self._rest(pilot)


def main() -> int:
    """Read the folder and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m kvchat.tui.tour", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the SVG files go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    runtime = ChatRuntime(save=False)
    try:
        asyncio.run(Tour(folder, runtime).walk())
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
