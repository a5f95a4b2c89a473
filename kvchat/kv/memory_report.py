"""MemoryReport: where every block of a pool is, in figures that add up to the byte.

Each physical block is in exactly one row: free, cached, held, private to one sequence, or shared by
a set of sequences. Plain integers, no tensors.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE
from kvchat.kv.paged_sequence import PagedSequence

RowKind = Literal["free", "cached", "held", "private", "shared"]


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """Blocks of one layer group in one state, and the sequences that name them, oldest first."""

    group_index: int
    kind: RowKind
    owners: tuple[str, ...]
    num_blocks: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class SequenceMemory:
    """Blocks of one sequence over all layer groups, and what it would cost to do without it.

    owner                its name, or the number of the sequence where it has none
    num_released_blocks  blocks its windows let go of; they are counted where they are now
    num_unused_slots     token slots of its open last block that nothing was written to
    shared_with          the others that name blocks of it, oldest first
    private_bytes        bytes it alone would free
    resume_tokens        tokens to compute again, at most, once its private blocks are gone
    eviction_place       1 for the sequence that gives up blocks first, if it is idle
    """

    owner: str
    num_tokens: int
    num_private_blocks: int
    num_shared_blocks: int
    num_released_blocks: int
    num_unused_slots: int
    shared_with: tuple[str, ...]
    private_bytes: int
    resume_tokens: int
    eviction_place: int


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Where every block is; the bytes of all rows sum to the pool, and so do those of the kinds.

    `next_victim` is the sequence that gives up blocks next if it is idle, once cached blocks, which
    go first, are used up; None without any. `earmarked_bytes` are part of the free ones.
    """

    pool_bytes: int
    free_bytes: int
    earmarked_bytes: int
    cached_bytes: int
    private_bytes: int
    shared_bytes: int
    held_bytes: int
    rows: tuple[MemoryRow, ...]
    sequences: tuple[SequenceMemory, ...]
    next_victim: str | None


def memory_report(
    pools: Sequence[BlockPool], block_bytes: Sequence[int], sequences: Mapping[int, PagedSequence]
) -> MemoryReport:
    """Count the blocks of all layer groups; `block_bytes` has the bytes of a block per group.

    Looks at every entry of every table; who owns a block is counted there, not in the pools.
    """
    rows: list[MemoryRow] = []
    owners_of_groups = []
    for group_index, (pool, size) in enumerate(zip(pools, block_bytes, strict=True)):
        owners = _owners(group_index, sequences)
        owners_of_groups.append(owners)
        kinds: dict[tuple[RowKind, tuple[int, ...]], int] = {
            ("free", ()): pool.num_free,
            ("cached", ()): pool.num_cached,
            ("held", ()): len(pool.held),
        }
        for named, count in Counter(map(tuple, owners.values())).items():
            kinds["private" if len(named) == 1 else "shared", named] = count
        rows += [
            MemoryRow(
                group_index,
                kind,
                tuple(_name(sequences, each) for each in named),
                count,
                count * size,
            )
            for (kind, named), count in kinds.items()
            if count
        ]

    def total(kind: RowKind) -> int:
        return sum(row.num_bytes for row in rows if row.kind == kind)

    order = sorted(
        (each for each, state in sequences.items() if state.length),
        key=lambda each: sequences[each].last_used,
    )
    places = {each: place for place, each in enumerate(order, 1)}
    return MemoryReport(
        pool_bytes=sum(map(int.__mul__, (pool.num_blocks for pool in pools), block_bytes)),
        free_bytes=total("free"),
        earmarked_bytes=sum(
            map(int.__mul__, (pool.free.num_earmarked for pool in pools), block_bytes)
        ),
        cached_bytes=total("cached"),
        private_bytes=total("private"),
        shared_bytes=total("shared"),
        held_bytes=total("held"),
        rows=tuple(rows),
        sequences=tuple(
            _sequence_memory(each, sequences, owners_of_groups, block_bytes, places.get(each, 0))
            for each in sequences
        ),
        next_victim=_name(sequences, order[0]) if order else None,
    )


def _name(sequences: Mapping[int, PagedSequence], sequence: int) -> str:
    return sequences[sequence].owner or str(sequence)


def _owners(group_index: int, sequences: Mapping[int, PagedSequence]) -> dict[int, list[int]]:
    """Return for each block that tables name the sequences they belong to."""
    owners: dict[int, list[int]] = {}
    for each, state in sequences.items():
        for block in state.tables[group_index].blocks:
            if block != HOLE:
                owners.setdefault(block, []).append(each)
    return owners


def _sequence_memory(
    sequence: int,
    sequences: Mapping[int, PagedSequence],
    owners_of_groups: Sequence[Mapping[int, Sequence[int]]],
    block_bytes: Sequence[int],
    eviction_place: int,
) -> SequenceMemory:
    state = sequences[sequence]
    num_private = num_shared = num_released = private_bytes = 0
    others: set[int] = set()
    kept_tokens = state.length
    for table, owners, size in zip(state.tables, owners_of_groups, block_bytes, strict=True):
        for index, block in enumerate(table.blocks):
            if block == HOLE:
                num_released += 1
            elif len(owners[block]) == 1:
                num_private += 1
                private_bytes += size
                kept_tokens = min(kept_tokens, index * table.block_size)
            else:
                num_shared += 1
                others.update(owners[block])
    if num_released and num_private:
        kept_tokens = 0  # what a window let go of is not there to go on from
    others.discard(sequence)
    return SequenceMemory(
        owner=_name(sequences, sequence),
        num_tokens=state.length,
        num_private_blocks=num_private,
        num_shared_blocks=num_shared,
        num_released_blocks=num_released,
        num_unused_slots=-state.length % state.tables[0].block_size,
        shared_with=tuple(_name(sequences, each) for each in sequences if each in others),
        private_bytes=private_bytes,
        resume_tokens=state.length - kept_tokens,
        eviction_place=eviction_place,
    )
