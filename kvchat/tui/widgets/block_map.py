"""BlockMap: a PoolView as cells, one for 1, 2, 4, 8 … blocks in physical order.

Letter and colour say the same: `a` a block of one session, `A` one being written, `2` to `9` and
`+` a block several sessions share, `░` cached, `·` free. Pure functions of the view; no widget.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.cells import Line, Span
from kvchat.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

FREE, CACHED, PRIVATE, SHARED, HELD = range(5)
"""The states of a block, as the bytes of a view number them."""


@dataclass(frozen=True, slots=True)
class Owner:
    """How the blocks of one session are drawn."""

    tag: str
    hue: int
    is_writing: bool


@dataclass(frozen=True, slots=True)
class SequenceFigures:
    """What one session holds: blocks in its table, how many of them others use too."""

    session_id: str
    num_blocks: int
    num_shared: int
    num_released: int
    num_runs: int

    @property
    def num_own(self) -> int:
        """Blocks that nobody else uses."""
        return self.num_blocks - self.num_shared


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Totals that add up: rows - saved = used, used + cached + free = total."""

    num_rows: int
    num_saved: int
    num_used: int
    num_cached: int
    num_free: int
    num_total: int
    sequences: tuple[SequenceFigures, ...]


def blocks_per_cell(num_blocks: int, num_cells: int) -> int:
    """Return the smallest power of two with which all blocks fit into so many cells."""
    size = 1
    while num_blocks > size * max(num_cells, 1):
        size *= 2
    return size


def pool_figures(view: "PoolView") -> PoolFigures:
    """Return the totals of a view and the figures of each session in it."""
    sequences = []
    num_rows = 0
    for sequence in view.sequences:
        blocks = [block for block in sequence.table if block >= 0]
        shared = sum(view.ref_counts[block] > 1 for block in blocks)
        num_rows += len(blocks)
        sequences.append(
            SequenceFigures(
                sequence.session_id,
                len(blocks),
                shared,
                len(sequence.table) - len(blocks),
                sequence.num_runs,
            )
        )
    num_used = view.num_private + view.num_shared + view.num_held
    return PoolFigures(
        num_rows,
        max(num_rows - view.num_private - view.num_shared, 0),
        num_used,
        view.num_cached,
        view.num_free,
        view.num_blocks,
        tuple(sequences),
    )


def map_lines(
    view: "PoolView", owners: Mapping[str, Owner], width: int, height: int, glyphs: Glyphs
) -> list[Line]:
    """Return the map in at most `width` times `height` cells."""
    if width < 1 or height < 1:
        return []
    size = blocks_per_cell(view.num_blocks, width * height)
    written = _written_blocks(view, owners)
    cells: list[Span] = []
    for start in range(0, view.num_blocks, size):
        blocks = range(start, min(start + size, view.num_blocks))
        cells.append(_cell(view, owners, blocks, written, glyphs))
    return [_joined(cells[at : at + width]) for at in range(0, len(cells), width)]


def _written_blocks(view: "PoolView", owners: Mapping[str, Owner]) -> set[int]:
    written: set[int] = set()
    for sequence in view.sequences:
        owner = owners.get(sequence.session_id)
        if owner is not None and owner.is_writing and sequence.table:
            block = sequence.table[-1]
            if block >= 0 and view.ref_counts[block] == 1:
                written.add(block)
    return written


def _cell(
    view: "PoolView",
    owners: Mapping[str, Owner],
    blocks: range,
    written: set[int],
    glyphs: Glyphs,
) -> Span:
    for block in blocks:  # a block being written always shows
        if block in written:
            return _block_cell(view, owners, block, True, glyphs)
    if len(blocks) == 1:
        return _block_cell(view, owners, blocks[0], False, glyphs)
    drawn = [_block_cell(view, owners, block, False, glyphs) for block in blocks]
    counts = Counter(drawn)
    most = max(counts.values())
    best = [cell for cell in counts if counts[cell] == most]
    for cell in best:  # on a tie the shared block shows
        if cell[0].isdigit() or cell[0] == "+":
            return cell
    return best[0]


def _block_cell(
    view: "PoolView",
    owners: Mapping[str, Owner],
    block: int,
    is_written: bool,
    glyphs: Glyphs,
) -> Span:
    state = view.states[block]
    if state == FREE:
        return glyphs.free, "free"
    if state == CACHED:
        return glyphs.cached, "cached"
    index = view.owners[block]
    owner = owners.get(view.sequences[index].session_id) if index >= 0 else None
    style = f"cell{owner.hue}" if owner is not None else "dim"
    if state == SHARED:
        count = view.ref_counts[block]
        return (str(count) if count <= 9 else "+"), style
    if owner is None:
        return (glyphs.held if state == HELD else "?"), style
    if is_written or state == HELD:
        return owner.tag.upper(), f"{style} written"
    return owner.tag.lower(), style


def _joined(cells: list[Span]) -> Line:
    spans: list[Span] = []
    for text, style in cells:
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + text, style)
        else:
            spans.append((text, style))
    return tuple(spans)
