from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kvchat.errors import InvalidArgument
from kvchat.tui.command import NEVER_BOUND, display_key
from kvchat.tui.commands import COMMANDS, Registry
from kvchat.tui.prompt_actions import run_command
from kvchat.tui.screens.help import help_lines, topic_lines

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


def test_every_command_can_be_reached_and_stands_in_the_help() -> None:
    registry = Registry()
    page = "\n".join(help_lines(registry))

    for command in registry.commands:
        assert command.keys or command.slash, command.id
        assert command.title in page, command.id
        if command.slash:
            assert f"/{command.slash}" in page


def test_every_slash_command_is_in_the_palette() -> None:
    registry = Registry()
    assert {c.id for c in registry.commands if c.slash} <= {c.id for c in registry.palette()}


def test_ids_and_slash_words_are_unique() -> None:
    ids = [command.id for command in COMMANDS]
    words = [word for c in COMMANDS if c.slash for word in (c.slash, *c.aliases)]
    assert len(ids) == len(set(ids))
    assert len(words) == len(set(words))


def test_no_default_key_is_one_that_terminals_take() -> None:
    assert not [key for command in COMMANDS for key in command.keys if key in NEVER_BOUND]


@pytest.mark.parametrize(
    ("line", "command_id", "args"),
    [
        ("/fork", "session.fork", ""),
        ("/fork  a b ", "session.fork", "a b"),
        ("/ren x", "session.rename", "x"),
        ("/branch", "session.fork", ""),
        ("/exi", "app.quit", ""),
        ("/SET temperature 1", "session.sampling", "temperature 1"),
        ("/system line\nmore", "session.system", "line\nmore"),
    ],
)
def test_a_unique_beginning_is_enough(line: str, command_id: str, args: str) -> None:
    command, rest = Registry().parse_slash(line)
    assert (command.id, rest) == (command_id, args)


@pytest.mark.parametrize(
    ("line", "words"),
    [("/re", "could be /rename"), ("/froK", "Did you mean /fork"), ("/", "is no command")],
)
def test_an_unknown_word_gets_suggestions(line: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Registry().parse_slash(line)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"session.nwe": ["f8"]}, "Did you mean session.new"),
        ({"session.new": ["ctrl+m"]}, "it is Enter"),
        ({"session.new": ["f3"]}, "f3 is bound to"),
    ],
)
def test_keys_that_make_no_sense_are_refused(keys: dict[str, list[str]], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Registry(keys)


def test_an_empty_list_unbinds_a_key() -> None:
    registry = Registry({"view.blocks": []})
    assert registry.for_key("f3") == []
    assert registry["view.blocks"].slash == "blocks"


def test_keys_are_written_as_people_write_them() -> None:
    assert [display_key(key) for key in ("ctrl+n", "alt+u", "escape", "f1")] == [
        "^n", "alt+u", "esc", "f1",
    ]  # fmt: skip


async def leave(pilot: Any) -> None:
    """Close what a command opened, and give the keys back to the prompt."""
    await pilot.pause()
    while len(pilot.app.screen_stack) > 1:
        await pilot.press("escape")
    pilot.app.chat.leave_cursor()


async def test_each_command_runs_in_an_empty_chat(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(make_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for command in app.registry.commands:
            if not command.id.startswith("app.quit"):
                run_command(app.chat, command, "")
                await leave(pilot)
        text = await settle(pilot)

    assert "› Ask anything" in text


async def test_each_command_runs_in_a_used_chat(
    make_app: Make,
    make_runtime: Make,
    settle: Settle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    runtime = make_runtime(num_blocks=4_000)
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for command in app.registry.commands:
            if command.id.startswith("app.quit"):
                continue
            if not app.chat.view.is_running:
                app.chat.submit("again")
            runtime.step(3)
            app.chat.feed.drain()
            if command.where == "message":
                app.registry["chat.cursor"].run(app.chat, "")
            run_command(app.chat, command, "")
            await leave(pilot)
        text = await settle(pilot)

    assert "Ask anything" in text or "again" in text


def test_no_line_of_the_help_about_blocks_is_wider_than_a_small_screen() -> None:
    assert max(map(len, help_lines(Registry())[-8:])) <= 74


def test_help_on_a_topic_names_its_commands_and_refuses_what_it_does_not_know() -> None:
    registry = Registry()
    assert topic_lines(registry, "/branch")[0] == "/fork [title]"
    keys = "\n".join(topic_lines(registry, "clipboard"))
    assert "/paste" in keys and "/fork" not in keys
    with pytest.raises(InvalidArgument, match="no help on “zzz”"):
        topic_lines(registry, "zzz")
