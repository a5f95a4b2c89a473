"""BlockLanes: a line per session, its tokens from left to right, forks below their origin.

Shows what is shared, what a window let go of (`_`), what is only on disk (`=`) and what is not
computed (`?`). Pure functions of the view; no widget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.block_marks import (
    ON_DISK,
    RELEASED,
    UNKNOWN,
    BlockMarks,
    blocks_per_cell,
    joined,
    zoomed,
)
from kvchat.tui.block_place import BlockPlace
from kvchat.tui.block_rows import SessionRow, family_order
from kvchat.tui.cells import Line, Span, fit
from kvchat.tui.figures import token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.pool_figures import byte_size, pool_figures

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

SCALE_CELLS = 8
MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Lane:
    """One session as a row of blocks; places behind the table are on disk, then not computed."""

    session_id: str
    branch: str
    row: SessionRow
    table: tuple[int, ...]
    num_blocks: int
    num_disk_blocks: int


@dataclass(frozen=True, slots=True)
class LaneGrid:
    """What is drawn where: `size` blocks a cell, from `first_cell` and `first_lane` on."""

    names: int
    width: int
    height: int
    size: int
    first_cell: int
    first_lane: int
    with_columns: bool

    @property
    def left(self) -> int:
        """The column of the first cell."""
        return self.names + 1


def lanes_of(
    view: "PoolView", rows: Mapping[str, SessionRow], glyphs: Glyphs, session_ids: Sequence[str]
) -> list[Lane]:
    """Return the lanes of sessions that have tokens, forks below their origin."""
    tables = {sequence.session_id: sequence.table for sequence in view.sequences}
    size = view.block_size
    lanes = []
    known = {key: rows[key] for key in session_ids if key in rows}
    for key, depth, is_last in family_order(known):
        row, table = rows[key], tables.get(key, ())
        num_blocks = max(len(table), -(-row.num_tokens // size))
        if not num_blocks:
            continue
        num_disk = min(-(-row.num_disk_tokens // size), num_blocks - len(table))
        branch = ""
        if depth:
            corner = glyphs.bottom_left if is_last else glyphs.tee
            branch = " " * (min(depth, MAX_DEPTH) - 1) + corner + " "
        lanes.append(Lane(key, branch, row, table, num_blocks, num_disk))
    return lanes


def lane_grid(
    lanes: Sequence[Lane],
    width: int,
    height: int,
    *,
    zoom: int = 0,
    place: BlockPlace | None = None,
) -> LaneGrid:
    """Return how lanes are drawn in a space whose first line is the scale."""
    with_columns = width >= 100
    names = 19 if width >= 100 else 15 if width >= 60 else 8
    columns = 42 if with_columns else 6 if width >= 60 else 0
    cells = max(width - names - 2 - columns, 1)
    longest = max((lane.num_blocks for lane in lanes), default=1)
    size = zoomed(blocks_per_cell(longest, cells), zoom)
    num_cells = -(-longest // size)
    first_cell, first_lane = 0, 0
    if place is not None:
        at = place.index // size
        if num_cells > cells:
            first_cell = min(max(at - cells // 2, 0), num_cells - cells)
        rows = max(height - 1, 1)
        chosen = next((i for i, lane in enumerate(lanes) if lane.session_id == place.session_id), 0)
        if len(lanes) > rows:
            first_lane = min(max(chosen - rows // 2, 0), len(lanes) - rows)
    return LaneGrid(names, cells, max(height - 1, 1), size, first_cell, first_lane, with_columns)


def lane_place(lanes: Sequence[Lane], grid: LaneGrid, x: int, y: int) -> tuple[Lane, int] | None:
    """Return the lane and the block index at a column and a row below the scale, or None."""
    number = grid.first_lane + y
    column = x - grid.left
    if not (0 <= y < grid.height and number < len(lanes) and 0 <= column < grid.width):
        return None
    lane = lanes[number]
    index = (grid.first_cell + column) * grid.size
    return (lane, index) if index < lane.num_blocks else None


def lane_lines(
    view: "PoolView",
    lanes: Sequence[Lane],
    rows: Mapping[str, SessionRow],
    grid: LaneGrid,
    width: int,
    glyphs: Glyphs,
    *,
    place: BlockPlace | None = None,
    lit: tuple[str, range] | None = None,
    with_recent: bool = False,
) -> list[Line]:
    """Return the scale, and a line for each lane in view."""
    lines = [_scale(view, grid, width)]
    owners = {key: row.owner for key, row in rows.items()}
    marks = BlockMarks(view, owners, glyphs, with_recent=with_recent)
    figures = {each.session_id: each for each in pool_figures(view).sequences}
    for lane in lanes[grid.first_lane : grid.first_lane + grid.height]:
        is_chosen = place is not None and place.session_id == lane.session_id
        cursor = place.index if is_chosen and place is not None else -1
        lit_range = lit[1] if lit is not None and lit[0] == lane.session_id else range(0)
        hue = f"hue{lane.row.owner.hue}"
        pointer = glyphs.chosen if is_chosen else " "
        name = fit(
            f"{pointer}{lane.branch}{lane.row.owner.tag} {lane.row.title}",
            grid.names,
            glyphs.ellipsis,
        )
        cells = _cells(marks, lane, grid, cursor, lit_range)
        spans: list[Span] = [(name, f"{hue} bold" if is_chosen else hue), (" ", "")]
        spans += joined(cells)
        spans.append((" " * (grid.width - len(cells) + 1), ""))
        each = figures.get(lane.session_id)
        count = str(each.num_blocks) if each is not None and each.num_blocks else glyphs.nothing
        if grid.with_columns:
            size = byte_size(each.num_bytes) if each is not None else "0 B"
            reused = f"{lane.row.reused} reused" if lane.row.reused else ""
            released = each.num_released if each is not None else 0
            now = lane.row.now
            if released and now == "idle":
                now = f"{released} released"
            columns = f"{count:>5} {size:>9} {reused:>12}  {fit(now, 11, glyphs.ellipsis)}"
            spans.append((columns, ""))
        elif width >= 60:
            spans.append((f"{count:>5}", ""))
        lines.append(tuple(spans))
    return lines


def _scale(view: "PoolView", grid: LaneGrid, width: int) -> Line:
    step = grid.size * view.block_size
    text = ""
    for cell in range(0, grid.width, SCALE_CELLS):
        if grid.width - cell < SCALE_CELLS and cell:
            break
        text += f"{token_count((grid.first_cell + cell) * step):<{SCALE_CELLS}}"
    line = " " * grid.left + fit(text, grid.width + 1, "")
    if grid.with_columns:
        line += f"{'blk':>5} {'memory':>9} {'cache':>12}  now"
    elif width >= 60:
        line += f"{'blk':>5}"
    return ((fit(line, width, ""), "dim"),)


def _cells(marks: BlockMarks, lane: Lane, grid: LaneGrid, cursor: int, lit: range) -> list[Span]:
    behind = lane.num_blocks - len(lane.table) - lane.num_disk_blocks
    text = marks.table(lane.table) + ON_DISK * lane.num_disk_blocks + UNKNOWN * behind
    size = grid.size
    cells: list[Span] = []
    for cell in range(grid.first_cell, grid.first_cell + grid.width):
        first = cell * size
        part = text[first : first + size]
        if not part:
            break
        mark = marks.chosen(part)
        index = first + part.index(mark)
        block = lane.table[index] if index < len(lane.table) else -1
        style = marks.style(mark, block)
        if mark == RELEASED:
            style = "free"
        if lit and first < lit.stop and lit.start < first + size:
            style += " lit"
        if first <= cursor < first + size:
            style += " at"
        cells.append((mark, style))
    return cells
