"""Free runs: placement, joining, and random programs against a plain set."""

import random
from copy import deepcopy
from itertools import pairwise

import pytest

from kvchat.kv.free_extents import FreeExtents


def num_runs(blocks: list[int]) -> int:
    return 1 + sum(second != first + 1 for first, second in pairwise(blocks))


def test_an_empty_pool_is_taken_from_its_start_in_order() -> None:
    free = FreeExtents(10)
    assert free.take(3) == [0, 1, 2]
    assert free.extents() == [(3, 7)]
    assert free.num_free == 7


def test_a_growing_sequence_gets_the_blocks_behind_its_last_one() -> None:
    free = FreeExtents(20, headroom=3)
    first = free.take(2)
    assert free.take(2) == [5, 6]  # the ids between are left to the first
    assert free.take(3, after=first[-1]) == [2, 3, 4]


def test_a_new_sequence_enters_the_smallest_run_with_room_for_it_and_headroom() -> None:
    free = FreeExtents(40, headroom=2)
    free.take(40)
    for block in (*range(3, 6), *range(10, 15), *range(20, 30)):
        free.give(block)
    assert free.take(2) == [10, 11]
    assert free.take(4) == [20, 21, 22, 23]
    assert free.take(3) == [26, 27, 28]  # nothing has headroom left: the longest open run


def test_room_behind_a_sequence_serves_others_when_nothing_else_is_free() -> None:
    free = FreeExtents(10, headroom=6)
    free.take(4)
    assert free.num_earmarked == 6
    assert sorted(free.take(6)) == [4, 5, 6, 7, 8, 9]
    assert free.num_free == free.num_earmarked == 0
    assert free.extents() == []


def test_room_behind_a_sequence_is_open_again_when_its_last_block_is_freed() -> None:
    free = FreeExtents(20, headroom=4)
    free.take(2)
    free.give(1)
    assert free.num_earmarked == 0
    assert free.take(1) == [1]


def test_what_does_not_fit_behind_the_last_block_goes_elsewhere() -> None:
    free = FreeExtents(12)
    free.take(12)
    for block in (3, 4, 7, 8, 9, 10):
        free.give(block)
    assert free.take(4, after=2) == [3, 4, 7, 8]


def test_a_request_larger_than_every_run_takes_the_longest_ones() -> None:
    free = FreeExtents(12)
    free.take(12)
    for block in (0, 2, 3, 6, 7, 8):
        free.give(block)
    assert free.take(5) == [6, 7, 8, 2, 3]
    assert free.extents() == [(0, 1)]


def test_a_run_is_taken_whole_or_not_at_all() -> None:
    free = FreeExtents(30, headroom=2)
    free.take(30)
    for block in (*range(2, 5), *range(10, 16)):
        free.give(block)
    assert free.take_run(7) is None
    assert free.num_free == 9
    assert free.take_run(3) == [10, 11, 12]  # with headroom rather than the exact fit
    assert free.take_run(3) == [2, 3, 4]
    assert free.take_run(2) is None  # what is left is earmarked


@pytest.mark.parametrize("order", [(4, 5, 6), (6, 5, 4), (4, 6, 5), (5, 4, 6)])
def test_given_blocks_join_their_free_neighbors(order: tuple[int, ...]) -> None:
    free = FreeExtents(10)
    free.take(10)
    for block in order:
        free.give(block)
    assert free.extents() == [(4, 3)]


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_equal_a_set_of_free_ids(seed: int) -> None:
    rng = random.Random(seed)
    size, headroom = rng.choice([1, 2, 17, 40]), rng.choice([0, 1, 5])
    free, taken, ids = FreeExtents(size, headroom), list[int](), set(range(size))
    for _ in range(300):
        if ids and rng.random() < 0.5:
            after = rng.choice([None, *range(size)])
            count = rng.randint(1, len(ids))
            blocks = free.take_run(count) if rng.random() < 0.3 else free.take(count, after=after)
            if blocks is None:
                continue
            assert len(blocks) == count
            assert len(set(blocks)) == len(blocks)
            assert set(blocks) <= ids
            ids -= set(blocks)
            taken += blocks
        elif taken and rng.random() < 0.5:
            block = taken.pop(rng.randrange(len(taken)))
            free.give(block)
            ids.add(block)
        elif taken:
            given = [taken.pop() for _ in range(rng.randint(1, len(taken)))]
            rng.shuffle(given)
            one_by_one = deepcopy(free)
            free.give_all(given)
            for block in given:
                one_by_one.give(block)
            assert vars(free) == vars(one_by_one)
            ids |= set(given)
        runs = free.extents()
        assert {block for first, length in runs for block in range(first, first + length)} == ids
        assert all(first + length < behind for (first, length), (behind, _) in pairwise(runs))
        assert free.num_free == len(ids)
        assert free._earmarks.keys() <= dict(runs).keys()
        marked = [b for first, behind in free._earmarks.items() for b in range(first, behind)]
        assert len(marked) == len(set(marked)) == free.num_earmarked
        assert set(marked) <= ids


@pytest.mark.parametrize("num_blocks", [128, 512, 4096])
def test_eight_sequences_growing_by_turns_lie_in_pieces_of_their_headroom(num_blocks: int) -> None:
    rng = random.Random(1)
    free = FreeExtents(num_blocks, headroom=8)
    sequences = [free.take(rng.randint(1, 6)) for _ in range(8)]
    while free.num_free > num_blocks // 5:
        sequence = rng.choice(sequences)
        sequence += free.take(1, after=sequence[-1])
    for sequence in sequences:
        assert num_runs(sequence) <= len(sequence) / 8 + 2
