import re
from collections.abc import Callable
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat.tui.find_marks import hit_lines, pattern_of, with_hits

Make = Callable[..., Any]


def text_of(line: Any) -> str:
    return "".join(text for text, _ in line)


def test_a_hit_that_runs_over_two_styles_is_marked_in_both() -> None:
    line = (("   ", ""), ("one tw", "bold"), ("o three", ""))
    marked = with_hits(line, re.compile("two"), "marked")

    assert text_of(marked) == text_of(line)
    assert [span for span in marked if "marked" in span[1]] == [
        ("tw", "bold marked"), ("o", "marked"),
    ]  # fmt: skip


def test_a_searched_text_is_no_pattern_and_has_no_case() -> None:
    pattern = pattern_of("A.*[b")
    assert pattern is not None and pattern_of("  ") is None

    lines = [(("a.*[b", ""),), (("x A.*[B a.*[b", ""),), (("axxb", ""),)]
    assert hit_lines(lines, pattern) == [1, 1]


def test_a_line_without_a_hit_stays_the_same() -> None:
    line = (("nothing", "dim"),)

    assert with_hits(line, re.compile("x"), "marked") is line


def marked_texts(app: Any) -> list[str]:
    """The pieces of the screen that are drawn reversed."""
    rows = app.chat.transcript.render_lines(app.chat.transcript.size.region)
    return [
        segment.text for row in rows for segment in row if segment.style and segment.style.reverse
    ]


async def long_chat(pilot: Any, runtime: Any) -> None:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None)
    for text in ("apple one", "plain", "plain again", "Apple two apple"):
        await say(pilot, text)
        runtime.finish_all()
        await wait_until(pilot, lambda: not pilot.app.chat.view.is_running)


async def test_typing_in_the_find_line_shows_and_counts_the_hits(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["x\n" * 30 + "an APPLE", "y\n" * 30, "z\n" * 30, "done"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await long_chat(pilot, runtime)
        await pilot.press("ctrl+f", *"apple")
        await wait_for_text(pilot, "find apple", "4/4")
        at_end = marked_texts(app)
        await pilot.press("up", "up")
        middle = await wait_for_text(pilot, "2/4", "an APPLE")
        await pilot.press("enter")
        await wait_for_text(pilot, "Hit 2/4; n and N go on")
        await pilot.press("N")
        first = await wait_for_text(pilot, "Hit 1/4", "apple one")
        await pilot.press("n", "n", "n", "n")
        await wait_for_text(pilot, "Hit 1/4")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not marked_texts(app))
        assert app.chat.focused is app.chat.prompt

    assert at_end == ["Apple", "apple"]
    assert "Apple two" not in middle and "an APPLE" not in first


async def test_escape_while_typing_gives_the_keys_back_and_marks_nothing(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await long_chat(pilot, runtime)
        await pilot.press("ctrl+f", *"apple", "escape", *"typed")
        text = read_screen(app)
        marked = marked_texts(app)

    assert " find " not in text and "› typed" in text
    assert marked == []


@pytest.mark.parametrize("keys", [("ctrl+f", *"melon", "enter"), (*"/find melon", "enter")])
async def test_what_is_not_there_is_said(
    keys: tuple[str, ...], make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await long_chat(pilot, runtime)
        await pilot.press(*keys)
        await wait_for_text(pilot, "Not found in this chat; /search looks in all of them.")


async def test_the_find_command_goes_to_the_last_hit_at_once(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["x\n" * 30, "y\n" * 30, "z\n" * 30])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await long_chat(pilot, runtime)
        await say(pilot, "/find apple one")
        await wait_for_text(pilot, "apple one", "Hit 1/1")
        marked = marked_texts(app)

    assert marked == ["apple one"]


async def test_streaming_goes_on_below_the_hit_that_is_looked_at(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(
        ["x\n" * 30, "y\n" * 30, "z\n" * 30, "w\n" * 30, "more " * 200], num_blocks=640
    )
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await long_chat(pilot, runtime)
        await say(pilot, "go")
        await say(pilot, "/find apple one")
        before = await wait_for_text(pilot, "apple one", "Hit 1/1")
        runtime.finish_all()
        await wait_until(pilot, lambda: not app.chat.view.is_running)
        after = read_screen(app)

    assert before.split("\n")[1:5] == after.split("\n")[1:5]


async def two_chats(pilot: Any, runtime: Any) -> None:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None)
    await say(pilot, "about rust lifetimes")
    runtime.finish_all()
    await say(pilot, "/new")
    await say(pilot, "about python")
    runtime.finish_all()


async def test_a_search_in_all_chats_shows_who_said_it_and_goes_there(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["Lifetimes are names.\n" + "x\n" * 40, "no"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await two_chats(pilot, runtime)
        await say(pilot, "/search lifetimes")
        found = await wait_for_text(pilot, "Search: lifetimes", "A: Lifetimes are names")
        await pilot.press("enter")
        await wait_for_text(pilot, "▸▌A", "Lifetimes are names.")
        marked = marked_texts(app)

    assert "you: about rust lifetimes" in found and "python" not in found.split("Search:")[1]
    assert app.chat.view.session is runtime.open_sessions[0]
    assert marked == ["Lifetimes"]


async def test_a_question_mark_in_the_switcher_searches_the_text_of_all_chats(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["first answer", "no"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await two_chats(pilot, runtime)
        await pilot.press("ctrl+s", *"?first")
        await wait_for_text(pilot, "A: first answer")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat.view.session is runtime.open_sessions[0])


async def test_a_hit_on_another_branch_is_shown_and_can_be_undone(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["left answer", "right answer"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await say(pilot, "/retry")
        runtime.finish_all()
        await say(pilot, "/search left")
        await wait_for_text(pilot, "A: left answer")
        await pilot.press("enter")
        await wait_for_text(pilot, "  left answer", "another branch, shown now; alt+z goes back")
        await pilot.press("escape")
        await say(pilot, "/undo")
        await wait_for_text(pilot, "   right answer")


async def test_hostile_text_found_is_only_text(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["evil \x1b]52;c;aGk=\x07 [@click=app.bell]x[/]"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await say(pilot, "/search evil")
        text = await wait_for_text(pilot, "A: evil ␛]52;c;aGk=␇ [@click=app.bell]x[/]")

    assert "\x1b" not in text


async def test_nothing_found_is_said(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime()
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await two_chats(pilot, runtime)
        await say(pilot, "/search nowhere")
        await wait_for_text(pilot, "No chat says that.")


async def test_a_click_into_the_prompt_ends_a_search_and_takes_its_line_away(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["some answer"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await wait_for_text(pilot, "some answer")
        await pilot.press("ctrl+f", *"some")
        await wait_for_text(pilot, " find some", "1/1")
        await pilot.click("#prompt")
        await wait_until(pilot, lambda: app.chat.prompt.has_focus)
        await pilot.press(*"typed")
        text = await wait_for_text(pilot, "typed")

        assert " find some" not in text and "1/1" not in text
        assert not app.chat.find.is_active


async def test_a_click_into_the_prompt_leaves_the_message_cursor(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["some answer"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await wait_for_text(pilot, "some answer")
        await pilot.press("alt+up")
        await wait_for_text(pilot, "j k move")
        await pilot.click("#prompt")
        await wait_until(pilot, lambda: app.chat.transcript.cursor is None)
        text = await wait_for_text(pilot, "^n new")

    assert "j k move" not in text
