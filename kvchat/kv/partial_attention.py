"""Attention over a part of the keys, with the log-sum-exp that lets parts be merged exactly.

Softmax over a union of key sets equals the parts' outputs weighted by exp(log-sum-exp): the online
softmax of Milakov and Gimelshein 2018, used for split keys by Dao 2023 (FlashDecoding). The CPU's
fused operator is private to torch, so it is used only where a probe agrees with the plain form.
"""

from functools import cache

import torch
from torch import Tensor

from kvchat.kv.spec import LayerSpec

Part = tuple[Tensor, Tensor]
"""Output [1, H, n, D] and log-sum-exp [1, H, n] in float32."""


def attend_part(
    query: Tensor, key: Tensor, value: Tensor, layer: LayerSpec, *, is_causal: bool = False
) -> Part:
    """Attend to one run of keys, by the device's best operator.

    query       [1, H, n, D]; H is num_kv_heads where the caller folded query groups into n
    key, value  [1, K, S, D], strided views of a pool; S >= 1, since zero keys kill the operator
    is_causal   query i sees keys 0..i; needs n == S and no folding
    """
    assert key.shape[2] > 0
    if layer.soft_cap is None and _has_fused_operator(
        query.device.type, query.dtype, query.shape[-1]
    ):
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, is_causal, scale=layer.scale
        )
        return output, lse
    visible = None
    if is_causal:
        size = query.shape[2]
        visible = torch.ones(size, size, dtype=torch.bool, device=query.device).tril()
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
    if layer.soft_cap is not None:
        scores = layer.soft_cap * torch.tanh(scores / layer.soft_cap)
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    # Finite, since merging two parts of which a query sees nothing would make -inf - -inf a NaN.
    lse = scores.logsumexp(-1).clamp(min=torch.finfo(scores.dtype).min)  # [1, K, G, n]
    weights = (scores - lse[..., None]).exp()
    output = weights.to(value.dtype) @ value  # [1, K, G, n, D]
    return output.flatten(1, 2), lse.flatten(1, 2)


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
