from collections.abc import Awaitable, Callable
from typing import Any

from driver import say  # type: ignore[import-not-found]
from fake_runtime import FakeRewindPlan  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def test_fork_shows_a_second_session_that_shares_blocks(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a long enough answer to fill some blocks of tokens"])
    async with make_app(runtime).run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        runtime.finish_all()
        await settle(pilot)
        await say(pilot, "/fork other way")
        text = await settle(pilot)

    assert "B other way" in text
    assert "← A" in text
    assert "B shares every block with A; nothing was copied." in text
    assert " 8 rows − 4 shared = 4 used" in text
    assert "+ 0 cached + 60 free = 64" in text
    assert "2222····" in text


async def test_delete_asks_and_can_be_undone_for_ten_seconds(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    now = [100.0]
    runtime = make_runtime(["x"])
    app = make_app(runtime, clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "keep me")
        runtime.finish_all()
        await settle(pilot)
        await say(pilot, "/delete")
        asked = await settle(pilot)
        await pilot.press("enter")
        hidden = await settle(pilot)
        await say(pilot, "/undo")
        back = await settle(pilot)
        await say(pilot, "/delete")
        await settle(pilot)
        now[0] += 1
        await pilot.press("y")
        now[0] += 11
        await settle(pilot)

    assert "Delete “keep me” with its 2 messages?" in asked
    assert " A keep me" not in hidden
    assert " A keep me" in back
    assert [s.title for s in runtime.open_sessions] == ["New chat"]


async def test_quitting_deletes_what_was_deleted(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "gone")
        runtime.finish_all()
        await settle(pilot)
        await say(pilot, "/delete")
        await pilot.press("enter", "ctrl+q")

    assert runtime.open_sessions == []


async def test_quitting_deletes_chats_in_which_nothing_was_said_and_nobody_named(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    runtime.new_session()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "keep this")
        runtime.finish_all()
        await say(pilot, "/clear")
        await say(pilot, "/new")
        await say(pilot, "/new named")
        await settle(pilot)
        await pilot.press("ctrl+q")

    assert [s.title for s in runtime.open_sessions] == ["keep this", "named"]


async def test_sampling_is_set_and_a_bad_value_is_explained(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "/set temperature 0.2")
        await say(pilot, "/set seed=7")
        set_text = await settle(pilot)
        await say(pilot, "/set temperature hot")
        refused = await settle(pilot)

    assert runtime.open_sessions[0].sampling.temperature == 0.2
    assert runtime.open_sessions[0].sampling.seed == 7
    assert "seed is 7" in set_text
    assert "must be a number" in refused


async def test_drafts_belong_to_their_sessions(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press("ctrl+n", *"draft b", "alt+1")
        first = app.chat.prompt.text
        await pilot.press("alt+2")
        second = app.chat.prompt.text

    assert (first, second) == ("", "draft b")


async def test_a_second_number_after_window_is_refused_and_opens_nothing(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "/window 64 4")
        text = await settle(pilot)

    assert "/window 64 sinks=4" in text
    assert len(runtime.open_sessions) == 1


async def test_window_changes_this_chat_and_says_from_when(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a b c"])
    async with make_app(runtime).run_test(size=(110, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        await say(pilot, "/window 64")
        busy = await settle(pilot)
        runtime.finish_all()
        await say(pilot, "/window 64 sinks=6")
        changed = await settle(pilot)
        window, sinks = runtime.open_sessions[0].window, runtime.open_sessions[0].sinks
        runtime.plans[runtime.open_sessions[0].id] = FakeRewindPlan(4, 1312)
        await say(pilot, "/window off")
        off = await settle(pilot)

    assert "A reply is still running" in busy
    assert (window, sinks) == (64, 6)
    assert (
        "From the next message on the model sees the first 8 and the last 64 tokens;"
        " all stays read." in changed
    )
    assert "the model sees everything; it re-reads 1 312 tokens." in off
    assert len(runtime.open_sessions) == 1 and runtime.open_sessions[0].window is None


async def test_a_word_where_a_number_belongs_is_shown_as_it_was_typed(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "/set temperature abc")
        refused = await settle(pilot)
        await say(pilot, "/set stop END")

    assert "temperature is 'abc', but" in refused
    assert runtime.open_sessions[0].sampling.stop == ("END",)


async def test_a_sentence_too_long_for_the_status_line_is_shown_whole(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    async with make_app(make_runtime()).run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        await say(pilot, "/set foo=1")
        text = await settle(pilot)

    words = " ".join(text.replace("▌", " ").split())
    assert "'foo' is no sampling parameter" in words
    assert "top_p." in words


async def test_toasts_leave_after_four_seconds_but_the_offer_to_undo_a_delete_stays(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime(["x"]))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        app.runtime.finish_all()
        app.notify("said by a widget")
        await say(pilot, "/set foo=1")
        await say(pilot, "/window 64 sinks=8")
        await settle(pilot)
        short = {toast.message: toast.timeout for toast in app._notifications}
        app.clear_notifications()
        await say(pilot, "/delete")
        await pilot.press("enter")
        offer = [toast.timeout for toast in app._notifications]
        offered = [toast.message for toast in app._notifications]

    assert offered == ["Deleted “go”. alt+z within 10 seconds brings it back."]
    assert len(short) == 3 and set(short.values()) == {4.0}
    assert offer == [10.0]


async def test_undo_of_a_delete_takes_its_offer_away(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    async with make_app(runtime).run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        await say(pilot, "keep me")
        runtime.finish_all()
        await settle(pilot)
        await say(pilot, "/delete")
        await pilot.press("enter")
        offered = await settle(pilot)
        await say(pilot, "/undo")
        back = await settle(pilot)

    assert "Deleted “keep me”" in offered
    assert "Deleted “keep me”" not in back
