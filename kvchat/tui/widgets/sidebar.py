"""Sidebar: all sessions with letter, title, mark, tokens and blocks; a click shows one."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.message import Message

from kvchat.tui.cells import Line, fit
from kvchat.tui.widgets.line_widget import LineWidget

SIDEBAR_CELLS = 28


@dataclass(frozen=True, slots=True)
class SessionLine:
    """What lists say about one session; all text cleaned."""

    session_id: str
    tag: str
    hue: int
    title: str
    mark: str
    mark_style: str
    figures: tuple[str, ...]
    is_shown: bool
    origin_tag: str = ""
    """The letter of the session it was forked from."""


class Sidebar(LineWidget):
    """The list of sessions beside the transcript."""

    @dataclass
    class Chosen(Message):
        """The user clicked a session."""

        session_id: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sessions: Sequence[SessionLine] = ()
        self._first = 0

    def show(self, sessions: Sequence[SessionLine]) -> None:
        """Draw another list."""
        if sessions != self._sessions:
            self._sessions = sessions
            self.redraw()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return a title line and two lines per session, around the shown one."""
        if width < 6:
            return []
        lines: list[Line] = [((fit(" SESSIONS", width - 3), "dim bold"), ("^s ", "dim"))]
        room = max((height - 1) // 2, 1)
        shown = next((i for i, each in enumerate(self._sessions) if each.is_shown), 0)
        self._first = min(max(shown - room // 2, 0), max(len(self._sessions) - room, 0))
        for each in self._sessions[self._first : self._first + room]:
            lines += self._session_lines(each, width)
        return lines

    def _session_lines(self, each: SessionLine, width: int) -> list[Line]:
        glyphs = self.app.glyphs
        chosen = " chosen" if each.is_shown else ""
        bar = glyphs.bar if each.is_shown else " "
        indent = "  " if each.origin_tag else ""
        room = width - cell_len(each.mark) - len(indent) - 5
        title = fit(each.title, room, glyphs.ellipsis)
        hue = f"hue{each.hue}{chosen}"
        name = "bold" if each.is_shown else ""
        first: Line = (
            (bar + indent, hue),
            (f"{each.tag} ", f"{hue} bold"),
            (title, f"{name}{chosen}".strip()),
            (f" {each.mark} ", f"{each.mark_style}{chosen}".strip()),
        )
        figures = f"{indent}  "
        for index, figure in enumerate(each.figures):
            longer = figures + (f" {glyphs.dot} " if index else "") + figure
            if cell_len(longer) > width - 2:
                break
            figures = longer
        second: Line = ((bar, hue), (fit(figures, width - 1), f"dim{chosen}"))
        return [first, second]

    async def _on_click(self, event: events.Click) -> None:
        index = self._first + (event.y - self.gutter.top - 1) // 2
        if event.y >= 1 and 0 <= index < len(self._sessions):
            self.post_message(self.Chosen(self._sessions[index].session_id))
