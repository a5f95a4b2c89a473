"""Switcher: all sessions, the one looked at last first; Enter at once goes back to the last one."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from kvchat.tui.screens.picker import Choice, FilterInput, Picker


class Switcher(Picker[str]):
    """Returns the id of a session; digits pick while nothing is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(digit, f"pick({digit})", show=False, priority=True) for digit in "123456789"),
        Binding("ctrl+s", "move(1)", show=False, priority=True),
    ]  # fmt: skip

    def __init__(self, choices: Sequence[Choice[str]]) -> None:
        super().__init__("Sessions", choices, chosen=1 if len(choices) > 1 else 0)

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
