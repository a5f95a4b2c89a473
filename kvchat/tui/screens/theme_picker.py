"""ThemePicker: the themes by name; the one that is chosen is shown at once, behind the list."""

from collections.abc import Sequence

from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.themes import THEME_NAMES


class ThemePicker(Picker[str]):
    """Returns the name of a theme; whoever opened it puts the old one back."""

    def __init__(self, choices: Sequence[Choice[str]], current: str) -> None:
        chosen = [choice.value for choice in choices].index(current)
        super().__init__("Theme", choices, chosen=chosen)

    def action_move(self, step: int) -> None:
        """Choose another line, and look at it."""
        super().action_move(step)
        choice = self._list.choices[self._list.chosen]
        self.app.theme = THEME_NAMES[str(choice.value)]
