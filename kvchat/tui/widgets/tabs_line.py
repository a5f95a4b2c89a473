"""TabsLine: one row at the top; sessions as tabs on small screens, model and load on wide ones."""

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events

from kvchat.tui.cells import Line, Span, fit, shorten
from kvchat.tui.widgets.line_widget import LineWidget
from kvchat.tui.widgets.sidebar import SessionLine, Sidebar


class TabsLine(LineWidget):
    """The top row."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.is_wide = False
        self._sessions: Sequence[SessionLine] = ()
        self._about = ""
        self._load = ""
        self._ends: list[tuple[int, int, str]] = []

    def show(self, sessions: Sequence[SessionLine], about: str, load: str) -> None:
        """Draw other sessions; `about` names the model, `load` the speed and use, all cleaned."""
        if (sessions, about, load) != (self._sessions, self._about, self._load):
            self._sessions, self._about, self._load = sessions, about, load
            self.redraw()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the row."""
        self._ends = []
        if width < 4:
            return []
        if self.is_wide:
            room = width - cell_len(self._load) - 2
            about = fit(f" kvchat {self.app.glyphs.dot} {self._about}", room)
            return [((about, "dim"), (f" {self._load} ", "dim"))]
        load = f" {self._load} " if width >= 60 and self._load else ""
        room = width - cell_len(load)
        tabs = self._tabs(room)
        used = sum(cell_len(text) for text, _ in tabs)
        return [(*tabs, (" " * (room - used), ""), (load, "dim"))]

    def _tabs(self, room: int) -> list[Span]:
        """Return as many tabs as fit, the shown one first of all; others shrink to a letter."""
        shown = next((i for i, each in enumerate(self._sessions) if each.is_shown), 0)
        for title_cells in (24, 18, 12, 8):
            widths = [self._tab_width(each, title_cells) for each in self._sessions]
            if sum(widths) <= room:
                return self._drawn(range(len(self._sessions)), title_cells, title_cells)
        widths = [
            self._tab_width(each, 14 if index == shown else 0)
            for index, each in enumerate(self._sessions)
        ]
        first, last = shown, shown + 1
        used = widths[shown] if widths else 0
        while True:  # grow around the shown one while there is room
            if last < len(widths) and used + widths[last] <= room - 6:
                used += widths[last]
                last += 1
            elif first > 0 and used + widths[first - 1] <= room - 6:
                first -= 1
                used += widths[first]
            else:
                break
        spans = self._drawn(range(first, min(last, len(widths))), 14, 0, room)
        hidden = len(self._sessions) - (last - first)
        if hidden > 0 and sum(cell_len(text) for text, _ in spans) + 6 <= room:
            spans.append((f" +{hidden}", "dim"))
        return spans

    def _tab_width(self, each: SessionLine, title_cells: int) -> int:
        return sum(cell_len(text) for text, _ in self._tab(each, title_cells))

    def _tab(self, each: SessionLine, title_cells: int) -> list[Span]:
        chosen = " chosen bold" if each.is_shown else ""
        spans: list[Span] = [(f" {each.tag}", f"hue{each.hue} bold{chosen}")]
        if each.origin_tag and title_cells:
            spans.append((f"{self.app.glyphs.branch}{each.origin_tag}", f"dim{chosen}"))
        title = shorten(each.title, title_cells, self.app.glyphs.ellipsis) if title_cells else ""
        if title:
            spans.append((f" {title}", chosen.strip() or "dim"))
        if each.mark:
            spans.append((f" {each.mark}", f"{each.mark_style}{chosen}".strip()))
        spans.append((" ", chosen.strip()))
        return spans

    def _drawn(
        self, indices: range, shown_cells: int, other_cells: int, room: int | None = None
    ) -> list[Span]:
        spans: list[Span] = []
        at = 0
        for index in indices:
            each = self._sessions[index]
            cells = shown_cells if each.is_shown else other_cells
            if room is not None and each.is_shown:
                cells = max(min(cells, room - cell_len(each.mark) - 6), 0)
            tab = self._tab(each, cells)
            width = sum(cell_len(text) for text, _ in tab)
            if room is not None and at + width > room:
                break
            self._ends.append((at, at + width, each.session_id))
            at += width
            spans += tab
        return spans

    async def _on_click(self, event: events.Click) -> None:
        for start, end, session_id in self._ends:
            if start <= event.x < end:
                self.post_message(Sidebar.Chosen(session_id))
