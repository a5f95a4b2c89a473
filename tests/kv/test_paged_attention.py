"""Attention over runs against dense attention: scattered blocks, gathers, chunks, window edges."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from kvchat.kv.attention_metadata import MAX_RUNS
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec
from tests.kv.token_tensors import GQA, MHA, MLA, MQA, PagedRun, TokenTensors, table_of

WINDOW, SINKS, SIZE = 11, 8, 4

MakeRun = Callable[..., PagedRun]


@pytest.fixture
def new_run() -> MakeRun:
    def make(
        *layers: LayerSpec,
        num_blocks: int = 64,
        block_size: int = SIZE,
        scattered: bool = False,
        kv_dtype: KVDtype = "auto",
    ) -> PagedRun:
        spec = KVCacheSpec(layers or (GQA, GQA))
        cache = PagedKVCache(spec, num_blocks, block_size=block_size, kv_dtype=kv_dtype)
        if scattered:
            # Only every second block stays free, so that no two of a sequence can be neighbors.
            for pool in cache.pools:
                for block in pool.take(num_blocks)[::2]:
                    pool.give_back(block)
        return PagedRun(cache, TokenTensors(spec))

    return make


def tokens(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 50, (count,), generator=generator).tolist()


def in_chunks(run: PagedRun, sequence: SequenceId, token_ids: list[int], size: int) -> None:
    """Feed chunks of at most `size` tokens, as far as the window allows."""
    rest = list(token_ids)
    while rest:
        count = run.cache.chunk_limit(sequence, min(size, len(rest)))
        run.step([(sequence, rest[:count])])
        del rest[:count]


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("layer", [MHA, GQA, MQA, MLA], ids=["MHA", "GQA", "MQA", "MLA"])
@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 40])
def test_chunks_of_every_size_attend_to_all_that_came_before(
    new_run: MakeRun, layer: LayerSpec, chunk: int, kv_dtype: KVDtype
) -> None:
    run = new_run(layer, layer, kv_dtype=kv_dtype)
    in_chunks(run, run.cache.open(), tokens(37), chunk)


@pytest.mark.parametrize("cap", [5.0, None])
def test_a_soft_cap_bounds_scores_before_softmax(new_run: MakeRun, cap: float | None) -> None:
    run = new_run(replace(GQA, soft_cap=cap))
    in_chunks(run, run.cache.open(), tokens(21), 8)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("layer", [GQA, MLA], ids=["GQA", "MLA"])
@pytest.mark.parametrize("chunk", [1, 7])
def test_a_row_of_many_runs_is_gathered_to_the_same_result(
    new_run: MakeRun, chunk: int, layer: LayerSpec, kv_dtype: KVDtype
) -> None:
    run = new_run(layer, scattered=True, kv_dtype=kv_dtype)
    sequence = run.cache.open()
    in_chunks(run, sequence, tokens((MAX_RUNS + 4) * SIZE), chunk)
    step = run.cache.reserve([(sequence, 1)], [[1]])
    (plan,) = run.cache._metadata[0].rows
    step.rollback()
    assert [part.gathered is None for part in plan.parts] == [False]


@pytest.mark.parametrize("num_runs", [MAX_RUNS - 1, MAX_RUNS])
def test_a_row_of_few_runs_reads_views(new_run: MakeRun, num_runs: int) -> None:
    run = new_run(scattered=True)
    sequence = run.cache.open()
    run.feed(sequence, tokens(num_runs * SIZE - 1))
    run.step([(sequence, [1])], before_commit=lambda: _check_views(run, num_runs))


def _check_views(run: PagedRun, num_runs: int) -> None:
    (plan,) = run.cache._metadata[0].rows
    assert [part.gathered for part in plan.parts] == [None] * num_runs


def test_neighboring_blocks_are_read_as_one_view(new_run: MakeRun) -> None:
    run = new_run()
    sequence = run.cache.open()
    run.feed(sequence, tokens(5 * SIZE))
    run.step([(sequence, [1])], before_commit=lambda: _check_views(run, 1))


@pytest.mark.parametrize("window", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 9, 14])
def test_pitfall_11_a_layer_window_is_exact_at_its_edges(
    new_run: MakeRun, window: int, chunk: int
) -> None:
    """Chunks shorter and longer than the window, over a mixed model of two layer groups."""
    run = new_run(GQA, replace(GQA, window=window))
    in_chunks(run, run.cache.open(), tokens(2 * window + 15), chunk)


@pytest.mark.parametrize("chunk", [2, 5, 11, 16])
def test_a_chunk_over_runs_that_some_of_its_queries_see_nothing_of_is_finite(
    new_run: MakeRun, chunk: int
) -> None:
    run = new_run(replace(GQA, window=WINDOW), scattered=True)
    in_chunks(run, run.cache.open(), tokens(50), chunk)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("layer", [GQA, MLA], ids=["GQA", "MLA"])
@pytest.mark.parametrize("scattered", [False, True], ids=["one run", "scattered"])
@pytest.mark.parametrize("sinks", [0, SINKS])
@pytest.mark.parametrize("chunk", [1, 3, 7, WINDOW, 30])
def test_pitfall_11_sinks_and_window_are_exact_around_the_first_slide(
    new_run: MakeRun, chunk: int, sinks: int, scattered: bool, layer: LayerSpec, kv_dtype: KVDtype
) -> None:
    """S + N - 1, S + N and S + N + 1 are passed by chunks of every kind."""
    run = new_run(layer, scattered=scattered, kv_dtype=kv_dtype)
    sequence = run.cache.open(window=WINDOW, sinks=sinks)
    in_chunks(run, sequence, tokens(3 * (WINDOW + sinks) + 2), chunk)


@pytest.mark.parametrize("length", [SINKS + WINDOW - 1, SINKS + WINDOW, SINKS + WINDOW + 1])
def test_one_step_from_each_length_around_the_first_slide(new_run: MakeRun, length: int) -> None:
    run = new_run()
    sequence = run.cache.open(window=WINDOW, sinks=SINKS)
    run.feed(sequence, tokens(length))
    run.step([(sequence, [9])])


@pytest.mark.parametrize("scattered", [False, True], ids=["one run", "scattered"])
@pytest.mark.parametrize("window", [40, 42])
def test_a_wide_session_window_is_exact_over_gathered_blocks(
    new_run: MakeRun, window: int, scattered: bool
) -> None:
    run = new_run(num_blocks=96, scattered=scattered)
    sequence = run.cache.open(window=window, sinks=SINKS)
    in_chunks(run, sequence, tokens(80), 10)
    in_chunks(run, sequence, tokens(12, seed=1), 1)


@pytest.mark.parametrize("layer_window", [SINKS + WINDOW - 1, SINKS + WINDOW, SINKS + WINDOW + 1])
def test_the_smaller_of_a_layer_window_and_a_session_window_wins(
    new_run: MakeRun, layer_window: int
) -> None:
    run = new_run(GQA, replace(GQA, window=layer_window), replace(GQA, rotary=None))
    sequence = run.cache.open(window=WINDOW, sinks=SINKS)
    in_chunks(run, sequence, tokens(60), 6)


def test_rows_of_one_step_attend_only_to_themselves(new_run: MakeRun) -> None:
    """Decodes, chunks, windowed and forked rows together; each equals its dense truth."""
    run = new_run(GQA, replace(GQA, window=6), GQA)
    cache = run.cache
    plain, windowed = cache.open(), cache.open(window=WINDOW, sinks=SINKS)
    run.step([(plain, tokens(13)), (windowed, tokens(19, seed=1))])
    child = cache.fork(plain)
    empty = cache.open()
    for number in range(9):
        run.step(
            [
                (windowed, tokens(1, seed=number)),
                (plain, tokens(3, seed=number)),
                (empty, tokens(number + 1, seed=number)),
                (child, [number]),
            ]
        )


@pytest.mark.parametrize("block_size", [1, 2, 3, 8, 32])
def test_any_block_size_gives_the_same_attention(new_run: MakeRun, block_size: int) -> None:
    run = new_run(GQA, replace(GQA, window=6), block_size=block_size)
    sequence = run.cache.open(window=10, sinks=block_size)
    in_chunks(run, sequence, tokens(45), 7)


def test_blocks_behind_the_window_are_released_and_positions_never_move(new_run: MakeRun) -> None:
    run = new_run(GQA)
    sequence = run.cache.open(window=8, sinks=SIZE)
    run.feed(sequence, tokens(41))
    held = [block >= 0 for block in table_of(run.cache, sequence)]
    # The next query stands at 41 and sees 34..41 and the sinks 0..3.
    assert held == [True] + [False] * 7 + [True] * 3
