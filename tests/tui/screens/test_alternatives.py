from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.runtime import ChatRuntime
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def open_tokens(pilot: Any, runtime: Any, settle: Settle) -> str:
    await settle(pilot)
    await say(pilot, "hello")
    runtime.finish_all()
    await settle(pilot)
    await pilot.press("alt+up", "t")
    return str(await wait_for_text(pilot, "token 1 of"))


ANSWER = "blocks keep their maybe last reference perhaps"


@pytest.mark.parametrize(("size", "is_beside"), [((80, 24), False), ((140, 40), True)])
async def test_the_likeliest_tokens_stand_below_or_beside_the_text(
    size: tuple[int, int],
    is_beside: bool,
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
) -> None:
    runtime = make_runtime([ANSWER])
    async with make_app(runtime).run_test(size=size) as pilot:
        text = await open_tokens(pilot, runtime, settle)

    assert "▐blocks▌ keep their maybe" in text and "token 1 of 7" in text
    row = next(row for row in text.splitlines() if "“blocks”" in row)
    assert "▸ 1" in row and "80.0 %" in row and "85.0 %" in row and "taken" in row
    assert "“ are”" in text and "cut" in text
    assert ("▐blocks▌" in text.splitlines()[1]) and (row.index("“blocks”") > 60) == is_beside


async def test_arrows_walk_tokens_and_n_finds_doubt(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([ANSWER])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await open_tokens(pilot, runtime, settle)
        await pilot.press("right")
        await wait_for_text(pilot, "▐ keep▌", "token 2 of 7")
        await pilot.press("n")
        doubt = await wait_for_text(pilot, "▐ maybe▌", "token 4 of 7")
        await pilot.press("n")
        await wait_for_text(pilot, "▐ perhaps▌")
        await pilot.press("n")
        await wait_for_text(pilot, "There is no doubtful token further on.")
        await pilot.press("N")
        await wait_for_text(pilot, "▐ maybe▌")
        await pilot.press("home", "shift+right", "shift+right")
        await wait_for_text(pilot, "▐ their▌")
        await pilot.press("end")
        await wait_for_text(pilot, "token 7 of 7")

    assert "▸ 2" in doubt and "“ surely”" in doubt and "30.0 %" in doubt


async def test_taking_another_token_makes_a_version_with_the_same_tokens_before_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([ANSWER, " and on"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await open_tokens(pilot, runtime, settle)
        await pilot.press("right", "right", "2")
        plan = await wait_for_text(pilot, "take “ drop”", "2 tokens kept")
        await pilot.press("enter")
        runtime.finish_all()
        text = await wait_for_text(pilot, "blocks keep drop and on", "‹2/2›")

    assert "none re-read" in plan
    assert "2 tokens kept, then “ drop”" in text


async def test_a_token_that_a_version_already_has_names_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two", "x"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await open_tokens(pilot, runtime, settle)
        runtime.add("assistant", "one drop", runtime.nodes["m1"].parent_id)
        await pilot.press("escape", "t")
        await wait_for_text(pilot, "token 1 of")
        await pilot.press("right")
        await wait_for_text(pilot, "‹2› a version")


async def test_a_preview_goes_on_in_short_forks_that_are_deleted(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    long = " ".join(f"w{number}" for number in range(60))
    runtime = make_runtime([ANSWER, f" one {long}", f" two {long}", f" three {long}"])
    app = make_app(runtime)
    async with app.run_test(size=(140, 40)) as pilot:
        await open_tokens(pilot, runtime, settle)
        await pilot.press("p")
        listed = len(app.chat.state.listed)
        await wait_until(pilot, lambda: len(runtime.open_sessions) == 4)
        for _ in range(14):
            runtime.step()
            await pilot.pause(0.11)
        text = await wait_for_text(pilot, "one w0 w1", "two w0 w1", "three w0 w1")
        await wait_until(pilot, lambda: len(runtime.open_sessions) == 1)
        replies = [node for node in runtime.nodes.values() if node.role == "assistant"]

    assert runtime.hidden == {node.id for node in replies[1:]}
    assert listed == 1 and "w40" not in text


async def test_heat_marks_doubt_by_more_than_color(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([ANSWER])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_tokens(pilot, runtime, settle)
        await pilot.press("h")
        await wait_for_text(pilot, "heat: on")
        rows = app.screen._compositor.render_strips()
        underlined = {
            segment.text.strip()
            for row in rows
            for segment in row
            if segment.style is not None and segment.style.underline
        }

    assert {"maybe", "perhaps"} <= underlined


async def test_a_message_of_the_user_has_tokens_but_cannot_go_on(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([ANSWER])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "hello there")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("alt+up", "up", "t")
        await wait_for_text(pilot, "token 1 of 2", "your message")
        await pilot.press("right", "s")
        await wait_for_text(pilot, "“ drop”")
        await pilot.press("enter")
        await wait_for_text(pilot, "Only a reply can go on from another token.")


async def test_alt_opens_the_last_reply_and_escape_goes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([ANSWER])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "/alt")
        await wait_for_text(pilot, "There is no reply yet.")
        await say(pilot, "hello")
        runtime.finish_all()
        await settle(pilot)
        await say(pilot, "/alt")
        await wait_for_text(pilot, "token 1 of 7")
        await pilot.press("escape")
        await wait_for_text(pilot, "   hello")


@pytest.mark.parametrize("size", [(20, 4), (40, 12), (300, 80)])
async def test_any_size_of_the_view_is_drawn_exactly(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["漢字 [/] \x1b[2J\n\n👩‍👩‍👧 \u202ex maybe\ttab " * 9])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await open_tokens(pilot, runtime, settle)
        await pilot.resize_terminal(*size)
        await pilot.press("right", "right", "h")
        text = await settle(pilot)

    assert not any(ord(char) < 32 and char != "\n" for char in text)


@pytest.mark.parametrize("key", ["s", "enter"])
async def test_text_that_nobody_drew_says_its_cost_and_is_computed_when_asked(
    key: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two", "three"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for line in ("hello", "and now this"):
            await say(pilot, line)
            runtime.finish_all()
            await settle(pilot)
        await pilot.press("alt+up", "up", "t")
        # three tokens of the question, and the last one before them, from which the first follows
        before = await wait_for_text(pilot, "not kept for this text: s reads 4 tokens")
        computed = set(runtime.scored)
        await pilot.press(key)
        after = await wait_for_text(pilot, "“ drop”")

    assert computed == set() and "“ drop”" not in before
    assert "not kept" not in after and "your message" in after


async def test_a_real_message_of_the_user_shows_ten_alternatives(tiny_model: Path) -> None:
    with ChatRuntime(tiny_model, save=False, sampling={"max_tokens": 4}) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(100, 30)) as pilot:
            await wait_until(pilot, lambda: app.chat.view is not None)
            await say(pilot, "go home")
            (session,) = runtime.sessions()
            await wait_until(pilot, lambda: session.reply and session.reply.is_finished)
            await pilot.press("alt+up", "up", "t")
            before = await wait_for_text(pilot, "s reads ")
            count = len(session.tokens(session.messages[0].id))
            await pilot.press("right", "s")
            text = await wait_for_text(pilot, "▸ 1", " 0  “")

    assert f"s reads {count} tokens" in before
    assert " %" not in before and text.count(" %") >= 10
