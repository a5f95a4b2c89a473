"""Pictures of the main screens, compared with those that somebody looked at.

`KVCHAT_DRAW=1 pytest -m snapshot tests/tui` draws all pictures again; look at each before it is
committed. Text, places and colors count; how a version of Rich writes SVG does not.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_for_text  # type: ignore[import-not-found]
from svg_picture import svg_of  # type: ignore[import-not-found]
from textual.widgets import Input

from kvchat.settings import Settings

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]
Open = Callable[[Any, Any, Settle], Awaitable[None]]

PICTURES = Path(__file__).parent / "pictures"
NOON = 1_700_049_600.0
MARKDOWN = """\
## Rewinding

Blocks **before** the cut keep their reference, those *behind* it lose one:

1. used by another branch: nothing happens
2. used by nobody: they stay as `cached` memory
   - the oldest goes first

> Text is the truth; memory can be made again.

```python
def rewind(table, length):
    for block in reversed(table[length:]):
        pool.release(block)  # 漢字 and 👩‍👩‍👧
```

| block | state  | used |
| ----: | ------ | :--: |
|    12 | shared |  2   |
|    13 | own    |  1   |
"""


async def welcome(pilot: Any, runtime: Any, settle: Settle) -> None:
    await settle(pilot)


async def chat(pilot: Any, runtime: Any, settle: Settle) -> None:
    await settle(pilot)
    await say(pilot, "Why does rewinding keep the cache hot?")
    runtime.finish_all()
    await settle(pilot)


async def panel(pilot: Any, runtime: Any, settle: Settle) -> None:
    await chat(pilot, runtime, settle)
    first = runtime.open_sessions[0]
    first.fork(title="shorter").send("Say it shorter.")
    runtime.finish_all()
    runtime.new_session("kv paper").send("read this " * 30)
    await settle(pilot)


async def tree(pilot: Any, runtime: Any, settle: Settle) -> None:
    await chat(pilot, runtime, settle)
    await say(pilot, "And shorter?")
    runtime.finish_all()
    await settle(pilot)
    await say(pilot, "/retry")
    runtime.finish_all()
    await settle(pilot)
    await pilot.press("ctrl+t")
    await wait_for_text(pilot, "Tree")


async def ask(pilot: Any, runtime: Any, settle: Settle) -> None:
    await chat(pilot, runtime, settle)
    await say(pilot, "/ask 3 Give the rule in one sentence.")
    await wait_for_text(pilot, "plan:")
    await pilot.press("enter")
    runtime.finish_all()
    await wait_for_text(pilot, "3 done")


async def tokens(pilot: Any, runtime: Any, settle: Settle) -> None:
    await chat(pilot, runtime, settle)
    await pilot.press("alt+up", "t")
    await wait_for_text(pilot, "token 1 of")


def pressing(wanted: str, *keys: str) -> Open:
    """Chat, press keys, and wait for what they show."""

    async def opened(pilot: Any, runtime: Any, settle: Settle) -> None:
        await chat(pilot, runtime, settle)
        await pilot.press(*keys)
        await wait_for_text(pilot, wanted)
        await settle(pilot)

    return opened


SCREENS: dict[str, Open] = {
    "welcome": welcome,
    "chat": chat,
    "panel": panel,
    "tree": tree,
    "ask": ask,
    "tokens": tokens,
    "help": pressing("In the prompt", "f1"),
    "settings": pressing("temperature", "f2"),
    "find": pressing("4/4", "ctrl+f", *"block"),
    "rewind": pressing("Rewind to before", "escape", "escape"),
    "sessions": pressing("type to narrow", "ctrl+s"),
    "commands": pressing("undo", "ctrl+p", *"undo"),
}


@pytest.mark.snapshot
@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
@pytest.mark.parametrize("screen", SCREENS)
async def test_a_screen_looks_as_it_did_when_somebody_looked(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    monkeypatch: pytest.MonkeyPatch,
    screen: str,
    size: tuple[int, int],
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    runtime = make_runtime([MARKDOWN, "Only blocks without a last reference leave."])
    runtime.now = NOON
    app = make_app(runtime, settings=Settings(block_panel=screen == "panel"))
    async with app.run_test(size=size) as pilot:
        app.chat.blocks.state.clock = lambda: NOON
        app.chat.feed._adapt = lambda: None
        await SCREENS[screen](pilot, runtime, settle)
        for each in app.screen.query(Input):
            each.cursor_blink = False
        await settle(pilot)
        drawn = svg_of(app, app.screen.region)
    path = PICTURES / f"{screen}-{size[0]}x{size[1]}.svg"
    if os.environ.get("KVCHAT_DRAW"):
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")
