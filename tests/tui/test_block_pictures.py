"""Pictures of the views of the pool, compared with those that somebody looked at.

`KVCHAT_DRAW=1 pytest -m snapshot tests/tui` draws all pictures again; look at each before it is
committed.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from svg_picture import svg_of  # type: ignore[import-not-found]

from kvchat.kv.pool_history import PoolSample
from kvchat.kv.pool_view import PoolEvent
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]

PICTURES = Path(__file__).parent / "pictures"
NOON = 1_700_049_600.0
VIEWS = {"dock": (), "map": ("f3", "m"), "lanes": ("f3",), "time": ("f3", "t")}


def told_story(runtime: Any) -> None:
    """Eight chats: a family of three, one reading, one on disk, one with a window, two others."""
    runtime.now = NOON
    runtime.new_session("rust lifetimes")
    first = runtime.open_sessions[0]
    first.send("Why does rewinding keep the cache hot? " * 20)
    runtime.finish_all()
    for title in ("shorter", "with Pin"):
        first.fork(title=title)
    for session in runtime.open_sessions[:3]:
        session.send("go on " * 30)
    runtime.finish_all()
    paper = runtime.new_session("kv paper")
    paper.send("read this " * 100)
    runtime.finish_all()
    closed = runtime.new_session("closed")
    closed.send("away " * 120)
    runtime.finish_all()
    closed.delete()
    haiku = runtime.new_session("haiku", window=64)
    haiku.send("five seven five " * 60)
    runtime.finish_all()
    for index in range(4, len(haiku.table) - 16):
        runtime.counts[haiku.table[index]] -= 1
        haiku.table[index] = -1
    weekend = runtime.new_session("weekend")
    weekend.send("sun and sea " * 50)
    runtime.finish_all()
    weekend.unload()
    paper.send("and now " * 20)
    runtime.step(2)
    for number in range(len(runtime.open_sessions)):
        runtime.history.append(
            PoolSample(NOON - 270 + 45 * number, 300 - 20 * number, 20 * number, 8 * number, 0,
                       tuple((each.id, 15) for each in runtime.open_sessions[: number + 1]))
        )  # fmt: skip
    runtime.events.clear()
    for number, (kind, text, count) in enumerate(
        [
            ("restore", "F was brought back from disk", 84),
            ("compact", "A was moved into one piece", 54),
            ("release", "E: its window moved on; the text stays", 74),
            ("fork", "B shares 54 blocks with A, nothing copied", 54),
            ("evict", "cached blocks nobody used gave way; all text stays", 48),
            ("copy", "B writes into a block it shared", 1),
        ]
    ):
        runtime.events.append(PoolEvent(number, kind, text, count, NOON - 200 + 35 * number))


@pytest.mark.snapshot
@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_looks_as_it_did_when_somebody_looked(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    monkeypatch: pytest.MonkeyPatch,
    view: str,
    size: tuple[int, int],
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    runtime = make_runtime(num_blocks=640, block_size=4)
    told_story(runtime)
    app: KVChatApp = make_app(runtime)
    async with app.run_test(size=size) as pilot:
        app.chat.blocks.state.clock = lambda: NOON
        app.chat.feed._adapt = lambda: None  # type: ignore[method-assign]  # it measures this run
        await settle(pilot)
        app.chat.show_session(app.chat.state.views["session-0"])
        await settle(pilot)
        for key in VIEWS[view]:
            await pilot.press(key)
            await settle(pilot)
        if view != "dock":
            await pilot.press("home")
            state = app.chat.blocks.state
            while state.shown_text is None or state.plan is None or not state.costs:
                await pilot.pause(0.01)
                await settle(pilot)
        await settle(pilot)
        region = app.screen.region
        if view == "dock":  # of the chat around it other pictures are taken
            panel = app.chat.blocks.panel
            assert panel is not None
            region = panel.region
        drawn = svg_of(app, region)
    path = PICTURES / f"blocks-{view}-{size[0]}x{size[1]}.svg"
    if os.environ.get("KVCHAT_DRAW"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")
