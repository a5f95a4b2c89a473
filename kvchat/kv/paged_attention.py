"""Attention over the runs of a step: zero-copy views of the pool, merged by log-sum-exp.

Source of the idea of block tables: Kwon et al. 2023, "Efficient Memory Management for Large
Language Model Serving with PagedAttention". Reading runs instead of single blocks is ours: on a CPU
gathering blocks costs as much as attending to them. What several rows share is read once for all of
them, as in Juravsky et al. 2024, "Hydragen", and to any depth: forks of forks.
"""

import torch
from torch import Tensor

from kvchat.kv.attention_metadata import AttentionMetadata, RowPlan, RunPart, SharedRun
from kvchat.kv.kv_run import Arrays, KVRun
from kvchat.kv.partial_attention import Part, attend_run, merge
from kvchat.kv.rotary import QueryTurn
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
    found = []
    for row, asking in zip(metadata.rows, queries, strict=True):
        if row.num_tokens == 1:
            found.append(_attend_one(asking, layer, pool, row))
        else:
            own = KVRun.of(stored, layer).narrow(row.first_token, row.num_tokens)
            found.append(_attend_chunk(asking, own, layer, pool, row))
    outputs = [each[0] for each in found]
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)  # [T, K, G, Dv]
    if metadata.shared:
        total = output, torch.cat([each[1] for each in found])
        for shared in metadata.shared:
            total = _merge_shared(total, _attend_shared(grouped, layer, pool, shared), shared)
        output = total[0]
    return output.reshape(num_tokens, num_heads, -1).to(query.dtype)


def attend_rest(
    output: Tensor,
    rest: Tensor,
    query: Tensor,
    stored: Arrays,
    layer: LayerSpec,
    pool: KVRun,
    metadata: AttentionMetadata,
) -> Tensor:
    """Attend the rows of a step that `metadata` has by itself, and put them where they belong.

    output  [T, H, Dv], which is returned; the tokens that are not in `rest` stay as they are
    rest    [t] int64, the tokens of those rows
    query, stored, pool  of all tokens of the step; see `paged_attention`
    """
    own = tuple(array.index_select(1, rest) for array in stored)
    found = paged_attention(query.index_select(0, rest), own, layer, pool, metadata)
    return output.index_copy_(0, rest, found)


def _attend_one(query: Tensor, layer: LayerSpec, pool: KVRun, row: RowPlan) -> Part:
    """Attend one token, [1, K, G, D]: its query group stands where queries do, uncopied.

    Returns output [1, K, G, Dv] and log-sum-exp [1, K, G].
    """
    total = _attend_past(query, query, layer, pool, row)
    assert total is not None
    return total


def _attend_chunk(
    query: Tensor, own_run: KVRun, layer: LayerSpec, pool: KVRun, row: RowPlan
) -> Part:
    """Attend several tokens, [n, K, G, D]: causally to each other, and to the past in runs.

    Returns output [n, K, G, Dv] and log-sum-exp [n, K, G].
    """
    num_tokens, num_kv_heads, group, _ = query.shape
    heads = query.flatten(1, 2).transpose(0, 1)[None]  # [1, H, n, D]
    own_visible = row.own_visible
    own = attend_run(heads, own_run, layer, own_visible is None, own_visible)
    past = _attend_past(heads, query, layer, pool, row)
    output, lse = own if past is None else merge(past, own)
    shape = num_tokens, num_kv_heads, group
    return output[0].transpose(0, 1).view(*shape, -1), lse[0].transpose(0, 1).reshape(shape)


def _attend_past(
    heads: Tensor, query: Tensor, layer: LayerSpec, pool: KVRun, row: RowPlan
) -> Part | None:
    """Attend to the stored parts of a row.

    heads  what asks, [1, heads, queries, D]
    query  the same in the order of tokens, [n, K, G, D], from which turned queries are made
    """
    turned = heads
    if row.turn is not None and layer.rotary is not None:
        clamped = _turn(query, row.turn, layer)
        turned = clamped if row.num_tokens == 1 else clamped.flatten(1, 2).transpose(0, 1)[None]
    total: Part | None = None
    for part in row.parts:
        run = _run_of(part, pool)
        found = attend_run(turned if part.is_turned else heads, run, layer, False, part.visible)
        total = found if total is None else merge(total, found)
    return total


def _attend_shared(query: Tensor, layer: LayerSpec, pool: KVRun, shared: SharedRun) -> Part:
    """Attend tokens of several rows to what all of them see, their queries stacked.

    query   [T, K, G, D], of all tokens of the step
    return  output [m, K, G, Dv] and log-sum-exp [m, K, G] of the tokens that share the run
    """
    asking = _of_tokens(query, shared)  # [m, K, G, D]
    if shared.turn is not None and layer.rotary is not None:
        asking = _turn(asking, shared.turn, layer)
    num_tokens, num_kv_heads, group, dim = asking.shape
    heads = asking.transpose(0, 1).reshape(1, num_kv_heads, num_tokens * group, dim)
    total: Part | None = None
    for part in shared.parts:
        found = attend_run(heads, _run_of(part, pool), layer)
        total = found if total is None else merge(total, found)
    assert total is not None
    output, lse = total
    shape = num_kv_heads, num_tokens, group
    return output.reshape(*shape, -1).transpose(0, 1), lse.reshape(shape).transpose(0, 1)


def _merge_shared(total: Part, found: Part, shared: SharedRun) -> Part:
    """Merge what tokens of a shared run found there into what all tokens of the step have."""
    num_tokens = total[0].shape[0]
    if shared.num_tokens == num_tokens:
        return merge(total, found)
    merged = merge((_of_tokens(total[0], shared), _of_tokens(total[1], shared)), found)
    for whole, new in zip(total, merged, strict=True):
        if shared.tokens is None:
            whole.narrow(0, shared.first_token, shared.num_tokens).copy_(new)
        else:
            whole[shared.tokens] = new
    return total


def _of_tokens(tensor: Tensor, shared: SharedRun) -> Tensor:
    """Return the rows of [T, ...] that belong to the tokens of a shared run."""
    if shared.tokens is not None:
        return tensor.index_select(0, shared.tokens)
    return tensor.narrow(0, shared.first_token, shared.num_tokens)


def _turn(query: Tensor, turn: QueryTurn, layer: LayerSpec) -> Tensor:
    """Return queries [n, K, G, D] as they ask the sinks once the window slid."""
    assert layer.rotary is not None
    turned = turn.apply(query.flatten(1, 2), layer.rotary, layer.first_rotary_channel)
    return turned.view(query.shape)


def _run_of(part: RunPart, pool: KVRun) -> KVRun:
    if part.gathered is None:
        return pool.narrow(part.first_slot, part.num_slots)
    return pool.select(part.gathered)
