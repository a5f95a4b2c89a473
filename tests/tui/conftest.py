"""What the tests of the app share: the fake runtime, an app around it, and reading the screen."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

sys.path.insert(0, str(Path(__file__).parent))

from driver import read_screen  # type: ignore[import-not-found]
from fake_runtime import FakeRuntime  # type: ignore[import-not-found]

from kvchat.tui.app import KVChatApp


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's editor, folders and settings out of the tests."""
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "xdg" / name.lower()))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "true")


@pytest.fixture
def make_runtime() -> Any:
    """Make a runtime whose replies are scripted."""
    return FakeRuntime


@pytest.fixture
def make_app() -> Callable[..., KVChatApp]:
    """Make an app around a fake runtime, with a clock that stands still."""

    def make(runtime: Any, **options: Any) -> KVChatApp:
        options.setdefault("clock", lambda: 100.0)
        return KVChatApp(runtime, **options)

    return make


@pytest.fixture
def screen_text() -> Callable[[KVChatApp], str]:
    """Read the screen; every row must have exactly the width of the screen."""
    return read_screen  # type: ignore[no-any-return]  # mypy does not find the module


@pytest.fixture
def settle() -> Callable[..., Awaitable[str]]:
    """Let everything that waits be drawn; return the screen."""

    async def wait(pilot: Pilot[Any]) -> str:
        app = pilot.app
        assert isinstance(app, KVChatApp)
        await pilot.pause()
        app.chat.feed.drain()
        app.chat.feed.drain_others()
        app.chat.draw_blocks()
        await pilot.pause()
        await pilot.pause()
        return str(read_screen(app))

    return wait
