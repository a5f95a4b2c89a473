"""What keys of the chat and of the program do while a view lies over the chat."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]
OPENED_BY = {"tree": "ctrl+t", "blocks": "f3", "tokens": "alt+up t"}


async def begin(pilot: Any, runtime: Any, settle: Settle, line: str = "") -> None:
    await settle(pilot)
    await say(pilot, "hello")
    runtime.finish_all()
    await settle(pilot)
    if line:
        await say(pilot, line)


async def asked(pilot: Any, runtime: Any, settle: Settle) -> None:
    await begin(pilot, runtime, settle, "/ask 2 Give a rule.")
    await pilot.press("enter")
    runtime.finish_all()
    await wait_for_text(pilot, "2 done", "one rule", "two rules")


@pytest.mark.parametrize("way_back", ["escape", "f3"])
async def test_the_blocks_over_an_ask_lead_back_to_its_answers(
    way_back: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "one rule", "two rules"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot, runtime, settle)
        await pilot.press("f3")
        blocks = await settle(pilot)
        await pilot.press(way_back)
        again = await settle(pilot)
        await pilot.press("escape")
        chat = await settle(pilot)
        assert app.screen is app.chat

    assert "blocks · lanes" in blocks and "one rule" not in blocks
    assert "2 done" in again and "one rule" in again and "two rules" in again
    assert "Ask anything" in chat


async def test_going_to_the_text_of_a_block_leaves_the_ask_below_as_well(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi there", "one rule", "two rules"], block_size=4)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot, runtime, settle)
        await pilot.press("f3")
        await settle(pilot)
        await pilot.press("enter")
        text = await settle(pilot)
        assert app.screen is app.chat
        assert runtime.view_wanted  # the dock goes on

    assert "hi there" in text


@pytest.mark.parametrize("view", list(OPENED_BY))
@pytest.mark.parametrize(("key", "wanted"), [("f5", "Ask 3 branches"), ("f2", "temperature")])
async def test_a_key_of_the_chat_works_from_a_view_that_is_left_for_it(
    view: str, key: str, wanted: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle)
        await pilot.press(*OPENED_BY[view].split())
        await settle(pilot)
        over = app.screen
        await pilot.press(key)
        await wait_for_text(pilot, wanted)
        assert over not in app.screen_stack


@pytest.mark.parametrize("key", ["f2", "ctrl+t", "alt+1"])
async def test_an_answered_ask_is_not_left_by_accident_and_says_so(
    key: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "one rule", "two rules"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot, runtime, settle)
        for _ in range(2):  # in the question, then in the columns
            await pilot.press(key)
            text = read_screen(app)
            assert "is for the chat" in text and "esc goes back there" in text
            await pilot.press("tab")


async def test_an_ask_in_which_nothing_was_written_is_left_for_a_key_of_the_chat(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle)
        await pilot.press("f5")
        await settle(pilot)
        await pilot.press("ctrl+t")
        text = await wait_for_text(pilot, "Tree  ")

    assert "2 messages" in text


async def test_interrupt_clears_the_question_then_stops_the_answers_then_quits(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "one rule", "two rules"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 Give a rule.")
        await pilot.press("enter")
        runtime.step()
        await wait_for_text(pilot, "2 streaming")
        await pilot.press(*"unsaid", "ctrl+c")
        cleared = app.screen.prompt.text
        still_running = [session.reply.is_finished for session in runtime.open_sessions[1:]]
        await pilot.press("ctrl+c")
        stopped = [session.reply.is_finished for session in runtime.open_sessions[1:]]
        await pilot.press("ctrl+c")
        warned = read_screen(app)
        await pilot.press("ctrl+c")

    assert cleared == "" and still_running == [False, False] and stopped == [True, True]
    assert "^c again to quit" in warned
    assert app.return_code == 0


async def test_the_mouse_and_the_log_can_be_had_in_a_view(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle)
        await pilot.press("ctrl+t")
        await settle(pilot)
        await pilot.press("f9")
        mouse = read_screen(app)
        await pilot.press("f12", "escape")
        tree = await settle(pilot)

    assert "no mouse" in mouse
    assert "Tree  " in tree
