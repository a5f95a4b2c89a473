from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say, wait_for_text  # type: ignore[import-not-found]

from kvchat.errors import ContextTooLong
from kvchat.settings import Settings
from kvchat.tui.model_reach import ModelReach

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


def test_between_the_sinks_and_the_window_nothing_is_seen() -> None:
    reach = ModelReach(num_tokens=100, num_sinks=8, num_window=32)
    assert (reach.first_seen, reach.num_dropped) == (68, 60)
    places = [range(8), range(8, 68), range(60, 68), range(60, 69), range(90, 100)]
    assert [reach.of(each) for each in places] == ["sink", "dropped", "dropped", "seen", "seen"]


def test_a_chat_inside_its_window_has_no_marks() -> None:
    for reach in (ModelReach(40, 8, 32), ModelReach(1_000, 0, None)):
        assert reach.num_dropped == 0
        assert reach.of(range(4)) == "seen"


async def fill(pilot: Any, runtime: Any, settle: Settle, count: int) -> None:
    await settle(pilot)
    for number in range(count):
        await say(pilot, f"question {number}")
        runtime.finish_all()
        await settle(pilot)


async def test_messages_outside_the_window_are_marked_in_the_gutter_with_a_rule(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["answer one two"] * 4)
    async with make_app(runtime).run_test(size=(80, 40)) as pilot:
        await fill(pilot, runtime, settle, 3)
        plain = await settle(pilot)
        runtime.open_sessions[0].set_window(9, 4)
        await fill(pilot, runtime, settle, 1)
        text = await wait_for_text(pilot, "tokens above are no longer seen")

    assert "┊" not in plain and "▪" not in plain
    rows = text.splitlines()
    assert any(row.startswith("▪") and "you" in row for row in rows)
    assert "┊  question 1" in rows
    assert "─ 15 tokens above are no longer seen, /window off brings them back" in text
    assert "   question 0" in rows
    assert "sees 4 + 9 of 28" in text


async def test_ascii_keeps_the_meaning_of_the_gutter(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["answer one two"] * 4)
    async with make_app(runtime, settings=Settings(ascii=True)).run_test(size=(80, 40)) as pilot:
        await settle(pilot)
        runtime.open_sessions[0].set_window(9, 4)
        await fill(pilot, runtime, settle, 4)
        text = await settle(pilot)

    assert ":  question 1" in text.splitlines()
    assert text.isascii()


async def test_the_page_of_context_counts_sinks_window_and_what_was_let_go_of(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["answer one two"] * 4)
    async with make_app(runtime).run_test(size=(80, 40)) as pilot:
        await settle(pilot)
        runtime.open_sessions[0].set_window(9, 4)
        await fill(pilot, runtime, settle, 4)
        await say(pilot, "/context")
        text = await wait_for_text(pilot, "What the model sees")

    numbers = [int(row.split()[2]) for row in text.splitlines() if " tokens  " in row]
    assert numbers == [4, 15, 9, 0]


async def test_a_nearly_full_context_is_told_once_and_a_full_one_offers_a_choice(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["word " * 1_850, "short", "after"], num_blocks=4_000)
    async with make_app(runtime).run_test(size=(160, 30)) as pilot:
        await fill(pilot, runtime, settle, 1)
        await wait_for_text(pilot, "The context is 90% full; /window 1536")
        await say(pilot, "too much")
        reply = runtime.open_sessions[0].reply
        reply.cause = ContextTooLong("The context is full.")
        reply.finish("failed", "The context is full.")
        await settle(pilot)
        await wait_for_text(pilot, "See only the last 1536 tokens")
        await pilot.press("enter")
        runtime.finish_all()
        await settle(pilot)

    assert runtime.open_sessions[0].window == 1536
    assert runtime.open_sessions[0].messages[-1].text == "after"


async def test_the_tokens_of_a_windowed_chat_are_counted_once_for_a_status_line(
    make_app: Make, make_runtime: Make, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(["answer one two"] * 4)
    app = make_app(runtime)
    async with app.run_test(size=(80, 40)) as pilot:
        await settle(pilot)
        session = runtime.open_sessions[0]
        session.set_window(9, 4)
        await fill(pilot, runtime, settle, 4)
        counted: list[str] = []
        real = session.stats

        def counting() -> Any:
            counted.append(session.id)
            return real()

        monkeypatch.setattr(session, "stats", counting)
        app.chat.draw_status()
        text = await settle(pilot)
        counted.clear()
        app.chat.draw_status()
        num_counted = len(counted)  # before a timer draws it again

    assert "sees 4 + 9 of 28" in text
    assert num_counted == 1
