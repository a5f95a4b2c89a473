"""The paged cache by itself, without a model: create, append, look, fork, check, roll back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, OutOfBlocks
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec
from tests.kv.token_tensors import GQA, HEAD_DIM, MQA

SPEC = KVCacheSpec((GQA, GQA))
BLOCK_BYTES = 2 * 2 * 2 * HEAD_DIM * 4 * 4  # layers, K and V, heads, lanes, bytes, tokens


@dataclass
class Config:
    def kv_spec(self) -> KVCacheSpec:
        return SPEC


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return keys and values [layers, count, K, D]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, count, 2, HEAD_DIM)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


@pytest.fixture
def cache() -> PagedKVCache:
    return PagedKVCache.create(SPEC, num_blocks=12, block_size=4)


@pytest.mark.parametrize("model", [SPEC, Config()], ids=["spec", "config"])
def test_a_cache_of_some_bytes_takes_no_more_and_wastes_less_than_a_block(
    model: KVCacheSpec | Config,
) -> None:
    budget = 10 * BLOCK_BYTES + 17
    cache = PagedKVCache.create(model, pool_bytes=budget, block_size=4)
    assert cache.nbytes == cache.memory().pool_bytes == 10 * BLOCK_BYTES
    assert cache.num_blocks == 10


def test_a_cache_is_given_bytes_or_blocks() -> None:
    with pytest.raises(InvalidArgument):
        PagedKVCache.create(SPEC)
    with pytest.raises(InvalidArgument):
        PagedKVCache.create(SPEC, num_blocks=3, pool_bytes=1 << 20)
    with pytest.raises(InvalidArgument, match="does not hold one block"):
        PagedKVCache.create(SPEC, pool_bytes=BLOCK_BYTES - 1, block_size=4)


def test_layers_with_a_window_leave_their_idle_room_to_the_others() -> None:
    spec = KVCacheSpec((replace(GQA, window=16), GQA))
    cache = PagedKVCache.create(
        spec, pool_bytes=1_000 * BLOCK_BYTES // 2, block_size=4, max_sequences=2
    )
    windowed, full = (pool.num_blocks for pool in cache.pools)
    assert windowed == 2 * 2 * 5
    assert full == 1_000 - windowed
    assert cache.nbytes == cache.memory().pool_bytes
    cache.check_integrity()


def test_a_budget_in_int8_holds_more_tokens() -> None:
    budget = 100 * BLOCK_BYTES
    cache = PagedKVCache.create(SPEC, pool_bytes=budget, block_size=4, kv_dtype="int8")
    assert cache.num_blocks == 100 * (4 * HEAD_DIM) // (HEAD_DIM + 4)
    assert cache.nbytes == cache.memory().pool_bytes <= budget
    sequence = cache.open()
    key, value = rows(6)
    cache.append(sequence, key, value)
    torch.testing.assert_close(cache.keys_values(sequence, 1)[0], key[1], atol=0.02, rtol=0)


def test_what_was_appended_is_read_back(cache: PagedKVCache) -> None:
    sequence = cache.open()
    key, value = rows(11)
    for first, behind in ((0, 1), (1, 6), (6, 11)):
        length = cache.append(sequence, key[:, first:behind], value[:, first:behind])
        assert length == behind
    for layer_index in (0, 1):
        found = cache.keys_values(sequence, layer_index)
        assert torch.equal(found[0], key[layer_index])
        assert torch.equal(found[1], value[layer_index])
    cache.check_integrity()


def test_layers_of_different_shapes_come_as_a_list() -> None:
    spec = KVCacheSpec((GQA, MQA))
    cache = PagedKVCache.create(spec, num_blocks=4, block_size=4)
    sequence = cache.open()
    keys = [torch.randn(5, layer.num_kv_heads, HEAD_DIM) for layer in spec.layers]
    cache.append(sequence, keys, keys)
    assert all(torch.equal(cache.keys_values(sequence, i)[0], keys[i]) for i in (0, 1))


def test_a_cache_of_one_layer_takes_tensors_without_a_layer_axis() -> None:
    cache = PagedKVCache.create(KVCacheSpec((GQA,)), num_blocks=4, block_size=4)
    sequence = cache.open()
    key, value = torch.randn(5, 2, HEAD_DIM), torch.randn(5, 2, HEAD_DIM)
    cache.append(sequence, key, value)
    assert torch.equal(cache.keys_values(sequence, 0)[1], value)


def test_too_few_layers_too_many_tokens_or_too_little_room_change_nothing(
    cache: PagedKVCache,
) -> None:
    sequence, windowed = cache.open(), cache.open(window=3)
    key, value = rows(8)
    with pytest.raises(InvalidArgument, match="1 and values of 1 layers"):
        cache.append(sequence, key[:1], value[:1])
    with pytest.raises(InvalidArgument, match="more than the 3"):
        cache.append(windowed, key, value)
    with pytest.raises(OutOfBlocks):
        cache.append(sequence, *rows(49))
    with pytest.raises(InvalidArgument, match="values are"):
        cache.append(sequence, key, value[:, :, :1])
    assert cache.length(sequence) == cache.length(windowed) == 0
    assert cache.num_available == 12
    cache.check_integrity()


def test_tokens_that_came_with_ids_are_found_by_another_sequence(cache: PagedKVCache) -> None:
    first, second = cache.open(), cache.open()
    key, value = rows(10)
    cache.append(first, key, value, token_ids=list(range(10)))
    assert cache.adopt(second, [*range(8), 77, 78]) == 8
    assert torch.equal(cache.keys_values(second, 1)[0], key[1, :8])


def test_rows_a_window_let_go_are_nan(cache: PagedKVCache) -> None:
    sequence = cache.open(window=4, sinks=4)
    key, value = rows(20)
    for position in range(20):
        token = slice(position, position + 1)
        cache.append(sequence, key[:, token], value[:, token])
    found, _ = cache.keys_values(sequence, 0)
    assert torch.equal(found[:4], key[0, :4])
    assert bool(found[4:16].isnan().all())
    assert torch.equal(found[16:], key[0, 16:])


def test_a_fork_is_a_checkpoint_to_roll_back_to_as_often_as_wanted(cache: PagedKVCache) -> None:
    sequence = cache.open()
    key, value = rows(10)
    cache.append(sequence, key, value)
    available = cache.num_available
    with cache.checkpoint(sequence) as before:
        assert cache.num_available == available  # it took no block
        for attempt in (1, 2):
            cache.append(sequence, *rows(7, seed=attempt))
            assert cache.length(sequence) == 17
            cache.rollback(sequence, before)
            assert cache.length(sequence) == 10
            cache.check_integrity()
    assert torch.equal(cache.keys_values(sequence, 0)[0], key[0])
    assert cache.num_available == available
    cache.append(sequence, *rows(1))
    assert cache.length(sequence) == 11


def test_what_raises_inside_a_checkpoint_rolls_back(cache: PagedKVCache) -> None:
    sequence = cache.open()
    key, value = rows(10)
    cache.append(sequence, key, value, token_ids=list(range(10)))
    with pytest.raises(RuntimeError, match="stop"), cache.checkpoint(sequence):
        cache.truncate(sequence, 3)
        cache.append(sequence, *rows(6, seed=1), token_ids=[9] * 6)
        raise RuntimeError("stop")
    assert cache.token_ids(sequence) == list(range(10))
    assert torch.equal(cache.keys_values(sequence, 1)[1], value[1])
    cache.check_integrity()


def test_what_is_kept_at_the_end_of_a_checkpoint_stays(cache: PagedKVCache) -> None:
    sequence = cache.open()
    cache.append(sequence, *rows(6))
    with cache.checkpoint(sequence):
        cache.append(sequence, *rows(5, seed=1))
    assert cache.length(sequence) == 11
    assert len(cache.memory().sequences) == 1
    cache.check_integrity()


def test_a_checkpoint_holds_what_the_window_releases(cache: PagedKVCache) -> None:
    """Rewinding would find holes; the checkpoint has kept the blocks."""
    sequence = cache.open(window=4)
    key, value = rows(4)
    cache.append(sequence, key, value)
    with cache.checkpoint(sequence) as before:
        for number in range(12):
            cache.append(sequence, *rows(1, seed=number))
        with cache.checkpoint(sequence):
            assert cache.truncate(sequence, 4) == 0
        cache.rollback(sequence, before)
    assert torch.equal(cache.keys_values(sequence, 0)[0], key[0])
    cache.check_integrity()


def test_a_step_that_is_open_when_something_raises_is_rolled_back(cache: PagedKVCache) -> None:
    sequence, other = cache.open(), cache.open()
    cache.append(sequence, *rows(6))
    with pytest.raises(ZeroDivisionError), cache.checkpoint(sequence):
        cache.append(sequence, *rows(2))
        cache.reserve([(sequence, 3), (other, 1)])
        raise ZeroDivisionError
    assert (cache.length(sequence), cache.length(other)) == (6, 0)
    assert cache.memory().held_bytes == 0 and len(cache.memory().sequences) == 2
    cache.append(other, *rows(5))
    cache.check_integrity()


@pytest.mark.parametrize("released", ["sequence", "checkpoint", "both"])
def test_what_was_released_inside_a_checkpoint_stays_released(
    cache: PagedKVCache, released: str
) -> None:
    sequence = cache.open()
    cache.append(sequence, *rows(6))
    with pytest.raises(ZeroDivisionError), cache.checkpoint(sequence) as before:
        if released != "checkpoint":
            cache.release(sequence)
        if released != "sequence":
            cache.release(before)
        raise ZeroDivisionError
    assert len(cache.memory().sequences) == (released == "checkpoint")
    cache.check_integrity()


def test_a_rollback_to_itself_changes_nothing(cache: PagedKVCache) -> None:
    sequence = cache.open()
    cache.append(sequence, *rows(6), token_ids=range(6))
    cache.rollback(sequence, sequence)
    assert cache.token_ids(sequence) == [0, 1, 2, 3, 4, 5]
    cache.check_integrity()


def test_a_step_ends_with_its_block(cache: PagedKVCache) -> None:
    sequence = cache.open()
    key, value = rows(3)
    with cache.reserve([(sequence, 3)]):
        for layer_index in (0, 1):
            cache.write(layer_index, key[layer_index], value[layer_index])
    with pytest.raises(ZeroDivisionError), cache.reserve([(sequence, 2)]):
        raise ZeroDivisionError
    with cache.reserve([(sequence, 2)]) as step:
        step.rollback()
    assert cache.length(sequence) == 3 and torch.equal(cache.keys_values(sequence, 1)[0], key[1])
    cache.check_integrity()


def test_other_names_do_the_same(cache: PagedKVCache) -> None:
    sequence = cache.open()
    cache.append(sequence, *rows(6))
    assert cache.rewind(sequence, 5) == 5 == cache.length(sequence)
    assert cache.stats() == cache.memory()
    cache.free(sequence)
    assert cache.memory().sequences == () and cache.num_available == 12


def test_no_tokens_change_nothing(cache: PagedKVCache) -> None:
    sequence = cache.open()
    cache.append(sequence, *rows(3))
    assert cache.append(sequence, *rows(0)) == 3 == cache.append(sequence, *rows(0), token_ids=[])


def test_a_released_sequence_is_not_used_again(cache: PagedKVCache) -> None:
    sequence, gone = cache.open(), cache.open()
    cache.release(gone)
    uses: list[Callable[[], object]] = [
        lambda: cache.length(gone),
        lambda: cache.append(gone, *rows(1)),
        lambda: cache.keys_values(gone, 0),
        lambda: cache.fork(gone),
        lambda: cache.truncate(gone, 0),
        lambda: cache.release(gone),
        lambda: cache.rollback(sequence, gone),
        lambda: cache.reserve([(sequence, 1), (gone, 1)]),
    ]
    for use in uses:
        with pytest.raises(InvalidArgument, match="Sequence 1 is not in this cache"):
            use()
    assert cache.open() not in (sequence, gone)
    cache.append(sequence, *rows(1))
    cache.check_integrity()


def test_only_float_types_and_known_ways_to_store_them_make_a_cache() -> None:
    with pytest.raises(InvalidArgument, match="int4"):
        PagedKVCache.create(SPEC, num_blocks=2, kv_dtype=cast(KVDtype, "int4"))
    with pytest.raises(InvalidArgument, match="int32"):
        PagedKVCache.create(SPEC, num_blocks=2, dtype=torch.int32)
    with pytest.raises(InvalidArgument, match="one size"):
        PagedKVCache.create(KVCacheSpec((replace(GQA, value_dim=4),)), num_blocks=2)
    with pytest.raises(InvalidArgument, match="0 layer groups"):
        PagedKVCache.create(KVCacheSpec(()), num_blocks=2)
    with pytest.raises(InvalidArgument, match="0 tokens"):
        PagedKVCache.create(SPEC, pool_bytes=1 << 20, block_size=0)
    with pytest.raises(InvalidArgument, match="do not fit"):
        PagedKVCache(SPEC, [2, 2])


@pytest.mark.parametrize(
    ("num_heads", "num_kv_heads", "key_dim", "window"),
    [(3, 2, 8, None), (4, 0, 8, None), (4, 2, 0, None), (4, 2, 8, 0)],
)
def test_a_layer_that_cannot_be_is_refused(
    num_heads: int, num_kv_heads: int, key_dim: int, window: int | None
) -> None:
    with pytest.raises(InvalidArgument):
        LayerSpec(num_heads, num_kv_heads, key_dim, 8, 1.0, window)
