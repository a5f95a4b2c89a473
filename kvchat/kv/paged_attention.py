"""Attention over the runs of a step: zero-copy views of the pool, merged by log-sum-exp.

Source of the idea of block tables: Kwon et al. 2023, "Efficient Memory Management for Large
Language Model Serving with PagedAttention". Reading runs instead of single blocks is ours: on a CPU
gathering blocks costs as much as attending to them.
"""

import torch
from torch import Tensor

from kvchat.kv.attention_metadata import AttentionMetadata, RowPlan
from kvchat.kv.kv_run import Arrays, KVRun
from kvchat.kv.partial_attention import Part, attend_run, merge
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import LayerSpec


def paged_attention(
    query: Tensor, stored: Arrays, layer: LayerSpec, pool: KVRun, metadata: AttentionMetadata
) -> Tensor:
    """Attend every row of the step to what it sees; its new keys are already in their slots.

    query   [T, H, D]
    stored  the step's own keys and values as they were written, [R, T, ...], for the causal part
            of rows with several tokens
    pool    keys and values of all slots
    return  [T, H, Dv]
    """
    num_tokens, num_heads, dim = query.shape
    grouped = query.view(num_tokens, layer.num_kv_heads, -1, dim)  # [T, K, G, D]
    sizes = [row.num_tokens for row in metadata.rows]
    queries = (grouped,) if len(sizes) == 1 else grouped.split_with_sizes(sizes)
    outputs = []
    for row, asking in zip(metadata.rows, queries, strict=True):
        if row.num_tokens == 1:
            outputs.append(_attend_one(asking, layer, pool, row))
        else:
            own = KVRun.of(stored, layer).narrow(row.first_token, row.num_tokens)
            outputs.append(_attend_chunk(asking, own, layer, pool, row))
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)  # [T, K, G, Dv]
    return output.reshape(num_tokens, num_heads, -1).to(query.dtype)


def _attend_one(query: Tensor, layer: LayerSpec, pool: KVRun, row: RowPlan) -> Tensor:
    """Attend one token, [1, K, G, D]: its query group stands where queries do, uncopied."""
    total = _attend_past(query, query, layer, pool, row)
    assert total is not None
    return total[0]


def _attend_chunk(
    query: Tensor, own_run: KVRun, layer: LayerSpec, pool: KVRun, row: RowPlan
) -> Tensor:
    """Attend several tokens, [n, K, G, D]: causally to each other, and to the past in runs."""
    num_tokens, num_kv_heads, group, _ = query.shape
    heads = query.flatten(1, 2).transpose(0, 1)[None]  # [1, H, n, D]
    own_visible = row.own_visible
    own = attend_run(heads, own_run, layer, own_visible is None, own_visible)
    past = _attend_past(heads, query, layer, pool, row)
    total = own if past is None else merge(past, own)
    return total[0][0].transpose(0, 1).view(num_tokens, num_kv_heads, group, -1)


def _attend_past(
    heads: Tensor, query: Tensor, layer: LayerSpec, pool: KVRun, row: RowPlan
) -> Part | None:
    """Attend to the stored parts of a row.

    heads  what asks, [1, heads, queries, D]
    query  the same in the order of tokens, [n, K, G, D], from which turned queries are made
    """
    turned = heads
    if row.turn_offsets is not None and layer.rotary is not None:
        turn = rotation(row.turn_offsets.to(query.device), layer.rotary, query.dtype, pure=True)
        clamped = rotate(query.flatten(1, 2), *turn, layer.first_rotary_channel)  # [n, H, D]
        is_folded = row.num_tokens == 1
        turned = clamped.view(query.shape) if is_folded else clamped.transpose(0, 1)[None]
    total: Part | None = None
    for part in row.parts:
        if part.gathered is None:
            run = pool.narrow(part.first_slot, part.num_slots)
        else:
            run = pool.select(part.gathered)
        found = attend_run(turned if part.is_turned else heads, run, layer, False, part.visible)
        total = found if total is None else merge(total, found)
    return total
