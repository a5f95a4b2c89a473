"""Own blocks move side by side, shared ones stay, and nobody reads anything else than before."""

import random

import pytest

from kvchat import errors
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, MQA, PagedRun, TokenTensors, num_held_blocks, table_of

SIZE = 4
SPEC = KVCacheSpec((GQA, MQA))


def scattered(num_blocks: int = 40, window: int | None = None) -> tuple[PagedRun, SequenceId]:
    """Return a run whose sequence of 18 tokens lies in pieces of one block each."""
    run = PagedRun(PagedKVCache(SPEC, num_blocks, block_size=SIZE), TokenTensors(SPEC))
    sequence = run.cache.open(label="chat", window=window)
    for first in range(0, 18, SIZE):
        for new, token_ids in ((sequence, range(first, min(first + SIZE, 18))), (None, [7, first])):
            for pool in run.cache.pools:
                pool.free._earmarks.clear()  # so that a neighbor takes the block behind
            run.feed(run.cache.open() if new is None else new, token_ids)
    return run, sequence


def test_scattered_blocks_are_moved_into_one_run_and_hold_the_same() -> None:
    run, sequence = scattered()
    before = table_of(run.cache, sequence)
    assert run.cache.pool_view().sequences[0].num_runs == 5
    assert run.cache.compact(sequence) == 2 * 5  # in both layer groups
    assert run.cache.pool_view().sequences[0].num_runs == 1
    assert not set(before) & set(table_of(run.cache, sequence))
    run.cache.check_integrity()
    run.check_rows(sequence, list(range(18)))
    run.feed(sequence, [50, 51, 52, 53, 54])
    assert run.cache.pool_view().sequences[0].num_runs == 1
    event = run.cache.pool_view().events[-1]
    assert (event.kind, event.text, event.num_blocks) == (
        "compact",
        "chat was moved into one piece",
        10,
    )


def test_moved_blocks_are_found_where_they_are_now() -> None:
    run, sequence = scattered()
    run.cache.compact(sequence)
    other = run.cache.open()
    assert run.cache.adopt(other, [*range(16), 90]) == 16
    assert table_of(run.cache, other) == table_of(run.cache, sequence)[:4]
    run.check_rows(other, list(range(16)))
    assert run.cache.adopt(run.cache.open(), [0, 1, 2, 90, 91]) == 3


def test_what_lies_in_one_run_stays() -> None:
    run = PagedRun(PagedKVCache(SPEC, 40, block_size=SIZE), TokenTensors(SPEC))
    sequence = run.cache.open()
    run.feed(sequence, range(18))
    table = table_of(run.cache, sequence)
    assert run.cache.compact(sequence) == 0
    assert table_of(run.cache, sequence) == table


def test_shared_blocks_never_move() -> None:
    run, sequence = scattered()
    child = run.cache.fork(sequence, 8)
    before = table_of(run.cache, sequence)
    run.cache.compact(sequence)
    after = table_of(run.cache, sequence)
    assert after[:2] == before[:2] == table_of(run.cache, child)
    assert list(after[2:]) == list(range(after[2], after[2] + 3))
    run.check_rows(child, list(range(8)))
    run.check_rows(sequence, list(range(18)))
    run.cache.check_integrity()


def test_holes_of_a_window_stay_holes() -> None:
    run, sequence = scattered(window=9)
    held = num_held_blocks(run.cache, sequence)
    run.cache.compact(sequence)
    assert num_held_blocks(run.cache, sequence) == held < 5
    run.cache.check_integrity()
    run.feed(sequence, [40, 41, 42])


def test_nothing_moves_and_nobody_is_evicted_where_no_run_is_long_enough() -> None:
    run, sequence = scattered(num_blocks=12)
    cached = [pool.num_cached for pool in run.cache.pools]
    before = table_of(run.cache, sequence)
    assert all(max((n for _, n in pool.free.extents()), default=0) < 5 for pool in run.cache.pools)
    assert run.cache.compact(sequence) == 0
    assert table_of(run.cache, sequence) == before
    assert [pool.num_cached for pool in run.cache.pools] == cached


def test_room_for_the_coming_tokens_is_looked_for_too() -> None:
    run, sequence = scattered(num_blocks=64)
    run.cache.compact(sequence, num_tokens=60)
    last = table_of(run.cache, sequence)[-1]
    extents = dict(run.cache.pools[0].free.extents())
    assert extents[last + 1] >= 15


@pytest.mark.parametrize("point", ["pool.take", "cache.copy"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_failure_changes_nothing(point: str, number: int) -> None:
    """In the first group nothing has moved; in the second, the first has moved as a whole."""
    run, sequence = scattered()
    before = [table_of(run.cache, sequence, group) for group in (0, 1)]
    reached = 0

    def hook(name: str) -> None:
        nonlocal reached
        reached += name == point
        if reached == number and name == point:
            raise MemoryError(name)

    errors.fault_hook = hook
    try:
        with pytest.raises(MemoryError):
            run.cache.compact(sequence)
    finally:
        errors.fault_hook = None
    assert not any(pool.held for pool in run.cache.pools)
    assert table_of(run.cache, sequence, 1) == before[1]
    if number == 1:
        assert table_of(run.cache, sequence, 0) == before[0]
    run.cache.check_integrity()
    run.check_rows(sequence, list(range(18)))


def test_blocks_do_not_move_while_a_step_is_reserved() -> None:
    run, sequence = scattered()
    step = run.cache.reserve([(sequence, 1)], [[1]])
    with pytest.raises(AssertionError):
        run.cache.compact(sequence)
    step.rollback()


@pytest.mark.parametrize("seed", range(6))
def test_any_program_reads_the_same_with_compaction_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    spec = [KVCacheSpec((GQA,)), SPEC][seed % 2]
    run = PagedRun(PagedKVCache(spec, 48, block_size=SIZE), TokenTensors(spec))
    for pool in run.cache.pools:
        pool.free._headroom = 0  # so that sequences mix
    lists = {run.cache.open(window=rng.choice([None, None, 9])): list[int]() for _ in range(4)}
    num_moved = 0
    for _ in range(120):
        sequence = rng.choice(list(lists))
        had = lists[sequence]
        action = rng.random()
        if action < 0.55:
            count = run.cache.chunk_limit(sequence, rng.randint(1, 6))
            new = [rng.randrange(3) for _ in range(count)]
            while run.cache.blocks_for(sequence, count) * 2 > run.cache.num_available:
                victim = max(lists, key=lambda each: len(lists[each]))
                lists[victim] = lists[victim][: run.cache.truncate(victim, 0)]
            had = lists[sequence]
            run.step([(sequence, new)])
            had += new
        elif action < 0.7:
            kept = run.cache.truncate(sequence, rng.randint(0, len(had)))
            del had[kept:]
        elif action < 0.8 and len(lists) < 6:
            child = run.cache.fork(sequence, rng.randint(0, len(had)))
            lists[child] = had[: run.cache.length(child)]
        elif action < 0.85 and len(lists) > 2:
            run.cache.release(sequence)
            del lists[sequence]
        else:
            runs_before = [state.num_runs for state in run.cache.pool_view().sequences]
            num_moved += run.cache.compact(sequence, rng.choice([0, 10]))
            runs_after = [state.num_runs for state in run.cache.pool_view().sequences]
            assert all(
                after <= before for before, after in zip(runs_before, runs_after, strict=True)
            )
        run.cache.check_integrity()
        for each, token_ids in lists.items():
            run.check_rows(each, token_ids)
    assert num_moved > 0


def test_between_turns_only_blocks_on_disk_make_room() -> None:
    spec = KVCacheSpec((GQA,))
    run = PagedRun(PagedKVCache(spec, 20, block_size=SIZE), TokenTensors(spec))
    cache, saved = run.cache, set[bytes]()
    for number in range(4):
        sequence = cache.open()
        run.feed(sequence, [number] * 20)
        if number < 2:
            saved.update(cache._sequences[sequence].keys)
        cache.release(sequence)
    assert (cache.pools[0].num_free, cache.tidy()) == (0, 0)
    cache.is_on_disk = lambda key, group: key in saved
    assert cache.tidy() == 4
    assert cache.pools[0].num_free == 4
    assert cache.tidy() == 0
    cache.is_on_disk = lambda key, group: False
    run.feed(cache.open(), range(4))
    assert (cache.pools[0].num_free, cache.tidy()) == (3, 0)
    cache.check_integrity()


def test_the_block_that_stays_of_two_equal_ones_outlives_the_children_of_both() -> None:
    spec = KVCacheSpec((GQA,))
    run = PagedRun(PagedKVCache(spec, 20, block_size=SIZE), TokenTensors(spec))
    first, second = run.cache.open(), run.cache.open()
    run.feed(first, [0, 1, 2, 3, 4, 4, 4, 4])
    kept = table_of(run.cache, first)[0]
    run.cache.release(first)
    run.feed(second, [0, 1, 2, 3, 5, 5, 5, 5])  # computed again, though it could be found
    child = table_of(run.cache, second)[1]
    run.cache.release(second)
    assert run.cache.pools[0].cached_blocks()[1:] == [child, kept]
    run.cache.check_integrity()


def test_of_two_equal_blocks_nobody_uses_one_is_freed() -> None:
    spec = KVCacheSpec((GQA,))
    run = PagedRun(PagedKVCache(spec, 20, block_size=SIZE), TokenTensors(spec))
    first, second = run.cache.open(), run.cache.open()
    run.step([(first, list(range(8))), (second, list(range(8)))])
    third = run.cache.open()
    run.feed(third, [9] * 8)
    run.cache.release(first)
    assert run.cache.pools[0].num_cached == 0  # the twins in use serve
    run.cache.release(third)
    run.cache.release(second)
    assert run.cache.pools[0].num_cached == 4
    assert run.cache.adopt(run.cache.open(), [*range(8), 1]) == 8
    run.cache.check_integrity()
