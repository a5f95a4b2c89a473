"""PoolView: an immutable copy of who owns which block, read by any thread without a lock.

The engine thread makes one after a commit while somebody watches; readers only ever see whole
views. Knows no tensors and no text.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from kvchat.kv.pool_history import PoolSample

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
    """The block table of one sequence; -1 marks a block that its window released.

    `num_bytes` counts its blocks in all layer groups, shared ones whole; `last_used` is a counter
    that grows with use.
    """

    session_id: str
    table: tuple[int, ...]
    length: int
    num_runs: int
    window: int | None = None
    sinks: int = 0
    num_bytes: int = 0
    last_used: int = 0


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One thing that happened to blocks, in words a person can read."""

    number: int
    kind: str
    text: str
    num_blocks: int
    at: float


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How many blocks of a layer group are in which state; the counts add up to `num_blocks`."""

    num_blocks: int
    block_bytes: int
    num_free: int
    num_cached: int
    num_private: int
    num_shared: int
    num_held: int

    @classmethod
    def of(cls, pool: "BlockPool", block_bytes: int) -> "GroupCounts":
        """Return the counts of a pool now."""
        return cls(
            pool.num_blocks,
            block_bytes,
            pool.num_free,
            pool.num_cached,
            pool.num_private,
            pool.num_shared,
            len(pool.held),
        )


@dataclass(frozen=True, slots=True)
class PoolView:
    """State of every block of one layer group at one moment.

    ref_counts, states  one byte per block; counts saturate at 255
    owners              per block the index into `sequences` of the oldest owner, or -1
    cached              the cached blocks, in the order in which they give way
    copied, evicted     blocks that a copy was written to, or that gave way, within the last second
    history             samples of some minutes; see `PoolSample`
    groups              the counts of every layer group, this one at `group_index`
    num_blocks_by_kind  for each kind of event, how many blocks it touched since the start
    filled_at           per block, in Unix seconds, when it got what it holds, or its first part
    peak_used_blocks    the most blocks of the first layer group that were in use in a sample

    free + cached + private + shared + held is num_blocks. `at` is in Unix seconds.
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
    cached: tuple[int, ...] = ()
    copied: tuple[int, ...] = ()
    evicted: tuple[int, ...] = ()
    history: tuple[PoolSample, ...] = ()
    groups: tuple[GroupCounts, ...] = ()
    group_index: int = 0
    num_blocks_by_kind: tuple[tuple[str, int], ...] = ()
    peak_used_blocks: int = 0
    at: float = 0.0
    filled_at: Sequence[float] = ()

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
        groups: tuple[GroupCounts, ...] = (),
        copied: tuple[int, ...] = (),
        evicted: tuple[int, ...] = (),
        history: tuple[PoolSample, ...] = (),
        num_blocks_by_kind: tuple[tuple[str, int], ...] = (),
        peak_used_blocks: int = 0,
    ) -> "PoolView":
        """Return a copy of one layer group's pool; sequences come oldest first.

        Loops in Python over what tables name and what is cached, and over nothing else.
        """
        num_blocks = pool.num_blocks
        # The place behind the last block takes what is written for holes, whose id is -1.
        owners = [-1] * (num_blocks + 1)
        for place in range(len(sequences) - 1, -1, -1):
            for block in sequences[place].tables[group_index].blocks:
                owners[block] = place
        del owners[num_blocks:]
        counts = pool.ref_counts
        ref_counts = bytes(counts) if max(counts) < 256 else bytes(min(255, c) for c in counts)
        states = bytearray(ref_counts.translate(_STATE_OF_COUNT))
        cached = tuple(pool.cached_blocks())
        for block in cached:
            states[block] = BlockState.CACHED
        for block in pool.held:
            states[block] = BlockState.HELD
        return cls(
            version=version,
            block_size=block_size,
            block_bytes=block_bytes,
            num_blocks=num_blocks,
            ref_counts=ref_counts,
            states=bytes(states),
            owners=tuple(owners),
            sequences=tuple(
                _sequence_view(sequence, group_index, groups) for sequence in sequences
            ),
            events=events,
            num_free=pool.num_free,
            num_cached=pool.num_cached,
            num_private=pool.num_private,
            num_shared=pool.num_shared,
            num_held=len(pool.held),
            cached=cached,
            copied=copied,
            evicted=evicted,
            history=history,
            groups=groups,
            group_index=group_index,
            num_blocks_by_kind=num_blocks_by_kind,
            peak_used_blocks=peak_used_blocks,
            at=time.time(),
            filled_at=pool.filled_at[:],
        )


_STATE_OF_COUNT = bytes([BlockState.FREE, BlockState.PRIVATE] + [BlockState.SHARED] * 254)


def _sequence_view(
    sequence: "PagedSequence", group_index: int, groups: tuple[GroupCounts, ...]
) -> SequenceView:
    table, visible = sequence.tables[group_index], sequence.schedule.at(sequence.length)
    return SequenceView(
        sequence.owner,
        tuple(table.blocks),
        sequence.length,
        table.num_runs(),
        visible.window,
        visible.sinks,
        sum(
            (len(each.blocks) - each.blocks.count(-1)) * group.block_bytes
            for each, group in zip(sequence.tables, groups, strict=False)
        ),
        sequence.last_used,
    )
