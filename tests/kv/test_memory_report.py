"""Figures that add up: every block in one row, every owner named, every cost stated."""

import random
from dataclasses import replace

import pytest

from kvchat.kv.memory_report import MemoryReport, SequenceMemory
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, MQA, PagedRun, TokenTensors, table_of

SIZE = 4
ONE = KVCacheSpec((GQA,))
TWO = KVCacheSpec((GQA, replace(MQA, window=6)))


def new_run(spec: KVCacheSpec = ONE, num_blocks: int = 24) -> PagedRun:
    return PagedRun(PagedKVCache(spec, num_blocks, block_size=SIZE), TokenTensors(spec))


def rows_of(report: MemoryReport) -> dict[tuple[str, tuple[str, ...]], int]:
    return {(row.kind, row.owners): row.num_blocks for row in report.rows}


def of(report: MemoryReport, owner: str) -> SequenceMemory:
    return next(each for each in report.sequences if each.owner == owner)


def test_every_block_is_in_one_row_with_all_its_owners() -> None:
    run = new_run()
    parent = run.cache.open(owner="parent")
    run.feed(parent, range(10))
    child = run.cache.fork(parent, owner="child")
    run.cache.fork(parent, 4, owner="third")
    run.feed(child, [90, 91, 92])
    gone = run.cache.open(owner="gone")
    run.feed(gone, [60] * 5)
    run.cache.release(gone)
    step = run.cache.reserve([(parent, 3)])
    assert rows_of(run.cache.memory()) == {
        ("shared", ("parent", "child", "third")): 1,
        ("shared", ("parent", "child")): 1,
        ("private", ("parent",)): 1,
        ("private", ("child",)): 2,
        ("held", ()): 1,
        ("cached", ()): 1,
        ("free", ()): 17,
    }
    step.rollback()


def test_a_sequence_says_what_it_shares_and_with_whom() -> None:
    run = new_run()
    parent = run.cache.open(owner="parent")
    run.feed(parent, range(10))
    child = run.cache.fork(parent, 8, owner="child")
    run.feed(child, [90, 91, 92])
    report = run.cache.memory()
    block = run.cache.nbytes // 24
    assert of(report, "child") == SequenceMemory(
        owner="child",
        num_tokens=11,
        num_private_blocks=1,
        num_shared_blocks=2,
        num_released_blocks=0,
        num_unused_slots=1,
        shared_with=("parent",),
        private_bytes=block,
        resume_tokens=3,
        eviction_place=2,
    )
    assert report.next_victim == "parent"
    run.feed(parent, [5])
    assert run.cache.memory().next_victim == "child"


def test_released_blocks_are_counted_and_make_a_resume_dear() -> None:
    run = new_run()
    sequence = run.cache.open(owner="windowed", window=6)
    run.feed(sequence, range(21))
    found = of(run.cache.memory(), "windowed")
    assert found.num_released_blocks == table_of(run.cache, sequence).count(-1) == 4
    assert found.resume_tokens == 21


def test_what_a_sequence_alone_would_free_is_what_its_end_frees() -> None:
    run = new_run(TWO)
    first = run.cache.open(owner="first")
    run.feed(first, range(14))
    second = run.cache.fork(first, owner="second")
    run.feed(second, range(5))
    before = run.cache.memory()
    run.cache.release(second)
    after = run.cache.memory()
    freed = after.free_bytes + after.cached_bytes - before.free_bytes - before.cached_bytes
    assert freed == of(before, "second").private_bytes > 0


def test_tokens_to_compute_again_are_at_most_what_is_said() -> None:
    run = new_run()
    first = run.cache.open(owner="first")
    run.feed(first, range(10))
    second = run.cache.fork(first, owner="second")
    run.feed(second, range(50, 57))
    expected = of(run.cache.memory(), "second").resume_tokens
    token_ids = run.cache.token_ids(second)
    run.cache.shrink(second, 24)
    run.cache.pools[0].drop_cached()
    assert len(token_ids) - run.cache.adopt(second, [*token_ids, 1]) <= expected
    assert expected == 9  # its last shared token is in the block it copied


def test_a_sequence_without_a_name_goes_by_its_number() -> None:
    run = new_run()
    run.cache.open()
    sequence = run.cache.open()
    run.feed(sequence, [1])
    assert [each.owner for each in run.cache.memory().sequences] == ["0", "1"]
    assert run.cache.memory().next_victim == "1"


def test_an_empty_pool_is_one_row() -> None:
    report = new_run(TWO).cache.memory()
    assert [(row.kind, row.num_blocks) for row in report.rows] == [("free", 24), ("free", 24)]
    assert report.free_bytes == report.pool_bytes
    assert report.next_victim is None


@pytest.mark.parametrize("spec", [ONE, TWO], ids=["one group", "two groups"])
@pytest.mark.parametrize("seed", range(6))
def test_rows_add_up_to_the_pool_after_any_program(seed: int, spec: KVCacheSpec) -> None:
    """And each row equals a count over the tables, block by block."""
    rng, run = random.Random(seed), new_run(spec, 40)
    cache = run.cache
    sequences = [cache.open(owner=name, window=rng.choice([None, 7])) for name in "abc"]
    for number in range(80):
        sequence, action = rng.choice(sequences), rng.random()
        if action < 0.5:
            count = cache.chunk_limit(sequence, rng.randint(1, 9))
            for victim in sequences:
                cache.shrink(victim, 2 * cache.blocks_for(sequence, count))
            count = cache.chunk_limit(sequence, count)
            run.step([(sequence, [rng.randrange(2) for _ in range(count)])])
        elif action < 0.7:
            cache.truncate(sequence, rng.randint(0, cache.length(sequence)))
        elif action < 0.85 and len(sequences) < 7:
            length = rng.randint(0, cache.length(sequence))
            sequences.append(cache.fork(sequence, length, owner=f"fork {number}"))
        elif action < 0.95 and len(sequences) > 2:
            sequences.remove(sequence)
            cache.release(sequence)
        else:
            cache.compact(sequence)
        cache.check_integrity()  # sums of rows, kinds and bytes
        report = cache.memory()
        names = {each: cache._sequences[each].owner for each in sequences}
        for group_index, pool in enumerate(cache.pools):
            expected: dict[tuple[str, ...], int] = {}
            for block in range(pool.num_blocks):
                owners = tuple(
                    names[each] for each in sequences if block in table_of(cache, each, group_index)
                )
                if owners:
                    expected[owners] = expected.get(owners, 0) + 1
            found = {
                row.owners: row.num_blocks
                for row in report.rows
                if row.group_index == group_index and row.owners
            }
            assert found == expected
