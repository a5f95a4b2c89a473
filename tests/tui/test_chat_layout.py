import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.settings import Settings
from kvchat.tui.conversation import WELCOME

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


@pytest.mark.parametrize(
    "size", [(1, 1), (19, 24), (20, 4), (40, 3), (40, 12), (59, 11), (60, 12), (119, 50), (120, 12)]
)
async def test_any_size_is_drawn_exactly(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["漢字 " * 30 + "\n\n```py\nx = 1\n```\n\n| a | b |\n|-|-|\n| 1 | 2 |"])
    async with make_app(runtime).run_test(size=size) as pilot:
        await settle(pilot)
        pilot.app.chat.submit("👩‍👩‍👧 hello")
        runtime.finish_all()
        text = await settle(pilot)

    small = size[0] < 20 or size[1] < 4
    assert ("window too small"[: size[0]] in text) == small


async def test_resizing_wildly_while_streaming_stops_nothing(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["word " * 200, "漢字 " * 200])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await pilot.press("ctrl+n")
        await say(pilot, "two")
        for size in [(1, 1), (200, 60), (20, 4), (3, 40), (120, 12), (40, 5), (79, 13), (2, 2)]:
            runtime.step(3)
            await pilot.resize_terminal(*size)
            await settle(pilot)
        await pilot.resize_terminal(80, 24)
        await pilot.press(*"typed")
        text = await settle(pilot)

    assert "漢字" in text
    assert app.chat.prompt.text == "typed"


async def test_forty_columns_show_one_column_without_a_dock(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a narrow answer that has to wrap at forty columns"])
    async with make_app(runtime).run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        runtime.finish_all()
        text = await settle(pilot)

    assert "blocks 0" not in text and "SESSIONS" not in text
    assert "   a narrow answer that has to wrap at\n   forty columns" in text


async def test_ascii_mode_draws_ascii_alone(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["- a\n\n```\nb\n```\n\n| a | b |\n|-|-|\n| 1 | 2 |\n" + "c\n" * 50])
    app = make_app(runtime, settings=Settings(ascii=True))
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        runtime.finish_all()
        text = await settle(pilot)

    odd = {char for char in text if not char.isascii()}
    assert odd == set()


async def test_the_sidebar_is_up_to_date_when_it_comes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two three four five six seven"])
    async with make_app(runtime).run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.step(2)
        running = await settle(pilot)
        await pilot.resize_terminal(80, 24)
        runtime.finish_all()
        await settle(pilot)
        await pilot.resize_terminal(140, 40)
        text = await settle(pilot)

    assert "●" in running
    assert "●" not in text


async def test_ninety_sizes_in_a_row_stop_nothing(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["word " * 400, "漢字 " * 300], num_blocks=640)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "one")
        for number in range(90):
            runtime.step()
            await pilot.resize_terminal(1 + number * 37 % 230, 1 + number * 29 % 70)
        await pilot.resize_terminal(80, 24)
        await pilot.press(*"typed")
        text = await wait_for_text(pilot, "› typed")

    assert "word word" in text


@pytest.mark.parametrize(
    ("size", "shown", "hidden"),
    [
        ((59, 24), "› Ask", "blocks 0"),
        ((80, 11), "› Ask", "^n new"),
        ((20, 4), "›", "window too small"),
        ((19, 4), "window too small", "›"),
        ((20, 3), "window too small", "›"),
    ],
)
async def test_a_small_terminal_shows_what_fits(
    size: tuple[int, int], shown: str, hidden: str, make_app: Make, make_runtime: Make
) -> None:
    async with make_app(make_runtime()).run_test(size=size) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        text = await wait_for_text(pilot, shown)

    assert hidden not in text


NO_COLOR_PROGRAM = """
import asyncio, sys
sys.path.insert(0, {path!r})
from fake_runtime import FakeRuntime
from kvchat.tui.app import KVChatApp

async def main():
    app = KVChatApp(FakeRuntime(["- a\\n\\n```py\\nx = 1\\n```\\n**b** `c`"]))
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.pause()
        app.chat.submit("hello")
        app.runtime.finish_all()
        app.chat.feed.drain()
        await pilot.pause(0.3)
        lines = app.screen._compositor.render_strips()
        from textual.filter import Monochrome
        assert any(type(each).__name__ == "Monochrome" for each in app._filters), app._filters
        for strip in lines:
            for segment in strip.apply_filter(Monochrome(), app.background_colors[0]):
                for color in (segment.style.color, segment.style.bgcolor):
                    if color is not None and color.triplet is not None:
                        assert len(set(color.triplet)) == 1, (segment, color)
asyncio.run(main())
"""


def test_with_no_color_everything_is_grey(tmp_path: Path) -> None:
    code = NO_COLOR_PROGRAM.format(path=str(Path(__file__).parent))
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr[-2000:]


@pytest.mark.parametrize("size", [(120, 30), (80, 24), (40, 24), (40, 12)])
async def test_an_empty_chat_says_all_its_words_at_any_width(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        width, height = app.chat.transcript.size
        rows = []
        for y in range(height):
            rows.append(app.chat.transcript.render_line(y).text)
        app.chat.transcript.scroll_to(y=1000, animate=False, force=True)
        await settle(pilot)
        top = app.chat.transcript.scroll_offset.y
        behind = [app.chat.transcript.render_line(y).text for y in range(height)]

    words = " ".join(rows[:top] + behind).split()
    assert all(len(row) <= width for row in rows)
    assert rows[1].strip().startswith("Type a message")
    assert " ".join(words) == " ".join(text for text, _ in WELCOME)
