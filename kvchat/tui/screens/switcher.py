"""Switcher: all sessions, the one looked at last first; Enter at once goes back to the last one.

Behind a `?` it searches the text of all chats instead.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from kvchat.tui.background import run_in_background
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.picker import Choice, FilterInput, Picker


@dataclass(frozen=True, slots=True)
class Place:
    """A session, and perhaps the message in it that some words were found in."""

    session_id: str
    message_id: str | None = None
    words: str = ""


Search = Callable[[str], Awaitable[Sequence[Choice[Place]]]]


class Switcher(Picker[Place]):
    """Returns where to go; digits pick while nothing is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(digit, f"pick({digit})", show=False, priority=True) for digit in "123456789"),
        Binding("ctrl+s", "move(1)", show=False, priority=True),
    ]  # fmt: skip

    def __init__(self, choices: Sequence[Choice[Place]], search: Search) -> None:
        super().__init__(
            "Sessions",
            choices,
            chosen=1 if len(choices) > 1 else 0,
            placeholder="type to narrow, ? searches the text of all",
        )
        self._search = search

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let digits be typed once a search has begun."""
        if action == "pick":
            return not self.query_one(FilterInput).value
        return super().check_action(action, parameters)

    def action_pick(self, number: int) -> None:
        """Return the session with this number."""
        for choice in self._choices:
            if choice.mark.startswith(f"{number} "):
                self.dismiss(choice.value)

    @on(Input.Changed)
    def _search_text(self, event: Input.Changed) -> None:
        words = event.value.strip()
        if words.startswith("?"):
            event.prevent_default()  # the base class would narrow the list of sessions
            run_in_background(self, partial(self._find, words[1:].strip()), exclusive=True)

    async def _find(self, words: str) -> None:
        found = await self._search(words) if words else []
        self.show_choices(found)


class SearchResults(Picker[Place]):
    """The messages that hold some words, newest first."""

    def __init__(self, words: str, choices: Sequence[Choice[Place]]) -> None:
        super().__init__(f"Search: {safe_line(words)[:40]}", choices)
