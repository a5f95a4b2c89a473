import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kvchat.errors import InvalidArgument, ModelError, NotSaving
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp
from kvchat.tui.safe import safe_line

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def say(pilot: Any, text: str) -> None:
    pilot.app.chat.prompt.set_exact_text(text)
    await pilot.press("enter")
    await pilot.pause()


async def test_a_new_chat_says_what_to_try(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)

    assert "Type a message and press Enter." in text
    assert "/fork" in text
    assert "F3" in text


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


async def test_a_model_that_cannot_be_loaded_is_said_in_a_sentence(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(loading=True)
    runtime.fail_loading("config.json [/] names a model type kvchat does not know.")
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)

    assert "config.json [/] names a model type kvchat does not know." in text


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


async def test_a_runtime_that_cannot_be_made_ends_the_app_with_its_status(
    make_app: Make,
) -> None:
    def refuse() -> Any:
        raise ModelError("There is no config.json.")

    app = make_app(refuse)
    async with app.run_test() as pilot:
        for _ in range(100):
            if app.failure is not None:
                break
            await pilot.pause(0.01)

    assert app.return_code == ModelError.exit_status
    assert app.failure.sentence == "There is no config.json."


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
    assert prompt == "two"
    assert "second" not in rewound and "first" in rewound
    assert "second" in undone


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


async def test_control_c_clears_then_stops_then_quits(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a b c"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        await pilot.press("x", "ctrl+c")
        cleared = app.chat.prompt.text, runtime.open_sessions[0].is_running
        await pilot.press("ctrl+c")
        stopped = runtime.open_sessions[0].is_running
        await pilot.press("ctrl+c")
        asked = await settle(pilot)
        await pilot.press("ctrl+c")

    assert cleared == ("", True)
    assert not stopped
    assert "^c again to quit" in asked
    assert app.return_code == 0


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


HOSTILE = [
    "[/]",
    "[@click=app.bell]x[/]",
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J\x9b1m",
    "[b + x",
    "\u202eevil",
]


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_hostile_text_is_only_text_wherever_it_stands(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["\n".join(HOSTILE)])
    app = make_app(runtime)
    screens: list[str] = []
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        await say(pilot, "\n".join(HOSTILE))
        runtime.finish_all()
        for text in HOSTILE:
            runtime.new_session(f"{text} title")
            runtime.note("copy", f"{text} event", 1)
            app.notify(f"{text} toast", title=text)
            app.chat.notice(f"{text} notice")
            screens.append(await settle(pilot))
            app.clear_notifications()
        for key in ("ctrl+s", "ctrl+p"):
            await pilot.press(key)
            screens.append(await settle(pilot))
            await pilot.press("escape")
        runtime.open_sessions[0].rename("".join(HOSTILE))
        for line in ("/rewind", "/delete", f"/system {'_'.join(HOSTILE)}", "/stats", "/[/]"):
            await say(pilot, line)
            screens.append(await settle(pilot))
            await pilot.press("escape")
        runtime.open_sessions[-1].error = f"{HOSTILE[3]} failed"
        screens.append(await settle(pilot))

    shown = "\n".join(screens)
    assert not any(ord(char) < 32 and char != "\n" for char in shown)
    assert not any(0x7F <= ord(char) < 0xA0 or char == "\u202e" for char in shown)
    for text, screen in zip(HOSTILE, screens, strict=False):
        visible = safe_line(text)
        assert f"   {visible}" in screen
        assert f" {visible} notice" in screen
        assert f"{visible} toast" in screen


@pytest.mark.parametrize(
    "size", [(1, 1), (19, 24), (20, 4), (40, 3), (40, 12), (59, 11), (60, 12), (119, 50), (120, 12)]
)
async def test_any_size_is_drawn_exactly(
    size: tuple[int, int], make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["漢字 " * 30 + "\n\n```py\nx = 1\n```\n\n| a | b |\n|-|-|\n| 1 | 2 |"])
    async with make_app(runtime).run_test(size=size) as pilot:
        await settle(pilot)
        pilot.app.chat.submit("👩‍👩‍👧 hello")
        runtime.finish_all()
        text = await settle(pilot)

    small = size[0] < 20 or size[1] < 4
    assert ("window too small"[: size[0]] in text) == small


async def test_resizing_wildly_while_streaming_stops_nothing(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["word " * 200, "漢字 " * 200])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "one")
        await pilot.press("ctrl+n")
        await say(pilot, "two")
        for size in [(1, 1), (200, 60), (20, 4), (3, 40), (120, 12), (40, 5), (79, 13), (2, 2)]:
            runtime.step(3)
            await pilot.resize_terminal(*size)
            await settle(pilot)
        await pilot.resize_terminal(80, 24)
        await pilot.press(*"typed")
        text = await settle(pilot)

    assert "漢字" in text
    assert app.chat.prompt.text == "typed"


async def test_forty_columns_show_one_column_without_a_dock(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["a narrow answer that has to wrap at forty columns"])
    async with make_app(runtime).run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        runtime.finish_all()
        text = await settle(pilot)

    assert "blocks 0" not in text and "SESSIONS" not in text
    assert "   a narrow answer that has to wrap at\n   forty columns" in text


async def test_ascii_mode_draws_ascii_alone(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["- a\n\n```\nb\n```\n\n| a | b |\n|-|-|\n| 1 | 2 |\n" + "c\n" * 50])
    app = make_app(runtime, settings=Settings(ascii=True))
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        runtime.finish_all()
        text = await settle(pilot)

    odd = {char for char in text if not char.isascii()}
    assert odd == set()


async def test_the_light_theme_and_switching_back_draw_again(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["**x**"])
    app = make_app(runtime, settings=Settings(theme="light"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await say(pilot, "hi")
        runtime.finish_all()
        await settle(pilot)
        light = app.line_styles.style("text").color
        await say(pilot, "/theme dark")
        text = await settle(pilot)

    assert app.line_styles.style("text").color != light
    assert "   x\n" in text


def test_a_key_bound_twice_is_refused_at_start(make_runtime: Make) -> None:
    with pytest.raises(InvalidArgument, match="ctrl\\+s is bound to"):
        KVChatApp(make_runtime(), Settings(keys={"session.new": ("ctrl+s",)}))


async def test_a_remapped_key_runs_its_command(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime, settings=Settings(keys={"view.blocks": ("f8",)}))
    async with app.run_test(size=(80, 24)) as pilot:
        before = await settle(pilot)
        await pilot.press("f3")
        ignored = await settle(pilot)
        await pilot.press("f8")
        after = await settle(pilot)

    assert " f8 blocks" in before
    assert "blocks 0 used" in ignored and "blocks 0 used" not in after
    assert not runtime.view_wanted


def test_the_app_is_imported_without_torch() -> None:
    code = "import sys, kvchat.tui.app; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
        await say(pilot, "/window off")
        off = await settle(pilot)

    assert "A reply is still running" in busy
    assert (window, sinks) == (64, 6)
    assert (
        "From the next message on the model sees the first 8 and the last 64 tokens;"
        " it reads this chat again." in changed
    )
    assert "the model sees everything; it reads this chat again." in off
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


async def test_the_sidebar_is_up_to_date_when_it_comes_back(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one two three four five six seven"])
    async with make_app(runtime).run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.step(2)
        running = await settle(pilot)
        await pilot.resize_terminal(80, 24)
        runtime.finish_all()
        await settle(pilot)
        await pilot.resize_terminal(140, 40)
        text = await settle(pilot)

    assert "●" in running
    assert "●" not in text


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
