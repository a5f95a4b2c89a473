"""The native kernel against dense attention and against torch's path, over random shapes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch import Tensor

from kvchat.kv import kernel_attention
from kvchat.kv.cache import SequenceId
from kvchat.kv.contiguous import dense_attention
from kvchat.kv.kernel_attention import MAX_CHUNK
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec
from kvchat.native.kernels import Kernels
from tests.kv.test_cascade import KINDS, random_forest
from tests.kv.token_tensors import GQA, MLA

FLOATS = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


@pytest.fixture(autouse=True)
def one_thread(kernels: Kernels) -> Iterator[None]:
    before = kernels.num_threads
    kernels.set_threads(1)
    yield
    kernels.set_threads(before)


@dataclass
class Step:
    """Sequences of one layer in a pool of their own, and the tensors of one step of them."""

    cache: PagedKVCache
    rows: list[tuple[SequenceId, int]]
    query: Tensor
    key: Tensor
    value: Tensor | None

    def attend(self) -> Tensor:
        """Attend the step and take it back; return [T, H, Dv]."""
        with self.cache.reserve(self.rows) as step:
            output = self.cache.attend(0, self.query, self.key, self.value)
            step.rollback()
        return output

    def truth(self) -> Tensor:
        """What dense attention over the stored keys and values gives, in float32."""
        layer, found, first = self.cache.spec.layers[0], [], 0
        with self.cache.reserve(self.rows) as step:
            self.cache.write(0, self.key, self.value)
            for sequence, count in self.rows:
                visible = self.cache.visible_set(sequence)
                key, value = self.cache.keys_values(sequence, 0, released=0.0)
                query = self.query[first : first + count].float()
                found.append(
                    dense_attention(
                        query,
                        key.float(),
                        value.float(),
                        layer,
                        window=visible.window,
                        sinks=visible.sinks,
                    )
                )
                first += count
            step.rollback()
        return torch.cat(found)


def random_step(
    rng: random.Random,
    layer: LayerSpec,
    kernels: Kernels | None,
    *,
    dtype: torch.dtype = torch.float32,
    kv_dtype: KVDtype = "auto",
    max_rows: int = 5,
    max_tokens: int = 400,
    max_count: int = MAX_CHUNK,
    is_windowed: bool = True,
) -> Step:
    """Return a step of sequences, some forked from others, in blocks that lie at random."""
    block_size = rng.choice([1, 4, 8, 32, 64])
    num_blocks = 2 * max_rows * (max_tokens + max_count) // block_size + 3 * max_rows
    cache = PagedKVCache(
        KVCacheSpec((layer,)),
        num_blocks,
        block_size=block_size,
        dtype=dtype,
        kv_dtype=kv_dtype,
        kernels=kernels,
    )
    if rng.random() < 0.5:
        taken = cache.pools[0].take(num_blocks)
        rng.shuffle(taken)
        for block in taken[::2]:
            cache.pools[0].give_back(block)
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))

    def tensors(count: int) -> tuple[Tensor, Tensor | None]:
        shape = count, layer.num_kv_heads, layer.key_dim
        key = torch.randn(shape, generator=generator).to(dtype)
        if layer.value_dim == 0:
            return key, None
        return key, torch.randn(shape, generator=generator).to(dtype)

    def feed(sequence: SequenceId, count: int) -> None:
        while count > 0:
            size = cache.chunk_limit(sequence, count)
            cache.append(sequence, *tensors(size))
            count -= size

    sequences: list[SequenceId] = []
    for _ in range(rng.randint(1, max_rows)):
        if sequences and rng.random() < 0.6:
            parent = rng.choice(sequences)
            sequence = cache.fork(parent, rng.randint(0, cache.length(parent)))
        else:
            window = rng.choice([None, None, 5, 130, 200]) if is_windowed else None
            sinks = rng.choice([0, 4, 150]) if window is not None else 0
            sequence = cache.open(window=window, sinks=sinks)
            feed(sequence, rng.choice([1, 127, 128, 129, rng.randint(1, max_tokens)]))
        feed(sequence, rng.choice([0, rng.randint(0, 40)]))
        sequences.append(sequence)
    counts = [rng.choice([1, 1, rng.randint(1, max_count)]) for _ in sequences]
    rows = [(each, cache.chunk_limit(each, n)) for each, n in zip(sequences, counts, strict=True)]
    num_tokens = sum(count for _, count in rows)
    shape = num_tokens, layer.num_heads, layer.key_dim
    query = torch.randn(shape, generator=generator).to(dtype)
    return Step(cache, rows, query, *tensors(num_tokens))


@pytest.mark.parametrize(
    ("kind", "kv_dtype", "seed"), list(product(KINDS, ("auto", "int8"), range(2)))
)
def test_any_forest_is_attended_to_as_densely(
    kernels: Kernels, kind: str, kv_dtype: KVDtype, seed: int
) -> None:
    random_forest(seed, layers=KINDS[kind], kv_dtype=kv_dtype, kernels=kernels, most_tokens=220)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "kv_dtype", "seed"), list(product(KINDS, ("auto", "int8"), range(100, 160)))
)
def test_any_of_many_forests_is_attended_to_as_densely(
    kernels: Kernels, kind: str, kv_dtype: KVDtype, seed: int
) -> None:
    random_forest(seed, layers=KINDS[kind], kv_dtype=kv_dtype, kernels=kernels, most_tokens=220)


def check_random_shape(seed: int, kernels: Kernels) -> None:
    rng = random.Random(seed)
    dtype = rng.choice(list(FLOATS))
    num_kv_heads, group = rng.choice([1, 2, 4]), rng.choice([1, 2, 3, 8, 12])
    dim = rng.choice([8, 16, 24, 32, 64, 64, 80, 96, 128])
    cap = rng.choice([None, None, 3.0])
    layer = LayerSpec(num_kv_heads * group, num_kv_heads, dim, dim, dim**-0.5, soft_cap=cap)
    kv_dtype: KVDtype = rng.choice(["auto", "int8"])
    step = random_step(rng, layer, kernels, dtype=dtype, kv_dtype=kv_dtype)
    assert step.cache.kernel_attention[0] is not None
    tolerance = FLOATS[dtype]
    found, truth = step.attend(), step.truth()
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), truth, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(24))
def test_heads_groups_types_windows_and_caps_of_all_kinds_are_exact(
    kernels: Kernels, seed: int
) -> None:
    check_random_shape(seed, kernels)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_many_heads_groups_types_windows_and_caps_are_exact(kernels: Kernels, seed: int) -> None:
    check_random_shape(seed, kernels)


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("group", [2, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_row_has_the_same_bits_alone_with_others_and_by_any_number_of_threads(
    kernels: Kernels, seed: int, group: int, kv_dtype: KVDtype
) -> None:
    layer = LayerSpec(2 * group, 2, 64, 64, 0.125)
    rng = random.Random(seed)
    step = random_step(rng, layer, kernels, kv_dtype=kv_dtype, max_rows=16, max_count=1)
    together = step.attend()
    for num_threads in (2, 5):
        kernels.set_threads(num_threads)
        for _ in range(5):
            assert torch.equal(step.attend(), together)
    kernels.set_threads(1)
    for place, row in enumerate(step.rows):
        one = slice(place, place + 1)
        assert step.value is not None
        alone = Step(step.cache, [row], step.query[one], step.key[one], step.value[one])
        assert torch.equal(alone.attend(), together[one])


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("dim", [8, 24, 64, 80, 128])
def test_keys_of_any_size_give_many_queries_the_bits_that_they_give_one(
    kernels: Kernels, dim: int, kv_dtype: KVDtype
) -> None:
    layer = LayerSpec(2, 1, dim, dim, dim**-0.5)
    cache = PagedKVCache(
        KVCacheSpec((layer,)), 40, block_size=8, kv_dtype=kv_dtype, kernels=kernels
    )
    parent = cache.open()
    key, value = torch.randn(2, 141, 1, dim, generator=torch.Generator().manual_seed(dim))
    cache.append(parent, key, value)
    forks = [cache.fork(parent, 141) for _ in range(7)]
    query = torch.randn(7, 2, dim, generator=torch.Generator().manual_seed(dim + 1))
    for num_rows in (2, 3, 7):  # of two queries each
        rows = [(each, 1) for each in forks[:num_rows]]
        step = Step(cache, rows, query[:num_rows], key[:num_rows], value[:num_rows])
        together = step.attend()
        torch.testing.assert_close(together, step.truth(), rtol=1e-4, atol=1e-4)
        for place, row in enumerate(rows):
            one = slice(place, place + 1)
            alone = Step(cache, [row], query[one], key[one], value[one])
            assert torch.equal(alone.attend(), together[one])


def test_the_place_of_blocks_changes_no_bit(kernels: Kernels) -> None:
    layer = LayerSpec(4, 2, 64, 64, 0.125)
    generator = torch.Generator().manual_seed(1)
    key, value = torch.randn(2, 301, 2, 64, generator=generator)
    query = torch.randn(1, 4, 64, generator=generator)
    found = []
    for order in ("one run", "backwards"):
        cache = PagedKVCache(KVCacheSpec((layer,)), 80, block_size=8, kernels=kernels)
        if order == "backwards":
            for block in reversed(cache.pools[0].take(80)):
                cache.pools[0].give_back(block)
        sequence = cache.open()
        for first in range(0, 300, 4):
            cache.append(sequence, key[first : first + 4], value[first : first + 4])
        found.append(Step(cache, [(sequence, 1)], query, key[300:], value[300:]).attend())
    assert torch.equal(*found)


@pytest.mark.parametrize("seed", range(6))
def test_long_chunks_are_exact_and_share_a_step_with_short_rows(
    kernels: Kernels, seed: int
) -> None:
    step = random_step(random.Random(seed), GQA, kernels, max_count=5 * MAX_CHUNK)
    torch.testing.assert_close(step.attend(), step.truth(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_chunks_that_are_left_to_torch_share_a_step_with_rows_that_are_not(
    kernels: Kernels, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_attention, "MAX_PART_BYTES", 0)
    rng = random.Random(seed)
    kv_dtype: KVDtype = rng.choice(["auto", "int8"])
    step = random_step(rng, GQA, kernels, max_count=5 * MAX_CHUNK, kv_dtype=kv_dtype)
    torch.testing.assert_close(step.attend(), step.truth(), rtol=1e-5, atol=1e-5)


def test_a_chunk_whose_parts_would_take_much_memory_is_left_to_torch(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_attention, "MAX_PART_BYTES", 0)
    cache = PagedKVCache(KVCacheSpec((GQA,)), 8, kernels=kernels)
    for count, is_kernel in ((MAX_CHUNK, True), (MAX_CHUNK + 1, False)):
        with cache.reserve([(cache.open(), count)]) as step:
            assert (cache._metadata[0].kernel is not None) == is_kernel
            step.rollback()


def test_what_rows_share_is_read_once(kernels: Kernels) -> None:
    cache = PagedKVCache(KVCacheSpec((GQA,)), 200, block_size=8, kernels=kernels)
    parent = cache.open()
    key = torch.randn(256, 2, 16)
    cache.append(parent, key, key)
    forks = [cache.fork(parent) for _ in range(8)]
    with cache.reserve([(each, 1) for each in forks]) as step:
        assert cache._metadata[0].num_slots_read == 256 + 8
        step.rollback()


@pytest.mark.parametrize("layer", [GQA, MLA], ids=["GQA", "MLA"])
def test_a_row_that_is_not_finite_spoils_no_other(kernels: Kernels, layer: LayerSpec) -> None:
    step = random_step(random.Random(3), layer, kernels, max_rows=4, is_windowed=False)
    clean = step.attend()
    spoiled = step.key.clone()
    first = step.rows[0][1]
    spoiled[first - 1] = float("nan")  # the last token of the first row, unseen by those before
    found = replace(step, key=spoiled).attend()
    assert found[first - 1].isnan().all()
    keep = [place for place in range(len(clean)) if place != first - 1]
    assert torch.equal(found[keep], clean[keep])


def test_int8_latents_are_left_to_torch(kernels: Kernels) -> None:
    cache = PagedKVCache(KVCacheSpec((MLA,)), 4, kv_dtype="int8", kernels=kernels)
    assert cache.kernel_attention == [None]


def test_a_kernel_that_disagrees_is_not_used(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernel_attention, "_PROBED", {})
    monkeypatch.setattr(kernel_attention, "attend_rows", lambda *_: None)
    cache = PagedKVCache(KVCacheSpec((GQA,)), 4, kernels=kernels)
    assert cache.kernel_attention == [None]
    assert "torch is used" in caplog.text


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dim", [16, 24, 64])
def test_the_kernel_stores_the_bits_that_torch_stores(
    kernels: Kernels, dtype: torch.dtype, kv_dtype: KVDtype, dim: int
) -> None:
    layer = LayerSpec(4, 2, dim, dim, 0.2)
    generator = torch.Generator().manual_seed(dim)
    key, value = torch.randn(2, 9, 2, dim, generator=generator).to(dtype)
    key[3], value[4, 0] = 0, value[4, 0] * 1e-9
    value = value.transpose(0, 1).contiguous().transpose(0, 1)  # other strides than those of keys
    query = torch.randn(9, 4, dim, generator=generator).to(dtype)
    found = []
    for chosen in (None, kernels):
        cache = PagedKVCache(
            KVCacheSpec((layer,)), 6, block_size=4, dtype=dtype, kv_dtype=kv_dtype, kernels=chosen
        )
        with cache.reserve([(cache.open(), 2), (cache.open(), 7)]) as step:
            cache.attend(0, query, key, value)
            slots = cache._metadata[0].slots
            found.append([array[:, slots] for array in cache.storages[0].arrays[0]])
            step.rollback()
    for plain, native in zip(*found, strict=True):
        assert torch.equal(plain, native)


def test_a_key_that_is_not_finite_has_a_scale_that_is_not(kernels: Kernels) -> None:
    cache = PagedKVCache(KVCacheSpec((GQA,)), 2, kv_dtype="int8", kernels=kernels)
    key = torch.zeros(1, 2, 16)
    key[0, 0, 5], key[0, 1, 7] = float("nan"), float("inf")
    with cache.reserve([(cache.open(), 1)]) as step:
        output = cache.attend(0, torch.ones(1, 4, 16), key, key)
        scales = cache.storages[0].arrays[0][1][:, cache._metadata[0].slots]
        step.rollback()
    assert not scales.isfinite().any()
    assert output.isnan().all()
