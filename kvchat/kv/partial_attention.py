"""Attention over a part of the keys, with the log-sum-exp that lets parts be merged exactly.

Softmax over a union of key sets equals the parts' outputs weighted by exp(log-sum-exp): the online
softmax of Milakov and Gimelshein 2018, used for split keys by Dao 2023 (FlashDecoding). The CPU's
fused operator is private to torch, so it is used only where a probe agrees with the plain form.
"""

from functools import cache

import torch
from torch import Tensor

from kvchat.kv.kv_run import KVRun
from kvchat.kv.spec import LayerSpec

Part = tuple[Tensor, Tensor]
"""Output [1, H, n, Dv] and log-sum-exp [1, H, n] in float32."""

MAX_TILE_ELEMENTS = 1 << 18
"""Codes that are turned into floats at once: one MiB, which stays in a core's cache."""

MAX_SCORES = 1 << 22
"""Scores over codes that exist at once; more keys are attended to in parts."""


def attend_run(
    query: Tensor,
    run: KVRun,
    layer: LayerSpec,
    is_causal: bool = False,
    visible: Tensor | None = None,
) -> Part:
    """Attend to a run of floats or codes, under a mask [n, S] bool if there is one.

    query      [1, H, n, D]; H is num_kv_heads where the caller folded query groups into n
    is_causal  query i sees keys 0..i; needs n == S, no folding and no mask

    The output is in the query's dtype for floats, and in float32 for codes.
    """
    if run.key_scale is None:
        if visible is None:
            return attend_part(query, run.key, run.value, layer, is_causal=is_causal)
        return attend_part_by_matmul(query, run.key, run.value, layer, visible)
    return attend_codes(query, run, layer, _causal(query) if is_causal else visible)


def attend_part(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, *, is_causal: bool = False
) -> Part:
    """Attend to one run of keys, by the device's best operator.

    query       [1, H, n, D]; H is num_kv_heads where the caller folded query groups into n
    key, value  [1, K, S, D], strided views of a pool; S >= 1, since zero keys kill the operator;
                for MLA the value is [1, 1, S, Dv], the first lanes of the key
    is_causal   query i sees keys 0..i; needs n == S and no folding
    """
    assert key.shape[2] > 0
    if layer.soft_cap is None and _has_fused_operator(
        query.device.type, query.dtype, query.shape[-1]
    ):
        # The operator wants values as wide as keys; a latent's rotary lanes are cut off again.
        wide = value if layer.value_dim else key
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(
            query, key, wide, 0.0, is_causal, scale=layer.scale
        )
        return output if layer.value_dim else output[..., : layer.latent_value_dim], lse
    visible = _causal(query) if is_causal else None
    return attend_part_by_matmul(query, key, value, layer, visible)


def attend_part_by_matmul(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, visible: Tensor | None = None
) -> Part:
    """Attend to one run of keys by matrix products: the plain form, on every device.

    visible  [n, S] bool, or None where every query sees every key; a row that sees none gets
             output 0 and the lowest finite log-sum-exp, which `merge` weighs with 0
    """
    num_kv_heads = key.shape[1]
    grouped = query.reshape(1, num_kv_heads, -1, *query.shape[2:])  # [1, K, G, n, D]
    key, value = key[:, :, None], value[:, :, None]  # [1, K, 1, S, D]
    scores = (grouped @ key.transpose(-1, -2)).float() * layer.scale  # [1, K, G, n, S]
    weights, lse = _softmax(scores, layer, visible)
    output = weights.to(value.dtype) @ value  # [1, K, G, n, D]
    return output.flatten(1, 2), lse.flatten(1, 2)


def attend_codes(
    query: Tensor, run: KVRun, layer: LayerSpec, visible: Tensor | None = None
) -> Part:
    """Attend to int8 codes, in float32: scales multiply scores and weights, never the codes.

    The codes become floats a tile at a time, so nothing as large as the run is ever made but its
    scores, and of these at most `MAX_SCORES`.

    visible  [n, S] bool, or None where every query sees every key
    """
    num_keys = run.key.shape[2]
    limit = max(1, MAX_SCORES // (query.shape[1] * query.shape[2]))
    if num_keys <= limit:
        return _attend_some_codes(query, run, layer, visible)
    total: Part | None = None
    for first in range(0, num_keys, limit):
        count = min(limit, num_keys - first)
        seen = None if visible is None else visible[:, first : first + count]
        found = _attend_some_codes(query, run.narrow(first, count), layer, seen)
        total = found if total is None else merge(total, found)
    assert total is not None
    return total


def _attend_some_codes(query: Tensor, run: KVRun, layer: LayerSpec, visible: Tensor | None) -> Part:
    key, value, key_scale, value_scale, rotary_scale = run
    assert key_scale is not None and value_scale is not None
    _, num_kv_heads, num_keys, _ = key.shape
    num_queries = query.shape[2]
    q = query.float().reshape(num_kv_heads, -1, query.shape[-1]) * layer.scale  # [K, G * n, D]
    if rotary_scale is None:
        scores = _times_codes(q, key).mul_(key_scale[0, :, None])
    else:
        split = layer.latent_value_dim
        scores = _times_codes(q[..., :split], key[..., :split]).mul_(key_scale[0, :, None])
        rotary = _times_codes(q[..., split:], key[..., split:])
        scores.addcmul_(rotary, rotary_scale[0, :, None])  # [K, G * n, S]
    scores = scores.view(num_kv_heads, -1, num_queries, num_keys)  # [K, G, n, S]
    weights, lse = _softmax(scores, layer, visible)
    weights = weights.view(num_kv_heads, -1, num_keys) * value_scale[0, :, None]  # [K, G * n, S]
    output = _weighted_codes(weights, value).view(1, -1, num_queries, value.shape[-1])
    return output, lse.view(1, -1, num_queries)


def _times_codes(q: Tensor, codes: Tensor) -> Tensor:
    """Return products [K, m, S] of q [K, m, D] with codes [1, K, S, D]."""
    products = [q @ tile.float().transpose(-1, -2) for tile in _tiles(codes)]
    return products[0] if len(products) == 1 else torch.cat(products, -1)


def _weighted_codes(weights: Tensor, codes: Tensor) -> Tensor:
    """Return sums [K, m, D] of codes [1, K, S, D] weighted by [K, m, S]."""
    first, *rest = _tiles(codes)
    end = first.shape[1]
    total = weights[..., :end] @ first.float()
    for tile in rest:
        start, end = end, end + tile.shape[1]
        total.baddbmm_(weights[..., start:end], tile.float())
    return total


def _tiles(codes: Tensor) -> tuple[Tensor, ...]:
    """Cut codes [1, K, S, D] into tiles [K, s, D]."""
    _, num_heads, num_keys, dim = codes.shape
    size = max(64, MAX_TILE_ELEMENTS // (num_heads * dim))
    return (codes[0],) if num_keys <= size else torch.split(codes[0], size, 1)


def _softmax(scores: Tensor, layer: LayerSpec, visible: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weights [..., n, S] and log-sum-exp [..., n] of scaled scores, capped and masked."""
    if layer.soft_cap is not None:
        scores = layer.soft_cap * torch.tanh(scores / layer.soft_cap)
    if visible is None:
        weights = scores.softmax(-1)
        # The largest weight is exp(largest score - log-sum-exp), and never 0.
        return weights, scores.amax(-1) - weights.amax(-1).log()
    scores = scores.masked_fill(~visible, float("-inf"))
    # Finite, since merging two parts of which a query sees nothing would make -inf - -inf a NaN.
    lse = scores.logsumexp(-1).clamp(min=torch.finfo(scores.dtype).min)
    return (scores - lse[..., None]).exp(), lse


def _causal(query: Tensor) -> Tensor:
    size = query.shape[2]
    return torch.ones(size, size, dtype=torch.bool, device=query.device).tril()


def merge(first: Part, second: Part) -> Part:
    """Return attention over the union of two disjoint key sets."""
    weight = torch.sigmoid(first[1] - second[1])[..., None].to(first[0].dtype)
    return torch.lerp(second[0], first[0], weight), torch.logaddexp(first[1], second[1])


@cache
def _has_fused_operator(device_type: str, dtype: torch.dtype, head_dim: int) -> bool:
    """Compare torch's private CPU operator with the plain form once per dtype and head size."""
    if device_type != "cpu":
        return False
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(4, 24, head_dim, generator=generator).to(dtype)
    query = torch.randn(1, 4, 5, head_dim, generator=generator).to(dtype)
    key, value = pool[:2][None].narrow(2, 3, 5), pool[2:][None].narrow(2, 3, 5)
    layer = LayerSpec(4, 2, head_dim, head_dim, head_dim**-0.5)
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    for is_causal in (False, True):
        visible = torch.ones(5, 5, dtype=torch.bool).tril() if is_causal else None
        expected = attend_part_by_matmul(query, key, value, layer, visible)
        try:
            found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, 0.0, is_causal, scale=layer.scale
            )
        except (AttributeError, NotImplementedError, RuntimeError):
            return False
        for left, right in zip(found, expected, strict=True):
            if left.shape != right.shape:
                return False
            if not torch.allclose(left.float(), right.float(), atol=tolerance, rtol=tolerance):
                return False
    return True
