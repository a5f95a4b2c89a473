from collections.abc import Awaitable, Callable
from typing import Any

from driver import say  # type: ignore[import-not-found]

from kvchat.errors import NotSaving

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def test_a_message_is_sent_and_its_reply_streams(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["Blocks are **shared** until written."])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"hello", "enter")
        runtime.step(2)
        half = await settle(pilot)
        runtime.finish_all()
        whole = await settle(pilot)

    assert "▌you" in half and "   hello" in half
    assert "   Blocks are▍" in half
    assert "   Blocks are shared until written." in whole
    assert "5 tok · 41.8 tok/s" in whole
    assert "ready" in whole


async def test_escape_stops_and_keeps_the_partial_text(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two three four"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "count")
        runtime.step(2)
        await settle(pilot)
        await pilot.press("escape")
        text = await settle(pilot)

    assert "   one two\n" in text
    assert "interrupted" in text
    assert "Stopped; the text so far is kept." in text


async def test_prompts_wait_in_line_and_are_sent_when_the_reply_ends(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first answer", "second answer"])
    async with make_app(runtime).run_test(size=(80, 30)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await say(pilot, "two")
        waiting = await settle(pilot)
        runtime.finish_all()
        await settle(pilot)
        runtime.finish_all()
        text = await settle(pilot)

    assert "waits in line" in waiting and "two" in waiting
    assert [m.text for m in runtime.open_sessions[0].messages] == [
        "one", "first answer", "two", "second answer",
    ]  # fmt: skip
    assert "waits in line" not in text


async def test_escape_returns_waiting_prompts_to_the_prompt(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a b c"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await say(pilot, "two")
        await say(pilot, "three")
        await pilot.press("escape")
        await settle(pilot)

    assert app.chat.prompt.exact_text == "two\n\nthree"
    assert len(runtime.open_sessions[0].messages) == 2


async def test_while_the_model_loads_the_prompt_works_and_the_message_waits(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["done"], loading=True)
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        loading = await settle(pilot)
        runtime.finish_loading()
        runtime.finish_all()
        ready = await settle(pilot)

    assert "loading fake-1m" in loading
    assert "waits for the model to load" in loading
    assert "   done" in ready


async def test_what_was_typed_before_the_runtime_exists_is_sent(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["early bird"])
    app = make_app(runtime)
    app._begin = lambda: None
    async with app.run_test(size=(80, 24)) as pilot:
        await say(pilot, "so early")
        assert "is sent as soon as" in await settle(pilot)
        app._take(runtime)
        runtime.finish_all()
        text = await settle(pilot)

    assert "so early" in text and "early bird" in text


async def test_a_refused_message_stays_in_the_prompt(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        runtime.refuses = NotSaving("The disk is full; nothing was computed.")
        await say(pilot, "precious")
        text = await settle(pilot)

    assert app.chat.prompt.exact_text == "precious"
    assert "The disk is full; nothing was computed." in text


async def test_sessions_stream_side_by_side_and_unread_ones_are_marked(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["alpha beta gamma", "delta"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await settle(pilot)
        await pilot.press("ctrl+n")
        await say(pilot, "two")
        runtime.step()
        both = await settle(pilot)
        runtime.finish_all()
        done = await settle(pilot)
        await pilot.press("alt+u")
        shown = await settle(pilot)

    assert " A one ● " in both
    assert " A one ▲ 1 " in done
    assert "alpha beta gamma" in shown and " A one  B" in shown
