from collections.abc import Callable
from typing import Any

import pytest
from driver import say, wait_until  # type: ignore[import-not-found]
from textual import events

from kvchat.settings import Settings
from kvchat.tui.notifier import chosen_mode, sequence

Make = Callable[..., Any]
VARIABLES = ("TMUX", "STY", "KITTY_WINDOW_ID", "TERM_PROGRAM")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, "bell"),
        ({"KITTY_WINDOW_ID": "1"}, "osc99"),
        ({"TERM_PROGRAM": "WezTerm"}, "osc9"),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/x"}, "bell"),
    ],
)
def test_auto_is_what_the_terminal_understands(
    variables: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert chosen_mode("auto") == mode
    assert chosen_mode("off") == "off"


def test_each_way_is_one_whole_sequence() -> None:
    assert sequence("bell", "x") == "\x07"
    assert sequence("osc9", "x") == "\x1b]9;kvchat: x\x1b\\"
    assert sequence("osc99", "x") == "\x1b]99;;kvchat: x\x1b\\"


async def written_when_a_reply_ends(
    app: Any, runtime: Any, *, focused: bool, end: Callable[[], None]
) -> list[str]:
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "hi \x1b]52;c;x\x07")
        await wait_until(pilot, lambda: app.chat.view.running_reply is not None)
        if not focused:
            app.post_message(events.AppBlur())
            await wait_until(pilot, lambda: not app.app_focus)
        found: list[str] = []
        app._driver.write = found.append
        end()
        await wait_until(pilot, lambda: app.chat.view.running_reply is None)
        return found


async def test_the_end_of_a_reply_is_told_only_in_the_background_and_cannot_command_the_terminal(
    make_app: Make, make_runtime: Make
) -> None:
    settings = Settings(notify="osc9")
    told = {}
    for focused in (True, False):
        runtime = make_runtime(["answer"])
        app = make_app(runtime, settings=settings)
        told[focused] = await written_when_a_reply_ends(
            app, runtime, focused=focused, end=runtime.finish_all
        )

    assert told[True] == []
    assert told[False] == ["\x1b]9;kvchat: hi ␛]52;c;x␇ has answered\x1b\\"]


async def test_a_failure_is_told_as_one_and_a_stop_not_at_all(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["a b"])
    app = make_app(runtime, settings=Settings(notify="osc9"))
    failed = await written_when_a_reply_ends(
        app,
        runtime,
        focused=False,
        end=lambda: runtime.fail(runtime.open_sessions[0], "No room."),
    )
    runtime = make_runtime(["a b"])
    app = make_app(runtime, settings=Settings(notify="osc9"))
    stopped = await written_when_a_reply_ends(
        app, runtime, focused=False, end=lambda: runtime.open_sessions[0].stop()
    )

    assert len(failed) == 1 and "has stopped with an error" in failed[0]
    assert stopped == []
