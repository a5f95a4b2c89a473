"""Ways to attend to the same keys and values, over contiguous tensors and over a paged pool.

All are one step in all layers: store the new tokens, attend. What a step plans before is left out;
`kvchat bench overhead` tells what that costs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from kvchat.bench.attention_cells import Cell
from kvchat.kv.cache import SequenceId
from kvchat.kv.kernel_attention import KernelAttention
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_step import PagedStep
from kvchat.kv.spec import KVCacheSpec
from kvchat.native.kernels import Kernels

BLOCK_SIZE = 32


class Variant(Protocol):
    """One way to attend."""

    def prepare(self) -> None:
        """Get ready for a step; untimed."""

    def attend(self) -> list[Tensor]:
        """Do the step; outputs [T, H, Dv] of each layer."""


class Tensors:
    """Queries, keys and values of a cell: of the past [layers, S, K, D], of the step [layers, ...].

    Sequences share the first `num_shared` tokens, so sharing changes no number.
    """

    def __init__(self, cell: Cell) -> None:
        shape, generator = cell.shape, torch.Generator().manual_seed(1)
        layers, heads, dim = shape.num_layers, shape.num_kv_heads, shape.head_dim

        def random(*size: int) -> Tensor:
            return torch.randn(layers, *size, dim, generator=generator).to(cell.dtype)

        shared = random(2, cell.num_shared, heads)
        self.past = [
            torch.cat((shared, random(2, length - cell.num_shared, heads)), 2)
            for length in cell.lengths
        ]  # [layers, 2, S, K, D] each
        num_tokens = len(cell.lengths) * cell.count
        self.query = random(num_tokens, shape.num_heads)
        self.new = random(2, num_tokens, heads)  # [layers, 2, T, K, D]


class Contiguous:
    """One preallocated tensor per sequence, as long as it needs; attended to by `attend_row`."""

    def __init__(self, cell: Cell, tensors: Tensors, stored: "list[Tensor]", how: str) -> None:
        self._cell, self._tensors, self._stored = cell, tensors, stored
        self._attend_row: Callable[[Tensor, Tensor, Tensor], Tensor] = getattr(self, f"_{how}")
        self._mask: Tensor | None = None
        if cell.count > 1:
            past, count = cell.lengths[0], cell.count
            mask = torch.full((count, past + count), float("-inf"), dtype=cell.dtype)
            self._mask = mask.triu(past + 1)

    def prepare(self) -> None:
        """Do nothing: there is nothing to plan."""

    def attend(self) -> list[Tensor]:
        """Store and attend, sequence by sequence."""
        count, outputs = self._cell.count, []
        for index in range(self._cell.shape.num_layers):
            query, new = self._tensors.query[index], self._tensors.new[index]
            rows = []
            for place, stored in enumerate(self._stored):
                own = slice(place * count, (place + 1) * count)
                keys, values = stored[index]  # [K, S, D] each
                keys[:, -count:] = new[0, own].transpose(0, 1)
                values[:, -count:] = new[1, own].transpose(0, 1)
                rows.append(self._attend_row(query[own], keys[None], values[None]))
            outputs.append(torch.cat(rows))
        return outputs

    def _folded(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        shape = self._cell.shape
        asking = query.view(1, shape.num_kv_heads, -1, shape.head_dim)
        found = functional.scaled_dot_product_attention(asking, keys, values)
        return found.reshape(query.shape)

    def _enable_gqa(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        asking = query.transpose(0, 1)[None]
        found = functional.scaled_dot_product_attention(asking, keys, values, enable_gqa=True)
        return found[0].transpose(0, 1)

    def _repeat(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        group = self._cell.shape.num_heads // self._cell.shape.num_kv_heads
        keys, values = (each.repeat_interleave(group, 1) for each in (keys, values))
        return self._enable_gqa(query, keys, values)

    def _masked(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        asking = query.transpose(0, 1)[None]
        found = functional.scaled_dot_product_attention(
            asking, keys, values, attn_mask=self._mask, enable_gqa=True
        )
        return found[0].transpose(0, 1)


class Paged:
    """Our pool, attended to by run views, by the native kernel, or by gathering blocks first."""

    def __init__(
        self,
        cell: Cell,
        tensors: Tensors,
        pool: "FilledPool",
        kernel: KernelAttention | None,
        *,
        gathers: bool = False,
    ) -> None:
        self._cell, self._tensors, self._pool = cell, tensors, pool
        self._kernel, self._gathers = kernel, gathers
        self._step: PagedStep | None = None

    def prepare(self) -> None:
        """Plan the step."""
        self._pool.begin(self._kernel, self._cell.count)

    def attend(self) -> list[Tensor]:
        """Store and attend, all sequences at once."""
        cache, tensors = self._pool.cache, self._tensors
        if self._gathers:
            return [self._gather(index) for index in range(self._cell.shape.num_layers)]
        return [
            cache.attend(index, query, key, value)
            for index, (query, (key, value)) in enumerate(
                zip(tensors.query, tensors.new, strict=True)
            )
        ]

    def _gather(self, index: int) -> Tensor:
        cache, shape = self._pool.cache, self._cell.shape
        cache.write(index, *self._tensors.new[index])
        run = cache.storages[0].views[index]
        rows = []
        for query, slots in zip(self._tensors.query[index], self._pool.slots, strict=True):
            key, value = run.key.index_select(2, slots), run.value.index_select(2, slots)
            asking = query.view(1, shape.num_kv_heads, -1, shape.head_dim)
            found = functional.scaled_dot_product_attention(asking, key, value)
            rows.append(found.reshape(1, shape.num_heads, -1))
        return torch.cat(rows)


class FilledPool:
    """A paged cache that holds the sequences of a cell, in as many runs as it says."""

    def __init__(self, cell: Cell, tensors: Tensors, *, is_shared: bool = True) -> None:
        spec = KVCacheSpec((cell.shape.layer,) * cell.shape.num_layers)
        sizes = [-(-(length + cell.count) // BLOCK_SIZE) for length in cell.lengths]
        num_blocks = 2 * sum(sizes) + 12 * len(sizes)
        self.cache = PagedKVCache(
            spec, num_blocks, block_size=BLOCK_SIZE, dtype=cell.dtype, kv_dtype=cell.kv_dtype
        )
        free = self.cache.pools[0].take(num_blocks)
        self.sequences: list[SequenceId] = []
        num_shared = cell.num_shared if is_shared else 0
        for past, size in zip(tensors.past, sizes, strict=True):
            self._give_back(free, size, cell.num_runs)
            first = self.sequences[0] if self.sequences and num_shared else None
            sequence = self.cache.open() if first is None else self.cache.fork(first, num_shared)
            start = self.cache.length(sequence)
            for at in range(start, past.shape[2], BLOCK_SIZE):
                new = past[:, :, at : at + BLOCK_SIZE].unbind(1)
                self.cache.append(sequence, *new)
            self.sequences.append(sequence)
        self._step: PagedStep | None = None

    def _give_back(self, free: list[int], size: int, num_runs: int) -> None:
        """Free as many blocks as a sequence takes, with gaps where a run ends."""
        per_run = 1 if num_runs == 0 else -(-size // num_runs)
        while size > 0:
            for _ in range(min(per_run, size)):
                self.cache.pools[0].give_back(free.pop(0))
                size -= 1
            free.pop(0)

    def begin(self, kernel: KernelAttention | None, count: int) -> None:
        """Plan a step for the kernel or for torch, instead of the last one."""
        self.end()
        self.cache.kernel_attention = [kernel]
        self._step = self.cache.reserve([(each, count) for each in self.sequences])
        self.slots = [
            torch.tensor(
                [
                    slot
                    for first, size in row.groups[0]
                    .table_after(row.sequence.tables[0])
                    .runs(0, row.start + row.count)
                    for slot in range(first, first + size)
                ]
            )
            for row in self._step.rows
        ]

    def end(self) -> None:
        """Take the step back."""
        if self._step is not None:
            self._step.rollback()
        self._step = None


def variants(cell: Cell, kernels: Kernels | None) -> Iterator[tuple[str, Variant]]:
    """Yield the names and ways that a cell is measured in; the first is what others must equal."""
    tensors = Tensors(cell)
    stored = []
    for past in tensors.past:  # [layers, 2, S, K, D]
        layers, both, length, heads, dim = past.shape
        room = torch.empty(layers, both, heads, length + cell.count, dim, dtype=past.dtype)
        room[:, :, :, :length] = past.transpose(2, 3)
        stored.append(room)
    hows = {"one run": ("folded", "enable_gqa", "repeat"), "chunk": ("masked",)}
    for how in hows.get(cell.topic, ("folded",)):
        yield how, Contiguous(cell, tensors, stored, how)
    pool = FilledPool(cell, tensors)
    kernel = _kernel_of(kernels, pool)
    yield "views", Paged(cell, tensors, pool, None)
    if kernel is not None:
        yield "kernel", Paged(cell, tensors, pool, kernel)
    if cell.topic == "one run":
        yield "gather", Paged(cell, tensors, pool, None, gathers=True)
    if cell.num_shared:
        apart = FilledPool(cell, tensors, is_shared=False)
        yield "unshared", Paged(cell, tensors, apart, _kernel_of(kernels, apart))
    if cell.kv_dtype == "int8":
        plain = replace(cell, kv_dtype="auto")
        other = FilledPool(plain, tensors)
        yield "views fp32", Paged(plain, tensors, other, None)
        if kernels is not None:
            yield "kernel fp32", Paged(plain, tensors, other, _kernel_of(kernels, other))


def _kernel_of(kernels: Kernels | None, pool: FilledPool) -> KernelAttention | None:
    cache = pool.cache
    return KernelAttention.of(kernels, cache.spec, 0, cache.storages[0])


def differences(outputs: Mapping[str, list[Tensor]]) -> dict[str, float]:
    """Return by how much each output differs at most from the first one."""
    first = next(iter(outputs.values()))
    return {
        name: max(
            (mine.float() - theirs.float()).abs().max().item()
            for mine, theirs in zip(found, first, strict=True)
        )
        for name, found in outputs.items()
    }
