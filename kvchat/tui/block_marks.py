"""BlockMarks: one character per block, and the style it is drawn in; what map and lanes share.

Letter and colour say the same: `a` a block of one session, `A` one being written, `2` to `9` and
`+` a block several sessions share, `░` cached, `·` free, `*` just copied, `x` just evicted. A cell
of several blocks shows what most of them are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kvchat.tui.block_rows import Owner
from kvchat.tui.cells import Line, Span
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.pool_figures import CACHED, FREE, HELD, SHARED

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

RELEASED, ON_DISK, UNKNOWN = "_", "=", "?"
COPIED, EVICTED = "*", "x"
SHARED_MARKS = frozenset("23456789+")
NUM_AGES = 3
CACHED_AGES = tuple(f"cached{age}" for age in range(NUM_AGES))
"""The styles of cached blocks, from those that give way first."""


class BlockMarks:
    """The marks of all blocks of a view.

    `with_recent` points at blocks copied or evicted within the last second, as of the view.
    """

    def __init__(
        self,
        view: "PoolView",
        owners: Mapping[str, Owner],
        glyphs: Glyphs,
        *,
        with_recent: bool = False,
    ) -> None:
        self.view = view
        self._owners = owners
        self._glyphs = glyphs
        held = glyphs.held
        of_state = {FREE: glyphs.free, CACHED: glyphs.cached, HELD: held}
        marks = [of_state.get(state, UNKNOWN) for state in view.states]
        marks.append(RELEASED)  # where a table says -1
        written: set[str] = set()
        states, counts = view.states, view.ref_counts
        for sequence in reversed(view.sequences):  # the oldest owner is the last to be written
            owner = owners.get(sequence.session_id)
            if owner is None:
                continue
            letter = owner.tag.lower()
            for block in sequence.table:
                if block >= 0:
                    marks[block] = letter
        for sequence in view.sequences:
            owner = owners.get(sequence.session_id)
            last = sequence.table[-1] if sequence.table else -1
            if owner is not None and owner.is_writing and last >= 0 and counts[last] == 1:
                marks[last] = owner.tag.upper()
                written.add(owner.tag.upper())
        if view.num_shared:
            for block, state in enumerate(states):
                if state == SHARED:
                    marks[block] = str(counts[block]) if counts[block] <= 9 else "+"
        if with_recent:
            for block in view.evicted:
                marks[block] = EVICTED
            for block in view.copied:
                marks[block] = COPIED
        self._marks = "".join(marks)
        self._always = [*sorted(written), *([COPIED, EVICTED] if with_recent else [])]
        self._ages = {}
        if view.cached:
            share = -(-len(view.cached) // NUM_AGES)
            self._ages = {block: place // share for place, block in enumerate(view.cached)}

    def pool(self) -> str:
        """Return the marks of all blocks in physical order."""
        return self._marks[:-1]

    def table(self, table: tuple[int, ...]) -> str:
        """Return the marks of a table's blocks in the order of their tokens."""
        return "".join([self._marks[block] for block in table])

    def chosen(self, marks: str) -> str:
        """Return the one mark for a cell of these: the majority, on a tie a shared one.

        A block being written, copied or evicted always shows.
        """
        first = marks[0]
        if marks.count(first) == len(marks):
            return first
        for mark in self._always:
            if mark in marks:
                return mark
        return max(dict.fromkeys(marks), key=lambda mark: (marks.count(mark), mark in SHARED_MARKS))

    def style(self, mark: str, block: int) -> str:
        """Return the style of a mark; `block` is one that has it, -1 for none."""
        if block < 0:
            return "free" if mark == RELEASED else "dim"
        view = self.view
        state = view.states[block]
        if mark in (COPIED, EVICTED):
            return "recent"
        if state == FREE:
            return "free"
        if state == CACHED:
            return CACHED_AGES[self._ages.get(block, 0)]
        place = view.owners[block]
        owner = self._owners.get(view.sequences[place].session_id) if place >= 0 else None
        if owner is None:
            return "dim"
        return f"cell{owner.hue} written" if mark.isupper() else f"cell{owner.hue}"


def joined(cells: list[Span]) -> Line:
    """Return cells as spans, with neighbours of one style in one."""
    texts: list[str] = []
    spans: list[Span] = []
    style = ""
    for text, of_cell in cells:
        if of_cell != style and texts:
            spans.append(("".join(texts), style))
            texts.clear()
        style = of_cell
        texts.append(text)
    if texts:
        spans.append(("".join(texts), style))
    return tuple(spans)


def blocks_per_cell(num_blocks: int, num_cells: int) -> int:
    """Return the smallest power of two with which all blocks fit into so many cells."""
    size = 1
    while num_blocks > size * max(num_cells, 1):
        size *= 2
    return size


def zoomed(size: int, zoom: int) -> int:
    """Return the blocks per cell after so many doublings in size, or halvings where negative."""
    return max(size >> zoom, 1) if zoom >= 0 else size << -zoom
