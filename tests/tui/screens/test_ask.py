from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def begin(pilot: Any, runtime: Any, settle: Settle, line: str) -> str:
    await settle(pilot)
    await say(pilot, "hello")
    runtime.finish_all()
    await settle(pilot)
    await say(pilot, line)
    return str(read_screen(pilot.app))


async def test_the_plan_stands_there_before_anything_is_sent(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 3 Give a rule.")
        text = await wait_for_text(pilot, "plan:")

    assert "Ask 3 branches" in text and "› Give a rule." in text
    assert "about 99 blocks to add, 2 will wait for room, 1 block (4 tok) shared" in text
    assert len(runtime.open_sessions) == 1


async def test_a_long_title_is_shortened_so_that_its_sentence_ends_on_the_line(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "/rename A long story of a lighthouse by the sea and of its keeper")
        await begin(pilot, runtime, settle, "/ask 16")
        text = await wait_for_text(pilot, "16 answers to one question")

    (line,) = (row for row in text.splitlines() if "16 answers to one question" in row)
    assert line.rstrip().endswith("…”.")


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_answers_stream_beside_or_below_each_other(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha one two", "beta one two", "gamma one two"])
    async with make_app(runtime).run_test(size=size) as pilot:
        await begin(pilot, runtime, settle, "/ask 3 Give a rule.")
        await pilot.press("enter")
        runtime.step()
        half = await wait_for_text(pilot, "alpha", "beta", "gamma", "3 streaming")
        runtime.finish_all()
        text = await wait_for_text(pilot, "3 done", "✓ 3 tok")

    rows = [[word in row for word in ("alpha", "beta", "gamma")] for row in half.splitlines()]
    assert ([True] * 3 in rows) == (size[0] >= 100)
    assert "“Give a rule.”" in text
    replies = [session.messages[-1] for session in runtime.open_sessions[1:]]
    assert len({reply.parent_id for reply in replies}) == 1
    assert [reply.text for reply in replies] == ["alpha one two", "beta one two", "gamma one two"]


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_an_ended_answer_says_its_mean_logprob_and_the_blocks_it_added(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "sure sure", "maybe perhaps"])
    async with make_app(runtime).run_test(size=size) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 Give a rule.")
        await pilot.press("enter")
        runtime.finish_all()
        text = await wait_for_text(pilot, "2 done", "-0.22/tok", "-1.20/tok")

    for session in runtime.open_sessions[1:]:
        own = sum(runtime.counts[block] == 1 for block in session.table)
        assert f"✓ 2 tok · +{own} blk" in text


async def test_columns_with_the_same_title_say_which_they_are_or_their_label(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha", "beta"])
    async with make_app(runtime).run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/fork")
        for session in runtime.open_sessions:
            session.rename("same words")
        await say(pilot, "/ask all first")
        await pilot.press("enter")
        runtime.finish_all()
        numbered = await wait_for_text(pilot, "2 done", "fork 1: same", "fork 2: same")
        await pilot.press("tab", "l", *"best", "enter")
        labelled = await wait_for_text(pilot, "1 B best")

    assert "fork 1: " not in labelled and "fork 2: same" in labelled
    assert numbered.count("same words") >= 2


async def test_forks_for_one_question_are_named_with_their_number_first(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha", "beta"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 Give a rule.")
        await pilot.press("enter")
        await settle(pilot)

    assert [each.title for each in runtime.open_sessions[1:]] == [
        "1. Give a rule.", "2. Give a rule.",
    ]  # fmt: skip


async def test_enter_makes_the_chosen_branch_the_current_one(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha", "beta"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 Again?")
        await pilot.press("enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done")
        await pilot.press("tab", "right", "enter")
        text = await settle(pilot)

    assert app.chat.view.session.messages[-1].text == "beta"
    assert "   beta" in text and "   hello" in text


async def test_escape_stops_all_and_then_goes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "a b c", "d e f"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 Count")
        await pilot.press("enter")
        runtime.step()
        await pilot.press("escape")
        stopped = await wait_for_text(pilot, "Stopped all", "interrupted")
        await pilot.press("escape")
        back = await settle(pilot)

    assert not any(session.is_running for session in runtime.open_sessions)
    assert "Ask 2 branches" in stopped and "Ask 2 branches" not in back


async def test_a_follow_up_goes_to_all_and_a_busy_branch_takes_it_when_it_is_done(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "long one to be busy with", "short", "later", "now"])
    async with make_app(runtime).run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/fork")
        await say(pilot, "/ask all first")
        await pilot.press("enter")
        while runtime.open_sessions[0].is_running and runtime.open_sessions[1].is_running:
            runtime.step()
        await pilot.press(*"second", "enter")
        waiting = await wait_for_text(pilot, "waits in line")
        runtime.finish_all()
        text = await wait_for_text(pilot, "2 done", "“second”")

    assert "“second”" in waiting
    for session in runtime.open_sessions:
        assert [m.text for m in session.messages if m.role == "user"] == [
            "hello", "first", "second",
        ]  # fmt: skip
    assert "later" in text and "now" in text


async def test_compare_marks_the_words_this_answer_does_not_have(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "blocks are shared until written", "blocks are kept until freed"])
    async with make_app(runtime).run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 What?")
        await pilot.press("enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done")
        await pilot.press("tab", "v")
        text = await wait_for_text(pilot, "blocks are +kept+ until +freed+")
        await pilot.press("v")
        plain = await wait_for_text(pilot, "blocks are kept until freed")

    assert "blocks are shared until written" in text
    assert "compared with 1: words it does not have" in text
    assert "+kept+" not in plain


async def test_label_drop_undo_and_again_act_on_the_chosen_answer(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha", "beta", "better"])
    async with make_app(runtime).run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 What?")
        await pilot.press("enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done")
        await pilot.press("tab", "l", *"best", "enter")
        labelled = await wait_for_text(pilot, "★ best")
        await pilot.press("2", "d")
        dropped = await wait_for_text(pilot, "Dropped C")
        await pilot.press("u")
        back = await wait_for_text(pilot, "beta")
        await pilot.press("2", "R", *"temperature=0.1", "enter")
        runtime.finish_all()
        again = await wait_for_text(pilot, "better")

    assert "alpha" in labelled and "beta" not in dropped and "alpha" in back
    assert runtime.nodes["m3"].label == "best"
    assert runtime.asked_sampling.temperature == 0.1
    assert "alpha" in again


async def test_a_dropped_fork_is_deleted_when_the_view_is_left_and_undo_brings_it_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "alpha", "beta"])
    app = make_app(runtime)
    async with app.run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 What?")
        await pilot.press("enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done")
        await pilot.press("tab", "d", "escape")
        await settle(pilot)
        listed = [view.session.tag for view in app.chat.state.listed]
        await say(pilot, "/undo")
        await settle(pilot)

        assert listed == ["A", "C"]
        assert [view.session.tag for view in app.chat.state.listed] == ["A", "B", "C"]


async def test_tied_answers_scroll_together(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    long = "\n".join(f"line {number}" for number in range(60))
    runtime = make_runtime(["hi", long, long])
    async with make_app(runtime).run_test(size=(120, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 2 What?")
        await pilot.press("enter")
        runtime.finish_all()
        end = await wait_for_text(pilot, "2 done", "line 59")
        await pilot.press("tab", "up")
        one = await settle(pilot)
        await pilot.press("equals_sign", "pageup", "pageup", "pageup", "pageup")
        both = await wait_for_text(pilot, "line 0 ")

    assert end.count("line 59") == 2 and one.count("line 59") == 1
    assert both.count("line 0 ") + both.count("line 0\n") == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [("/ask nobody what?", "There is no branch nobody"), ("/ask 99 what?", "are not 1 to 16")],
)
async def test_a_branch_that_is_not_there_is_explained(
    line: str, words: str, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi"])
    async with make_app(runtime).run_test(size=(160, 24), notifications=True) as pilot:
        await begin(pilot, runtime, settle, line)
        await wait_for_text(pilot, words)


@pytest.mark.parametrize("size", [(20, 4), (40, 12), (100, 5), (300, 80)])
async def test_any_size_of_the_view_is_drawn_exactly(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["hi", "漢字 " * 40, "[/] \x1b[2J", "👩‍👩‍👧 " * 30])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, runtime, settle, "/ask 3 漢字 [/b]")
        await pilot.press("enter")
        runtime.finish_all()
        await pilot.resize_terminal(*size)
        text = await settle(pilot)

    assert not any(ord(char) < 32 and char != "\n" for char in text)
