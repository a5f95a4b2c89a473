from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver import read_screen, say, wait_until  # type: ignore[import-not-found]

from kvchat.runtime import ChatRuntime
from kvchat.session_choice import SessionChoice
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]


async def started(pilot: Any) -> KVChatApp:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None, "started")
    app = pilot.app
    assert isinstance(app, KVChatApp)
    return app


async def test_what_is_typed_is_handed_to_the_session_without_being_sent(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press(*"half a tho")
        await wait_until(pilot, lambda: "half a tho" in runtime.stored_drafts.values())


async def test_a_draft_is_there_again_after_a_restart_and_sending_empties_it(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["ok"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await say(pilot, "first")
        runtime.finish_all()
        await pilot.press(*"later")
        await wait_until(pilot, lambda: runtime.open_sessions[0].draft == "later")
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        restored = app.chat.prompt.text
        await pilot.press("enter")
        await wait_until(pilot, lambda: runtime.open_sessions[0].num_messages == 4)
        await wait_until(pilot, lambda: runtime.open_sessions[0].draft == "")

    assert restored == "later"
    assert runtime.open_sessions[0].messages[2].text == "later"


async def test_a_command_that_shows_another_chat_is_no_draft_of_the_one_it_leaves(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["ok"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        await say(pilot, "first")
        runtime.finish_all()
        await pilot.press(*"/fork")
        await wait_until(pilot, lambda: runtime.open_sessions[0].draft == "/fork")
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(runtime.open_sessions) == 2)
        await pilot.press("alt+1")
        left_there = app.chat.prompt.text

    assert left_there == ""
    assert runtime.open_sessions[0].draft == ""


async def test_leaving_stores_the_draft_and_keeps_a_chat_that_has_nothing_else(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await started(pilot)
        await pilot.press(*"unsaid", "ctrl+q")

    assert [session.draft for session in runtime.open_sessions] == ["unsaid"]


async def test_text_typed_while_kvchat_starts_is_not_lost(make_runtime: Make) -> None:
    runtime = make_runtime()
    runtime.new_session("old").set_draft("stored draft")
    app = KVChatApp(lambda: runtime, clock=lambda: 100.0)
    app._begin = lambda: None  # type: ignore[method-assign]  # kvchat is slow to start
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"early")
        KVChatApp._begin(app)
        await started(pilot)
        typed = app.chat.prompt.text
        await pilot.press("up")

    assert typed == "early"
    assert app.chat.prompt.text == "stored draft"


async def test_a_failed_reply_brings_waiting_prompts_back_before_what_is_typed(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["a b c"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        await say(pilot, "one")
        await say(pilot, "two")
        await say(pilot, "three")
        await pilot.press(*"four")
        runtime.fail(runtime.open_sessions[0], "No room.")
        await wait_until(pilot, lambda: app.chat.prompt.text == "two\n\nthree\n\nfour")
        for _ in range(3):
            app.chat.feed.drain()
        assert app.chat.prompt.text == "two\n\nthree\n\nfour"  # and not once more

    assert runtime.open_sessions[0].messages[0].text == "one"


async def test_up_in_an_empty_prompt_takes_the_last_waiting_prompt_back(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["a b c"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        await say(pilot, "one")
        await say(pilot, "two")
        await say(pilot, "three")
        await pilot.press("up")
        taken = app.chat.prompt.text
        await wait_until(pilot, lambda: "three" not in read_screen(app).split("─ blocks")[0])

    assert taken == "three"
    assert runtime.open_sessions[0].waiting == ("two",)


async def test_the_history_of_earlier_runs_is_there_and_a_cleared_prompt_joins_it(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    runtime.prompts = ["long ago"]
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        await wait_until(pilot, lambda: len(app.chat.state.history) == 1)
        await pilot.press(*"oops", "escape", "escape", "up", "up")
        older = app.chat.prompt.text

    assert older == "long ago"
    assert runtime.prompts == ["long ago", "oops"]


async def test_a_real_chat_sends_what_waits_and_keeps_its_draft_through_a_kill(
    tiny_model: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "sampling": {"max_tokens": 8}}
    with ChatRuntime(tiny_model, **options) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(80, 24)) as pilot:
            await started(pilot)
            await say(pilot, "one")
            await say(pilot, "two")
            session = app.chat.state.listed[0].session
            await wait_until(pilot, lambda: session.num_messages == 4 and not session.waiting)
            await pilot.press(*"unsent")
            await wait_until(pilot, lambda: session.draft == "unsent")
            await wait_until(pilot, lambda: not session.reply or session.reply.is_finished)
    with ChatRuntime(tiny_model, **options) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(80, 24)) as pilot:
            await started(pilot)
            await wait_until(pilot, lambda: len(app.chat.state.history) == 2)
            text = read_screen(app)
            await pilot.press("ctrl+u", "up")

            assert "› unsent" in text and "two" in text
            assert app.chat.prompt.text == "two"


async def test_a_chat_that_answers_behind_the_shown_one_is_not_where_the_app_starts(
    tiny_model: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "sampling": {"max_tokens": 2}}
    with ChatRuntime(tiny_model, **options) as runtime:
        behind, shown = runtime.new_session("behind"), runtime.new_session("shown")
        runtime.focus(shown)
        behind.send("hello").wait(60)
    with ChatRuntime(tiny_model, **options) as runtime:
        last = SessionChoice(last=True).open(runtime)

    assert last is not None and last.id == shown.id


async def test_the_app_starts_in_the_chat_that_was_shown_when_it_was_left(
    tiny_model: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "sampling": {"max_tokens": 2}}
    with ChatRuntime(tiny_model, **options) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(80, 24)) as pilot:
            await started(pilot)
            await say(pilot, "first")
            await say(pilot, "/new second")
            await say(pilot, "later")
            await wait_until(pilot, lambda: not any(v.is_running for v in app.chat.state.listed))
            await pilot.press("alt+1")
            left_in = app.chat.state.shown
    with ChatRuntime(tiny_model, **options) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(80, 24)) as pilot:
            await started(pilot)
            shown = app.chat.state.shown
            last = SessionChoice(last=True).open(runtime)

    assert left_in is not None and shown is not None and last is not None
    assert shown.session.id == left_in.session.id == last.id
    assert shown.session.messages[0].text == "first"


async def test_what_was_typed_in_the_same_moment_as_leaving_is_stored(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        app.chat.drafts.store()
        app.chat.prompt.insert("typed")  # whose message waits behind the key that quits
        app.chat.press("ctrl+q")

    assert [session.draft for session in runtime.open_sessions] == ["typed"]


async def test_what_was_typed_in_the_same_moment_as_switching_stays_with_its_chat(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["ok"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        app = await started(pilot)
        await say(pilot, "first")
        runtime.finish_all()
        await say(pilot, "/new other")
        await pilot.pause()
        app.chat.drafts.store()
        app.chat.prompt.insert("typed")
        app.chat.press("alt+1")
        there = app.chat.prompt.text
        app.chat.press("alt+2")

        assert (there, app.chat.prompt.text) == ("", "typed")
