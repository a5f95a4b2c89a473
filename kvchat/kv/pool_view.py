"""PoolView: an immutable copy of who owns which block, read by any thread without a lock.

The engine thread makes one after a commit while somebody watches; readers only ever see whole
views. Knows no tensors and no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the pool itself imports BlockState
    from kvchat.kv.block_pool import BlockPool
    from kvchat.kv.paged_sequence import PagedSequence


class BlockState(IntEnum):
    """What a block is right now; every block is in exactly one state."""

    FREE = 0
    CACHED = 1
    PRIVATE = 2
    SHARED = 3
    HELD = 4


@dataclass(frozen=True, slots=True)
class SequenceView:
    """The block table of one sequence; -1 marks a block that its window released."""

    session_id: str
    table: tuple[int, ...]
    length: int
    num_runs: int


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One thing that happened to blocks, in words a person can read."""

    number: int
    kind: str
    text: str
    num_blocks: int
    at: float


@dataclass(frozen=True, slots=True)
class PoolView:
    """State of every block of one layer group at one moment.

    `ref_counts` and `states` hold one byte per block (counts saturate at 255); `owners` holds the
    index into `sequences` of the oldest owner, or -1. free + cached + private + shared + held is
    num_blocks.
    """

    version: int
    block_size: int
    block_bytes: int
    num_blocks: int
    ref_counts: bytes
    states: bytes
    owners: tuple[int, ...]
    sequences: tuple[SequenceView, ...]
    events: tuple[PoolEvent, ...]
    num_free: int
    num_cached: int
    num_private: int
    num_shared: int
    num_held: int

    @classmethod
    def of(
        cls,
        pool: "BlockPool",
        sequences: "Sequence[PagedSequence]",
        group_index: int,
        *,
        version: int,
        block_size: int,
        block_bytes: int,
        events: tuple[PoolEvent, ...],
    ) -> "PoolView":
        """Return a copy of one layer group's pool; sequences come oldest first."""
        owners = [-1] * pool.num_blocks
        views = []
        for place, sequence in enumerate(sequences):
            table = sequence.tables[group_index]
            for block in table.blocks:
                if block >= 0 and owners[block] < 0:
                    owners[block] = place
            views.append(
                SequenceView(sequence.owner, tuple(table.blocks), sequence.length, table.num_runs())
            )
        return cls(
            version=version,
            block_size=block_size,
            block_bytes=block_bytes,
            num_blocks=pool.num_blocks,
            ref_counts=bytes(min(255, count) for count in pool.ref_counts),
            states=bytes(pool.state(block) for block in range(pool.num_blocks)),
            owners=tuple(owners),
            sequences=tuple(views),
            events=events,
            num_free=pool.num_free,
            num_cached=pool.num_cached,
            num_private=pool.num_private,
            num_shared=pool.num_shared,
            num_held=len(pool.held),
        )
