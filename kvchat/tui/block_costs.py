"""What an action at a block would cost: computed from a PoolView alone, before it is taken.

Rewinding drops references, forking adds some; neither computes anything. Only what a window has
released must be read again.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.block_place import sequence_of

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView, SequenceView


@dataclass(frozen=True, slots=True)
class RewindCost:
    """What cutting a session behind its first tokens does.

    num_dropped  blocks that then nobody uses; they stay cached until their room is needed
    num_staying  blocks that others go on using
    stay_with    the sessions that do, oldest first
    num_reread   tokens to compute again, since a window has let go of what is seen from there
    """

    num_dropped: int
    num_staying: int
    stay_with: tuple[str, ...]
    num_reread: int


@dataclass(frozen=True, slots=True)
class ForkCost:
    """What a fork takes: nothing at once, a block with its first token, of which one is a copy."""

    num_first_blocks: int
    is_copy: bool
    num_reread: int


def rewind_cost(view: "PoolView", session_id: str, num_tokens: int) -> RewindCost:
    """Return what rewinding a session to its first `num_tokens` tokens would do."""
    sequence = sequence_of(view, session_id)
    if sequence is None:
        return RewindCost(0, 0, (), 0)
    keep = -(-num_tokens // view.block_size)
    cut = {block for block in sequence.table[keep:] if block >= 0}
    staying = {block for block in cut if view.ref_counts[block] > 1}
    stay_with = tuple(
        other.session_id
        for other in view.sequences
        if other is not sequence and not staying.isdisjoint(other.table)
    )
    return RewindCost(
        len(cut) - len(staying), len(staying), stay_with, _num_reread(view, sequence, num_tokens)
    )


def fork_cost(view: "PoolView", session_id: str, num_tokens: int) -> ForkCost:
    """Return what a fork of a session's first `num_tokens` tokens would take."""
    sequence = sequence_of(view, session_id)
    if sequence is None:
        return ForkCost(1, False, num_tokens)
    is_open = num_tokens % view.block_size != 0
    return ForkCost(1, is_open, _num_reread(view, sequence, num_tokens))


def unload_cost(view: "PoolView", session_id: str) -> tuple[int, int]:
    """Return how many blocks unloading a session frees, and how many stay with others."""
    cost = rewind_cost(view, session_id, 0)
    return cost.num_dropped, cost.num_staying


def _num_reread(view: "PoolView", sequence: "SequenceView", num_tokens: int) -> int:
    """Return the tokens to read again where something seen from there is not in the table."""
    if num_tokens > sequence.length + 1:  # the last token of a reply is computed when it goes on
        return num_tokens - sequence.length
    size = view.block_size
    last = -(-num_tokens // size)
    first_seen, sink_blocks = 0, 0
    if sequence.window is not None:
        first_seen = max(num_tokens - sequence.window, 0) // size
        sink_blocks = -(-sequence.sinks // size)
    seen = [*range(min(sink_blocks, last)), *range(first_seen, last)]
    return num_tokens if any(sequence.table[index] < 0 for index in seen) else 0
