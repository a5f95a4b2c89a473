"""compact(): move a sequence's own blocks into one run of consecutive ones, as a transaction.

Attention reads each run in one call, so a sequence in few runs is faster, and a turn at whose start
it was moved pays the copy back. Blocks that others share stay where they are. Plain
Python; whoever calls says how a block's content is copied.
"""

from collections.abc import Callable, Sequence

from kvchat.errors import fault
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence

CopyBlocks = Callable[[Sequence[tuple[int, int, int]]], None]
"""Copies (source, target, number of slots) in all layers of a group."""


def compact(sequence: PagedSequence, copies: Sequence[CopyBlocks], *, room: int = 0) -> int:
    """Move blocks so that the sequence lies in fewer runs, where free room allows; return how many.

    copies  how to copy blocks in each layer group
    room    number of blocks the sequence will soon take, which are to fit behind

    Takes the target first, copies, and only then changes tables and index, so a failure leaves all
    as it was. Nothing is evicted for it, and at most one block of each layer group is partly full.
    """
    num_moved = 0
    for table, copy in zip(sequence.tables, copies, strict=True):
        num_moved += _compact_table(table, copy, room)
    return num_moved


def _compact_table(table: BlockTable, copy: CopyBlocks, room: int) -> int:
    pool, blocks = table.pool, table.blocks
    own = [i for i, block in enumerate(blocks) if block != HOLE and pool.ref_counts[block] == 1]
    before = table.num_runs()
    if len(own) < 2 or _runs_after(table, own) >= before:
        return 0
    target = pool.take_run(len(own) + room) if room else None
    if target is not None:
        # The room behind stays free, and is this sequence's as long as there is other room.
        for block in reversed(target[len(own) :]):
            pool.give_back(block)
        target = target[: len(own)]
    else:
        target = pool.take_run(len(own))
    if target is None:
        return 0
    try:
        fault("cache.copy")
        copy([(blocks[i], to, table.block_size) for i, to in zip(own, target, strict=True)])
    except BaseException:
        for block in reversed(target):
            pool.give_back(block)
        raise
    for i, to in zip(own, target, strict=True):
        old, blocks[i] = blocks[i], to
        pool.replace(old, to)
    return len(own)


def _runs_after(table: BlockTable, own: list[int]) -> int:
    """Return the number of runs when own blocks lie side by side, away from all others."""
    moved = BlockTable(table.pool, table.block_size, list(table.blocks))
    first = table.pool.num_blocks + 1
    for place, index in enumerate(own):
        moved.blocks[index] = first + place
    return moved.num_runs()
