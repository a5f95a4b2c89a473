"""KernelAttention: attention by the native kernel, for the rows of a step that gain by it.

The kernel takes rows in one call per layer: blocks wherever they lie, what rows share read once,
sinks with turned queries. Long chunks stay with torch where their partial results would take much
memory, or the processor has narrow registers. Used where a probe agrees with the plain form, like
torch's own operator. `kvchat bench attention` prints what decided.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kvchat.kv.attention_metadata import (
    AttentionMetadata,
    KernelRows,
    SeenRow,
    divide,
    packed_slots,
    packed_tokens,
    plan_group,
    seen_rows,
)
from kvchat.kv.kv_run import KVRun
from kvchat.kv.paged_attention import attend_rest
from kvchat.kv.partial_attention import attend_codes, attend_part_by_matmul
from kvchat.kv.quantization import quantize
from kvchat.kv.rotary import QueryTurn
from kvchat.kv.spec import KVCacheSpec, LayerGroup, LayerSpec
from kvchat.kv.step import StepRow
from kvchat.kv.storage import KVStorage
from kvchat.native.attention import BFLOAT16, FLOAT16, FLOAT32, INT8, KernelPlan, Layer, Row
from kvchat.native.kernels import Kernels

TYPES = {
    torch.float32: FLOAT32,
    torch.bfloat16: BFLOAT16,
    torch.float16: FLOAT16,
    torch.int8: INT8,
}
MAX_CHUNK = 16
"""Rows of more new tokens than this are torch's where the kernel has no wide registers."""
MAX_PART_BYTES = 64 << 20
"""Rows whose partial results would take more are torch's: long chunks behind a long past."""
KEYS_PER_PART = 128
"""Each token and head has a partial result for so many keys; `kCell` of the kernel."""
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}

log = logging.getLogger(__name__)


class KernelAttention:
    """Plans steps of one layer group for the kernel and attends with it; made by `of`.

    For one thread. A step is planned, then attended to in every layer of the group, before the next
    one is planned.
    """

    def __init__(
        self, kernels: Kernels, group: LayerGroup, storage: KVStorage, num_heads: int
    ) -> None:
        self._window, self._storage = group.window, storage
        self._is_wide = kernels.is_wide
        self._part_bytes = 4 * num_heads * (group.key_dim + 16)
        self._plan = KernelPlan(kernels, storage.block_size)
        self._layers: dict[LayerSpec, list[Layer]] = {}

    @classmethod
    def of(
        cls, kernels: Kernels | None, spec: KVCacheSpec, group_index: int, storage: KVStorage
    ) -> "KernelAttention | None":
        """Return it where the kernel knows such numbers and agrees with the plain form, or None.

        int8 latents have two scales, which the kernel does not know.
        """
        group, numbers = spec.groups[group_index], storage.arrays[0][0]
        if kernels is None or numbers.device.type != "cpu":
            return None
        is_known = numbers.dtype in TYPES and storage.dtype in TOLERANCES
        if not is_known or (numbers.dtype == torch.int8 and group.latent_value_dim):
            return None
        if not _agrees(kernels, group, storage.dtype, numbers.dtype):
            log.warning("The native attention kernel computes nonsense here; torch is used.")
            return None
        num_heads = max(spec.layers[index].num_heads for index in group.layer_indexes)
        return cls(kernels, group, storage, num_heads)

    @property
    def plan_address(self) -> int:
        """Where the library has the plan of the step: filled by `plan`, and the same for ever."""
        return self._plan.address

    def plan(
        self, rows: Sequence[StepRow], group_index: int, *, is_cascading: bool = True
    ) -> AttentionMetadata:
        """Plan one step; see `plan_group`. The kernel reads what rows share once in any case."""
        seen = seen_rows(rows, group_index, self._window)
        taken, others, rest = divide(rows, seen, self._takes)
        metadata = plan_group(rest, group_index, self._window, "cpu", is_cascading=is_cascading)
        if not taken:
            return metadata
        num_slots_read = self._plan.fill([_row(each) for each in taken])
        tokens = packed_tokens(others, "cpu") if others else None
        turn = _turn(seen) if any(each.is_turned for each in taken) else None
        kernel = KernelRows(num_slots_read, turn, tokens)
        return replace(metadata, slots=packed_slots(seen, "cpu"), kernel=kernel)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor | None,
        layer: LayerSpec,
        place: int,
        metadata: AttentionMetadata,
    ) -> Tensor:
        """Store the new keys and values of the planned step, then attend every row of it.

        query, key, value  [T, heads, D], no value for MLA; see `KVCache.attend`
        place              index of the layer in its group
        """
        assert metadata.kernel is not None
        num_tokens, num_heads, _ = query.shape
        output = query.new_empty(num_tokens, num_heads, layer.output_dim)
        rest = metadata.kernel.rest
        described = self._describe(layer, place)
        if rest is None:
            # In the same call, since each call of torch costs as much as a short row.
            key = key if key.stride(2) == 1 else key.contiguous()
            value = value if value is None or value.stride(2) == 1 else value.contiguous()
            bring(described, metadata.slots, key, value)
            self._attend(query, output, layer, described, metadata.kernel.turn)
        else:
            described.num_new = 0
            stored = self._storage.write(place, metadata.slots, key, value)
            self._attend(query, output, layer, described, metadata.kernel.turn)
            pool = self._storage.views[place]
            attend_rest(output, rest, query, stored, layer, pool, metadata)
        return output

    def _takes(self, row: SeenRow) -> bool:
        """Whether a row is the kernel's; never a question of its neighbors."""
        if row.count <= MAX_CHUNK:
            return True
        num_keys = row.start + row.count
        if row.visible.window is not None:
            num_keys = min(num_keys, row.visible.sinks + row.visible.window + row.count)
        num_parts = row.count * (num_keys // KEYS_PER_PART + 3)
        return self._is_wide and num_parts * self._part_bytes <= MAX_PART_BYTES

    def _describe(self, layer: LayerSpec, place: int) -> Layer:
        layers = self._layers.get(layer)
        if layers is None:
            layers = [describe(layer, pool) for pool in self._storage.views]
            self._layers[layer] = layers
        return layers[place]

    def _attend(
        self,
        query: Tensor,
        output: Tensor,
        layer: LayerSpec,
        described: Layer,
        turn: QueryTurn | None,
    ) -> None:
        if query.stride(2) != 1:
            query = query.contiguous()
        turned = None
        if turn is not None and layer.rotary is not None:
            turned = turn.apply(query, layer.rotary, layer.first_rotary_channel)
            query, turned = query.contiguous(), turned.contiguous()
        attend_rows(self._plan, described, query, turned, output)


def bring(layer: Layer, slots: Tensor, key: Tensor, value: Tensor | None) -> None:
    """Let the next call store new keys and values, [T, K, D] each, in slots [T] int64."""
    layer.num_new = len(slots)
    layer.new_slots, layer.new_key = slots.data_ptr(), key.data_ptr()
    layer.new_key_token_stride, layer.new_key_head_stride, _ = key.stride()
    layer.new_value = None
    if value is not None:
        layer.new_value = value.data_ptr()
        layer.new_value_token_stride, layer.new_value_head_stride, _ = value.stride()


def attend_rows(
    plan: KernelPlan, layer: Layer, query: Tensor, turned: Tensor | None, output: Tensor
) -> None:
    """Attend the rows of a plan in one layer; what is not theirs in the output stays as it is.

    query   [T, H, D], turned likewise or None, with the same strides
    output  [T, H, Dv], of the query's type
    """
    layer.query_type = TYPES[query.dtype]
    layer.query = query.data_ptr()
    layer.turned = None if turned is None else turned.data_ptr()
    layer.query_token_stride, layer.query_head_stride, _ = query.stride()
    layer.out = output.data_ptr()
    layer.out_token_stride, layer.out_head_stride, _ = output.stride()
    plan.attend(layer)


def describe(layer: LayerSpec, pool: KVRun) -> Layer:
    """Return what the kernel has to know of a layer apart from a step."""
    key, value = pool.key, pool.value
    described = Layer(
        kv_type=TYPES[key.dtype],
        num_kv_heads=layer.num_kv_heads,
        group=layer.num_heads // layer.num_kv_heads,
        key_dim=layer.key_dim,
        value_dim=layer.output_dim,
        key=key.data_ptr(),
        value=value.data_ptr(),
        scale=layer.scale,
        soft_cap=layer.soft_cap or 0.0,
    )
    _, described.key_head_stride, described.key_slot_stride, _ = key.stride()
    _, described.value_head_stride, described.value_slot_stride, _ = value.stride()
    if pool.key_scale is not None and pool.value_scale is not None:
        described.key_scale = pool.key_scale.data_ptr()
        described.value_scale = pool.value_scale.data_ptr()
        _, described.scale_head_stride, described.scale_slot_stride = pool.key_scale.stride()
    return described


def _row(seen: SeenRow) -> Row:
    visible = seen.visible
    return Row(
        seen.first_token, seen.count, seen.start, visible.window, visible.sinks, seen.table.blocks
    )


def _turn(rows: Sequence[SeenRow]) -> QueryTurn:
    """Return the turn of the queries of all tokens; those without hidden keys are not turned."""
    offsets = [
        row.turn_offsets() if row.is_turned else torch.zeros(row.count, dtype=torch.int64)
        for row in rows
    ]
    return QueryTurn(torch.cat(offsets), [length for row in rows for length in row.lengths()])


_PROBED: dict[tuple[object, ...], bool] = {}


def _agrees(kernels: Kernels, group: LayerGroup, dtype: torch.dtype, kv_dtype: torch.dtype) -> bool:
    """Compare the kernel with the plain form once per library, types and sizes of heads."""
    shape = group.key_dim, group.value_dim, group.latent_value_dim
    question = (kernels.path, dtype, kv_dtype, *shape)
    if question not in _PROBED:
        _PROBED[question] = _probe(kernels, group, dtype, kv_dtype)
    return _PROBED[question]


def _probe(kernels: Kernels, group: LayerGroup, dtype: torch.dtype, kv_dtype: torch.dtype) -> bool:
    generator = torch.Generator().manual_seed(0)
    num_kv_heads, dim = (2 if group.value_dim else 1), group.key_dim
    scale = dim**-0.5
    latent = group.latent_value_dim
    layer = LayerSpec(
        3 * num_kv_heads, num_kv_heads, dim, group.value_dim, scale, latent_value_dim=latent
    )
    num_rows = 2 * num_kv_heads if group.value_dim else 1
    numbers = torch.randn(num_rows, 24, dim, generator=generator)
    arrays = quantize(numbers) if kv_dtype == torch.int8 else (numbers.to(dtype),)
    query = torch.randn(1, layer.num_heads, dim, generator=generator).to(dtype)
    run = KVRun.of(arrays, layer)
    output = query.new_empty(1, layer.num_heads, layer.output_dim)
    plan = KernelPlan(kernels, 4)
    plan.fill([Row(0, 1, 20, None, 0, range(6))])
    attend_rows(plan, describe(layer, run), query, None, output)
    seen = run.narrow(0, 21)
    asking = query[:, :, None]  # [1, H, 1, D]
    if kv_dtype == torch.int8:
        expected, _ = attend_codes(asking, seen, layer)
    else:
        expected, _ = attend_part_by_matmul(
            asking.float(), seen.key.float(), seen.value.float(), layer
        )
    tolerance = TOLERANCES[dtype]
    return torch.allclose(output.float(), expected[:, :, 0], atol=tolerance, rtol=tolerance)
