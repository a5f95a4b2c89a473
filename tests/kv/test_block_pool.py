"""Reference counts, states and the order of eviction."""

import random
from collections.abc import Iterator
from copy import deepcopy

import pytest

from kvchat import errors
from kvchat.errors import OutOfBlocks
from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import BlockTable
from kvchat.kv.integrity import check_pool
from kvchat.kv.pool_view import BlockState


@pytest.fixture
def fault_hook() -> Iterator[None]:
    yield
    errors.fault_hook = None


def in_table(pool: BlockPool, count: int) -> BlockTable:
    """Take blocks and settle them in a table."""
    blocks = pool.take(count)
    for block in blocks:
        pool.settle(block)
    return BlockTable(pool, 4, blocks)


def publish(pool: BlockPool, table: BlockTable) -> None:
    for block in table.blocks:
        pool.index.publish(block, b"key %d" % block, [block])


def test_a_taken_block_is_held_until_its_step_settles_it() -> None:
    pool = BlockPool(4)
    (block,) = pool.take(1)
    assert pool.state(block) is BlockState.HELD
    check_pool(pool, [])
    pool.settle(block)
    assert pool.state(block) is BlockState.PRIVATE
    check_pool(pool, [BlockTable(pool, 4, [block])])


def test_a_held_block_given_back_is_free() -> None:
    pool = BlockPool(4)
    (block,) = pool.take(1)
    pool.give_back(block)
    assert pool.state(block) is BlockState.FREE
    assert pool.num_free == 4
    check_pool(pool, [])


def test_a_block_in_two_tables_is_shared_until_one_lets_go() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 2)
    child = table.fork(8)
    assert pool.num_shared == 2
    check_pool(pool, [table, child])
    child.truncate(0)
    assert (pool.num_shared, pool.num_private) == (0, 2)
    check_pool(pool, [table])


def test_a_third_reference_leaves_the_number_of_shared_blocks_alone() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 1)
    children = [table.fork(4), table.fork(4)]
    assert pool.num_shared == 1
    children.pop().truncate(0)
    assert pool.num_shared == 1
    check_pool(pool, [table, *children])


def test_the_last_reference_to_an_unpublished_block_frees_it() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 1)
    (block,) = table.blocks
    table.truncate(0)
    assert pool.state(block) is BlockState.FREE


def test_the_last_reference_to_a_published_block_leaves_it_cached() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 1)
    publish(pool, table)
    (block,) = table.blocks
    table.truncate(0)
    assert pool.state(block) is BlockState.CACHED
    assert pool.num_available == 4
    check_pool(pool, [])


def test_a_cached_block_found_again_leaves_the_order_of_eviction() -> None:
    pool = BlockPool(3)
    table = in_table(pool, 3)
    publish(pool, table)
    table.truncate(0)
    pool.reference(1)
    assert pool.cached_blocks() == [2, 0]
    check_pool(pool, [BlockTable(pool, 4, [1])])


def test_only_an_unpublished_block_with_one_reference_is_writable() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 3)
    pool.index.publish(table.blocks[0], b"key", [1])
    BlockTable(pool, 4, table.blocks[:2]).fork(8)
    assert [pool.is_writable(block) for block in table.blocks] == [False, False, True]


def test_the_last_block_of_a_sequence_is_evicted_first() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 4)
    publish(pool, table)
    tail_first = table.blocks[::-1]
    table.truncate(0)
    assert pool.cached_blocks() == tail_first


def test_the_least_recently_released_sequence_is_evicted_first() -> None:
    pool = BlockPool(4)
    old, new = in_table(pool, 2), in_table(pool, 2)
    publish(pool, old)
    publish(pool, new)
    old_blocks = old.blocks[::-1]
    old.truncate(0)
    new.truncate(0)
    assert pool.cached_blocks()[:2] == old_blocks


def test_free_blocks_are_taken_before_any_cached_one_is_evicted() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 2)
    publish(pool, table)
    table.truncate(0)
    evicted: list[int] = []
    pool.on_evicted = evicted.append
    pool.take(2)
    assert evicted == []
    pool.take(1)
    assert evicted == [1]
    check_pool(pool, [])


def test_an_evicted_block_is_free_and_forgotten() -> None:
    pool = BlockPool(2)
    table = in_table(pool, 2)
    publish(pool, table)
    table.truncate(0)
    freed: list[int] = []
    pool.on_freed = freed.append
    assert pool.drop_cached() == 2
    assert freed == [1, 0]
    assert len(pool.index) == 0
    assert pool.num_free == 2
    check_pool(pool, [])


def test_taking_more_than_is_available_changes_nothing() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 2)
    publish(pool, table)
    table.truncate(0)
    pool.take(1)
    with pytest.raises(OutOfBlocks):
        pool.take(4)
    assert (pool.num_free, pool.num_cached, len(pool.held)) == (1, 2, 1)
    check_pool(pool, [])


def test_all_that_is_available_can_be_taken() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 2)
    publish(pool, table)
    table.truncate(0)
    assert sorted(pool.take(4)) == [0, 1, 2, 3]
    check_pool(pool, [])


def test_a_failed_allocation_changes_nothing(fault_hook: None) -> None:
    def fail(point: str) -> None:
        raise MemoryError(point)

    pool = BlockPool(4)
    errors.fault_hook = fail
    with pytest.raises(MemoryError, match=r"pool\.take"):
        pool.take(2)
    assert pool.num_free == 4
    check_pool(pool, [])


def test_a_block_released_twice_is_our_bug() -> None:
    pool = BlockPool(2)
    table = in_table(pool, 1)
    (block,) = table.blocks
    pool.release(block)
    with pytest.raises(AssertionError):
        pool.release(block)


def test_a_reference_to_a_free_block_is_our_bug() -> None:
    pool = BlockPool(2)
    with pytest.raises(AssertionError, match="free block"):
        pool.reference(0)


def test_a_block_says_when_it_was_filled_also_where_its_content_is_moved_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("kvchat.kv.block_pool.time.time", lambda: now)
    pool = BlockPool(4)
    table = in_table(pool, 2)
    now = 200.0
    (held,) = pool.take(1)
    pool.replace(table.blocks[0], held)
    later = in_table(pool, 1)

    assert [pool.filled_at[block] for block in (*table.blocks[1:], held, *later.blocks)] == [
        100.0, 100.0, 200.0,
    ]  # fmt: skip


def state_of(pool: BlockPool) -> tuple[object, ...]:
    """Return all that differs between two pools that went different ways."""
    index = pool.index
    return (
        pool.ref_counts,
        (pool.num_shared, pool.num_private, pool.num_free),
        vars(pool.free),
        pool.cached_blocks(),
        [(block, *index.entry(block)) for block in sorted(index.published)],
    )


@pytest.mark.parametrize("seed", range(20))
def test_many_blocks_together_fare_as_one_after_another(seed: int) -> None:
    """Shared, private, cached, unpublished blocks and twins, released and found again."""
    print(f"KVCHAT_SEED={seed}")
    rng = random.Random(seed)
    pool, tables = BlockPool(40, headroom=rng.choice([0, 3])), list[BlockTable]()
    for _ in range(150):
        action = rng.random()
        if action < 0.4 and pool.num_available >= 6:
            tables.append(in_table(pool, rng.randint(1, 6)))
            for place, block in enumerate(tables[-1].blocks[: rng.randint(0, 6)]):
                key = rng.choice([0, 1, block])  # below 2: twins in other tables, or cached
                pool.index.publish(block, b"%d %d" % (key, place), [key, place])
        elif action < 0.5 and tables:
            parent = rng.choice(tables)
            single = deepcopy(pool)
            tables.append(parent.fork(4 * len(parent.blocks)))
            for block in parent.blocks:
                single.reference(block)
            assert state_of(pool) == state_of(single)
        elif tables:
            table = rng.choice(tables)
            kept = rng.choice([0, 0, rng.randint(0, len(table.blocks))])
            freed, freed_singly = list[int](), list[int]()
            single = deepcopy(pool)
            pool.on_freed, single.on_freed = freed.append, freed_singly.append
            dropped = table.blocks[kept:][::-1]
            for block in dropped:
                single.release(block)
            assert table.truncate(4 * kept) == len(dropped)
            assert state_of(pool) == state_of(single)
            assert freed == freed_singly
            pool.on_freed = None
            if not table.blocks:
                tables.remove(table)
        cached = pool.cached_blocks()
        if cached and rng.random() < 0.1:
            found = rng.sample(cached, rng.randint(1, len(cached)))
            single = deepcopy(pool)
            pool.reference_all(found)
            for block in found:
                single.reference(block)
            assert state_of(pool) == state_of(single)
            tables.append(BlockTable(pool, 4, found))
        check_pool(pool, tables)


def test_many_blocks_that_are_not_in_use_are_neither_released_nor_referenced() -> None:
    pool = BlockPool(4)
    table = in_table(pool, 1)
    (held,) = pool.take(1)
    for block in (held, 3):
        with pytest.raises(AssertionError):
            pool.release_all([*table.blocks, block])
        with pytest.raises(AssertionError):
            pool.reference_all([*table.blocks, block])
