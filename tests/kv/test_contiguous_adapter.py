"""The paged pool behind the interface of contiguous caches: same calls, same tensors back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, OutOfBlocks
from kvchat.kv.contiguous import StaticCache
from kvchat.kv.contiguous_adapter import ContiguousAdapter
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, HEAD_DIM, MQA

SPEC = KVCacheSpec((GQA, MQA))
NUM_SLOTS = 40


@pytest.fixture
def cache() -> PagedKVCache:
    return PagedKVCache.create(SPEC, num_blocks=30, block_size=4)


def new_tokens(count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return keys and values [count, K, D] of each layer."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(count, layer.num_kv_heads, HEAD_DIM, generator=generator),
            torch.randn(count, layer.num_kv_heads, HEAD_DIM, generator=generator),
        )
        for layer in SPEC.layers
    ]


def forward(adapter: ContiguousAdapter, start: int, count: int, seed: int) -> None:
    for layer_idx, (key, value) in enumerate(new_tokens(count, seed)):
        adapter.update(layer_idx, key, value, torch.arange(start, start + count))


def test_a_model_over_a_static_cache_runs_unchanged_over_the_pool(cache: PagedKVCache) -> None:
    static = StaticCache(SPEC, NUM_SLOTS)
    sequence = static.open()
    adapter = ContiguousAdapter(cache, max_length=NUM_SLOTS)
    start = 0
    for seed, count in enumerate([7, 1, 1, 4, 1, 12]):
        position = torch.arange(start, start + count)
        for layer_idx, (key, value) in enumerate(new_tokens(count, seed)):
            expected = static.update(layer_idx, key, value, position, sequence)
            found = adapter.update(layer_idx, key, value, position)
            assert all(map(torch.equal, found, expected))
        start += count
        assert adapter.length == start
        cache.check_integrity()


def test_without_slots_it_returns_what_concatenating_returns(cache: PagedKVCache) -> None:
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 6, seed=1)
    key, value = new_tokens(3, 2)[0]
    found = adapter.update(0, key, value, torch.arange(6, 9))
    first = new_tokens(6, 1)[0]
    assert torch.equal(found[0], torch.cat((first[0], key)))
    assert torch.equal(found[1], torch.cat((first[1], value)))


def test_axes_come_back_as_they_came(cache: PagedKVCache) -> None:
    adapter = ContiguousAdapter(cache)
    key, value = (part.transpose(0, 1)[None] for part in new_tokens(5, 1)[0])
    found = adapter.update(0, key, value, torch.arange(5))
    assert torch.equal(found[0], key)
    assert torch.equal(found[1], value)


def test_an_earlier_position_rewinds_to_it(cache: PagedKVCache) -> None:
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 10, seed=1)
    forward(adapter, 6, 2, seed=2)
    assert adapter.length == 8
    key, _ = cache.keys_values(adapter.sequence, 0)
    assert torch.equal(key, torch.cat((new_tokens(10, 1)[0][0][:6], new_tokens(2, 2)[0][0])))
    cache.check_integrity()


def test_a_fork_shares_blocks_and_goes_its_own_way(cache: PagedKVCache) -> None:
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 10, seed=1)
    available = cache.num_available
    child = adapter.fork()
    assert cache.num_available == available
    forward(child, 10, 3, seed=2)
    assert (adapter.length, child.length) == (10, 13)
    parent_key, _ = cache.keys_values(adapter.sequence, 1)
    assert torch.equal(parent_key, new_tokens(10, 1)[1][0])
    adapter.release()
    child.release()
    assert cache.num_available == 30


def test_a_pass_that_broke_off_is_undone_by_the_next(cache: PagedKVCache) -> None:
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 5, seed=1)
    key, value = new_tokens(2, 2)[0]
    adapter.update(0, key, value, torch.arange(5, 7))
    assert adapter.length == 5
    forward(adapter, 5, 2, seed=3)
    assert adapter.length == 7
    found, _ = cache.keys_values(adapter.sequence, 0)
    assert torch.equal(found[5:], new_tokens(2, 3)[0][0])
    cache.check_integrity()


@pytest.mark.parametrize("start", [6, 9, -1])
def test_a_gap_is_refused_and_changes_nothing(cache: PagedKVCache, start: int) -> None:
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 5, seed=1)
    with pytest.raises(InvalidArgument):
        forward(adapter, start, 2, seed=2)
    assert adapter.length == 5
    forward(adapter, 5, 2, seed=2)
    assert adapter.length == 7


def test_slots_and_the_pool_have_an_end(cache: PagedKVCache) -> None:
    with pytest.raises(InvalidArgument, match="9 tokens do not fit the 8"):
        forward(ContiguousAdapter(cache, max_length=8), 0, 9, seed=1)
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 120, seed=1)
    with pytest.raises(OutOfBlocks):
        forward(adapter, 120, 1, seed=2)
    assert adapter.length == 120


def test_a_batch_and_a_window_are_refused(cache: PagedKVCache) -> None:
    with pytest.raises(InvalidArgument, match="the batch has 2"):
        batch = torch.zeros(2, 2, 3, HEAD_DIM)
        ContiguousAdapter(cache).update(0, batch, batch, torch.arange(3))
    with pytest.raises(InvalidArgument, match="sees everything"):
        ContiguousAdapter(cache, cache.open(window=8))


def test_a_windowed_layer_returns_zeros_for_what_it_let_go() -> None:
    spec = KVCacheSpec((replace(GQA, window=6), GQA))
    cache = PagedKVCache.create(spec, num_blocks=30, block_size=4)
    adapter = ContiguousAdapter(cache)
    ones = torch.ones(1, 2, HEAD_DIM)
    for position in range(20):
        for layer_idx in (0, 1):
            keys, _ = adapter.update(layer_idx, ones, ones, torch.tensor([position]))
            seen = keys[-6:] if layer_idx == 0 else keys
            assert bool((seen == 1).all())
    first, _ = cache.keys_values(adapter.sequence, 0)
    assert bool(first[:4].isnan().all())


def test_a_rewind_behind_a_layers_window_is_refused_and_changes_nothing() -> None:
    cache = PagedKVCache.create(
        KVCacheSpec((replace(GQA, window=3), MQA)), num_blocks=16, block_size=4
    )
    adapter = ContiguousAdapter(cache)
    forward(adapter, 0, 15, seed=1)
    with pytest.raises(InvalidArgument, match="window has let go"):
        forward(adapter, 5, 2, seed=2)
    assert adapter.length == 15
    forward(adapter, adapter.truncate(5), 7, seed=3)
    assert adapter.length == 7


@pytest.mark.parametrize("layer_idx", [-1, 2])
def test_a_pass_that_is_refused_leaves_room_for_others(cache: PagedKVCache, layer_idx: int) -> None:
    adapter, other = ContiguousAdapter(cache), ContiguousAdapter(cache)
    with pytest.raises(InvalidArgument, match="no layer"):
        adapter.update(layer_idx, *new_tokens(1, 0)[0], torch.arange(1))
    forward(other, 0, 3, seed=1)
    assert (adapter.length, other.length) == (0, 3)


@pytest.mark.parametrize(
    ("count", "positions"), [(0, torch.arange(0)), (1, torch.tensor(0)), (3, torch.arange(2))]
)
def test_positions_that_do_not_fit_the_tokens_are_refused(
    cache: PagedKVCache, count: int, positions: Tensor
) -> None:
    with pytest.raises(InvalidArgument, match="as many positions"):
        ContiguousAdapter(cache).update(0, *new_tokens(count, 0)[0], positions)


def test_a_latent_has_no_values_whatever_the_axes() -> None:
    latent = replace(GQA, num_kv_heads=1, value_dim=0, latent_value_dim=HEAD_DIM - 4, rotary=None)
    cache = PagedKVCache.create(KVCacheSpec((latent,)), num_blocks=4, block_size=4)
    adapter = ContiguousAdapter(cache)
    keys, values = adapter.update(0, torch.ones(1, 1, 3, HEAD_DIM), None, torch.arange(3))
    assert keys.shape == (1, 1, 3, HEAD_DIM) and values.shape == (1, 1, 3, HEAD_DIM - 4)
