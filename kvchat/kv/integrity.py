"""check_pool(), check_sequence(), check_report(): recompute what pools, tables, reports claim.

For tests and self-checks: every count is derived a second way, and the first difference raises
AssertionError with the name of what is wrong. Plain Python, no tensors.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.memory_report import MemoryReport
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.prefix_index import ROOT_KEY, block_key
from kvchat.kv.window_schedule import WindowSchedule


def check_pool(pool: BlockPool, tables: Iterable[BlockTable]) -> None:
    """Check reference counts, states, free runs and the eviction order of one layer group.

    tables  all tables of the group; held blocks are named by none yet
    """
    named = [0] * pool.num_blocks
    for table in tables:
        for block in table.blocks:
            if block != HOLE:
                named[block] += 1
    for block in pool.held:
        assert named[block] == 0, "a held block is in a table"
        named[block] = 1
    assert named == pool.ref_counts, "reference counts"

    extents = pool.free.extents()
    for (first, size), (following, _) in pairwise(extents):
        assert first + size < following, "free runs overlap or touch"
    free = {block for first, size in extents for block in range(first, first + size)}
    cached = pool.cached_blocks()
    assert len(free) == pool.num_free, "number of free blocks"
    assert len(set(cached)) == len(cached) == pool.num_cached, "number of cached blocks"
    unused = {block for block, count in enumerate(pool.ref_counts) if count == 0}
    published = {block for block in range(pool.num_blocks) if block in pool.index}
    assert free == unused - published, "free blocks"
    assert set(cached) == unused & published, "cached blocks"
    assert not pool.held & published, "a held block is published"
    assert len(published) == len(pool.index), "the index names a block outside the pool"
    assert pool.index.published == published, "published blocks"
    keys = {pool.index.entry(block)[0] for block in published}
    assert pool.index.has_twins == (len(keys) < len(published)), "twins"

    num_private = sum(count == 1 for count in pool.ref_counts) - len(pool.held)
    num_shared = sum(count > 1 for count in pool.ref_counts)
    assert pool.num_shared == num_shared, "number of shared blocks"
    assert pool.num_private == num_private, "number of private blocks"
    parts = len(free) + len(cached) + num_private + num_shared + len(pool.held)
    assert parts == pool.num_blocks, "conservation"


def check_sequence(
    sequence: PagedSequence, schedules: Sequence[WindowSchedule], block_size: int, salt: bytes
) -> None:
    """Check one sequence: table lengths, holes, keys, and what its published blocks claim to hold.

    schedules  what queries of each layer group see, in the order of the tables
    """
    size, length = block_size, sequence.length
    for table, seen in zip(sequence.tables, schedules, strict=True):
        assert len(table.blocks) == -(-length // size), "table length"
        hidden = seen.hidden_blocks(sequence.release_length, size)
        for index, block in enumerate(table.blocks):
            # Equal in both directions: no hole where a query looks, no block that none can see.
            assert (block == HOLE) == (index in hidden), "holes"
    token_ids = sequence.token_ids
    if token_ids is None:
        return
    assert len(token_ids) == length, "number of token ids"
    assert len(sequence.keys) == length // size, "number of keys"
    parent = ROOT_KEY
    for index, key in enumerate(sequence.keys):
        tokens = token_ids[index * size : (index + 1) * size]
        assert key == chain_key(sequence, index, tokens, size, salt), "chained key"
        schedule, positions = sequence.schedule, range(index * size, (index + 1) * size)
        is_plain = not any(schedule.at(position).has_slid(position) for position in positions)
        if not schedule.scheme_length and is_plain:
            assert key == block_key(parent, tokens, salt), "a key before the window slid"
        for table in sequence.tables:
            block = table.blocks[index]
            if block != HOLE and block in table.pool.index:
                assert table.pool.index.entry(block) == (key, tuple(tokens)), "published tokens"
                assert block in table.pool.index.children(parent), "children of a key"
        parent = key


def check_report(report: MemoryReport, pools: Sequence[BlockPool], num_bytes: int) -> None:
    """Check that a report has every block once and every byte of the pool's tensors.

    num_bytes  of all tensors, scales included
    """
    for group_index, pool in enumerate(pools):
        counts = dict.fromkeys(("free", "cached", "held", "private", "shared"), 0)
        for row in report.rows:
            if row.group_index == group_index:
                counts[row.kind] += row.num_blocks
                assert len(row.owners) == {"private": 1}.get(row.kind, len(row.owners)), "owners"
                assert (len(row.owners) > 1) == (row.kind == "shared"), "owners of shared blocks"
        assert sum(counts.values()) == pool.num_blocks, "rows of a group"
        assert counts["private"] == pool.num_private, "private rows"
        assert counts["shared"] == pool.num_shared, "shared rows"
        assert counts["cached"] == pool.num_cached, "cached rows"
    kinds = report.free_bytes + report.cached_bytes + report.held_bytes
    kinds += report.private_bytes + report.shared_bytes
    total = sum(row.num_bytes for row in report.rows)
    assert total == kinds == report.pool_bytes == num_bytes, "bytes"
    assert report.earmarked_bytes <= report.free_bytes, "earmarked bytes"
    alone = sum(each.private_bytes for each in report.sequences)
    assert alone == report.private_bytes, "bytes each sequence alone would free"
