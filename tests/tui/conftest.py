"""What the tests of the app share: the fake runtime, an app around it, and reading the screen."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_runtime import FakeRuntime  # type: ignore[import-not-found]

from kvchat.tui.app import KVChatApp


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
    """Read the screen as a person does: rows of text."""

    def read(app: KVChatApp) -> str:
        height = app.size.height
        rows = app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in rows[:height])

    return read
