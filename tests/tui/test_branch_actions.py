from collections.abc import Awaitable, Callable
from typing import Any

from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def talk(pilot: Any, runtime: Any, settle: Settle, *lines: str) -> None:
    await settle(pilot)
    for line in lines:
        await say(pilot, line)
        runtime.finish_all()
        await settle(pilot)


async def test_editing_a_question_makes_a_version_and_answers_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "helo")
        await pilot.press(*"draft", "alt+up", "up", "e")
        changing = app.chat.prompt.exact_text
        await pilot.press("backspace", *"lo", "enter")
        runtime.finish_all()
        text = await settle(pilot)

    assert changing == "helo"
    assert [m.text for m in runtime.open_sessions[0].messages] == ["hello", "second"]
    assert "‹2/2›" in text or "edited" in text
    assert app.chat.prompt.exact_text == "draft"


async def test_escape_leaves_a_message_as_it_was_and_gives_the_draft_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello")
        await say(pilot, "/edit")
        await pilot.press(*" more", "escape")
        await wait_for_text(pilot, "The message stays as it was.")

    assert app.chat.prompt.exact_text == ""
    assert [m.text for m in runtime.open_sessions[0].messages] == ["hello", "first"]


async def test_an_edited_reply_stands_beside_the_old_one_and_goes_on_from_its_end(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "and then"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello")
        await pilot.press("alt+up", "e", *" mine", "enter")
        edited = await wait_for_text(pilot, "first mine", "edited", "‹2/2›")
        await pilot.press("alt+up", "full_stop")
        runtime.finish_all()
        await wait_for_text(pilot, "first mineand then")

    assert "/continue writes on" in edited


async def test_a_reply_that_ended_by_itself_cannot_go_on_and_says_so(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello")
        await say(pilot, "/continue")
        await wait_for_text(pilot, "The model ended this reply by itself.")


async def test_a_stopped_reply_goes_on(make_app: Make, make_runtime: Make, settle: Settle) -> None:
    runtime = make_runtime(["one two three", " and four"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "count")
        runtime.step(2)
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        await say(pilot, "/continue")
        runtime.finish_all()
        await wait_for_text(pilot, "one two and four", "‹2/2›")


async def test_another_reply_with_other_settings(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello")
        await pilot.press("alt+up", "R", *"temperature=0.2", "enter")
        runtime.finish_all()
        await wait_for_text(pilot, "second", "‹2/2›")

    assert runtime.asked_sampling.temperature == 0.2


async def test_a_place_is_named_at_the_cursor_and_by_a_command(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello")
        await say(pilot, "/label [/] good")
        await wait_for_text(pilot, "★ [/] good")
        await pilot.press("alt+up", "l", *" one", "enter")
        await wait_for_text(pilot, "★ [/] good one")
        await say(pilot, "/label")
        text = await settle(pilot)

    assert "★" not in text


async def test_hiding_a_message_hides_what_follows_and_undo_brings_it_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    async with make_app(runtime).run_test(size=(80, 30)) as pilot:
        await talk(pilot, runtime, settle, "one", "two")
        await pilot.press("alt+up", "up", "d")
        hidden = await wait_for_text(pilot, "Hidden, 2 messages")
        await pilot.press("u")
        back = await wait_for_text(pilot, "second")

    assert "second" not in hidden and "   two" not in hidden and "▸  two" in back


async def test_a_folded_message_is_one_line_until_it_is_unfolded(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["\n".join(f"line {number}" for number in range(9))])
    async with make_app(runtime).run_test(size=(80, 30)) as pilot:
        await talk(pilot, runtime, settle, "one")
        await pilot.press("alt+up", "space")
        folded = await wait_for_text(pilot, "8 more lines")
        await pilot.press("space")
        await wait_for_text(pilot, "line 8")

    assert "line 8" not in folded


async def test_the_page_about_a_message_names_tokens_seed_and_version(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first reply"])
    async with make_app(runtime).run_test(size=(80, 30)) as pilot:
        await talk(pilot, runtime, settle, "one")
        await pilot.press("alt+up", "i")
        text = await wait_for_text(pilot, "This message")

    assert "tokens      2" in text and "seed        1" in text and "version     1 of 1" in text
    assert "positions   3 to 4 of this chat" in text


async def test_enter_on_a_message_offers_what_can_be_done_with_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first reply"])
    async with make_app(runtime).run_test(size=(80, 30)) as pilot:
        await talk(pilot, runtime, settle, "one")
        await pilot.press("alt+up", "enter")
        await wait_for_text(pilot, "This message", "Fork into a new session")
        await pilot.press(*"Tokens", "enter")
        await wait_for_text(pilot, "positions")


async def test_the_count_of_versions_follows_what_is_hidden_in_the_tree(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["first", "second"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await talk(pilot, runtime, settle, "hello", "/retry")
        before = await wait_for_text(pilot, "second", "‹2/2›")
        await pilot.press("ctrl+t", "up")
        await wait_for_text(pilot, "first")
        await pilot.press("d", "escape")
        await wait_until(pilot, lambda: app.screen is app.chat)
        after = await settle(pilot)

    assert "first" not in before and "second" in after
    assert "‹" not in after
