"""Steps as transactions: what they reserve, what rollback restores, what commit makes true."""

from collections.abc import Callable, Iterator

import pytest

from kvchat import errors
from kvchat.errors import OutOfBlocks
from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import BlockTable
from kvchat.kv.integrity import check_pool, check_sequence
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.pool_view import BlockState
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE = 4


class World:
    """Two layer groups and some sequences over them."""

    def __init__(self, num_blocks: int, second: int | None = None) -> None:
        self.pools = [BlockPool(num_blocks), BlockPool(second or num_blocks)]
        self.sequences: list[PagedSequence] = []

    def open(self, token_ids: list[int]) -> PagedSequence:
        tables = [BlockTable(pool, SIZE) for pool in self.pools]
        sequence = PagedSequence(WindowSchedule.always(VisibleSet()), tables)
        self.sequences.append(sequence)
        if token_ids:
            self.write(sequence, token_ids)
        return sequence

    def write(self, sequence: PagedSequence, token_ids: list[int]) -> None:
        step = Step(SIZE)
        step.add(sequence, len(token_ids), token_ids)
        step.commit()

    def fork(self, parent: PagedSequence, length: int) -> PagedSequence:
        assert parent.token_ids is not None
        child = PagedSequence(
            WindowSchedule.always(VisibleSet()),
            [table.fork(length) for table in parent.tables],
            length=length,
            token_ids=parent.token_ids[:length],
            keys=parent.keys[: length // SIZE],
        )
        self.sequences.append(child)
        return child

    def rewind(self, sequence: PagedSequence, length: int) -> None:
        assert sequence.token_ids is not None
        for table in sequence.tables:
            table.truncate(length)
        sequence.length = length
        del sequence.token_ids[length:], sequence.keys[length // SIZE :]

    def check(self) -> None:
        for index, pool in enumerate(self.pools):
            check_pool(pool, [sequence.tables[index] for sequence in self.sequences])
        for sequence in self.sequences:
            check_sequence(sequence, [WindowSchedule.always(VisibleSet())] * 2, SIZE, b"")

    def state(self) -> object:
        """Everything that a rolled back step must leave as it was."""
        return (
            [
                (
                    pool.ref_counts.copy(),
                    pool.free.extents(),
                    pool.cached_blocks(),
                    set(pool.held),
                    [pool.index.entry(b) if b in pool.index else None for b in range(16)],
                )
                for pool in self.pools
            ],
            [
                (
                    [table.blocks.copy() for table in sequence.tables],
                    sequence.length,
                    list(sequence.token_ids or []),
                    sequence.keys.copy(),
                )
                for sequence in self.sequences
            ],
        )


@pytest.fixture
def fail_at() -> Iterator[Callable[[int], None]]:
    """Make the n-th fault point that is reached raise MemoryError."""

    def arm(number: int) -> None:
        reached = 0

        def hook(point: str) -> None:
            nonlocal reached
            reached += 1
            if reached == number:
                raise MemoryError(point)

        errors.fault_hook = hook

    yield arm
    errors.fault_hook = None


def busy_world() -> tuple[World, list[tuple[PagedSequence, list[int]]]]:
    """A shared, a rewound published and a private tail, an empty sequence; new tokens for each."""
    world = World(16)
    parent = world.open(list(range(6)))
    child = world.fork(parent, 6)
    rewound = world.open(list(range(50, 58)))
    world.rewind(rewound, 6)
    private = world.open([90, 91])
    return world, [
        (parent, [1]),
        (child, [2, 3, 4]),
        (rewound, [5, 6, 7, 8]),
        (private, [9]),
        (world.open([]), [10, 11, 12, 13, 14]),
    ]


@pytest.mark.parametrize("number", range(1, 9))
def test_rollback_at_every_point_restores_the_state_before_the_step(
    number: int, fail_at: Callable[[int], None]
) -> None:
    """Each allocation of a step over four taking rows and two layer groups fails once."""
    world, rows = busy_world()
    before = world.state()
    fail_at(number)
    step = Step(SIZE)
    with pytest.raises(MemoryError, match=r"pool\.take"):
        for sequence, new in rows:
            step.add(sequence, len(new), new)
    step.rollback()
    assert world.state() == before
    world.check()


def test_rollback_after_all_rows_restores_the_state_before_the_step() -> None:
    world, rows = busy_world()
    before = world.state()
    step = Step(SIZE)
    for sequence, new in rows:
        step.add(sequence, len(new), new)
    assert world.state() != before
    world.check()
    step.rollback()
    assert world.state() == before


@pytest.mark.parametrize("place", range(5))
def test_a_row_rolled_back_leaves_its_sequence_as_it_was_and_the_others_commit(place: int) -> None:
    world, rows = busy_world()
    step = Step(SIZE)
    for sequence, new in rows:
        step.add(sequence, len(new), new)
    undone, _ = rows.pop(place)
    tables = [table.blocks.copy() for table in undone.tables]
    length, token_ids = undone.length, list(undone.token_ids or [])

    step.rollback_row(step.rows[place])
    world.check()
    lengths = {id(sequence): sequence.length for sequence, _ in rows}
    step.commit()

    world.check()
    assert [table.blocks for table in undone.tables] == tables
    assert (undone.length, undone.token_ids) == (length, token_ids)
    for sequence, new in rows:
        assert sequence.length == lengths[id(sequence)] + len(new)
        assert sequence.token_ids is not None
        assert sequence.token_ids[-len(new) :] == new
    assert all(not pool.held for pool in world.pools)


def test_nothing_a_reader_sees_changes_before_commit() -> None:
    _, rows = busy_world()
    tables = [[table.blocks.copy() for table in sequence.tables] for sequence, _ in rows]
    step = Step(SIZE)
    for sequence, new in rows:
        step.add(sequence, len(new), new)
    assert [[table.blocks for table in sequence.tables] for sequence, _ in rows] == tables
    assert [sequence.length for sequence, _ in rows] == [6, 6, 6, 2, 0]
    step.rollback()


def test_a_step_that_was_rolled_back_can_be_repeated() -> None:
    world, rows = busy_world()
    for _ in range(3):
        step = Step(SIZE)
        for sequence, new in rows:
            step.add(sequence, len(new), new)
        step.rollback()
    free = [pool.num_available for pool in world.pools]
    for sequence, new in rows:
        world.write(sequence, new)
    world.check()
    # One copy for the shared tail; one block more; a copy whose source is cached, and one; two.
    assert [pool.num_available for pool in world.pools] == [number - 5 for number in free]


def test_a_row_is_reserved_in_every_layer_group_or_in_none() -> None:
    world = World(8, second=2)
    sequence = world.open(list(range(8)))
    step = Step(SIZE)
    with pytest.raises(OutOfBlocks):
        step.add(sequence, 1, [8])
    assert step.rows == []
    assert [pool.num_free for pool in world.pools] == [6, 0]
    world.check()


def test_positions_are_those_of_the_rows_in_packed_order() -> None:
    world = World(8)
    first, second = world.open([1, 2, 3]), world.open([])
    step = Step(SIZE)
    step.add(first, 2, [4, 5])
    step.add(second, 3, [6, 7, 8])
    assert step.positions == [3, 4, 0, 1, 2]


def test_a_private_tail_is_written_in_place() -> None:
    world = World(8)
    sequence = world.open([1, 2, 3])
    step = Step(SIZE)
    row = step.add(sequence, 1, [4])
    assert [group.new_blocks for group in row.groups] == [[], []]
    assert step.copies(0) == []


def test_two_rows_that_share_a_tail_both_copy_it_and_it_is_free_afterwards() -> None:
    world = World(4)
    parent = world.open([1, 2, 3])
    child = world.fork(parent, 3)
    step = Step(SIZE)
    step.add(parent, 1, [4])
    step.add(child, 1, [5])
    assert [copy[::2] for copy in step.copies(0)] == [(0, 3), (0, 3)]
    step.commit()
    world.check()
    assert world.pools[0].state(0) is BlockState.FREE


def test_the_table_after_commit_is_the_one_that_was_planned() -> None:
    _, rows = busy_world()
    step = Step(SIZE)
    planned = []
    for sequence, new in rows:
        row = step.add(sequence, len(new), new)
        pairs = zip(row.groups, sequence.tables, strict=True)
        planned.append([group.table_after(table).blocks for group, table in pairs])
    step.commit()
    assert [[table.blocks for table in sequence.tables] for sequence, _ in rows] == planned


def test_a_rewound_sequence_can_go_on_in_a_full_pool() -> None:
    world = World(2)
    sequence = world.open(list(range(8)))
    world.rewind(sequence, 5)
    world.write(sequence, [70, 71, 72])
    world.check()
    assert sequence.token_ids == [0, 1, 2, 3, 4, 70, 71, 72]


def test_a_rewound_sequence_copies_while_there_is_any_room() -> None:
    world = World(3)
    sequence = world.open(list(range(8)))
    world.rewind(sequence, 5)
    step = Step(SIZE)
    step.add(sequence, 1, [70])
    assert step.copies(0) == [(1, 2, 1)]


def test_a_shared_tail_is_never_written_in_place_even_in_a_full_pool() -> None:
    world = World(2)
    parent = world.open(list(range(6)))
    world.fork(parent, 6)
    before = world.state()
    step = Step(SIZE)
    with pytest.raises(OutOfBlocks):
        step.add(parent, 1, [6])
    assert world.state() == before


def test_a_rewound_block_stays_findable_when_the_reservation_fails_anyway() -> None:
    world = World(2)
    sequence = world.open(list(range(8)))
    world.rewind(sequence, 5)
    before = world.state()
    step = Step(SIZE)
    with pytest.raises(OutOfBlocks):
        step.add(sequence, 4, [70, 71, 72, 73])
    assert world.state() == before


def test_an_in_place_write_rolled_back_leaves_a_sequence_that_can_go_on() -> None:
    world = World(2)
    sequence = world.open(list(range(8)))
    world.rewind(sequence, 5)
    step = Step(SIZE)
    step.add(sequence, 2, [70, 71])
    step.rollback()
    world.check()
    world.write(sequence, [80, 81, 82])
    world.check()
    assert [len(pool.index) for pool in world.pools] == [2, 2]
    assert sequence.token_ids == [0, 1, 2, 3, 4, 80, 81, 82]


def test_a_sequence_of_bare_tensors_is_never_published() -> None:
    world = World(4)
    sequence = world.open([])
    step = Step(SIZE)
    step.add(sequence, 8)
    step.commit()
    assert sequence.token_ids is None
    assert len(world.pools[0].index) == 0
    world.check()


def test_a_sequence_has_one_row_in_a_step() -> None:
    world = World(4)
    sequence = world.open([])
    step = Step(SIZE)
    step.add(sequence, 1, [1])
    with pytest.raises(AssertionError):
        step.add(sequence, 1, [2])
