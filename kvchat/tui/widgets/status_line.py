"""StatusLine: what the shown session does, what its last prompt reused, how full its context is."""

from dataclasses import dataclass

from rich.cells import cell_len

from kvchat.tui.cells import Line, fit, shorten
from kvchat.tui.glyphs import plain_text
from kvchat.tui.widgets.line_widget import LineWidget


@dataclass(frozen=True, slots=True)
class Status:
    """The parts of the line; all text cleaned."""

    state: str = ""
    state_style: str = "dim"
    notice: str = ""
    notice_style: str = ""
    figures: tuple[str, ...] = ()
    """From the most important, which stands at the right and is the last one to go."""


class StatusLine(LineWidget):
    """One row: state or notice at the left, figures at the right."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status = Status()

    @property
    def status(self) -> Status:
        """What is shown."""
        return self._status

    def show(self, status: Status) -> None:
        """Draw another status."""
        if status != self._status:
            self._status = status
            self.redraw()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the row: a notice may push figures out, never the other way round."""
        status, glyphs = self._status, self.app.glyphs
        left = plain_text(status.notice, glyphs) or status.state
        style = status.notice_style if status.notice else status.state_style
        left = shorten(f" {left}", width, glyphs.ellipsis)
        right = ""
        for figure in status.figures:
            longer = f"{figure} {glyphs.dot} {right}" if right else f"{figure} "
            if cell_len(left) + 2 + cell_len(longer) > width:
                break
            right = longer
        room = width - cell_len(right)
        return [((fit(left, room, glyphs.ellipsis), style), (right, "dim"))]
