import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driver import say, wait_until  # type: ignore[import-not-found]

import kvchat
from kvchat.errors import InvalidArgument, ModelError
from kvchat.settings import Settings
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


async def test_a_new_chat_says_what_to_try(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)

    assert "Type a message and press Enter." in text
    assert "/fork" in text
    assert "F3" in text


async def test_a_model_that_cannot_be_loaded_is_said_in_a_sentence(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(loading=True)
    runtime.fail_loading("config.json [/] names a model type kvchat does not know.")
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        text = await settle(pilot)

    assert "config.json [/] names a model type kvchat does not know." in text


async def test_a_runtime_that_cannot_be_made_ends_the_app_with_its_status(
    make_app: Make,
) -> None:
    def refuse() -> Any:
        raise ModelError("There is no config.json.")

    app = make_app(refuse)
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.failure is not None)

    assert app.return_code == ModelError.exit_status
    assert app.failure.sentence == "There is no config.json."


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
        await pilot.press("f8", "f8")
        after = await settle(pilot)

    assert " f8 blocks" in before
    assert "blocks 0 used" in ignored and "blocks 0 used" not in after
    assert not runtime.view_wanted


def test_the_app_is_imported_without_torch() -> None:
    code = "import sys, kvchat.tui.app; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_work_is_started_in_one_way_which_leaves_no_coroutine_unawaited() -> None:
    # Python would say so on the user's terminal, behind the app.
    folder = Path(kvchat.__file__).parent / "tui"
    users = [
        path.name for path in folder.rglob("*.py") if ".run_worker(" in path.read_text("utf-8")
    ]

    assert users == ["background.py"]
