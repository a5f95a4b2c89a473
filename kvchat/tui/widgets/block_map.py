"""BlockMap: a PoolView as cells, one for 1, 2, 4, 8 … blocks in physical order.

Pure functions of the view; no widget. What a cell shows stands in `block_marks`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.block_marks import BlockMarks, blocks_per_cell, joined, zoomed
from kvchat.tui.block_rows import Owner
from kvchat.tui.cells import Line, Span
from kvchat.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView


@dataclass(frozen=True, slots=True)
class MapGrid:
    """Which blocks which cell shows: `size` blocks a cell, rows of `width` cells.

    `first_row` is the row of the whole map that is drawn first, where it does not fit.
    """

    num_blocks: int
    width: int
    height: int
    size: int
    first_row: int

    @classmethod
    def fit(
        cls, num_blocks: int, width: int, height: int, *, zoom: int = 0, block: int = -1
    ) -> "MapGrid":
        """Return the grid that shows all blocks; zoomed in, the rows around `block`."""
        width, height = max(width, 1), max(height, 1)
        size = zoomed(blocks_per_cell(num_blocks, width * height), zoom)
        num_rows = -(-num_blocks // (size * width))
        at = max(block, 0) // (size * width)
        first_row = min(max(at - height // 2, 0), max(num_rows - height, 0))
        return cls(num_blocks, width, height, size, first_row)

    def block_at(self, x: int, y: int) -> int | None:
        """Return the first block of the cell at a column and row, None outside the map."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            return None
        block = ((self.first_row + y) * self.width + x) * self.size
        return block if block < self.num_blocks else None


def map_lines(
    view: "PoolView",
    owners: Mapping[str, Owner],
    grid: MapGrid,
    glyphs: Glyphs,
    *,
    cursor: int = -1,
    lit: Collection[int] = (),
    with_recent: bool = False,
) -> list[Line]:
    """Return the lines of the map; the cell of block `cursor` and those of `lit` stand out."""
    marks = BlockMarks(view, owners, glyphs, with_recent=with_recent)
    all_marks = marks.pool()
    size = grid.size
    start = grid.first_row * grid.width * size
    end = min(view.num_blocks, start + grid.width * grid.height * size)
    lit_cells = {block // size for block in lit}
    cells: list[Span] = []
    for first in range(start, end, size):
        part = all_marks[first : first + size]
        mark = part if size == 1 else marks.chosen(part)
        style = marks.style(mark, first if size == 1 else first + part.index(mark))
        if lit_cells and first // size in lit_cells:
            style += " lit"
        if first <= cursor < first + size:
            style += " at"
        cells.append((mark, style))
    return [joined(cells[at : at + grid.width]) for at in range(0, len(cells), grid.width)]
