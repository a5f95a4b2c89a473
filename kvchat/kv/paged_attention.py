"""Attention over the runs of a step: zero-copy views of the pool, merged by log-sum-exp.

Source of the idea of block tables: Kwon et al. 2023, "Efficient Memory Management for Large
Language Model Serving with PagedAttention". Reading runs instead of single blocks is ours: on a CPU
gathering blocks costs as much as attending to them.
"""

import torch
from torch import Tensor

from kvchat.kv.attention_metadata import AttentionMetadata, RowPlan
from kvchat.kv.partial_attention import Part, attend_part, attend_part_by_matmul, merge
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import LayerSpec


def paged_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layer: LayerSpec,
    views: tuple[Tensor, Tensor],
    metadata: AttentionMetadata,
) -> Tensor:
    """Attend every row of the step to what it sees; its new keys are already in their slots.

    query       [T, H, D]
    key, value  [T, K, D], the step's own, for the causal part of rows with several tokens
    views       keys and values of the pool, [1, K, slots, D] each
    return      [T, H, D]
    """
    output = torch.empty_like(query)
    for row in metadata.rows:
        end = row.first_token + row.num_tokens
        new = slice(row.first_token, end)
        if row.num_tokens == 1:
            _attend_one(query[new], layer, views, row, output[new])
        else:
            _attend_chunk(query[new], key[new], value[new], layer, views, row, output[new])
    return output


def _attend_one(
    query: Tensor, layer: LayerSpec, views: tuple[Tensor, Tensor], row: RowPlan, output: Tensor
) -> None:
    """Attend one token; its query group is folded into the query length, an exact view."""
    folded = (1, layer.num_kv_heads, -1, query.shape[-1])
    total = _attend_past(query.view(folded), query, folded, layer, views, row)
    assert total is not None
    output.copy_(total[0].reshape(output.shape))


def _attend_chunk(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layer: LayerSpec,
    views: tuple[Tensor, Tensor],
    row: RowPlan,
    output: Tensor,
) -> None:
    """Attend several tokens: causally to each other, and to the past in runs."""
    heads = query.transpose(0, 1)[None]  # [1, H, n, D]
    own_key, own_value = key.transpose(0, 1)[None], value.transpose(0, 1)[None]
    if row.own_visible is None:
        own = attend_part(heads, own_key, own_value, layer, is_causal=True)
    else:
        own = attend_part_by_matmul(heads, own_key, own_value, layer, row.own_visible)
    past = _attend_past(heads, query, None, layer, views, row)
    total = own if past is None else merge(past, own)
    output.copy_(total[0][0].transpose(0, 1))


def _attend_past(
    heads: Tensor,
    query: Tensor,
    folded: tuple[int, int, int, int] | None,
    layer: LayerSpec,
    views: tuple[Tensor, Tensor],
    row: RowPlan,
) -> Part | None:
    key_view, value_view = views
    turned = heads
    if row.turn_offsets is not None and layer.rotary is not None:
        turn = rotation(row.turn_offsets.to(query.device), layer.rotary, query.dtype, pure=True)
        clamped = rotate(query, *turn)
        turned = clamped.view(folded) if folded is not None else clamped.transpose(0, 1)[None]
    total: Part | None = None
    for part in row.parts:
        if part.gathered is None:
            keys = key_view.narrow(2, part.first_slot, part.num_slots)
            values = value_view.narrow(2, part.first_slot, part.num_slots)
        else:
            keys = key_view.index_select(2, part.gathered)
            values = value_view.index_select(2, part.gathered)
        if part.visible is not None:
            found = attend_part_by_matmul(heads, keys, values, layer, part.visible)
        else:
            found = attend_part(turned if part.is_turned else heads, keys, values, layer)
        total = found if total is None else merge(total, found)
    return total
