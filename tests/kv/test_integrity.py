"""The checks find what they are there to find."""

from collections.abc import Callable

import pytest

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.integrity import check_pool, check_sequence
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE = 4
WINDOW = WindowSchedule.always(VisibleSet(4))


def sequence_of(pool: BlockPool, visible: WindowSchedule, count: int) -> PagedSequence:
    sequence = PagedSequence(visible, [BlockTable(pool, SIZE)])
    step = Step(SIZE)
    step.add(sequence, count, list(range(count)))
    step.commit()
    return sequence


def pool_damage() -> dict[str, Callable[[BlockPool, BlockTable], object]]:
    def set_ref_count(pool: BlockPool, table: BlockTable) -> None:
        pool.ref_counts[table.blocks[0]] += 1

    def free_twice(pool: BlockPool, table: BlockTable) -> None:
        pool.free.give(table.blocks[0])

    def lose_a_free_block(pool: BlockPool, table: BlockTable) -> None:
        pool.free.take(1)

    def forget_a_cached_block(pool: BlockPool, table: BlockTable) -> None:
        pool.index.forget(pool.cached_blocks()[0])

    def miscount_shared(pool: BlockPool, table: BlockTable) -> None:
        pool.num_shared += 1

    def miscount_cached(pool: BlockPool, table: BlockTable) -> None:
        pool.num_cached -= 1

    def name_a_block_twice(pool: BlockPool, table: BlockTable) -> None:
        table.blocks[1] = table.blocks[0]

    def hold_a_block_of_a_table(pool: BlockPool, table: BlockTable) -> None:
        pool.held.add(table.blocks[0])

    return {
        "reference counts": set_ref_count,
        "free blocks": free_twice,
        "free blocks ": lose_a_free_block,
        "free blocks  ": forget_a_cached_block,
        "shared": miscount_shared,
        "cached": miscount_cached,
        "reference counts ": name_a_block_twice,
        "a held block is in a table": hold_a_block_of_a_table,
    }


@pytest.mark.parametrize("message", pool_damage())
def test_a_damaged_pool_is_named(message: str) -> None:
    pool = BlockPool(8)
    sequence_of(pool, WindowSchedule.always(VisibleSet()), 8).tables[0].truncate(4)
    table = sequence_of(pool, WindowSchedule.always(VisibleSet()), 7).tables[0]
    held = BlockTable(pool, SIZE, [0])
    check_pool(pool, [held, table])
    pool_damage()[message](pool, table)
    with pytest.raises(AssertionError, match=message.strip()):
        check_pool(pool, [held, table])


def sequence_damage() -> dict[str, Callable[[PagedSequence], object]]:
    def shorten_the_table(sequence: PagedSequence) -> None:
        sequence.tables[0].blocks.pop()

    def make_a_hole(sequence: PagedSequence) -> None:
        sequence.tables[0].blocks[-2] = HOLE

    def fill_a_hole(sequence: PagedSequence) -> None:
        sequence.tables[0].blocks[0] = 7

    def change_a_token(sequence: PagedSequence) -> None:
        assert sequence.token_ids is not None
        sequence.token_ids[9] += 1

    def lose_a_key(sequence: PagedSequence) -> None:
        sequence.keys.pop()

    def publish_other_tokens(sequence: PagedSequence) -> None:
        index, block = sequence.tables[0].pool.index, sequence.tables[0].blocks[2]
        key, _ = index.entry(block)
        index.forget(block)
        index.publish(block, key, [1, 2, 3, 4])

    return {
        "table length": shorten_the_table,
        "holes": make_a_hole,
        "holes ": fill_a_hole,
        "chained key": change_a_token,
        "number of keys": lose_a_key,
        "published tokens": publish_other_tokens,
    }


@pytest.mark.parametrize("message", sequence_damage())
def test_a_damaged_sequence_is_named(message: str) -> None:
    sequence = sequence_of(BlockPool(8), WINDOW, 14)
    sequence.tables[0].release_range(0, 2)
    check_sequence(sequence, [WINDOW], SIZE, b"")
    sequence_damage()[message](sequence)
    with pytest.raises(AssertionError, match=message.strip()):
        check_sequence(sequence, [WINDOW], SIZE, b"")
