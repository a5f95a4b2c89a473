"""CommandHints: what Tab would write, above the prompt: commands, their arguments, files."""

from typing import TYPE_CHECKING

from kvchat.tui.cells import Line, fit, shorten
from kvchat.tui.completion import Completion
from kvchat.tui.safe import safe_line
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.completion import Hint

MAX_HINTS = 6
USAGE_CELLS = 30
NOTHING = Completion()


class CommandHints(LineWidget):
    """A short list with one chosen line; empty, it takes no room."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.completion = NOTHING
        self.was_moved = False
        """Whether the user went through the list, so that Enter means the chosen line."""
        self._chosen = 0

    @property
    def chosen(self) -> "Hint | None":
        """What Tab would write."""
        return self.completion.hints[self._chosen] if self.completion.hints else None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose from."""
        return bool(self.completion.hints)

    def show(self, completion: Completion) -> None:
        """Offer something else."""
        if completion == self.completion:
            return
        self.completion, self._chosen, self.was_moved = completion, 0, False
        rows = min(len(completion.hints), MAX_HINTS)
        self.styles.height = rows
        self.display = rows > 0
        self.redraw()
        self.refresh()

    def close(self) -> None:
        """Offer nothing until the text changes."""
        self.show(NOTHING)

    def move(self, step: int) -> None:
        """Choose another line."""
        self._chosen = (self._chosen + step) % len(self.completion.hints)
        self.was_moved = True
        self._drawn_size = (-1, -1)
        self.refresh()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the lines around the chosen one."""
        hints = self.completion.hints
        first = min(max(self._chosen - height + 1, 0), max(len(hints) - height, 0))
        return [
            self._line_of(index, width) for index in range(first, min(first + height, len(hints)))
        ]

    def _line_of(self, index: int, width: int) -> Line:
        hint, glyphs = self.completion.hints[index], self.app.glyphs
        is_chosen = index == self._chosen
        style = " chosen" if is_chosen else ""
        room = min(width, USAGE_CELLS) if hint.about else width
        mark = glyphs.chosen if is_chosen else " "
        usage = fit(f" {mark} {safe_line(hint.shown)}", room, glyphs.ellipsis)
        about = shorten(hint.about, max(width - room - 1, 0), glyphs.ellipsis)
        return ((usage, f"accent{style}"), (fit(about, width - room), f"dim{style}"))
