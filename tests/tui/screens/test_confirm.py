"""A question is answered by the keys it names, and by nothing that is typed in passing."""

from collections.abc import Callable
from typing import Any

import pytest
from driver import say, wait_for_text, wait_until  # type: ignore[import-not-found]
from textual import events

from kvchat.settings import Settings
from kvchat.tui.screens.confirm import QUIET_SECONDS, Confirm, ask_first

Make = Callable[..., Any]


async def opened(pilot: Any, answers: list[bool | None]) -> None:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None)
    pilot.app.push_screen(Confirm("Replace x?", "replace"), answers.append)
    await wait_for_text(pilot, "Replace x?")


@pytest.mark.parametrize(
    ("key", "answer"), [("enter", True), ("y", True), ("escape", False), ("n", False)]
)
async def test_the_keys_that_are_named_answer(
    key: str, answer: bool, make_app: Make, make_runtime: Make
) -> None:
    now = [100.0]
    answers: list[bool | None] = []
    app = make_app(make_runtime([]), settings=Settings(ascii=True), clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, answers)
        await wait_for_text(pilot, "enter or y: replace - esc or n: keep")
        now[0] += QUIET_SECONDS
        await pilot.press(key)
        await wait_until(pilot, lambda: answers)

    assert answers == [answer]


async def test_enter_answers_at_once_and_a_second_one_answers_nothing_more(
    make_app: Make, make_runtime: Make
) -> None:
    answers: list[bool | None] = []
    app = make_app(make_runtime([]))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, answers)
        await pilot.press("enter", "enter")
        await wait_until(pilot, lambda: answers)

    assert answers == [True]


async def test_what_is_typed_or_pasted_in_passing_answers_nothing(
    make_app: Make, make_runtime: Make
) -> None:
    now = [100.0]
    answers: list[bool | None] = []
    app = make_app(make_runtime([]), clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, answers)
        await pilot.press(*"yes", "space", *"any", "enter", "f5", "ctrl+n")
        now[0] += QUIET_SECONDS
        await pilot.press("a", "n")
        now[0] += QUIET_SECONDS
        app.post_message(events.Paste("y\n"))
        await pilot.pause()
        in_passing = list(answers)
        is_open = isinstance(app.screen, Confirm)
        await pilot.press("y")
        await wait_until(pilot, lambda: answers)

    assert is_open and in_passing == [] and answers == [True]


async def test_what_was_typed_instead_of_an_answer_stands_in_the_prompt_afterwards(
    make_app: Make, make_runtime: Make
) -> None:
    now = [100.0]
    answers: list[bool | None] = []
    app = make_app(make_runtime([]), clock=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        app.chat.prompt.set_exact_text("before ")
        ask_first(app.chat, "Replace x?", "replace", answers.append)
        await wait_for_text(pilot, "Replace x?")
        await pilot.press(*"yesx", "backspace", "space", "f5", *"ny", "enter")
        app.post_message(events.Paste("pasted\nlines"))
        await pilot.pause()
        in_passing = list(answers)
        now[0] += QUIET_SECONDS
        await pilot.press("n")
        await wait_until(pilot, lambda: answers)
        await pilot.press("!")

    assert in_passing == [] and answers == [False]
    assert app.chat.prompt.exact_text == "before yes ny\npasted\nlines!"


async def test_keys_pressed_on_a_message_while_a_question_stands_are_no_text(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["answer"])
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "go")
        runtime.finish_all()
        await pilot.press("alt+up")
        ask_first(app.chat, "Replace x?", "replace", lambda _agreed: None)
        await wait_for_text(pilot, "Replace x?")
        await pilot.press(*"jk", "escape")
        await wait_until(pilot, lambda: app.screen is app.chat)

    assert app.chat.prompt.text == ""
