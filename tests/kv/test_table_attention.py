"""Attention by block tables against dense attention, with an operator as torch documents its own.

The operator is torch's on a GPU only, so here another one with its arguments takes its place, which
computes densely and holds the callers to what is documented. On a GPU the tests of
`test_on_devices.py` go through torch's.
"""

import random
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from kvchat.kv import table_attention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.kv.table_attention import TableAttention
from tests.kv.test_kernel_attention import random_step
from tests.kv.token_tensors import GQA, MLA

HALF = {torch.bfloat16: 2e-2, torch.float16: 2e-3}


class DenseOperator:
    """Attention over block tables, [M, H, D] in and out, by the definition; counts its calls."""

    def __init__(self, error: Exception | None = None, factor: float = 1.0) -> None:
        self.num_calls = 0
        self._error, self._factor = error, factor

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor | None,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        window_size: tuple[int, int],
        enable_gqa: bool,
        seqused_k: Tensor,
        block_table: Tensor,
        num_splits: int | None,
    ) -> Tensor:
        self.num_calls += 1
        if self._error is not None:
            raise self._error
        assert query.dtype == key.dtype == value.dtype and query.dtype in HALF
        assert {cu_seq_q.dtype, seqused_k.dtype, block_table.dtype} == {torch.int32}
        assert cu_seq_k is None and window_size == (-1, 0) and num_splits == 1
        assert key.shape == value.shape and key.stride(-1) == value.stride(-1) == 1
        num_heads, num_kv_heads = query.shape[1], key.shape[2]
        assert enable_gqa == (num_heads != num_kv_heads)
        bounds, lengths = cu_seq_q.tolist(), seqused_k.tolist()
        assert max_k == max(lengths) and bounds[-1] == len(query)
        assert max_q == max(end - first for first, end in pairwise(bounds))
        page_size = key.shape[1]
        rows = []
        for (first, end), length, blocks in zip(
            pairwise(bounds), lengths, block_table.tolist(), strict=True
        ):
            places = [(blocks[i // page_size], i % page_size) for i in range(length)]
            held = [torch.stack([each[block, i] for block, i in places]) for each in (key, value)]
            group = num_heads // num_kv_heads
            k, v = (each.float().repeat_interleave(group, 1).transpose(0, 1) for each in held)
            scores = scale * query[first:end].float().transpose(0, 1) @ k.mT  # [H, n, S]
            seen = torch.ones(end - first, length, dtype=torch.bool).tril(length - (end - first))
            weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
            rows.append((weights @ v).transpose(0, 1))
        return self._factor * torch.cat(rows).to(query.dtype)


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> DenseOperator:
    found = DenseOperator()
    install(monkeypatch, found)
    return found


def install(monkeypatch: pytest.MonkeyPatch, operator: DenseOperator) -> None:
    monkeypatch.setattr(table_attention, "operator_of", lambda _: operator)
    monkeypatch.setattr(table_attention, "_PROBED", {})


@pytest.mark.parametrize("seed", range(16))
def test_rows_that_see_everything_and_rows_that_slid_are_attended_to_as_densely(
    operator: DenseOperator, seed: int
) -> None:
    rng = random.Random(seed)
    dtype = rng.choice(list(HALF))
    num_kv_heads, group, dim = rng.choice([1, 2]), rng.choice([1, 2, 3]), rng.choice([8, 16])
    window = rng.choice([None, None, 40])
    layer = LayerSpec(num_kv_heads * group, num_kv_heads, dim, dim, dim**-0.5, window=window)
    step = random_step(rng, layer, None, dtype=dtype, max_tokens=90)
    assert step.cache.table_attention[0] is not None
    num_probes = operator.num_calls
    found = step.attend()
    truth = step.truth() if window is None else attended_by_runs(step.cache, step)
    torch.testing.assert_close(found.float(), truth, rtol=HALF[dtype], atol=HALF[dtype])
    if all(step.cache.visible_set(each).within(window).window is None for each, _ in step.rows):
        assert operator.num_calls == num_probes + 1, "one call takes all rows"


def attended_by_runs(cache: PagedKVCache, step: object) -> Tensor:
    from tests.kv.test_kernel_attention import Step

    assert isinstance(step, Step)
    planned, cache.table_attention = cache.table_attention, [None]
    found = step.attend()
    cache.table_attention = planned
    return found.float()


def test_a_chat_of_several_layers_forks_and_rewinds_by_block_tables(
    operator: DenseOperator,
) -> None:
    spec = KVCacheSpec((GQA, GQA))
    cache, plain = (PagedKVCache(spec, 64, block_size=4, dtype=torch.float16) for _ in range(2))
    plain.table_attention = [None]
    generator = torch.Generator().manual_seed(1)
    sequence = cache.open()
    assert plain.open() == sequence
    for count, rewound in ((9, 2), (1, 0), (5, 6), (1, 0)):
        shape = (2, count, GQA.num_heads, GQA.key_dim)
        query = torch.randn(shape, generator=generator).half()
        key, value = (query[:, :, : GQA.num_kv_heads] * factor for factor in (0.5, 2.0))
        with cache.reserve([(sequence, count)]), plain.reserve([(sequence, count)]):
            for index in range(2):
                inputs = query[index], key[index], value[index]
                torch.testing.assert_close(
                    cache.attend(index, *inputs), plain.attend(index, *inputs), rtol=2e-3, atol=2e-3
                )
        child = cache.fork(sequence)
        assert plain.fork(sequence) == child
        for each in (cache, plain):
            each.truncate(sequence, each.length(sequence) - rewound)
    assert operator.num_calls >= 8


def test_an_operator_that_refuses_such_blocks_leaves_attention_to_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, DenseOperator(RuntimeError("Paged KV cache block size must be 256\nat")))
    cache = PagedKVCache(KVCacheSpec((GQA,)), 8, dtype=torch.float16)
    assert cache.table_attention == [None]


def test_an_operator_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, DenseOperator(factor=1.2))
    cache = PagedKVCache(KVCacheSpec((GQA,)), 8, dtype=torch.float16)
    assert cache.table_attention == [None]
    assert "computes nonsense" in caplog.text


@pytest.mark.parametrize("kind", ["float32", "int8", "MLA", "soft cap"])
def test_what_the_operator_does_not_know_is_not_asked_of_it(
    operator: DenseOperator, kind: str
) -> None:
    layers = {"MLA": MLA, "soft cap": LayerSpec(2, 2, 8, 8, 1.0, soft_cap=5.0)}
    cache = PagedKVCache(
        KVCacheSpec((layers.get(kind, GQA),)),
        8,
        dtype=torch.float32 if kind == "float32" else torch.bfloat16,
        kv_dtype="int8" if kind == "int8" else "auto",
    )
    assert cache.table_attention == [None] and operator.num_calls == 0


def test_a_cpu_has_no_such_operator() -> None:
    cache = PagedKVCache(KVCacheSpec((GQA,)), 8, dtype=torch.float16)
    assert cache.table_attention == [None]
    assert TableAttention.of(cache.spec, 0, cache.storages[0]) is None
