from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say, wait_for_text  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def grow(pilot: Any, runtime: Any, settle: Settle) -> None:
    """A question with two answers, each with one more turn; the second one is the tip."""
    await settle(pilot)
    for line in ("root question", "left turn"):
        await say(pilot, line)
        runtime.finish_all()
        await settle(pilot)
    await say(pilot, "/rewind 1")
    await say(pilot, "/retry")
    runtime.finish_all()
    await settle(pilot)
    await say(pilot, "right turn")
    runtime.finish_all()
    await settle(pilot)


ANSWERS = ["first answer", "left answer", "second answer", "right answer", "more", "and more"]


async def test_the_tree_shows_the_path_and_folds_what_is_beside_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t")
        text = await wait_for_text(pilot, "Tree")
        await pilot.press("home", "down", "right")
        unfolded = await wait_for_text(pilot, "left answer")

    assert "you root question" in text and "7 messages" in text
    assert "├ → first answer" in text and "‹2›" in text and "left answer" not in text
    assert "└ → second answer" in text and "▸    → right answer" in text
    assert " A" in text.split("right answer")[1].split("\n")[0]
    assert "you left turn" in unfolded


async def test_going_to_a_reply_moves_the_tip_there_and_undo_goes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "home", "down", "enter")
        text = await settle(pilot)
        tip = runtime.open_sessions[0].messages[-1].text
        await say(pilot, "/undo")
        await settle(pilot)

    assert "first answer" in text and tip == "first answer"
    assert runtime.open_sessions[0].messages[-1].text == "right answer"


async def test_going_to_a_prompt_puts_its_text_into_the_prompt(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "up", "enter")
        await settle(pilot)

    assert app.chat.prompt.exact_text == "right turn"
    assert runtime.open_sessions[0].messages[-1].text == "second answer"


async def test_a_place_gets_a_name_and_the_filter_shows_named_places(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "home", "down", "l", *"old [/] idea", "enter")
        named = await wait_for_text(pilot, "★ old [/] idea")
        await pilot.press("o", "o")
        text = await wait_for_text(pilot, "named places")

    assert "second answer" in named
    assert "first answer" in text and "second answer" not in text


async def test_hiding_takes_a_branch_away_and_undo_brings_it_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "home", "down", "d")
        hidden = await wait_for_text(pilot, "4 messages")
        await pilot.press("u")
        back = await wait_for_text(pilot, "7 messages")

    assert "first answer" not in hidden and "first answer" in back


async def test_marked_messages_are_asked_in_forks_of_their_own(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    async with make_app(runtime).run_test(size=(120, 30)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "a")
        refused = await wait_for_text(pilot, "Mark messages with space first")
        await pilot.press("home", "down", "space", "space")
        marked = await wait_for_text(pilot, "2 marked")
        await pilot.press("a")
        await wait_for_text(pilot, "Ask 2 branches")
        await pilot.press(*"why?", "enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done", "more", "and more")

    assert "Tree" in refused and "◆" in marked
    assert [[m.text for m in session.messages][1:-1] for session in runtime.open_sessions[1:]] == [
        ["first answer", "why?"], ["second answer", "why?"],
    ]  # fmt: skip


async def test_a_fork_is_made_at_any_message(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t", "home", "down", "f")
        text = await settle(pilot)

    assert [m.text for m in app.chat.view.session.messages] == ["root question", "first answer"]
    assert "B goes on from that message of A." in text


async def test_a_tip_says_how_many_blocks_its_chat_holds_and_no_other_line_does(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(ANSWERS)
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        held = len(runtime.open_sessions[0].table)
        await pilot.press("ctrl+t")
        text = await wait_for_text(pilot, "Tree")

    assert held > 0 and text.count(" blk") == 1
    assert f" A {held} blk" in next(row for row in text.splitlines() if "right answer" in row)


async def test_a_running_reply_has_its_mark_in_the_tree(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two three four"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.step(2)
        await pilot.press("ctrl+t")
        running = await wait_for_text(pilot, " A ●")
        runtime.finish_all()
        await wait_for_text(pilot, "one two three four")

    assert "you go" in running


@pytest.mark.parametrize("size", [(20, 4), (40, 12), (300, 80)])
async def test_any_size_of_the_tree_is_drawn_exactly(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["漢字 [/] \x1b[2J", "👩‍👩‍👧", "\u202ex", "y"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await grow(pilot, runtime, settle)
        await pilot.press("ctrl+t")
        await pilot.resize_terminal(*size)
        text = await settle(pilot)

    assert not any(ord(char) < 32 and char != "\n" for char in text)
