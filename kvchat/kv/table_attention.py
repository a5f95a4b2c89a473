"""TableAttention: attention on a GPU by torch's variable-length operator, which reads block tables.

One call per layer takes all rows whose queries see everything before them, wherever their blocks
lie (`torch.nn.attention.varlen`, since torch 2.13; FlashAttention of Dao 2023 with the block tables
of Kwon et al. 2023). It computes in half precision, and for which block sizes depends on the GPU
and on how torch was built; so a probe decides, and where that fails attention stays with runs.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from kvchat.kv.attention_metadata import (
    AttentionMetadata,
    SeenRow,
    TableRows,
    divide,
    packed_slots,
    packed_tokens,
    plan_group,
    seen_rows,
)
from kvchat.kv.block_table import HOLE
from kvchat.kv.kv_run import KVRun
from kvchat.kv.paged_attention import attend_rest
from kvchat.kv.partial_attention import attend_part_by_matmul
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from kvchat.kv.step import StepRow
from kvchat.kv.storage import KVStorage

Operator = Callable[..., Tensor]
"""Has the arguments of `torch.nn.attention.varlen.varlen_attn`."""

TOLERANCES = {torch.bfloat16: 3e-2, torch.float16: 1e-2}

log = logging.getLogger(__name__)


class TableAttention:
    """Plans steps of one layer group by block tables, and attends with them; made by `of`."""

    def __init__(self, operator: Operator, window: int | None, storage: KVStorage) -> None:
        self._operator, self._window, self._storage = operator, window, storage
        self._device = str(storage.tensors[0].device)
        num_kv_heads = storage.group.num_kv_heads
        self._pages = [pages_of(each, num_kv_heads, storage.block_size) for each in storage.tensors]

    @classmethod
    def of(cls, spec: KVCacheSpec, group_index: int, storage: KVStorage) -> "TableAttention | None":
        """Return it where torch's operator knows such layers and agrees with the plain form."""
        group = spec.groups[group_index]
        layers = [spec.layers[index] for index in group.layer_indexes]
        is_known = storage.kv_dtype == "auto" and storage.dtype in TOLERANCES and group.value_dim
        if not is_known or any(layer.soft_cap is not None for layer in layers):
            return None
        operator = operator_of(storage.tensors[0].device)
        if operator is None or not _agrees(operator, layers[0], storage):
            return None
        return cls(operator, group.window, storage)

    def plan(
        self, rows: Sequence[StepRow], group_index: int, *, is_cascading: bool = True
    ) -> AttentionMetadata:
        """Plan one step; see `plan_group`, which plans rows that this does not take."""
        seen = seen_rows(rows, group_index, self._window)
        taken, others, rest = divide(rows, seen, _takes)
        metadata = plan_group(
            rest, group_index, self._window, self._device, is_cascading=is_cascading
        )
        if not taken:
            return metadata
        tables = plan_tables(taken, others, self._device)
        return replace(metadata, slots=packed_slots(seen, self._device), tables=tables)

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

        query, key, value  [T, heads, D]
        place              index of the layer in its group
        """
        tables = metadata.tables
        assert tables is not None
        stored = self._storage.write(place, metadata.slots, key, value)
        if tables.tokens is None or tables.rest is None:
            return attend_tables(self._operator, query, self._pages[place], layer, tables)
        output = query.new_empty(*query.shape[:2], layer.output_dim)
        asking = query.index_select(0, tables.tokens)
        found = attend_tables(self._operator, asking, self._pages[place], layer, tables)
        output.index_copy_(0, tables.tokens, found)
        pool = self._storage.views[place]
        return attend_rest(output, tables.rest, query, stored, layer, pool, metadata)


def plan_tables(rows: Sequence[SeenRow], others: Sequence[SeenRow], device: str) -> TableRows:
    """Plan rows that see everything before them, at least one."""
    ends = [row.start + row.count for row in rows]
    size = rows[0].table.block_size
    tables = [row.table.blocks[: -(-end // size)] for row, end in zip(rows, ends, strict=True)]
    width = max(map(len, tables))
    blocks = [table + [0] * (width - len(table)) for table in tables]
    firsts = [0]
    for row in rows:
        firsts.append(firsts[-1] + row.count)

    def numbers(values: Sequence[object]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=device)

    return TableRows(
        packed_tokens(rows, device) if others else None,
        packed_tokens(others, device) if others else None,
        numbers(firsts),
        numbers(ends),
        numbers(blocks),
        max(row.count for row in rows),
        max(ends),
        sum(ends),
    )


def attend_tables(
    operator: Operator,
    query: Tensor,
    pages: tuple[Tensor, Tensor],
    layer: LayerSpec,
    tables: TableRows,
) -> Tensor:
    """Attend the queries of the rows, [M, H, D], causally, each behind what its row had before.

    pages   keys and values, [blocks, block_size, K, D] each
    return  [M, H, Dv]
    """
    key, value = pages
    # One split of the keys, for otherwise the longest row decides how all others are summed.
    return operator(
        query,
        key,
        value,
        tables.first_queries,
        None,
        tables.most_queries,
        tables.most_keys,
        scale=layer.scale,
        window_size=(-1, 0),
        enable_gqa=layer.num_heads != layer.num_kv_heads,
        seqused_k=tables.num_keys,
        block_table=tables.blocks,
        num_splits=1,
    )


def pages_of(numbers: Tensor, num_kv_heads: int, block_size: int) -> tuple[Tensor, Tensor]:
    """View a layer's numbers, [2 * K, slots, D], as pages of keys and values.

    return  [blocks, block_size, K, D] each, which copy nothing
    """
    tokens = numbers.transpose(0, 1)
    pages = tokens.view(-1, block_size, *tokens.shape[1:])
    return pages[:, :, :num_kv_heads], pages[:, :, num_kv_heads:]


def _takes(row: SeenRow) -> bool:
    """Whether a row sees all before it; never a question of its neighbors."""
    num_blocks = -(-(row.start + row.count) // row.table.block_size)
    return not row.has_slid and HOLE not in row.table.blocks[:num_blocks]


def operator_of(device: torch.device) -> Operator | None:
    """Return torch's operator if it has one for the device."""
    if device.type != "cuda":
        return None
    try:
        from torch.nn.attention import varlen
    except ImportError:
        return None  # torch before 2.10
    return cast(Operator, varlen.varlen_attn)


_PROBED: dict[tuple[object, ...], bool] = {}


def _agrees(operator: Operator, layer: LayerSpec, storage: KVStorage) -> bool:
    """Compare the operator with the plain form once per device, type, block size and layer."""
    device = storage.tensors[0].device
    question = (operator, str(device), storage.dtype, storage.block_size, layer)
    if question not in _PROBED:
        try:
            _PROBED[question] = _probe(operator, layer, storage)
        except (RuntimeError, TypeError, ValueError) as error:
            # An older operator without block tables, or one that wants larger blocks.
            log.info("Attention reads runs, not block tables: %s", str(error).partition("\n")[0])
            _PROBED[question] = False
        else:
            if not _PROBED[question]:
                log.warning("torch's attention by block tables computes nonsense here; unused.")
    return _PROBED[question]


def _probe(operator: Operator, layer: LayerSpec, storage: KVStorage) -> bool:
    """Attend a token and a chunk of two scattered rows, by block tables and plainly."""
    device, size = str(storage.tensors[0].device), storage.block_size
    generator = torch.Generator().manual_seed(0)
    num_slots = 5 * size
    # Tokens first, as pools lie in memory where this is used.
    drawn = torch.randn(num_slots, 2 * layer.num_kv_heads, layer.key_dim, generator=generator)
    lengths, counts, blocks = (size + 1, max(3, 3 * size - 1)), (1, 3), ((3, 1, 1), (4, 0, 2))
    # What lies behind a row's last token is anything, for a pool is not filled when it is made.
    for length, table in zip(lengths, blocks, strict=True):
        last = table[(length - 1) // size] * size
        drawn[last + (length - 1) % size + 1 : last + size] = float("nan")
    numbers = drawn.to(device, storage.dtype).transpose(0, 1)
    query = torch.randn(sum(counts), layer.num_heads, layer.key_dim, generator=generator)
    query = query.to(device, storage.dtype)
    tables = TableRows(
        None,
        None,
        torch.tensor((0, 1, 4), dtype=torch.int32, device=device),
        torch.tensor(lengths, dtype=torch.int32, device=device),
        torch.tensor(blocks, dtype=torch.int32, device=device),
        max(counts),
        max(lengths),
        sum(lengths),
    )
    pages = pages_of(numbers, layer.num_kv_heads, size)
    found = attend_tables(operator, query, pages, layer, tables)
    expected = []
    for first, count, length, table in zip((0, 1), counts, lengths, blocks, strict=True):
        slots = torch.tensor([table[i // size] * size + i % size for i in range(length)])
        run = KVRun.of((numbers,), layer).select(slots.to(device))
        asking = query[first : first + count].float().transpose(0, 1)[None]  # [1, H, n, D]
        seen = torch.ones(count, length, dtype=torch.bool, device=device).tril(length - count)
        part, _ = attend_part_by_matmul(asking, run.key.float(), run.value.float(), layer, seen)
        expected.append(part[0].transpose(0, 1))
    tolerance = TOLERANCES[storage.dtype]
    return torch.allclose(found.float(), torch.cat(expected), atol=tolerance, rtol=tolerance)
