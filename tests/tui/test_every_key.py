"""Every row of the tables of keys and commands, typed into the running app."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from driver import say, wait_for_text  # type: ignore[import-not-found]

from kvchat.tui.command import Command, Where
from kvchat.tui.commands import COMMANDS, Registry
from kvchat.tui.keys_page import keys_page
from kvchat.tui.screens.help import help_lines

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]
OPENED_BY: dict[Where, tuple[str, ...]] = {
    "chat": (),
    "prompt": (),
    "message": ("alt+up",),
    "tree": ("ctrl+t",),
    "token": ("alt+up", "t"),
    "ask prompt": ("f5",),
    "ask": (),
    "blocks": ("f3",),
}


class Calls:
    """A registry whose commands only say that they were called."""

    def __init__(self, app: Any) -> None:
        self.ids: list[str] = []
        commands = tuple(
            replace(command, run=self.noting(command), applies=lambda _chat, _key: True)
            for command in app.registry.commands
        )
        app.registry = Registry(None, commands)

    def noting(self, command: Command) -> Any:
        return lambda _chat, _args: self.ids.append(command.id)


async def go_to(place: Where, pilot: Any, runtime: Any, settle: Settle) -> None:
    await settle(pilot)
    await say(pilot, "hello")
    runtime.finish_all()
    await settle(pilot)
    if place == "ask":
        await say(pilot, "/ask 2 more")
        await pilot.press("enter")
        runtime.finish_all()
        await wait_for_text(pilot, "2 done")
        await pilot.press("tab")
    for key in OPENED_BY[place]:
        await pilot.press(key)
        await settle(pilot)


def test_each_place_of_the_registry_is_opened_here() -> None:
    assert {command.where for command in COMMANDS} == set(OPENED_BY)


@pytest.mark.parametrize("place", list(OPENED_BY))
async def test_every_key_of_a_place_reaches_its_command(
    place: Where, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["an answer", "b", "c"])
    app = make_app(runtime)
    wrong = []
    async with app.run_test(size=(140, 40)) as pilot:
        await go_to(place, pilot, runtime, settle)
        calls = Calls(app)
        for command in app.registry.commands:
            for key in command.keys if command.where == place else ():
                first = app.registry.for_key(key)
                if place == "chat" and any(other.where == "prompt" for other in first):
                    continue  # the prompt comes first; its own test presses the key
                calls.ids.clear()
                await pilot.press(key)
                if calls.ids != [command.id]:
                    wrong.append((command.id, key, list(calls.ids)))

    assert wrong == []


@pytest.mark.parametrize("part", range(4))
async def test_every_slash_word_reaches_its_command(
    part: int, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime(["an answer"])
    app = make_app(runtime)
    wrong = []
    async with app.run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        calls = Calls(app)
        send = app.registry["prompt.send"]
        real = next(command for command in COMMANDS if command.id == "prompt.send")
        app.registry = Registry(
            None,
            tuple(real if command is send else command for command in app.registry.commands),
        )
        words = [
            (word, command.id)
            for command in app.registry.commands
            if command.slash
            for word in (command.slash, *command.aliases)
        ]
        for word, command_id in words[part::4]:
            calls.ids.clear()
            app.chat.prompt.set_exact_text(f"/{word} x")
            await pilot.press("enter")
            if calls.ids != [command_id]:
                wrong.append((word, calls.ids))

    assert words and wrong == []


def test_help_page_docs_palette_and_footers_say_the_same() -> None:
    registry = Registry()
    page, help_page = keys_page(registry), "\n".join(help_lines(registry))
    offered = {command.id for command in registry.palette()}
    for command in registry.commands:
        assert command.title in help_page, command.id
        assert not command.key_text or f"`{command.id}`" in page, command.id
        assert not command.slash or command.id in offered, command.id
    for place in OPENED_BY:
        words = {word for _, word in registry.view_footer(place)}
        known = {command.footer for command in registry.commands if command.where == place}
        assert words <= known
