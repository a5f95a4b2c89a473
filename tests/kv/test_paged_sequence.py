"""PagedSequence: fork and rewind change tables and counts only."""

import pytest

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE = 4


def sequence_of(
    pool: BlockPool, count: int, visible: WindowSchedule | None = None
) -> PagedSequence:
    sequence = PagedSequence(
        visible or WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)]
    )
    step = Step(SIZE)
    step.add(sequence, count, range(count))
    step.commit()
    return sequence


def test_a_sequence_that_becomes_its_fork_gives_back_what_it_wrote_since() -> None:
    pool = BlockPool(8)
    sequence = sequence_of(pool, 6)
    before = sequence.fork(6)
    step = Step(SIZE)
    step.add(sequence, 9, range(9))
    step.commit()
    sequence.become(before)
    assert sequence.tables[0].blocks == before.tables[0].blocks
    assert (sequence.length, sequence.token_ids) == (6, list(range(6)))
    assert pool.num_shared == 2 and pool.num_private == 0


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 0), (3, 1), (6, 1), (7, 2)])
def test_tokens_take_a_block_when_the_last_is_full(count: int, expected: int) -> None:
    assert sequence_of(BlockPool(8), 6).blocks_for(count) == expected


def test_a_shared_last_block_counts_as_one_more() -> None:
    sequence = sequence_of(BlockPool(8), 6)
    fork = sequence.fork(6)
    assert (sequence.blocks_for(1), fork.blocks_for(3)) == (1, 2)


def test_what_a_window_hid_is_released_and_cannot_be_stood_on_again() -> None:
    visible = WindowSchedule.always(VisibleSet(window=4, sinks=4))
    sequence = sequence_of(BlockPool(8), 16, visible)
    assert sequence.can_stand_at(8, [visible])
    assert sequence.release_hidden([visible], since=0) == 2
    assert [block == HOLE for block in sequence.tables[0].blocks] == [False, True, True, False]
    assert sequence.can_stand_at(16, [visible]) and not sequence.can_stand_at(8, [visible])
