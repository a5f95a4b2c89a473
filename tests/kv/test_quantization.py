"""int8 keys and values: codes that never change, and attention over them."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from kvchat.kv import partial_attention
from kvchat.kv.cache import SequenceId
from kvchat.kv.kv_run import KVRun
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.partial_attention import attend_run, merge
from kvchat.kv.quantization import MIN_PEAK, dequantize, quantize, quantize_latent
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from tests.kv.token_tensors import (
    GQA,
    MLA,
    PagedRun,
    TokenTensors,
    int8,
    num_held_blocks,
    table_of,
)

SIZE = 4
LAYERS = {"GQA": GQA, "MLA": MLA}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def new_run(*layers: LayerSpec, num_blocks: int = 24) -> PagedRun:
    spec = KVCacheSpec(layers or (GQA, GQA))
    cache = PagedKVCache(spec, num_blocks, block_size=SIZE, kv_dtype="int8")
    return PagedRun(cache, TokenTensors(spec))


# Codes and scales


def test_codes_and_scales_are_those_of_the_scheme() -> None:
    vectors = random(50, 3, 16) * torch.logspace(-8, 5, 50)[:, None, None]
    codes, scales = quantize(vectors)
    expected_codes, expected_scales = int8(vectors)
    assert (codes.dtype, scales.dtype) == (torch.int8, torch.float32)
    assert torch.equal(codes, expected_codes)
    assert torch.equal(scales, expected_scales)
    assert codes.abs().max() == 127


def test_a_number_comes_back_within_half_a_scale() -> None:
    vectors = random(40, 32)
    codes, scales = quantize(vectors)
    error = (dequantize(codes, scales) - vectors).abs() / scales[:, None]
    assert 0.4 < float(error.max()) <= 0.5 + 1e-4


def test_ties_round_to_even() -> None:
    vectors = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]])
    codes, scales = quantize(vectors)
    assert scales.tolist() == [1.0]
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2, -2]]


def test_a_vector_of_nearly_nothing_has_the_smallest_scale() -> None:
    codes, scales = quantize(torch.tensor([[0.0, 0.0], [1e-9, -1e-9], [MIN_PEAK, 0.0]]))
    assert codes.tolist() == [[0, 0], [0, 0], [127, 0]]
    assert torch.equal(scales, torch.full((3,), MIN_PEAK) / 127)


def test_whole_numbers_up_to_127_are_exact() -> None:
    vectors = torch.arange(128.0).repeat(2, 1) * torch.tensor([[1.0], [-1.0]])
    assert torch.equal(dequantize(*quantize(vectors)), vectors)


def test_half_precision_is_rounded_from_its_exact_value() -> None:
    vectors = random(20, 16).bfloat16()
    for found, expected in zip(quantize(vectors), int8(vectors.float()), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_vector_is_loud(bad: float) -> None:
    vectors = random(3, 8)
    vectors[1, 2] = bad
    codes, scales = quantize(vectors)
    read = dequantize(codes, scales).sum(-1)
    assert (~read.isfinite()).tolist() == [False, True, False]


def test_a_code_depends_on_its_own_vector_alone() -> None:
    vectors = random(30, 2, 16)
    together = quantize(vectors)
    for index in range(30):
        for all_of_them, alone in zip(together, quantize(vectors[index]), strict=True):
            assert torch.equal(all_of_them[index], alone)


def test_the_parts_of_a_latent_have_a_scale_each() -> None:
    latents = torch.cat((random(9, 10) * 100, random(9, 6, seed=1)), -1)
    codes, scales = quantize_latent(latents, 10)
    assert torch.equal(codes.abs().amax(-1), torch.full((9,), 127, dtype=torch.int8))
    assert torch.equal(codes[:, 10:].abs().amax(-1), torch.full((9,), 127, dtype=torch.int8))
    assert torch.equal(scales[0], latents[:, :10].abs().amax(-1) / 127)
    assert torch.equal(scales[1], latents[:, 10:].abs().amax(-1) / 127)


# Attention over codes

NUM_KEYS = 37
CODED = LayerSpec(num_heads=4, num_kv_heads=2, key_dim=8, value_dim=8, scale=0.35)
CODED_LATENT = LayerSpec(4, 1, 14, 0, scale=0.35, latent_value_dim=8)


def coded_run(layer: LayerSpec, num_keys: int = NUM_KEYS) -> tuple[KVRun, Tensor, Tensor]:
    """Return a run of codes, and the float keys and values [S, K, D] that it stands for."""
    key = random(num_keys, layer.num_kv_heads, layer.key_dim) * 3
    if layer.value_dim == 0:
        codes, scales = quantize_latent(key[:, 0], layer.latent_value_dim)
        split = layer.latent_value_dim
        parts = dequantize(codes[:, :split], scales[0]), dequantize(codes[:, split:], scales[1])
        return (
            KVRun.of((codes[None], scales), layer),
            torch.cat(parts, -1)[:, None],
            parts[0][:, None],
        )
    value = random(num_keys, layer.num_kv_heads, layer.value_dim, seed=1)
    arrays = quantize(torch.cat((key, value), 1).transpose(0, 1))
    floats = dequantize(*arrays).transpose(0, 1)
    return KVRun.of(arrays, layer), floats[:, : layer.num_kv_heads], floats[:, layer.num_kv_heads :]


def exact_attention(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, visible: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attend [1, H, n, D] to [S, K, D] in float64, head by head; output and log-sum-exp."""
    outputs, lses = [], []
    group = query.shape[1] // key.shape[1]
    for head in range(query.shape[1]):
        keys, values = key[:, head // group].double(), value[:, head // group].double()
        scores = query[0, head].double() @ keys.T * layer.scale
        if layer.soft_cap is not None:
            scores = (scores / layer.soft_cap).tanh() * layer.soft_cap
        if visible is not None:
            scores[~visible] = float("-inf")
        outputs.append(scores.softmax(-1) @ values)
        lses.append(scores.logsumexp(-1))
    return torch.stack(outputs)[None].float(), torch.stack(lses)[None].float()


def assert_close(
    found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], tolerance: float = 1e-5
) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layer", [CODED, CODED_LATENT], ids=["GQA", "MLA"])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("num_queries", [1, 3])
def test_attention_over_codes_is_that_over_their_numbers(
    layer: LayerSpec, cap: float | None, num_queries: int
) -> None:
    layer = replace(layer, soft_cap=cap)
    run, key, value = coded_run(layer)
    query = random(1, 4, num_queries, layer.key_dim)
    expected = exact_attention(query, key, value, layer)
    assert_close(attend_run(query, run, layer), expected)
    folded = query.view(1, layer.num_kv_heads, -1, layer.key_dim)
    found = attend_run(folded, run, layer)
    assert_close((found[0].reshape(expected[0].shape), found[1].view(expected[1].shape)), expected)


@pytest.mark.parametrize("layer", [CODED, CODED_LATENT], ids=["GQA", "MLA"])
@pytest.mark.parametrize("num_keys", [63, 64, 65, 200])
@pytest.mark.parametrize("limits", [(1, 1 << 20), (1, 12 * 50), (1 << 20, 12 * 7), (1 << 20, 1)])
def test_tiles_and_parts_of_codes_change_nothing(
    layer: LayerSpec, num_keys: int, limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_attention, "MAX_TILE_ELEMENTS", limits[0])
    monkeypatch.setattr(partial_attention, "MAX_SCORES", limits[1])
    run, key, value = coded_run(layer, num_keys)
    query = random(1, 4, 3, layer.key_dim)
    visible = random(3, num_keys, seed=2) > 0
    assert_close(attend_run(query, run, layer), exact_attention(query, key, value, layer))
    found = attend_run(query, run, layer, visible=visible)
    assert_close(found, exact_attention(query, key, value, layer, visible))


@pytest.mark.parametrize("layer", [CODED, CODED_LATENT], ids=["GQA", "MLA"])
def test_parts_of_codes_merge_to_their_union(layer: LayerSpec) -> None:
    run, key, value = coded_run(layer)
    query = random(1, 4, 3, layer.key_dim)
    parts = [
        attend_run(query, run.narrow(first, end - first), layer)
        for first, end in pairwise((0, 1, 9, 30, NUM_KEYS))
    ]
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)
    assert_close(total, exact_attention(query, key, value, layer))


@pytest.mark.parametrize("layer", [CODED, CODED_LATENT], ids=["GQA", "MLA"])
def test_causal_queries_see_codes_up_to_their_own(layer: LayerSpec) -> None:
    run, key, value = coded_run(layer)
    query = random(1, 4, NUM_KEYS, layer.key_dim)
    visible = torch.ones(NUM_KEYS, NUM_KEYS, dtype=torch.bool).tril()
    found = attend_run(query, run, layer, is_causal=True)
    assert_close(found, exact_attention(query, key, value, layer, visible))


def test_codes_a_query_does_not_see_weigh_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_attention, "MAX_SCORES", 12 * 5)  # some parts are wholly hidden
    run, key, value = coded_run(CODED)
    query = random(1, 4, 3, 8)
    visible = torch.ones(3, NUM_KEYS, dtype=torch.bool)
    visible[1, :20] = False
    visible[2, 10:] = False
    found = attend_run(query, run, CODED, visible=visible)
    assert_close(found, exact_attention(query, key, value, CODED, visible))


def test_a_query_in_half_precision_is_answered_in_full() -> None:
    run, key, value = coded_run(CODED)
    query = random(1, 4, 3, 8).bfloat16()
    found = attend_run(query, run, CODED)
    assert found[0].dtype == torch.float32
    assert_close(found, exact_attention(query.float(), key, value, CODED))


# The paged cache


def arrays_of(run: PagedRun, sequence: SequenceId) -> list[Tensor]:
    """Return copies of all codes and scales of a sequence, in the order of its tokens."""
    cache, found = run.cache, []
    for group_index, storage in enumerate(cache.storages):
        blocks = table_of(cache, sequence, group_index)
        positions = range(cache.length(sequence))
        slots = [blocks[at // SIZE] * SIZE + at % SIZE for at in positions]
        found += [array[:, slots] for arrays in storage.arrays for array in arrays]
    return found


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_pitfall_14_chunks_do_not_show_in_codes_and_scales(layer: LayerSpec, chunk: int) -> None:
    run = new_run(layer, layer)
    whole, chunked = run.cache.open(), run.cache.open()
    token_ids = [number * number % 47 for number in range(22)]
    run.step([(whole, token_ids)])
    for first in range(0, len(token_ids), chunk):
        run.step([(chunked, token_ids[first : first + chunk])])
    run.check_rows(chunked, token_ids)
    for found, expected in zip(arrays_of(run, chunked), arrays_of(run, whole), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_windows_of_layers_let_go_of_codes_like_of_floats(layer: LayerSpec) -> None:
    run = new_run(layer, replace(layer, window=6))
    sequence = run.cache.open()
    for first in range(0, 40, 5):
        run.step([(sequence, list(range(first, first + 5)))])
    assert num_held_blocks(run.cache, sequence, 1) < num_held_blocks(run.cache, sequence, 0)
    run.check_rows(sequence, list(range(40)))


def test_a_chunk_reads_its_own_tokens_through_their_codes() -> None:
    """With coarse codes the difference between a value and its code is easy to see."""
    layer = replace(GQA, rotary=None, num_heads=2, num_kv_heads=1)
    cache = PagedKVCache(KVCacheSpec((layer,)), 4, block_size=SIZE, kv_dtype="int8")
    value = torch.full((3, 1, 16), 0.3)
    value[..., 0] = 127.0
    step = cache.reserve([(cache.open(), 3)])
    output = cache.attend(0, torch.zeros(3, 2, 16), torch.ones(3, 1, 16), value)
    step.commit()
    assert output[..., 1:].abs().max() == 0


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("residue", range(SIZE))
@pytest.mark.parametrize("writer", ["parent", "child"])
def test_copies_in_a_full_pool_equal_a_run_alone(
    layer: LayerSpec, residue: int, writer: str
) -> None:
    """Codes and scales bit by bit, for a fork cut at every place of a block."""
    length, more = 2 * SIZE + residue, [41, 42, 43, 44, 45]
    num_own = -(-(length + len(more)) // SIZE) - length // SIZE
    run = new_run(layer, layer, num_blocks=-(-length // SIZE) + num_own)
    cache = run.cache
    parent, token_ids = cache.open(), list(range(length))
    run.feed(parent, token_ids)
    child = cache.fork(parent)
    writing, resting = (parent, child) if writer == "parent" else (child, parent)
    for token_id in more:
        run.step([(writing, [token_id])])
    assert cache.num_available == 0 and cache.num_copied_blocks == (residue > 0)

    alone = new_run(layer, layer)
    sequence = alone.cache.open()
    alone.feed(sequence, [*token_ids, *more])
    for found, expected in zip(arrays_of(run, writing), arrays_of(alone, sequence), strict=True):
        assert torch.equal(found, expected)
    run.check_rows(resting, token_ids)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_adopted_blocks_are_the_codes_that_were_written(layer: LayerSpec) -> None:
    run = new_run(layer)
    first, token_ids = run.cache.open(), list(range(18))
    run.feed(first, token_ids)
    before = arrays_of(run, first)
    run.cache.release(first)
    second = run.cache.open()
    num_found = run.cache.adopt(second, token_ids)
    assert num_found >= 16
    assert num_held_blocks(run.cache, second) >= 4
    run.feed(second, token_ids[num_found:])
    for found, expected in zip(arrays_of(run, second), before, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_stale_code_is_loud(layer: LayerSpec) -> None:
    run = new_run(layer)
    sequence = run.cache.open()
    run.feed(sequence, list(range(2 * SIZE)))
    scales = run.cache.storages[0].arrays[0][1]
    first, second = table_of(run.cache, sequence)
    run.cache.shrink(sequence, run.cache.num_blocks)
    run.cache.pools[0]._evict_least_recently_used()
    run.cache.pools[0]._evict_least_recently_used()
    for block in (first, second):
        assert scales[:, block * SIZE : (block + 1) * SIZE].isnan().all()
    stale = run.cache.storages[0].views[0].narrow(first * SIZE, SIZE)
    query = random(1, 4, 1, layer.key_dim)
    assert attend_run(query, stale, layer)[0].isnan().all()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("num_tokens", [1, 5])
def test_a_model_in_half_precision_gets_its_own_type_back(
    layer: LayerSpec, num_tokens: int
) -> None:
    cache, exact = (
        PagedKVCache(KVCacheSpec((layer,)), 4, block_size=SIZE, dtype=dtype, kv_dtype="int8")
        for dtype in (torch.bfloat16, torch.float32)
    )
    query = random(num_tokens, layer.num_heads, layer.key_dim).bfloat16()
    key = random(num_tokens, layer.num_kv_heads, layer.key_dim, seed=1).bfloat16()
    value = key.flip(0) if layer.value_dim else None
    cache.reserve([(cache.open(), num_tokens)])
    exact.reserve([(exact.open(), num_tokens)])
    found = cache.attend(0, query, key, value)
    expected = exact.attend(0, query.float(), key.float(), None if value is None else value.float())
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected.bfloat16())


def test_bytes_count_codes_and_scales() -> None:
    layer = LayerSpec(8, 2, 64, 64, scale=0.125)
    spec = KVCacheSpec((layer, layer, replace(layer, window=64)))
    full, small = (
        PagedKVCache(spec, 7, block_size=32, kv_dtype=kv_dtype) for kv_dtype in ("auto", "int8")
    )
    per_layer = 7 * 32 * 2 * 2 * (64 + 4)
    assert small.nbytes == 3 * per_layer == 7 * 32 * spec.bytes_per_token(4, "int8")
    assert small.nbytes <= 0.29 * full.nbytes
    sequence = small.open()
    small.reserve([(sequence, 40)]).commit()
    report = small.memory()
    assert report.pool_bytes == 2 * 7 * (small.nbytes // 14) == small.nbytes
    assert report.private_bytes == 2 * small.nbytes // 7
    assert report.free_bytes == small.nbytes - report.private_bytes
    small.check_integrity()


def test_keys_and_values_are_read_back_in_the_dtype_of_the_model() -> None:
    run = new_run(GQA)
    sequence = run.cache.open()
    run.feed(sequence, list(range(6)))
    blocks = table_of(run.cache, sequence)
    slots = torch.tensor([blocks[at // SIZE] * SIZE + at % SIZE for at in range(6)])
    key, value = run.cache.storages[0].read(0, slots)
    _, true_key, true_value = run.tensors.layer(0, list(range(6)))
    assert true_value is not None
    for found, true in ((key, true_key), (value, true_value)):
        codes, scales = int8(true)
        assert torch.equal(found, codes.float() * scales[..., None])
