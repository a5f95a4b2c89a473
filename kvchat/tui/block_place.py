"""BlockPlace: the block a cursor, the mouse or a message points at; and the next one to go to.

A place is a block of the pool, or a place in the table of a session, or both. Pure functions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.pool_figures import SHARED

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView, SequenceView

NO_BLOCK = -1


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A block, and the table entry through which it is looked at.

    session_id  the session whose table it is in, '' for a block in no table
    index       its place in that table; may lie behind it, where tokens are not computed
    block       its number, -1 where there is none: released, on disk, or not computed
    """

    session_id: str
    index: int
    block: int


def sequence_of(view: "PoolView", session_id: str) -> "SequenceView | None":
    """Return the sequence of a session, None where it has no blocks table."""
    for sequence in view.sequences:
        if sequence.session_id == session_id:
            return sequence
    return None


def holders(view: "PoolView", block: int) -> list[tuple[str, int]]:
    """Return the sessions whose tables name a block, oldest first, and its index in each."""
    return [
        (sequence.session_id, sequence.table.index(block))
        for sequence in view.sequences
        if block in sequence.table
    ]


def place_of_block(view: "PoolView", block: int, prefer: str = "") -> BlockPlace:
    """Return the place of a block: in the table of `prefer` if that names it, else the oldest."""
    block = min(max(block, 0), view.num_blocks - 1)
    found = holders(view, block)
    for session_id, index in found:
        if session_id == prefer:
            return BlockPlace(session_id, index, block)
    if found:
        return BlockPlace(*found[0], block)
    return BlockPlace("", 0, block)


def place_in_lane(view: "PoolView", session_id: str, index: int) -> BlockPlace:
    """Return the place at an index of a session's tokens, in blocks."""
    sequence = sequence_of(view, session_id)
    index = max(index, 0)
    if sequence is None or index >= len(sequence.table):
        return BlockPlace(session_id, index, NO_BLOCK)
    return BlockPlace(session_id, index, sequence.table[index])


def followed(view: "PoolView", place: BlockPlace) -> BlockPlace:
    """Return where a place is in a newer view: the same tokens of a session, or the same block."""
    if place.session_id:
        return place_in_lane(view, place.session_id, place.index)
    return place_of_block(view, place.block)


def next_shared(view: "PoolView", place: BlockPlace | None) -> BlockPlace | None:
    """Return the next block in the pool that several sessions use, around its end."""
    return _next_block(view, place, [state == SHARED for state in view.states])


def next_of_owner(view: "PoolView", place: BlockPlace | None) -> BlockPlace | None:
    """Return the next block, in the order of its tokens, of the session that is looked at."""
    if place is None or not place.session_id:
        return None
    sequence = sequence_of(view, place.session_id)
    if sequence is None:
        return None
    held = [index for index, block in enumerate(sequence.table) if block >= 0]
    if not held:
        return None
    index = next((index for index in held if index > place.index), held[0])
    return BlockPlace(place.session_id, index, sequence.table[index])


def _next_block(
    view: "PoolView", place: BlockPlace | None, wanted: list[bool]
) -> BlockPlace | None:
    at = NO_BLOCK if place is None else place.block
    for step in range(1, view.num_blocks + 1):
        block = (at + step) % view.num_blocks
        if wanted[block]:
            return place_of_block(view, block, "" if place is None else place.session_id)
    return None
