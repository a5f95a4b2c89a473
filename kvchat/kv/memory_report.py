"""MemoryReport: where every block of a pool is, in figures that add up to the byte.

Each physical block is counted in exactly one of free, cached, private, shared and held. Plain
integers, no tensors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE
from kvchat.kv.step import PagedSequence


@dataclass(frozen=True, slots=True)
class SequenceMemory:
    """Blocks of one sequence over all layer groups, and the bytes it alone would free."""

    owner: str
    num_tokens: int
    num_private_blocks: int
    num_shared_blocks: int
    private_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Where every block is; bytes of free, cached, private, shared and held sum to the pool."""

    pool_bytes: int
    free_bytes: int
    cached_bytes: int
    private_bytes: int
    shared_bytes: int
    held_bytes: int
    sequences: tuple[SequenceMemory, ...]


def memory_report(
    pools: Sequence[BlockPool], block_bytes: Sequence[int], sequences: Iterable[PagedSequence]
) -> MemoryReport:
    """Count the blocks of all layer groups; `block_bytes` has the bytes of a block per group."""
    sizes = list(zip(pools, block_bytes, strict=True))
    return MemoryReport(
        pool_bytes=sum(pool.num_blocks * size for pool, size in sizes),
        free_bytes=sum(pool.num_free * size for pool, size in sizes),
        cached_bytes=sum(pool.num_cached * size for pool, size in sizes),
        private_bytes=sum(pool.num_private * size for pool, size in sizes),
        shared_bytes=sum(pool.num_shared * size for pool, size in sizes),
        held_bytes=sum(len(pool.held) * size for pool, size in sizes),
        sequences=tuple(_sequence_memory(sequence, block_bytes) for sequence in sequences),
    )


def _sequence_memory(sequence: PagedSequence, block_bytes: Sequence[int]) -> SequenceMemory:
    num_private = num_shared = private_bytes = 0
    for table, size in zip(sequence.tables, block_bytes, strict=True):
        for block in table.blocks:
            if block == HOLE:
                continue
            if table.pool.ref_counts[block] == 1:
                num_private += 1
                private_bytes += size
            else:
                num_shared += 1
    return SequenceMemory(sequence.owner, sequence.length, num_private, num_shared, private_bytes)
