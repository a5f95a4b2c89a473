"""BlockPanel: the live block map with totals that add up, rows per session and a legend.

Below the transcript it is a strip with the totals in its rule; at the right a column with a table
and the last events. Draws immutable views it is given and asks nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from kvchat.tui.cells import Line, Span, fit, shorten, wrap_ranges
from kvchat.tui.safe import safe_line
from kvchat.tui.widgets.block_map import (
    Owner,
    PoolFigures,
    SequenceFigures,
    blocks_per_cell,
    map_lines,
    pool_figures,
)
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

DOCK_ROWS = 7
SIDE_CELLS = 44
ROW_CELLS = 9
MAX_MAP_ROWS = 20


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What the panel says about one session; the title is cleaned."""

    title: str
    owner: Owner
    reused: str
    speed: str


class BlockPanel(LineWidget):
    """Shows the latest PoolView; `show` is called when there is a newer one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.is_docked_below = True
        self._view: PoolView | None = None
        self._rows: Mapping[str, SessionRow] = {}

    def show(self, view: "PoolView | None", rows: Mapping[str, SessionRow]) -> None:
        """Draw another view; `rows` describes sessions by id."""
        self._view, self._rows = view, rows
        self.redraw()

    def rows_for(self, width: int, limit: int) -> int:
        """Return how many rows the panel wants below the transcript, at most `limit`."""
        if self._view is None or limit < 4:
            return limit
        num_columns, map_width = self._below_shape(width, True)
        size = blocks_per_cell(self._view.num_blocks, map_width * (limit - 2))
        num_cells = -(-self._view.num_blocks // size)
        held = sum(bool(sequence.table) for sequence in self._view.sequences)
        rows = max(-(-num_cells // map_width), -(-held // num_columns), 2)
        return min(rows + 2, limit)

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the panel for its place."""
        if width < 4 or height < 1:
            return []
        if self._view is None:
            text = shorten(" blocks: shown when the model is loaded", width)
            if self.is_docked_below:
                return [self._rule("", width), ((text, "dim"),)]
            return [((fit(" BLOCKS", width), "dim bold"),), ((text, "dim"),)]
        figures = pool_figures(self._view)
        if self.is_docked_below:
            return self._below(self._view, figures, width, height)
        return self._beside(self._view, figures, width, height)

    # -- below the transcript --------------------------------------------------------------

    def _below(self, view: "PoolView", figures: PoolFigures, width: int, height: int) -> list[Line]:
        num_columns, map_width = self._below_shape(width, bool(figures.sequences))
        side = width - 2 - map_width
        map_rows = max(height - 2, 1)
        lines = [self._rule(self._totals(figures), width, self._saved(figures))]
        drawn = map_lines(view, self._owners, map_width, map_rows, self.app.glyphs)
        cells = self._row_cells(figures.sequences, num_columns, map_rows) if side else []
        for index in range(map_rows):
            line: Line = drawn[index] if index < len(drawn) else ()
            used = sum(cell_len(text) for text, _ in line)
            row = cells[index] if index < len(cells) else ()
            lines.append(((" ", ""), *line, (" " * (map_width - used + 1), ""), *row))
        if height >= 2:
            lines.append(self._legend(view, map_width * map_rows, width))
        return lines

    @staticmethod
    def _below_shape(width: int, has_rows: bool) -> tuple[int, int]:
        """Return the columns of session rows, and the width of the map beside them."""
        num_columns = 2 if width >= 70 else 1
        side = ROW_CELLS * num_columns + 1 if width >= 44 and has_rows else 0
        return num_columns, max(width - 2 - side, 1)

    def _row_cells(
        self, sequences: Sequence[SequenceFigures], num_columns: int, num_rows: int
    ) -> list[Line]:
        cells: list[Line] = []
        for figures in sequences:
            row = self._rows.get(figures.session_id)
            if row is not None and figures.num_blocks:
                count = f"{figures.num_blocks:>5} "
                cells.append(((f" {row.owner.tag}", f"hue{row.owner.hue} bold"), (count, "")))
        num_shown = num_rows * num_columns
        if len(cells) > num_shown:
            cells[num_shown - 1 :] = [((f"  +{len(cells) - num_shown + 1}", "dim"),)]
        lines: list[Line] = []
        for at in range(0, len(cells), num_columns):
            line: list[Span] = []
            for cell in cells[at : at + num_columns]:
                line += cell
            lines.append(tuple(line))
        return lines

    # -- beside the transcript -------------------------------------------------------------

    def _beside(
        self, view: "PoolView", figures: PoolFigures, width: int, height: int
    ) -> list[Line]:
        head: list[Line] = [((fit(" BLOCKS", width - 4), "dim bold"), ("f3", "dim"))]
        table = self._table(figures, width)
        totals = self._side_totals(figures)
        events = self._events(view, width)
        fixed = len(head) + 1 + 1 + len(table) + len(totals) + 2
        map_rows = max(min(height - fixed - min(len(events), 6), MAX_MAP_ROWS), 2)
        map_width = width - 2
        size = blocks_per_cell(view.num_blocks, map_width * map_rows)
        each = f"{size} blocks" if size > 1 else "1 block"
        about = f" {view.num_blocks} blocks, {byte_size(view.block_bytes)} each, 1 cell = {each}"
        head.append(((shorten(about, width), "dim"),))
        lines = head
        for drawn in map_lines(view, self._owners, map_width, map_rows, self.app.glyphs):
            lines.append(((" ", ""), *drawn))
        lines.append(self._legend(view, map_width * map_rows, width))
        lines.append(())
        lines += [*table, *totals]
        room = height - len(lines) - 1
        if room > 1 and events:
            lines.append(())
            lines += events[-(room):]
        return lines

    def _table(self, figures: PoolFigures, width: int) -> list[Line]:
        columns = f"{'blk':>5}{'own':>5}{'shr':>5}{'reused':>8}{'tok/s':>7}"
        room = max(width - len(columns) - 1, 4)
        lines: list[Line] = [((" " * (room + 1) + columns, "dim"),)]
        for each in figures.sequences:
            row = self._rows.get(each.session_id)
            if row is None:
                continue
            name = fit(f" {row.owner.tag} {row.title}", room, self.app.glyphs.ellipsis)
            numbers = (
                f"{each.num_blocks:>5}{each.num_own:>5}{each.num_shared:>5}"
                f"{row.reused:>8}{row.speed:>7}"
            )
            lines.append(((name, f"hue{row.owner.hue}"), (" " + numbers, "")))
        return lines

    def _side_totals(self, figures: PoolFigures) -> list[Line]:
        in_tables = figures.num_rows - figures.num_saved
        held = figures.num_used - in_tables
        first = f" {figures.num_rows} rows {self.app.glyphs.minus} {figures.num_saved} shared"
        first += f" + {held} held = {figures.num_used} used" if held else f" = {in_tables} used"
        second = f"   + {figures.num_cached} cached + {figures.num_free} free = {figures.num_total}"
        return [((first, ""),), ((second, ""),)]

    def _events(self, view: "PoolView", width: int) -> list[Line]:
        lines: list[Line] = []
        for event in view.events[-6:]:
            text = safe_line(event.text)
            for number, (start, end) in enumerate(wrap_ranges(text, max(width - 11, 8))):
                kind = safe_line(event.kind)[:8] if not number else ""
                lines.append(((fit(f" {kind}", 10), "dim"), (text[start:end], "")))
        return lines

    # -- both ------------------------------------------------------------------------------

    @property
    def _owners(self) -> dict[str, Owner]:
        return {key: row.owner for key, row in self._rows.items()}

    def _rule(self, text: str, width: int, right: str = "") -> Line:
        bar = self.app.glyphs.horizontal
        left = f"{bar} {text or 'blocks'} "
        right = f" {right} {bar}" if right else ""
        if cell_len(left) + cell_len(right) > width:
            right = ""
        left = shorten(left, width, self.app.glyphs.ellipsis)
        return (
            (left, "dim"),
            (bar * max(width - cell_len(left) - cell_len(right), 0), "frame"),
            (right, "dim"),
        )

    def _totals(self, figures: PoolFigures) -> str:
        return (
            f"blocks {figures.num_used} used + {figures.num_cached} cached"
            f" + {figures.num_free} free = {figures.num_total}"
        )

    def _saved(self, figures: PoolFigures) -> str:
        return f"{figures.num_saved} saved by sharing" if figures.num_saved else ""

    def _legend(self, view: "PoolView", num_cells: int, width: int) -> Line:
        glyphs = self.app.glyphs
        size = blocks_per_cell(view.num_blocks, num_cells)
        words = [
            ("a", " own  "),
            ("A", " writing  "),
            ("2", " shared  "),
            (glyphs.cached, " cached  "),
            (glyphs.free, " free"),
        ]
        if self.is_docked_below:
            words[-1] = (glyphs.free, " free  ")
            words.append(("", f"1 cell = {size} block{'s' if size > 1 else ''}"))
        spans: list[Span] = [(" ", "")]
        used = 1
        for mark, meaning in words:
            used += len(mark) + len(meaning)
            if used > width:
                break
            spans += [(mark, "bold"), (meaning, "dim")]
        return tuple(spans)


def byte_size(num_bytes: int) -> str:
    """Return a number of bytes in the unit that reads best: `1 MiB`, `64 KiB`, `1.5 GiB`."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if size >= 10 or size == int(size) else f"{size:.1f} {unit}"
