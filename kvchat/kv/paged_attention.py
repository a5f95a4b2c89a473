"""Attention over the runs of a step: zero-copy views of the pool, merged by log-sum-exp.

Source of the idea of block tables: Kwon et al. 2023, "Efficient Memory Management for Large
Language Model Serving with PagedAttention". Reading runs instead of single blocks is ours: on a CPU
gathering blocks costs as much as attending to them.
"""

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
    output = query.new_empty((*query.shape[:2], layer.output_dim))
    for row in metadata.rows:
        end = row.first_token + row.num_tokens
        new = slice(row.first_token, end)
        if row.num_tokens == 1:
            _attend_one(query[new], layer, pool, row, output[new])
        else:
            own = KVRun.of(stored, layer).narrow(row.first_token, row.num_tokens)
            _attend_chunk(query[new], own, layer, pool, row, output[new])
    return output


def _attend_one(query: Tensor, layer: LayerSpec, pool: KVRun, row: RowPlan, output: Tensor) -> None:
    """Attend one token; its query group is folded into the query length, an exact view."""
    folded = (1, layer.num_kv_heads, -1, query.shape[-1])
    total = _attend_past(query.view(folded), query, folded, layer, pool, row)
    assert total is not None
    output.copy_(total[0].reshape(output.shape))


def _attend_chunk(
    query: Tensor, own_run: KVRun, layer: LayerSpec, pool: KVRun, row: RowPlan, output: Tensor
) -> None:
    """Attend several tokens: causally to each other, and to the past in runs."""
    heads = query.transpose(0, 1)[None]  # [1, H, n, D]
    own_visible = row.own_visible
    own = attend_run(heads, own_run, layer, is_causal=own_visible is None, visible=own_visible)
    past = _attend_past(heads, query, None, layer, pool, row)
    total = own if past is None else merge(past, own)
    output.copy_(total[0][0].transpose(0, 1))


def _attend_past(
    heads: Tensor,
    query: Tensor,
    folded: tuple[int, int, int, int] | None,
    layer: LayerSpec,
    pool: KVRun,
    row: RowPlan,
) -> Part | None:
    turned = heads
    if row.turn_offsets is not None and layer.rotary is not None:
        turn = rotation(row.turn_offsets.to(query.device), layer.rotary, query.dtype, pure=True)
        clamped = rotate(query, *turn, layer.first_rotary_channel)
        turned = clamped.view(folded) if folded is not None else clamped.transpose(0, 1)[None]
    total: Part | None = None
    for part in row.parts:
        if part.gathered is None:
            run = pool.narrow(part.first_slot, part.num_slots)
        else:
            run = pool.select(part.gathered)
        asking = turned if part.is_turned else heads
        found = attend_run(asking, run, layer, visible=part.visible)
        total = found if total is None else merge(total, found)
    return total
