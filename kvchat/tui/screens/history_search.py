"""HistorySearch: prompts written before, newest first; `^r` again goes to older ones."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from kvchat.tui.safe import safe_line
from kvchat.tui.screens.picker import Choice, Picker

SHOWN_CHARACTERS = 300


class HistorySearch(Picker[str]):
    """Returns the chosen prompt; what is typed must stand in it, in any case of letters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "move(1)", show=False, priority=True),
        Binding("tab", "choose", show=False, priority=True),
    ]

    def __init__(self, prompts: Sequence[str]) -> None:
        choices = [Choice(safe_line(text[:SHOWN_CHARACTERS]), text) for text in prompts]
        super().__init__("Prompt history", choices, placeholder="type to search, ^r older")

    def narrowed(self, wanted: str) -> list[Choice[str]]:
        """Return the prompts that hold every word, newest first."""
        words = wanted.lower().split()
        return [
            choice
            for choice in self._choices
            if all(word in choice.value.lower() for word in words)
        ]
