from collections.abc import Callable
from typing import Any

from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]

Make = Callable[..., Any]


async def test_a_closed_chat_leaves_the_lists_and_undo_opens_it_again(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["x"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "keep me")
        runtime.finish_all()
        await say(pilot, "/close")
        closed = await wait_for_text(
            pilot, "Closed “keep me” until the next start; alt+z brings it back."
        )
        await say(pilot, "/undo")
        await wait_for_text(pilot, " A keep me", "The session is back.")

    assert " A keep me" not in closed and runtime.put_aside == {}


async def test_after_ten_seconds_undo_means_the_chat_and_no_longer_the_close(
    make_app: Make, make_runtime: Make
) -> None:
    now = [100.0]
    runtime = make_runtime(["x", "y"])
    app = make_app(runtime, clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "one")
        runtime.finish_all()
        await say(pilot, "/close")
        now[0] += 11
        await say(pilot, "two")
        runtime.finish_all()
        await say(pilot, "/clear")
        await say(pilot, "/undo")
        await wait_for_text(pilot, "Undone.", "two")

    assert list(runtime.put_aside) == ["session-0"]


async def test_a_chat_closed_long_ago_comes_back_when_nothing_else_is_left_to_undo(
    make_app: Make, make_runtime: Make
) -> None:
    now = [100.0]
    runtime = make_runtime(["x"])
    app = make_app(runtime, clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "one")
        runtime.finish_all()
        await say(pilot, "/close")
        now[0] += 3_600
        await say(pilot, "/undo")
        await wait_for_text(pilot, "The session is back.", "one")
        await say(pilot, "/undo")
        await wait_for_text(pilot, "Nothing to undo.")


async def test_a_chat_deleted_long_ago_stays_deleted(make_app: Make, make_runtime: Make) -> None:
    now = [100.0]
    runtime = make_runtime(["x"])
    app = make_app(runtime, clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "one")
        runtime.finish_all()
        await say(pilot, "/delete")
        await pilot.press("enter")
        now[0] += 3_600
        await say(pilot, "/undo")
        await wait_for_text(pilot, "Nothing to undo.")
