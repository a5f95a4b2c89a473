from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def paste(pilot: Any, text: str) -> None:
    pilot.app.chat.prompt.post_message(events.Paste(text))
    await pilot.pause()


async def test_keys_typed_in_one_burst_keep_their_order(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["one", "two"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in [*"first", "left", "left", "x", "enter", *"/fork", "enter", *"next"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settle(pilot)

    assert runtime.open_sessions[0].messages[0].text == "firxst"
    assert len(runtime.open_sessions) == 2
    assert app.chat.prompt.text == "next"


async def test_three_keys_and_a_backslash_make_a_new_line(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "d", "\\", "enter")

        assert app.chat.prompt.text == "a\nb\nc\nd\n"


async def test_up_and_down_walk_through_the_history_and_back_to_the_draft(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x", "y"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for text in ("one", "two"):
            app.chat.submit(text)
            runtime.finish_all()
            await settle(pilot)
        await pilot.press(*"draft", "up")
        newest = app.chat.prompt.text
        await pilot.press("up", "up")
        oldest = app.chat.prompt.text
        await pilot.press("down", "down")
        draft = app.chat.prompt.text

    assert (newest, oldest, draft) == ("two", "one", "draft")


async def test_a_short_paste_is_text_and_never_sends(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await paste(pilot, "one\r\ntwo\r\n")

        assert app.chat.prompt.text == "one\ntwo\n"
        assert not runtime.open_sessions[0].messages


async def test_a_long_paste_is_a_chip_and_is_sent_whole(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["ok"], num_blocks=640)
    app = make_app(runtime)
    content = "\n".join(f"row {number}" for number in range(312))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"see ")
        await paste(pilot, content)
        shown = app.chat.prompt.text
        await pilot.press("enter")
        await settle(pilot)

    assert shown == "see [paste 1: 312 lines]"
    assert runtime.open_sessions[0].messages[0].text == f"see {content}"


async def test_a_megabyte_in_one_line_stays_out_of_the_text_area(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await paste(pilot, "[" * 1_000_000)
        assert app.chat.prompt.text == "[paste 1: 1 000 000 characters]"
        await paste(pilot, "x" * 6_000_000)
        assert "over 5 MB" in await settle(pilot)
        await pilot.press("ctrl+o")
        assert "over 64 KB" in await settle(pilot)


async def test_control_characters_stay_in_a_chip_and_are_sent_exactly(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["ok"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await paste(pilot, "a\x1b[2Jb")
        shown = await settle(pilot)
        await pilot.press("enter")
        sent = await settle(pilot)

    assert "[paste 1: 6 characters]" in shown
    assert runtime.open_sessions[0].messages[0].text == "a\x1b[2Jb"
    assert "a␛[2Jb" in sent


async def test_tab_completes_a_slash_command(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"/re")
        hints = await settle(pilot)
        await pilot.press("down", "tab")
        text = app.chat.prompt.text
        await pilot.press("ctrl+u", *"/nonsense", "enter")
        refused = await settle(pilot)

    assert "▸ /rename TITLE" in hints and "/restart" in hints
    assert text == "/restart"
    assert "/nonsense is no command" in refused
    assert app.chat.prompt.text == "/nonsense"


async def test_two_slashes_send_a_literal_one(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["ok"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"//etc", "enter")
        await settle(pilot)

    assert runtime.open_sessions[0].messages[0].text == "/etc"


async def test_a_line_break_at_the_end_of_a_paste_is_no_line_of_its_own(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await paste(pilot, "row\n" * 40)

        assert app.chat.prompt.text == "[paste 1: 40 lines]"


async def test_a_cleared_prompt_comes_back_with_up(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"by mistake", "escape", "escape")
        cleared = app.chat.prompt.text
        await pilot.press("up")

    assert cleared == ""
    assert app.chat.prompt.text == "by mistake"


async def test_the_history_is_searched_while_typing_and_r_goes_to_older_ones(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for text in ("first rust question", "python\nquestion", "second rust question"):
            app.chat.state.history.remember(text)
        await pilot.press("ctrl+r", *"rust")
        found = await settle(pilot)
        await pilot.press("ctrl+r", "enter")
        chosen = app.chat.prompt.text
        await pilot.press("ctrl+u", "ctrl+r", *"PYTHON", "tab")

    assert "Prompt history" in found
    assert "▸ second rust question" in found and "  first rust question" in found
    assert "python" not in found
    assert chosen == "first rust question"
    assert app.chat.prompt.text == "python\nquestion"


async def test_leaving_the_history_search_keeps_what_was_written(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.chat.state.history.remember("older")
        await pilot.press(*"draft", "ctrl+r", *"none")
        nothing = await settle(pilot)
        await pilot.press("escape")

    assert "nothing fits" in nothing
    assert app.chat.prompt.text == "draft"


async def test_an_attached_file_is_a_chip_and_is_sent_with_its_name(
    make_app: Make, make_runtime: Make, settle: Settle, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("one\ntwo\n")
    runtime = make_runtime(["ok"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.chat.prompt.set_exact_text(f"/attach {tmp_path}/notes.md")
        await pilot.press("enter", *" why?")
        shown = app.chat.prompt.text
        await pilot.press("enter")
        await settle(pilot)

    assert shown == "[file 1: notes.md, 2 lines] why?"
    assert runtime.open_sessions[0].messages[0].text == "notes.md\n```\none\ntwo\n```\n why?"


async def test_a_file_that_cannot_be_attached_keeps_the_line(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(make_runtime())
    async with app.run_test(size=(200, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"/attach none.txt", "enter")
        text = await settle(pilot)

    assert f"none.txt is missing; looked in {tmp_path}." in text
    assert app.chat.prompt.text == "/attach none.txt"


async def test_an_error_is_gone_when_the_next_try_works(
    make_app: Make, make_runtime: Make, settle: Settle, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("word " * 60_000)
    app = make_app(make_runtime())
    async with app.run_test(size=(200, 24)) as pilot:
        await settle(pilot)
        app.chat.prompt.set_exact_text("/attach none.txt")
        await pilot.press("enter")
        wrong = await settle(pilot)
        app.chat.prompt.set_exact_text(f"/attach {tmp_path}/long.txt")
        await pilot.press("enter")
        right = await settle(pilot)

    assert "is missing" in wrong and "is missing" not in right
    assert "[file 1: long.txt, 300 000 characters]" in right


async def test_tab_after_an_at_sign_walks_folders_and_puts_the_file_in(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"see @s", "tab")
        folder = await settle(pilot)
        await pilot.press("tab", *" please")

    assert "▸ @src/a.py" in folder and "see @src/" in folder
    assert app.chat.prompt.text == "see [file 1: a.py, 6 characters] please"
    assert app.chat.prompt.exact_text == "see a.py\n```\nx = 1\n```\n please"


async def test_a_line_chosen_with_arrows_is_run_by_enter(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"/theme ", "down", "enter")
        taken = app.chat.prompt.text
        await pilot.press("enter")
        await settle(pilot)

    assert taken == "/theme light"
    assert app.theme == "kvchat-light"


async def test_what_a_command_refuses_stays_in_the_prompt(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"/window often", "enter")
        text = await settle(pilot)

    assert "often is no window" in text
    assert app.chat.prompt.text == "/window often"


async def test_a_draft_with_a_paste_comes_back_with_its_chip_after_another_session(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["x"])
    app = make_app(runtime)
    content = "row\n" * 40
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"one", "enter")
        runtime.finish_all()
        await settle(pilot)
        await pilot.press(*"see ")
        await paste(pilot, content)
        await pilot.press(*" why", "ctrl+n", "alt+1")

    assert app.chat.prompt.text == "see [paste 1: 40 lines] why"
    assert app.chat.prompt.exact_text == f"see {content} why"


async def test_tab_in_the_same_burst_as_the_letters_completes_them(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key in [*"/exp", "tab", *"js", "tab", *"x"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settle(pilot)

    assert app.chat.prompt.text == "/export json x"


async def test_hints_closed_with_escape_stay_closed_until_something_is_typed(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*"/re", "escape", "up")
        closed = app.chat.hints.is_open
        await pilot.press("t")
        await settle(pilot)

        assert not closed and app.chat.hints.is_open
