"""Tables: fork, truncate, holes and runs; the one copy of the first write."""

import pytest

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.integrity import check_pool
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE = 4


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(16)


def table(pool: BlockPool, count: int) -> BlockTable:
    blocks = pool.take(count)
    for block in blocks:
        pool.settle(block)
    return BlockTable(pool, SIZE, blocks)


@pytest.mark.parametrize(
    ("length", "num_blocks"), [(0, 0), (1, 1), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3)]
)
def test_a_fork_names_the_blocks_of_its_tokens_and_takes_none(
    pool: BlockPool, length: int, num_blocks: int
) -> None:
    parent = table(pool, 3)
    child = parent.fork(length)
    assert child.blocks == parent.blocks[:num_blocks]
    assert pool.num_shared == num_blocks
    assert pool.num_free == 13
    check_pool(pool, [parent, child])


def test_a_fork_and_its_parent_grow_apart(pool: BlockPool) -> None:
    parent = table(pool, 2)
    child = parent.fork(8)
    child.blocks += table(pool, 1).blocks
    assert len(parent.blocks) == 2


@pytest.mark.parametrize(
    ("length", "num_blocks"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (12, 3)]
)
def test_rewind_drops_the_blocks_behind_the_cut(
    pool: BlockPool, length: int, num_blocks: int
) -> None:
    rewound = table(pool, 3)
    assert rewound.truncate(length) == 3 - num_blocks
    assert len(rewound.blocks) == num_blocks
    check_pool(pool, [rewound])


def test_rewind_keeps_blocks_other_sequences_use(pool: BlockPool) -> None:
    parent = table(pool, 3)
    child = parent.fork(12)
    parent.truncate(0)
    assert pool.num_private == 3
    check_pool(pool, [parent, child])


def test_holes_have_no_reference_to_drop_or_to_share(pool: BlockPool) -> None:
    parent = table(pool, 4)
    assert parent.release_range(1, 3) == 2
    child = parent.fork(16)
    assert child.blocks[1:3] == [HOLE, HOLE]
    check_pool(pool, [parent, child])
    assert parent.truncate(4) == 1
    check_pool(pool, [parent, child])


def test_a_range_released_twice_is_released_once(pool: BlockPool) -> None:
    released = table(pool, 4)
    assert released.release_range(1, 3) == 2
    assert released.release_range(0, 3) == 1
    check_pool(pool, [released])


def test_positions_behind_a_hole_do_not_move(pool: BlockPool) -> None:
    released = BlockTable(pool, SIZE, [7, HOLE, 3])
    assert list(released.runs(8, 11)) == [(12, 3)]


def test_adjacent_blocks_are_one_run(pool: BlockPool) -> None:
    assert list(BlockTable(pool, SIZE, [5, 6, 7, 2]).runs(0, 16)) == [(20, 12), (8, 4)]


def test_runs_start_and_end_inside_blocks(pool: BlockPool) -> None:
    scattered = BlockTable(pool, SIZE, [5, 6, 2])
    assert list(scattered.runs(3, 9)) == [(23, 5), (8, 1)]
    assert list(scattered.runs(5, 7)) == [(25, 2)]
    assert list(scattered.runs(4, 4)) == []


def test_a_block_before_its_neighbor_is_no_run(pool: BlockPool) -> None:
    assert list(BlockTable(pool, SIZE, [6, 5]).runs(0, 8)) == [(24, 4), (20, 4)]


def test_a_hole_is_never_turned_into_a_slot(pool: BlockPool) -> None:
    with pytest.raises(AssertionError, match="released"):
        list(BlockTable(pool, SIZE, [0, HOLE]).runs(0, 8))


@pytest.mark.parametrize(
    ("blocks", "num_runs"),
    [([], 0), ([3], 1), ([3, 4], 1), ([4, 3], 2), ([3, HOLE, 4], 2), ([HOLE, HOLE], 0)],
)
def test_runs_are_counted_around_holes(pool: BlockPool, blocks: list[int], num_runs: int) -> None:
    assert BlockTable(pool, SIZE, blocks).num_runs() == num_runs


def write(sequence: PagedSequence, count: int) -> list[tuple[int, int, int]]:
    """Commit `count` new tokens; return the copies made before."""
    step = Step(SIZE)
    step.add(sequence, count, list(range(count)))
    copies = step.copies(0)
    step.commit()
    return copies


def fork(parent: PagedSequence, length: int) -> PagedSequence:
    assert parent.token_ids is not None
    tables = [table.fork(length) for table in parent.tables]
    ids, keys = parent.token_ids[:length], parent.keys[: length // SIZE]
    return PagedSequence(
        WindowSchedule.always(VisibleSet()), tables, length=length, token_ids=ids, keys=keys
    )


@pytest.mark.parametrize("writer", ["parent", "child"])
def test_the_first_write_into_a_shared_block_copies_only_that_block(
    pool: BlockPool, writer: str
) -> None:
    parent = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    write(parent, 10)
    child = fork(parent, 10)
    shared = list(parent.tables[0].blocks)
    first, other = (parent, child) if writer == "parent" else (child, parent)

    (copy,) = write(first, 1)

    source, target, num_valid = copy
    assert (source, num_valid) == (shared[2], 2)
    assert first.tables[0].blocks == [*shared[:2], target]
    assert other.tables[0].blocks == shared
    assert pool.num_shared == 2
    check_pool(pool, [parent.tables[0], child.tables[0]])
    assert write(other, 1) == [], "the last holder writes in place"
    assert other.tables[0].blocks == shared


def test_a_fork_at_a_block_boundary_copies_nothing(pool: BlockPool) -> None:
    parent = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    write(parent, 8)
    child = fork(parent, 8)
    assert write(child, 1) == []
    assert write(parent, 1) == []
    check_pool(pool, [parent.tables[0], child.tables[0]])


def test_a_published_block_cut_open_is_copied_even_by_its_only_holder(pool: BlockPool) -> None:
    parent = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    write(parent, 8)
    published = parent.tables[0].blocks[1]
    child = fork(parent, 5)
    parent.tables[0].truncate(0)
    assert pool.ref_counts[published] == 1
    ((source, _, num_valid),) = write(child, 1)
    assert (source, num_valid) == (published, 1)
    assert published in pool.index
    check_pool(pool, [child.tables[0]])
