"""Attention over parts of the keys, merged: equal to attention over all of them."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from kvchat.kv import partial_attention
from kvchat.kv.partial_attention import Part, attend_part, attend_part_by_matmul, merge
from kvchat.kv.spec import LayerSpec

LAYER = LayerSpec(num_heads=4, num_kv_heads=2, key_dim=8, value_dim=8, scale=0.35)
NUM_KEYS = 23


def tensors(num_queries: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_queries)
    return (
        torch.randn(1, 4, num_queries, 8, generator=generator),
        torch.randn(1, 2, NUM_KEYS, 8, generator=generator),
        torch.randn(1, 2, NUM_KEYS, 8, generator=generator),
    )


def softmax_attention(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, visible: Tensor | None = None
) -> Part:
    """Scores, softmax and log-sum-exp in float64, head by head."""
    outputs, lses = [], []
    group = query.shape[1] // key.shape[1]
    for head in range(query.shape[1]):
        scores = query[0, head].double() @ key[0, head // group].double().T * layer.scale
        if layer.soft_cap is not None:
            scores = (scores / layer.soft_cap).tanh() * layer.soft_cap
        if visible is not None:
            scores[~visible] = float("-inf")
        outputs.append(scores.softmax(-1) @ value[0, head // group].double())
        lses.append(scores.logsumexp(-1))
    return torch.stack(outputs)[None].float(), torch.stack(lses)[None].float()


def assert_close(found: Part, expected: Part) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("num_queries", [1, 3])
def test_one_part_of_all_keys_is_softmax_attention(num_queries: int, cap: float | None) -> None:
    query, key, value = tensors(num_queries)
    layer = replace(LAYER, soft_cap=cap)
    expected = softmax_attention(query, key, value, layer)
    assert_close(attend_part(query, key, value, layer), expected)
    assert_close(attend_part_by_matmul(query, key, value, layer), expected)


@pytest.mark.parametrize("has_fused_operator", [False, True])
def test_causal_queries_see_keys_up_to_their_own(
    has_fused_operator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fused_operator:
        monkeypatch.setattr(partial_attention, "_has_fused_operator", lambda *_: False)
    query, key, value = tensors(NUM_KEYS)
    visible = torch.ones(NUM_KEYS, NUM_KEYS, dtype=torch.bool).tril()
    found = attend_part(query, key, value, LAYER, is_causal=True)
    assert_close(found, softmax_attention(query, key, value, LAYER, visible))


@pytest.mark.parametrize("cuts", [(0, 1, 23), (0, 22, 23), (0, 5, 9, 23), (0, 3, 4, 11, 12, 23)])
def test_parts_merged_in_any_order_are_attention_over_their_union(cuts: tuple[int, ...]) -> None:
    query, key, value = tensors()
    parts = [
        attend_part(query, key[:, :, first:end], value[:, :, first:end], LAYER)
        for first, end in pairwise(cuts)
    ]
    expected = softmax_attention(query, key, value, LAYER)
    for order in (parts, parts[::-1]):
        total = order[0]
        for part in order[1:]:
            total = merge(total, part)
        assert_close(total, expected)


def test_a_part_with_much_higher_scores_wins_without_overflow() -> None:
    query, key, value = tensors()
    key[:, :, 5] = query[:, ::2, 0] * 500
    parts = [
        attend_part(query, key[:, :, first:end], value[:, :, first:end], LAYER)
        for first, end in ((0, 5), (5, 6), (6, 23))
    ]
    found = merge(merge(parts[0], parts[1]), parts[2])
    assert_close(found, softmax_attention(query, key, value, LAYER))


def test_a_part_a_query_does_not_see_weighs_nothing() -> None:
    query, key, value = tensors()
    visible = torch.ones(3, 10, dtype=torch.bool)
    visible[1] = False
    hidden = attend_part_by_matmul(query, key[:, :, :10], value[:, :, :10], LAYER, visible)
    rest = attend_part(query, key[:, :, 10:], value[:, :, 10:], LAYER)
    for total in (merge(hidden, rest), merge(rest, hidden)):
        torch.testing.assert_close(total[0][:, :, 1], rest[0][:, :, 1])
        torch.testing.assert_close(total[1][:, :, 1], rest[1][:, :, 1])


def test_two_parts_a_query_does_not_see_merge_to_one_it_does_not_see() -> None:
    query, key, value = tensors(1)
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    hidden = attend_part_by_matmul(query, key[:, :, :5], value[:, :, :5], LAYER, nothing)
    rest = attend_part(query, key[:, :, 10:], value[:, :, 10:], LAYER)
    assert_close(merge(merge(hidden, hidden), rest), rest)


def test_half_precision_merges_in_its_own_type() -> None:
    query, key, value = (tensor.bfloat16() for tensor in tensors())
    first = attend_part(query, key[:, :, :7], value[:, :, :7], LAYER)
    second = attend_part(query, key[:, :, 7:], value[:, :, 7:], LAYER)
    output, lse = merge(first, second)
    expected = softmax_attention(query, key, value, LAYER)
    assert (output.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(output.float(), expected[0], rtol=3e-2, atol=3e-2)


def test_folding_a_query_group_into_the_query_length_changes_nothing() -> None:
    query, key, value = tensors(1)
    folded = query.view(1, 2, 2, 8)
    found = attend_part(folded, key, value, LAYER)
    expected = attend_part(query, key, value, LAYER)
    assert_close((found[0].view(1, 4, 1, 8), found[1].reshape(1, 4, 1)), expected)


def test_a_strided_view_of_a_poisoned_pool_reads_only_its_slots() -> None:
    query, key, value = tensors()
    pool = torch.full((2, 2, 60, 8), float("nan"))
    pool[0, :, 17:40], pool[1, :, 17:40] = key[0], value[0]
    keys, values = pool[:1].narrow(2, 17, NUM_KEYS), pool[1:].narrow(2, 17, NUM_KEYS)
    assert_close(
        attend_part(query, keys, values, LAYER), softmax_attention(query, key, value, LAYER)
    )


def test_the_fused_operator_is_used_only_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = partial_attention._has_fused_operator.__wrapped__
    assert not probe("mps", torch.float32, 8)
    wrong = torch.zeros(1, 4, 5, 8), torch.zeros(1, 4, 5)
    operators = torch.ops.aten
    monkeypatch.setattr(
        operators, "_scaled_dot_product_flash_attention_for_cpu", lambda *_, **__: wrong
    )
    assert not probe("cpu", torch.float32, 8)
