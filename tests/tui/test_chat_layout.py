from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say  # type: ignore[import-not-found]

from kvchat.settings import Settings

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
