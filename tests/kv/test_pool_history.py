"""PoolHistory: samples that add up, at a low rate."""

from itertools import pairwise

from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.pool_history import HISTORY_SECONDS, SAMPLE_SECONDS, PoolHistory
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, PagedRun, TokenTensors


def new_run(num_blocks: int) -> PagedRun:
    spec = KVCacheSpec((GQA,))
    return PagedRun(PagedKVCache(spec, num_blocks, block_size=4), TokenTensors(spec))


def test_the_parts_of_a_sample_are_the_whole_pool() -> None:
    run = new_run(num_blocks=12)
    parent = run.cache.open(owner="p")
    run.step([(parent, [1] * 6)])
    run.cache.fork(parent, owner="c")
    run.step([(run.cache.open(owner="other"), [2] * 9)])
    run.cache.truncate(parent, 0)
    history = PoolHistory(clock=lambda: 7.0)
    history.note(run.cache.pools[0], run.cache._sequences.values())

    (sample,) = history.samples()
    assert sample.at == 7.0
    assert sample.owners == (("c", 2), ("other", 3))
    parts = sample.num_free + sample.num_cached + sample.num_shared + sample.num_held
    assert parts + sum(count for _, count in sample.owners) == 12
    assert history.peak_used_blocks == 5


def test_samples_come_at_a_low_rate_and_old_ones_leave() -> None:
    now = [1000.0]
    history = PoolHistory(clock=lambda: now[0])
    pool = new_run(num_blocks=4).cache.pools[0]
    for _ in range(4 * int(HISTORY_SECONDS)):
        history.note(pool, ())
        now[0] += 0.5
    samples = history.samples()
    assert {b.at - a.at for a, b in pairwise(samples)} == {SAMPLE_SECONDS}
    assert samples[-1].at - samples[0].at == HISTORY_SECONDS
