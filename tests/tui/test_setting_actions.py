from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import read_screen, say, wait_for_text, wait_until  # type: ignore[import-not-found]

from kvchat import errors, paths
from kvchat.runtime import ChatRuntime
from kvchat.session.message import MessageState
from kvchat.tui.app import KVChatApp

Make = Callable[..., Any]


async def used(pilot: Any, runtime: Any) -> None:
    await wait_until(pilot, lambda: pilot.app.chat.view is not None)
    await say(pilot, "go")
    runtime.finish_all()
    await wait_until(pilot, lambda: not pilot.app.chat.view.is_running)


async def test_the_form_shows_what_is_set_and_applies_all_of_it(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await used(pilot, runtime)
        await pilot.press("f2")
        before = await wait_for_text(pilot, "Settings of A", "temperature")
        await pilot.press("end", *" on", "tab", *"Be kind.", "tab", "ctrl+u", *"0.25", "enter")
        await wait_until(pilot, lambda: runtime.open_sessions[0].title == "go on")
        text = read_screen(pilot.app)

    session = runtime.open_sessions[0]
    assert "system prompt" in before and "0.7" in before
    assert session.system == "Be kind." and session.sampling.temperature == 0.25
    assert session.window is None and "A go on" in text


async def test_leaving_the_form_changes_nothing(make_app: Make, make_runtime: Make) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await used(pilot, runtime)
        await pilot.press("f2", *"x", "tab", *"y", "escape")
        await wait_for_text(pilot, "› Ask anything")

    assert runtime.open_sessions[0].title == "go" and runtime.open_sessions[0].system is None


async def test_a_change_that_reads_the_chat_again_says_what_it_costs_before(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(80, 40)) as pilot:
        await used(pilot, runtime)
        await pilot.press("f2", "tab", "x")
        await wait_for_text(pilot, "The next message reads this chat again: 4 tokens")
        await pilot.press("backspace")
        await wait_until(pilot, lambda: "reads this chat again" not in read_screen(pilot.app))


async def test_a_value_that_cannot_be_stays_in_the_form_with_the_reason(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(80, 40)) as pilot:
        await used(pilot, runtime)
        await pilot.press("f2", *"new title", "tab", "tab", "ctrl+u", *"hot", "enter")
        await wait_for_text(pilot, "temperature is 'hot', but it must be a number")
        await pilot.press("ctrl+u", *"1", "enter")
        await wait_until(pilot, lambda: runtime.open_sessions[0].sampling.temperature == 1)


async def test_the_system_prompt_is_read_from_a_file_after_the_cost_is_accepted(
    make_app: Make, make_runtime: Make, tmp_path: Path
) -> None:
    (tmp_path / "system.md").write_text("You are\nterse.")
    runtime = make_runtime(["answer"])
    async with make_app(runtime).run_test(size=(80, 24)) as pilot:
        await used(pilot, runtime)
        await say(pilot, f"/system @{tmp_path}/system.md")
        await wait_for_text(pilot, "reads this chat again", "enter or y: change")
        await pilot.press("escape")
        refused = runtime.open_sessions[0].system
        await say(pilot, f"/system @{tmp_path}/system.md")
        await pilot.press("enter")
        await wait_until(pilot, lambda: runtime.open_sessions[0].system == "You are\nterse.")
        await say(pilot, "/system")
        await wait_for_text(pilot, "You are", "terse.")

    assert refused is None


async def test_the_sampling_is_listed_and_its_names_are_completed(
    make_app: Make, make_runtime: Make
) -> None:
    runtime = make_runtime()
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await pilot.press(*"/set temp", "tab", *"0.5", "enter")
        await say(pilot, "/params")
        await wait_for_text(pilot, "temperature          0.5", "seed                 -")


async def test_a_theme_is_seen_before_it_is_taken_and_kept_for_the_next_start(
    make_app: Make, make_runtime: Make
) -> None:
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.chat.view is not None)
        await say(pilot, "/theme")
        await pilot.press("down")
        seen = app.theme
        await pilot.press("escape")
        left = app.theme
        await say(pilot, "/theme")
        await pilot.press("down", "enter")
        await wait_for_text(pilot, "The theme is light, also next time.")

    assert (seen, left, app.theme) == ("kvchat-light", "kvchat-dark", "kvchat-light")
    assert paths.settings_path().read_text() == 'theme = "light"\n'


@pytest.mark.parametrize(
    ("written", "said"),
    [("ascii = true", "settings.toml is fine"), ("ascii = 7", "ascii is 7")],
)
async def test_the_settings_file_is_checked_after_the_editor(
    written: str,
    said: str,
    make_app: Make,
    make_runtime: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\necho "{written}" >> "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    async with make_app(make_runtime()).run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "/config")
        await wait_for_text(pilot, said)


async def test_a_real_session_takes_the_form_and_its_limits(tiny_model: Path) -> None:
    with ChatRuntime(tiny_model, save=False, sampling={"max_tokens": 4}) as runtime:
        app = KVChatApp(runtime)
        async with app.run_test(size=(80, 40)) as pilot:
            await wait_until(pilot, lambda: app.chat.view is not None)
            (session,) = runtime.sessions()
            await pilot.press("f2", "tab", *"Be kind.", *["tab"] * 9, *"9999999", "enter")
            await wait_for_text(pilot, "window is 9999999")
            assert session.system is None
            await pilot.press("f2", "tab", *"Be kind.", *["tab"] * 9, *"64", "enter")
            await wait_until(pilot, lambda: session.window == 64)
            assert session.system == "Be kind."


async def test_the_model_is_named_and_where_to_choose_another(
    make_app: Make, make_runtime: Make
) -> None:
    async with make_app(make_runtime()).run_test(size=(100, 24)) as pilot:
        await wait_until(pilot, lambda: pilot.app.chat.view is not None)
        await say(pilot, "/model")
        await wait_for_text(pilot, "fake-1m: fp32 weights on cpu, torch, 2 048 tokens of context.")
        await say(pilot, "/model other")
        await wait_for_text(pilot, "The model is chosen at start: kvchat --model DIR")


async def test_restart_loads_the_model_again_after_it_stopped_and_the_chat_goes_on(
    make_app: Make, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(point: str) -> None:
        if point == "runner.run":
            raise SystemExit

    with ChatRuntime(tiny_model, data_dir=tmp_path / "d", threads=1, pool_bytes=4 << 20) as runtime:
        async with make_app(runtime).run_test(size=(110, 24)) as pilot:
            await wait_for_text(pilot, "ready")
            await say(pilot, "/restart")
            await wait_for_text(pilot, "there is nothing to restart")
            monkeypatch.setattr(errors, "fault_hook", die)
            await say(pilot, "hello")
            await wait_for_text(
                pilot, "Generation stopped working: SystemExit.", "restart it with /restart."
            )
            monkeypatch.setattr(errors, "fault_hook", None)
            await say(pilot, "/restart")
            await wait_for_text(pilot, "The model is being loaded again")
            await wait_until(pilot, lambda: runtime.status().state == "ready")
            await say(pilot, "/set max_tokens 4")
            await say(pilot, "hello again")
            chat = runtime.sessions()[0]
            await wait_until(
                pilot,
                lambda: (
                    chat.num_messages == 4 and chat.messages[-1].state is not MessageState.STREAMING
                ),
            )
            assert chat.messages[-1].state is MessageState.DONE
            await wait_until(
                pilot, lambda: "Generation stopped working:" not in read_screen(pilot.app)
            )
