"""CommandHints: the slash commands that fit what is being typed, above the prompt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvchat.tui.cells import Line, fit, shorten
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.commands import Command

MAX_HINTS = 6


class CommandHints(LineWidget):
    """A short list with one chosen line; empty, it takes no room."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._commands: Sequence[Command] = ()
        self._chosen = 0

    @property
    def chosen(self) -> "Command | None":
        """The command Tab would complete to."""
        return self._commands[self._chosen] if self._commands else None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose from."""
        return bool(self._commands)

    def show(self, commands: "Sequence[Command]") -> None:
        """Offer other commands."""
        if list(commands) == list(self._commands):
            return
        self._commands, self._chosen = commands, 0
        rows = min(len(commands), MAX_HINTS)
        self.styles.height = rows
        self.display = rows > 0
        self.redraw()
        self.refresh()

    def move(self, step: int) -> None:
        """Choose another line."""
        self._chosen = (self._chosen + step) % len(self._commands)
        self._drawn_size = (-1, -1)
        self.refresh()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the lines around the chosen one."""
        first = min(max(self._chosen - height + 1, 0), max(len(self._commands) - height, 0))
        lines: list[Line] = []
        for index in range(first, min(first + height, len(self._commands))):
            command = self._commands[index]
            is_chosen = index == self._chosen
            style = " chosen" if is_chosen else ""
            mark = self.app.glyphs.chosen if is_chosen else " "
            usage = fit(f" {mark} /{command.slash} {command.args}", min(width, 30))
            about = fit(shorten(command.title, max(width - 31, 0)), width - min(width, 30))
            lines.append(((usage, f"accent{style}"), (about, f"dim{style}")))
        return lines
