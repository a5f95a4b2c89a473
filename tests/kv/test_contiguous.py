"""The classic caches against each other, and dense attention against an independent reference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, OutOfBlocks
from kvchat.kv import contiguous
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache, dense_attention
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import KVCacheSpec, LayerSpec, RotarySpec

ROTARY = RotarySpec(tuple(10_000.0 ** (-i / 4) for i in range(4)))
LAYER = LayerSpec(num_heads=4, num_kv_heads=2, key_dim=8, value_dim=6, scale=0.3, rotary=ROTARY)
SPEC = KVCacheSpec((LAYER, replace(LAYER, window=5)))
MAX_LENGTH = 48

CACHES: dict[str, Callable[[], KVCache]] = {
    "dynamic": lambda: DynamicCache(SPEC),
    "growing": lambda: DynamicCache(SPEC, growth_factor=1.5),
    "static": lambda: StaticCache(SPEC, MAX_LENGTH),
}
every_storing_cache = pytest.mark.parametrize("make_cache", CACHES.values(), ids=CACHES)


class Tokens:
    """Random query, key and value of a sequence in every layer, unrotated."""

    def __init__(self, length: int, seed: int, spec: KVCacheSpec = SPEC) -> None:
        generator = torch.Generator().manual_seed(seed)

        def random(heads: int, dim: int) -> Tensor:
            return torch.randn(length, heads, dim, generator=generator)

        self.layers = [
            (
                random(layer.num_heads, layer.key_dim),
                random(layer.num_kv_heads, layer.key_dim),
                random(layer.num_kv_heads, layer.value_dim),
            )
            for layer in spec.layers
        ]

    def rotated(self, layer_index: int, spec: KVCacheSpec = SPEC) -> tuple[Tensor, Tensor, Tensor]:
        """Query and key turned to their absolute positions, and value, as a model gives them."""
        query, key, value = self.layers[layer_index]
        rotary = spec.layers[layer_index].rotary
        if rotary is not None:
            turn = rotation(torch.arange(query.shape[0]), rotary, query.dtype)
            query, key = rotate(query, *turn), rotate(key, *turn)
        return query, key, value


def run_step(
    cache: KVCache, rows: Sequence[tuple[SequenceId, Tokens, int, int]], *, commit: bool = True
) -> list[Tensor]:
    """Attend tokens [start, end) of each row in one step; return the packed output per layer."""
    step = cache.reserve([(sequence, end - start) for sequence, _, start, end in rows])
    expected = [position for _, _, start, end in rows for position in range(start, end)]
    assert list(step.positions) == expected
    outputs = []
    for layer_index in range(len(cache.spec.layers)):
        parts = [
            [x[start:end] for x in tokens.rotated(layer_index)] for _, tokens, start, end in rows
        ]
        query, key, value = (torch.cat(part) for part in zip(*parts, strict=True))
        outputs.append(cache.attend(layer_index, query, key, value))
    if commit:
        step.commit()
    else:
        step.rollback()
    return outputs


def run(cache: KVCache, sequence: SequenceId, tokens: Tokens, borders: Sequence[int]) -> Tensor:
    """Return the output [layers, T, H, Dv] of all tokens between the borders, chunk by chunk."""
    chunks = [
        torch.stack(run_step(cache, [(sequence, tokens, start, end)]))
        for start, end in pairwise(borders)
    ]
    return torch.cat(chunks, 1)


def truth(tokens: Tokens, length: int, *, window: int | None = None, sinks: int = 0) -> Tensor:
    cache = NoCache(SPEC)
    return run(cache, cache.open(window=window, sinks=sinks), tokens, [0, length])


def in_cache_reference(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, window: int, sinks: int
) -> Tensor:
    """Attention with sinks as it is usually told: what is left is numbered by its place.

    Takes unrotated queries and keys, loops over tokens and heads, turns pairs of channels as
    complex numbers in float64. Shares no line with what it checks.
    """
    rotary = layer.rotary

    def turned(head: Tensor, position: int) -> Tensor:
        head = head.double()
        if rotary is None:
            return head
        half = rotary.rotary_dim // 2
        pairs = torch.complex(head[:half].contiguous(), head[half : 2 * half].contiguous())
        angle = torch.tensor(rotary.inverse_frequencies, dtype=torch.float64) * position
        pairs = pairs * torch.polar(torch.full_like(angle, rotary.attention_factor), angle)
        return torch.cat((pairs.real, pairs.imag, head[2 * half :]))

    output = torch.zeros(query.shape[0], layer.num_heads, layer.value_dim, dtype=torch.float64)
    for t in range(query.shape[0]):
        kept = [s for s in range(t + 1) if t < sinks + window or s < sinks or s > t - window]
        for head in range(layer.num_heads):
            kv_head = head * layer.num_kv_heads // layer.num_heads
            q = turned(query[t, head], len(kept) - 1)
            scores = torch.stack(
                [q @ turned(key[s, kv_head], place) for place, s in enumerate(kept)]
            )
            scores = scores * layer.scale
            if layer.soft_cap is not None:
                scores = torch.tanh(scores / layer.soft_cap) * layer.soft_cap
            output[t, head] = scores.softmax(0) @ value[kept, kv_head].double()
    return output.float()


@pytest.mark.parametrize(("window", "sinks"), [(1, 0), (1, 3), (5, 0), (7, 4), (16, 1), (40, 9)])
@pytest.mark.parametrize(
    "layer",
    [
        LAYER,
        replace(LAYER, num_kv_heads=1, soft_cap=2.0),
        replace(LAYER, rotary=RotarySpec(ROTARY.inverse_frequencies[:2], 1.3)),
        replace(LAYER, rotary=None),
    ],
    ids=["gqa", "mqa with soft cap", "partial rotary", "no rotary"],
)
def test_windows_and_sinks_number_tokens_by_their_place_in_the_cache(
    layer: LayerSpec, window: int, sinks: int
) -> None:
    spec = KVCacheSpec((layer,))
    tokens = Tokens(30, 3, spec)
    expected = in_cache_reference(*tokens.layers[0], layer, window, sinks)
    found = dense_attention(*tokens.rotated(0, spec), layer, window=window, sinks=sinks)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_smaller_window_of_the_layer_wins_and_has_no_sinks() -> None:
    tokens = Tokens(30, 4)
    layer = replace(LAYER, window=6)
    found = dense_attention(*tokens.rotated(0), layer, window=4, sinks=3)
    expected = in_cache_reference(*tokens.layers[0], layer, 6, 0)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_larger_window_of_the_layer_leaves_the_sessions_window() -> None:
    tokens = Tokens(30, 5)
    layer = replace(LAYER, window=20)
    found = dense_attention(*tokens.rotated(0), layer, window=4, sinks=3)
    expected = in_cache_reference(*tokens.layers[0], layer, 4, 3)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@every_storing_cache
@pytest.mark.parametrize("borders", [[0, 30], [0, 1, 8, 9, 25, 30], list(range(31))])
@pytest.mark.parametrize(("window", "sinks"), [(None, 0), (6, 0), (6, 4)])
def test_chunks_give_what_no_cache_gives(
    make_cache: Callable[[], KVCache], borders: list[int], window: int | None, sinks: int
) -> None:
    tokens, cache = Tokens(30, 6), make_cache()
    found = run(cache, cache.open(window=window, sinks=sinks), tokens, borders)
    expected = truth(tokens, 30, window=window, sinks=sinks)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_static_cache_without_index_copy_gives_the_same_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens, borders = Tokens(30, 7), [0, 11, 12, 13, 30]
    usual = StaticCache(SPEC, MAX_LENGTH)
    expected = run(usual, usual.open(), tokens, borders)
    tries = []

    def missing(tensor: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
        tries.append(1)
        raise NotImplementedError("aten::index_copy.out is not implemented for this device")

    monkeypatch.setattr(torch.Tensor, "index_copy_", missing)
    cache = StaticCache(SPEC, MAX_LENGTH)
    found = run(cache, cache.open(), tokens, borders)
    assert torch.equal(found, expected)
    assert len(tries) == 1, "it is found out once"


def test_update_writes_the_given_slots_and_no_other() -> None:
    cache = StaticCache(SPEC, 6)
    sequence = cache.open()
    key, value = torch.ones(2, 2, 8), torch.full((2, 2, 6), 2.0)
    stored_key, stored_value = cache.update(1, key, value, torch.tensor([4, 1]), sequence)
    written = torch.tensor([False, True, False, False, True, False])
    assert stored_key.shape == (6, 2, 8)
    assert stored_value.shape == (6, 2, 6)
    assert torch.equal(stored_key[:, 0, 0], written.float())
    assert torch.equal(stored_value[:, 1, 5], 2 * written.float())
    other_key, _ = cache.update(
        0, key[:0], value[:0], torch.tensor([], dtype=torch.int64), sequence
    )
    assert not other_key.any()


@every_storing_cache
@pytest.mark.parametrize("length", [0, 1, 13, 20])
def test_a_truncated_sequence_goes_on_as_if_it_had_never_been_longer(
    make_cache: Callable[[], KVCache], length: int
) -> None:
    first, second, cache = Tokens(30, 8), Tokens(30, 9), make_cache()
    for old, new in zip(first.layers, second.layers, strict=True):
        for before, after in zip(old, new, strict=True):
            after[:length] = before[:length]
    sequence = cache.open()
    run(cache, sequence, first, [0, 7, 20])
    assert cache.truncate(sequence, length) == length
    assert cache.length(sequence) == length
    found = run(cache, sequence, second, [length, 25, 30])
    torch.testing.assert_close(found, truth(second, 30)[:, length:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("make_cache", [*CACHES.values(), lambda: NoCache(SPEC)])
def test_uneven_rows_of_a_batch_equal_the_rows_alone(make_cache: Callable[[], KVCache]) -> None:
    lengths = [1, 9, 17, 4]
    rows = [Tokens(length, seed) for seed, length in enumerate(lengths)]
    settings = [(None, 0), (4, 2), (None, 0), (2, 0)]
    alone = []
    for tokens, length, (window, sinks) in zip(rows, lengths, settings, strict=True):
        cache = make_cache()
        alone.append(run(cache, cache.open(window=window, sinks=sinks), tokens, [0, length]))
    cache = make_cache()
    together = run_step(
        cache,
        [
            (cache.open(window=window, sinks=sinks), tokens, 0, length)
            for tokens, length, (window, sinks) in zip(rows, lengths, settings, strict=True)
        ],
    )
    assert torch.equal(torch.stack(together), torch.cat(alone, 1))


@every_storing_cache
def test_rows_of_a_batch_may_stand_at_different_lengths(make_cache: Callable[[], KVCache]) -> None:
    old, new, cache = Tokens(20, 1), Tokens(20, 2), make_cache()
    first, second = cache.open(), cache.open()
    run(cache, first, old, [0, 19])
    outputs = torch.stack(run_step(cache, [(second, new, 0, 12), (first, old, 19, 20)]))
    torch.testing.assert_close(outputs[:, :12], truth(new, 12), atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[:, 12:], truth(old, 20)[:, 19:], atol=1e-5, rtol=0)


@every_storing_cache
def test_a_rolled_back_step_leaves_no_trace(make_cache: Callable[[], KVCache]) -> None:
    kept, dropped, cache = Tokens(20, 1), Tokens(20, 2), make_cache()
    sequence = cache.open()
    run(cache, sequence, kept, [0, 10])
    num_bytes = cache.nbytes
    run_step(cache, [(sequence, dropped, 10, 15)], commit=False)
    assert cache.length(sequence) == 10
    if not isinstance(cache, DynamicCache) or cache.growth_factor is None:
        assert cache.nbytes == num_bytes
    found = run(cache, sequence, kept, [10, 20])
    torch.testing.assert_close(found, truth(kept, 20)[:, 10:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("max_product_length", [0, 400])
@pytest.mark.parametrize("lengths", [[12, 12, 12], [3, 12, 1]])
def test_training_gives_dense_attention_and_its_gradients(
    lengths: list[int], max_product_length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contiguous, "MAX_PRODUCT_LENGTH", max_product_length)
    spec = KVCacheSpec((LAYER,))
    results = []
    for fused in (False, True):
        parts = [Tokens(length, seed, spec).rotated(0, spec) for seed, length in enumerate(lengths)]
        packed = [torch.cat(part).requires_grad_() for part in zip(*parts, strict=True)]
        cache = NoCache(spec, fused=fused)
        step = cache.reserve([(cache.open(), length) for length in lengths])
        output = cache.attend(0, packed[0], packed[1], packed[2])
        step.commit()
        gradients = torch.autograd.grad((output * torch.arange(6.0)).sum(), packed)
        results.append([output, *gradients])
    for dense, quick in zip(*results, strict=True):
        torch.testing.assert_close(quick, dense, atol=2e-5, rtol=0)


def test_no_cache_keeps_nothing() -> None:
    cache = NoCache(SPEC)
    sequence = cache.open()
    run(cache, sequence, Tokens(9, 1), [0, 9])
    assert cache.nbytes == 0
    assert cache.length(sequence) == 0


def test_a_dynamic_cache_takes_exactly_the_bytes_of_its_tokens() -> None:
    cache = DynamicCache(SPEC)
    short, long = cache.open(), cache.open()
    run_step(cache, [(short, Tokens(3, 1), 0, 3), (long, Tokens(10, 2), 0, 10)])
    per_token = SPEC.bytes_per_token(4)
    assert cache.nbytes == 13 * per_token
    # The storage below the tensors counts too: a view of the batch would keep all rows alive.
    stored = [tensor for pair in cache._stored.values() for tensor in pair]
    assert sum(tensor.untyped_storage().nbytes() for tensor in stored) == cache.nbytes
    cache.truncate(long, 4)
    assert cache.nbytes == 7 * per_token
    cache.release(short)
    assert cache.nbytes == 4 * per_token


def test_a_growing_cache_copies_each_token_a_bounded_number_of_times() -> None:
    cache = DynamicCache(SPEC, growth_factor=1.5)
    sequence = cache.open()
    sizes = set()
    for position in range(100):
        run_step(cache, [(sequence, Tokens(100, 1), position, position + 1)])
        sizes.add(cache.nbytes // SPEC.bytes_per_token(4))
    # 2, 3, 4, 6, 9, ... as capacity grows; plain concatenation would make a hundred sizes.
    assert len(sizes) <= 13
    assert 100 <= max(sizes) <= 150
    cache.release(sequence)
    assert cache.nbytes == 0


@pytest.mark.parametrize("factor", [1.0, 0.5, float("inf")])
def test_a_cache_that_does_not_grow_is_refused(factor: float) -> None:
    with pytest.raises(InvalidArgument):
        DynamicCache(SPEC, growth_factor=factor)


def test_a_static_cache_takes_all_slots_of_every_sequence_from_the_start() -> None:
    cache = StaticCache(SPEC, MAX_LENGTH, dtype=torch.bfloat16)
    sequence = cache.open()
    cache.open()
    assert cache.nbytes == 2 * MAX_LENGTH * SPEC.bytes_per_token(2)
    cache.release(sequence)
    assert cache.nbytes == MAX_LENGTH * SPEC.bytes_per_token(2)


def test_a_full_static_cache_refuses_the_whole_step_and_changes_nothing() -> None:
    cache, tokens = StaticCache(SPEC, 10), Tokens(11, 1)
    full, other = cache.open(), cache.open()
    run(cache, full, tokens, [0, 10])
    with pytest.raises(OutOfBlocks):
        cache.reserve([(other, 1), (full, 1)])
    assert (cache.length(full), cache.length(other)) == (10, 0)
    run(cache, other, tokens, [0, 10])


@pytest.mark.parametrize("make_cache", [*CACHES.values(), lambda: NoCache(SPEC)])
@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (-1, 0), (4, -1)])
def test_an_impossible_window_is_refused(
    make_cache: Callable[[], KVCache], window: int, sinks: int
) -> None:
    with pytest.raises(InvalidArgument):
        make_cache().open(window=window, sinks=sinks)


@every_storing_cache
@pytest.mark.parametrize("length", [-1, 4])
def test_truncating_beyond_the_length_is_refused(
    make_cache: Callable[[], KVCache], length: int
) -> None:
    cache = make_cache()
    sequence = cache.open()
    run(cache, sequence, Tokens(3, 1), [0, 3])
    with pytest.raises(InvalidArgument, match="3"):
        cache.truncate(sequence, length)
    assert cache.length(sequence) == 3


def test_a_static_cache_needs_a_slot() -> None:
    with pytest.raises(InvalidArgument, match="max_length is 0"):
        StaticCache(SPEC, 0)
