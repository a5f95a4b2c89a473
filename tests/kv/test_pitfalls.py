"""Fifteen mistakes that other caches made, each with a test here or in the file of its part."""

import ast
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kvchat import errors
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.prefix_index import ROOT_KEY, block_key
from kvchat.kv.segments import FoundBlocks
from kvchat.kv.spec import KVCacheSpec, KVDtype
from kvchat.kv.staged_restore import StagedRestore, export_group
from kvchat.kv.stored_prefix import NeededBlock, StoredPrefix
from tests.kv.token_tensors import GQA, HEAD_DIM, MQA, PagedRun, TokenTensors, table_of

TESTS = Path(__file__).resolve().parents[1]
SIZE = 4
ONE, TWO = KVCacheSpec((GQA, GQA)), KVCacheSpec((GQA, MQA))

WHERE = {
    1: "kv/test_paged_cache.py::test_pitfall_1_",
    2: "kv/test_paged_cache.py::test_pitfall_2_",
    3: "kv/test_pitfalls.py::test_pitfall_3_",
    4: "kv/test_pitfalls.py::test_pitfall_4_",
    5: "kv/test_paged_cache.py::test_pitfall_5_",
    6: "kv/test_pitfalls.py::test_pitfall_6_",
    7: "kv/test_pitfalls.py::test_pitfall_7_",
    8: "kv/test_pitfalls.py::test_pitfall_8_",
    9: "kv/test_pitfalls.py::test_pitfall_9_",
    10: "kv/test_paged_cache.py::test_pitfall_10_",
    11: "kv/test_paged_attention.py::test_pitfall_11_",
    12: "kv/test_paged_cache.py::test_pitfall_12_",
    13: "kv/test_paged_cache.py::test_pitfall_13_",
    14: "kv/test_quantization.py::test_pitfall_14_",
    15: "kv/test_paged_cache.py::test_pitfall_15_",
}


@pytest.mark.parametrize("number", range(1, 16))
def test_every_pitfall_has_a_test(number: int) -> None:
    file, _, name = WHERE[number].partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert any(each.startswith(name) for each in functions)


# 3: int8, partial blocks and a full pool


def rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, count, 2, HEAD_DIM)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def bring(cache: PagedKVCache, sequence: SequenceId, token_ids: list[int], start: int) -> None:
    """Append what follows `start`; rows depend on the place alone, which is enough to compare."""
    key, value = rows(40, seed=1)
    end = len(token_ids)
    cache.append(sequence, key[:, start:end], value[:, start:end], token_ids=token_ids[start:end])


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("way", ["miss", "hit", "copy-on-write"])
@pytest.mark.parametrize("residue", range(SIZE))
def test_pitfall_3_a_full_pool_of_partial_blocks_holds_what_a_run_alone_holds(
    residue: int, way: str, kv_dtype: KVDtype
) -> None:
    token_ids = list(range(8 + residue))
    longer = [*token_ids, 90, 91, 92]
    alone = PagedKVCache(ONE, 10, block_size=SIZE, kv_dtype=kv_dtype)
    solo = alone.open()
    bring(alone, solo, longer, 0)

    cache = PagedKVCache(ONE, 10, block_size=SIZE, kv_dtype=kv_dtype)
    first = cache.open()
    start = 0
    if way != "miss":
        bring(cache, first, token_ids, 0)
    if way == "copy-on-write":
        sequence = cache.fork(first)
        start = len(token_ids)
    else:
        sequence = cache.open()
        start = cache.adopt(sequence, longer)
        assert start == (len(token_ids) - residue if way == "hit" else 0)
    need = cache.blocks_for(sequence, len(longer) - start)
    filler, room = cache.open(), (cache.num_available - need) * SIZE
    cache.append(filler, *rows(room, seed=5))
    assert cache.num_available == need
    bring(cache, sequence, longer, start)
    assert cache.num_available == 0
    for layer_index in (0, 1):
        found = cache.keys_values(sequence, layer_index)
        expected = alone.keys_values(solo, layer_index)
        assert all(map(torch.equal, found, expected))
    cache.check_integrity()


# 4: nothing is pinned


def test_pitfall_4_fifty_idle_sequences_larger_than_the_pool_stop_nobody() -> None:
    run = PagedRun(PagedKVCache(TWO, 16, block_size=SIZE), TokenTensors(TWO))
    cache, idle = run.cache, list[SequenceId]()

    def make_room(need: int) -> None:
        for sequence in idle:
            cache.shrink(sequence, need)

    for number in range(50):
        sequence = cache.open(window=None if number % 3 else 9)
        while cache.length(sequence) < 30:
            count = cache.chunk_limit(sequence, 30 - cache.length(sequence))
            make_room(cache.blocks_for(sequence, count))
            run.step([(sequence, [number] * count)])
        idle.append(sequence)
    make_room(16)
    assert cache.num_available == 16  # everything outside a step can go
    prompt = cache.open()
    run.feed(prompt, range(60))
    run.check_rows(prompt, list(range(60)))


# 6 and 8: blocks that come back


def saved(run: PagedRun, sequence: SequenceId) -> tuple[StoredPrefix, FoundBlocks]:
    """Return what disk would hold of a sequence of full blocks."""
    cache = run.cache
    state = cache.paged_sequence(sequence)
    token_ids = cache.token_ids(sequence)
    groups = range(len(cache.pools))
    needed = tuple(
        NeededBlock(i, key, tuple(token_ids[i * SIZE : (i + 1) * SIZE]), (1 << len(groups)) - 1)
        for i, key in enumerate(state.keys)
    )
    found = {
        (each.key, group): tuple(
            memoryview(array)
            for array in export_group(cache, group, [table_of(cache, sequence, group)[each.index]])
        )
        for each in needed
        for group in groups
    }
    return StoredPrefix(len(needed) * SIZE, tuple(state.keys), needed), found


@contextmanager
def failing(point: str, number: int) -> Iterator[None]:
    reached = 0

    def hook(name: str) -> None:
        nonlocal reached
        reached += name == point
        if name == point and reached == number:
            raise MemoryError(name)

    errors.fault_hook = hook
    try:
        yield
    finally:
        errors.fault_hook = None


def snapshot(cache: PagedKVCache) -> object:
    return [
        (list(pool.ref_counts), pool.cached_blocks(), pool.free.extents(), len(pool.index))
        for pool in cache.pools
    ]


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("pool.take", 1),
        ("pool.take", 2),
        ("blocks.import", 1),
        ("blocks.import", 6),
        ("restore.publish", 1),
    ],
)
def test_pitfall_6_a_restore_that_fails_leaves_the_pool_as_it_was(point: str, number: int) -> None:
    run = PagedRun(PagedKVCache(TWO, 20, block_size=SIZE), TokenTensors(TWO))
    cache = run.cache
    other, gone = cache.open(), cache.open()
    run.feed(other, [5] * 10)
    run.feed(gone, range(16))
    prefix, found = saved(run, gone)
    cache.release(gone)
    for pool in cache.pools:
        pool.drop_cached()
    before, sequence = snapshot(cache), cache.open()
    restore = None
    with failing(point, number), pytest.raises(MemoryError):
        restore = StagedRestore(cache, sequence, prefix, found)
        while not restore.stage(1):
            pass
        restore.publish(list(range(17)))
    if restore is not None:
        restore.abandon()
    assert snapshot(cache) == before
    assert cache.length(sequence) == 0
    assert cache.adopt(cache.open(), list(range(17))) == 0
    run.check_rows(other, [5] * 10)
    cache.check_integrity()


def test_pitfall_8_a_restore_finds_room_in_a_pool_of_pieces() -> None:
    run = PagedRun(PagedKVCache(TWO, 12, block_size=SIZE), TokenTensors(TWO))
    cache = run.cache
    for pool in cache.pools:
        pool.free._headroom = 0
    sequences = [cache.open() for _ in range(3)]
    texts = [[100 * number + place for place in range(16)] for number in range(3)]
    for first in range(0, 16, SIZE):
        for sequence, text in zip(sequences, texts, strict=True):
            run.step([(sequence, text[first : first + SIZE])])
    prefix, found = saved(run, sequences[1])
    cache.release(sequences[1])
    for pool in cache.pools:
        pool.drop_cached()
        assert [length for _, length in pool.free.extents()] == [1, 1, 1, 1]
    again = cache.open()
    restore = StagedRestore(cache, again, prefix, found)
    while not restore.stage(1):
        pass
    assert restore.publish([*texts[1], 0]) == 16
    assert saved(run, again)[1] == found
    for sequence, text in zip([sequences[0], again, sequences[2]], texts, strict=True):
        run.check_rows(sequence, text)
    cache.check_integrity()


# 7 and 9: blocks of others


def test_pitfall_7_what_another_model_computed_is_not_found() -> None:
    for mine, other in ((b"fp32", b"int8"), (b"theta 10000", b"theta 500000"), (b"", b"tokenizer")):
        cache = PagedKVCache(ONE, 10, block_size=SIZE, salt=mine)
        bring(cache, cache.open(), list(range(12)), 0)
        assert cache.adopt(cache.open(), list(range(13))) == 12
        cache.salt = other  # another fingerprint over the same pool
        assert cache.adopt(cache.open(), list(range(13))) == 0
        assert cache.adopt(cache.open(), [0, 1, 2, 9]) == 0  # nor the beginning of a block


@pytest.mark.parametrize("seed", range(4))
def test_pitfall_9_no_sequence_gets_blocks_of_another_and_hits_are_counted_truly(seed: int) -> None:
    """Texts over disjoint token ranges, in a pool that holds two of five."""
    rng, cache = random.Random(seed), PagedKVCache(ONE, 14, block_size=SIZE)
    run = PagedRun(cache, TokenTensors(ONE))
    texts = {number: [100 * number + rng.randrange(3) for _ in range(22)] for number in range(5)}
    for _ in range(60):
        text = texts[rng.randrange(5)][: rng.randint(1, 22)]
        sequence, index = cache.open(), cache.pools[0].index
        expected, parent = 0, ROOT_KEY
        while True:
            tokens = text[expected : expected + SIZE]
            parent = block_key(parent, tokens, b"")
            if len(tokens) < SIZE or index.find(parent, tokens) is None:
                break
            expected += SIZE
        length = cache.adopt(sequence, text)
        assert min(expected, len(text) - 1) <= length < expected + SIZE
        run.check_rows(sequence, text[:length])
        if length:
            told = cache.pool_view().events[-1].text
            assert told.endswith(f"found {length} tokens computed before")
        if rng.random() < 0.5:
            run.feed(sequence, text[length:])
            run.check_rows(sequence, text)
        cache.release(sequence)
        cache.check_integrity()
