"""BlockPanel: the live block map with totals that add up, rows per session and an inspector.

Below the transcript it is a strip with the totals in its rule; at the right a column with a table
and the last events. Draws the state it is given and asks nobody; the mouse and, with the focus, the
keys move its cursor.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import events
from textual.message import Message

from kvchat.tui.block_inspector import cost_lines, inspector_lines, one_line
from kvchat.tui.block_marks import blocks_per_cell
from kvchat.tui.block_place import BlockPlace, place_of_block
from kvchat.tui.blocks_state import BlocksState, PoolPicture
from kvchat.tui.cells import Line, Span, line_width, shorten, wrap_ranges
from kvchat.tui.glyphs import plain
from kvchat.tui.pool_figures import PoolFigures, SequenceFigures, byte_size, pool_figures
from kvchat.tui.pool_table import table_lines
from kvchat.tui.safe import safe_line
from kvchat.tui.widgets.block_map import MapGrid, map_lines
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

DOCK_ROWS = 7
SIDE_CELLS = 44
ROW_CELLS = 9
MAX_MAP_ROWS = 20
MAX_EVENT_ROWS = 6


class BlockPanel(LineWidget, can_focus=True):
    """Shows the picture of a BlocksState; `show` is called when there is a newer one."""

    class Moved(Message):
        """The cursor is on another block."""

    class Left(Message):
        """Nothing points at a block any more."""

    class Jumped(Message):
        """A block was double clicked: its text is wanted."""

    FOCUS_ON_CLICK: ClassVar[bool] = False

    app: "KVChatApp"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.is_docked_below = True
        self.grid: MapGrid | None = None
        """The map as it was drawn last."""
        self._map_top = 0
        self._state: BlocksState | None = None

    def show(self, state: BlocksState) -> None:
        """Draw the state as it is now."""
        self._state = state
        self.redraw()

    @property
    def _picture(self) -> PoolPicture | None:
        return self._state.picture if self._state is not None else None

    def rows_for(self, width: int, limit: int) -> int:
        """Return how many rows the panel wants below the transcript, at most `limit`."""
        if self._picture is None or limit < 4:
            return limit
        view = self._picture.view
        num_columns, map_width = self._below_shape(width, True)
        size = blocks_per_cell(view.num_blocks, map_width * (limit - 2))
        num_cells = -(-view.num_blocks // size)
        held = sum(bool(sequence.table) for sequence in view.sequences)
        rows = max(-(-num_cells // map_width), -(-held // num_columns), 2)
        return min(rows + 2, limit)

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the panel for its place."""
        if width < 4 or height < 1:
            return []
        return plain(self._lines_for(width, height), self.app.glyphs)

    def _lines_for(self, width: int, height: int) -> list[Line]:
        picture, state = self._picture, self._state
        if picture is None or state is None:
            text = shorten(" blocks: shown when the model is loaded", width)
            if self.is_docked_below:
                return [self._rule("", width), ((text, "dim"),)]
            return [self._head(width), ((text, "dim"),)]
        figures = pool_figures(picture.view)
        if self.is_docked_below:
            return self._below(state, picture, figures, width, height)
        return self._beside(state, picture, figures, width, height)

    def _map(
        self, state: BlocksState, picture: PoolPicture, width: int, rows: int, top: int
    ) -> list[Line]:
        view = picture.view
        self.grid, self._map_top = MapGrid.fit(view.num_blocks, width, rows), top
        lit: set[int] = set()
        if state.lit is not None:
            for sequence in view.sequences:
                if sequence.session_id == state.lit[0]:
                    lit = set(sequence.table[state.lit[1].start : state.lit[1].stop]) - {-1}
        return map_lines(
            view,
            {key: row.owner for key, row in picture.rows.items()},
            self.grid,
            self.app.glyphs,
            cursor=state.place.block if state.place is not None and self._inspects(state) else -1,
            lit=lit,
            with_recent=picture.has_recent,
        )

    # -- below the transcript --------------------------------------------------------------

    def _below(
        self,
        state: BlocksState,
        picture: PoolPicture,
        figures: PoolFigures,
        width: int,
        height: int,
    ) -> list[Line]:
        num_columns, map_width = self._below_shape(width, bool(figures.sequences))
        side = width - 2 - map_width
        map_rows = max(height - 2, 1)
        lines = [self._rule(self._totals(figures), width, self._saved(figures))]
        drawn = self._map(state, picture, map_width, map_rows, 1)
        rows = self._row_cells(picture, figures.sequences, num_columns, map_rows) if side else []
        for index in range(map_rows):
            line: Line = drawn[index] if index < len(drawn) else ()
            row = rows[index] if index < len(rows) else ()
            lines.append(((" ", ""), *line, (" " * (map_width - line_width(line) + 1), ""), *row))
        if height >= 2:
            inspected = one_line(state, width, self.app.glyphs) if self._inspects(state) else ()
            lines.append(inspected or self._legend(picture, map_width * map_rows, width))
        return lines

    @staticmethod
    def _below_shape(width: int, has_rows: bool) -> tuple[int, int]:
        """Return the columns of session rows, and the width of the map beside them."""
        num_columns = 2 if width >= 70 else 1
        side = ROW_CELLS * num_columns + 1 if width >= 44 and has_rows else 0
        return num_columns, max(width - 2 - side, 1)

    def _row_cells(
        self,
        picture: PoolPicture,
        sequences: Sequence[SequenceFigures],
        num_columns: int,
        num_rows: int,
    ) -> list[Line]:
        cells: list[Line] = []
        for figures in sequences:
            row = picture.rows.get(figures.session_id)
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
        self,
        state: BlocksState,
        picture: PoolPicture,
        figures: PoolFigures,
        width: int,
        height: int,
    ) -> list[Line]:
        view, glyphs = picture.view, self.app.glyphs
        table = table_lines(picture, figures, width, max(height // 2, 6), glyphs)
        inspected: list[Line] = []
        if state.place is not None and self._inspects(state):
            inspected = [
                self._rule("", width),
                *self._wrapped(inspector_lines(state, 4 * width, glyphs)[:3], width),
                *self._wrapped(cost_lines(state, glyphs)[:2], width),
            ]
        happened = self._events(picture, width)
        fixed = 2 + 2 + len(table) + len(inspected)
        map_rows = max(min(height - fixed - min(len(happened), MAX_EVENT_ROWS), MAX_MAP_ROWS), 2)
        map_width = width - 2
        size = blocks_per_cell(view.num_blocks, map_width * map_rows)
        about = f" {view.num_blocks} blk · {byte_size(view.block_bytes)} each · 1 cell = {size} blk"
        lines: list[Line] = [self._head(width), ((shorten(about, width), "dim"),)]
        for drawn in self._map(state, picture, map_width, map_rows, 2):
            lines.append(((" ", ""), *drawn))
        lines += [self._legend(picture, map_width * map_rows, width), (), *table, *inspected]
        room = height - len(lines) - 1
        if room > 1 and happened:
            lines += [(), *happened[-room:]]
        return lines

    def _wrapped(self, lines: Sequence[Line], width: int) -> list[Line]:
        wrapped: list[Line] = []
        for line in lines:
            text = "".join(part for part, _ in line).strip()
            style = "bold" if not wrapped else ""
            for start, end in wrap_ranges(text, max(width - 2, 8))[:2]:
                wrapped.append(((f" {text[start:end]}", style),))
        return wrapped

    def _events(self, picture: PoolPicture, width: int) -> list[Line]:
        lines: list[Line] = []
        for event in picture.view.events[-MAX_EVENT_ROWS:]:
            text = safe_line(event.text)
            for number, (start, end) in enumerate(wrap_ranges(text, max(width - 11, 8))):
                kind = safe_line(event.kind)[:8] if not number else ""
                lines.append(((f" {kind:<9}", "dim"), (text[start:end], "")))
        return lines

    # -- both ------------------------------------------------------------------------------

    def _head(self, width: int) -> Line:
        left = shorten(" BLOCKS  map", max(width - 10, 4))
        return ((left, "dim bold"), (f"{'m l t  f3':>{max(width - len(left) - 1, 0)}}", "dim"))

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

    def _legend(self, picture: PoolPicture, num_cells: int, width: int) -> Line:
        glyphs = self.app.glyphs
        size = blocks_per_cell(picture.view.num_blocks, num_cells)
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

    # -- mouse and keys --------------------------------------------------------------------

    def _inspects(self, state: BlocksState) -> bool:
        """Whether the block at the cursor is told; else the legend has its place."""
        return state.is_pointed_at or self.has_focus

    def _place_at(self, x: int, y: int) -> BlockPlace | None:
        picture, state = self._picture, self._state
        if picture is None or state is None or self.grid is None:
            return None
        block = self.grid.block_at(x - self.gutter.left - 1, y - self.gutter.top - self._map_top)
        prefer = state.place.session_id if state.place is not None else ""
        return None if block is None else place_of_block(picture.view, block, prefer)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the cursor to the block under the mouse."""
        self._point(event.x, event.y)

    def on_leave(self, event: events.Leave) -> None:
        """Let go of the block when the mouse goes away."""
        if event.node is self:
            self._let_go()

    def on_blur(self) -> None:
        """Let go of the block when the keys go elsewhere."""
        self.post_message(self.Left())

    def _let_go(self) -> None:
        if not self.has_focus:
            self.post_message(self.Left())

    def _point(self, x: int, y: int) -> None:
        place, state = self._place_at(x, y), self._state
        if state is None:
            return
        if place is None:
            self._let_go()
        elif place != state.place or not state.is_pointed_at:
            state.go_to(place)
            self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Point at a block, also where no motion is reported; a double click goes to its text."""
        self._point(event.x, event.y)
        if event.chain > 1 and self._place_at(event.x, event.y) is not None:
            self.post_message(self.Jumped())

    async def _on_key(self, event: events.Key) -> None:
        if self.app.chat.press(event.key):
            event.stop()
            event.prevent_default()
