from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say  # type: ignore[import-not-found]

from kvchat.settings import Settings

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def test_a_failed_reply_says_why_and_offers_to_retry(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["half an answer here", "better"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.step(2)
        await settle(pilot)
        runtime.fail(runtime.open_sessions[0], "Logits were not finite.")
        failed = await settle(pilot)
        await say(pilot, "/retry")
        runtime.finish_all()
        retried = await settle(pilot)

    assert "! Logits were not finite. /retry tries again." in failed
    assert "   better" in retried and "‹2/2›" in retried


async def test_rewind_puts_the_message_into_the_prompt_and_undo_goes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 30)) as pilot:
        for text in ("one", "two"):
            await settle(pilot)
            await say(pilot, text)
            runtime.finish_all()
        await settle(pilot)
        await pilot.press("escape", "escape")
        menu = await settle(pilot)
        await pilot.press("enter")
        rewound = await settle(pilot)
        prompt = app.chat.prompt.exact_text
        app.chat.prompt.set_exact_text("")
        await say(pilot, "/undo")
        undone = await settle(pilot)

    assert "Rewind to before" in menu and "▸ two" in menu
    assert "nothing is lost: alt+z goes back" in menu and "/undo" not in menu
    assert prompt == "two"
    assert "second" not in rewound and "first" in rewound
    assert "second" in undone


async def test_the_key_that_a_rewind_names_goes_back_and_leaves_the_prompt_as_it_was(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 30)) as pilot:
        for text in ("one", "two"):
            await settle(pilot)
            await say(pilot, text)
            runtime.finish_all()
        await settle(pilot)
        await pilot.press(*"unsaid", "alt+up", "k", "w")
        rewound = await settle(pilot)
        taken_up = app.chat.prompt.text
        await pilot.press("alt+z")
        undone = await settle(pilot)

    assert taken_up == "two" and "alt+z goes back" in rewound and "/undo" not in rewound
    assert "second" not in rewound and "second" in undone
    assert app.chat.prompt.text == "unsaid"


async def test_a_message_that_was_changed_after_a_rewind_stays_when_that_is_undone(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 30)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("escape", "escape", "enter", "!", "alt+z")
        await settle(pilot)

    assert app.chat.prompt.text == "one!"


async def test_a_rewind_without_a_key_to_undo_it_says_what_works(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first"])
    app = make_app(runtime, settings=Settings(keys={"session.undo": ()}))
    async with app.run_test(size=(80, 30)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("escape", "escape")
        menu = await settle(pilot)
        await pilot.press("enter")
        rewound = await settle(pilot)

    assert "nothing is lost: esc esc, then /undo goes back" in menu
    assert "esc esc, then /undo goes back" in rewound


@pytest.mark.parametrize(("keys", "wanted"), [(("alt+z",), "alt+z"), ((), "esc esc, then /undo")])
async def test_a_waiting_prompt_that_comes_back_is_not_in_the_way_of_the_undo_that_is_named(
    keys: tuple[str, ...], wanted: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a long answer"])
    app = make_app(runtime, settings=Settings(keys={"session.undo": keys}))
    async with app.run_test(size=(80, 30)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await say(pilot, "later")
        await say(pilot, "/clear")
        cleared = await settle(pilot)
        given_back = app.chat.prompt.text

    assert given_back == "later" and f"Cleared; {wanted} brings the messages back." in cleared


async def test_the_message_cursor_forks_and_shows_versions(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "again"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("alt+up", "r")
        runtime.finish_all()
        again = await settle(pilot)
        await pilot.press("alt+up", "left")
        first = await settle(pilot)
        await pilot.press("f")
        forked = await settle(pilot)

    assert "again" in again and "‹2/2›" in again
    assert "▸  first" in first and "‹1/2›" in first
    assert "B goes on from that message of A." in forked
    assert [m.text for m in runtime.open_sessions[1].messages] == ["one", "first"]


async def test_the_footer_names_the_keys_for_versions_on_a_message(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("alt+up")
        text = await settle(pilot)

    assert "← → versions" in text.splitlines()[-1]
    assert "esc back" in text.splitlines()[-1]
