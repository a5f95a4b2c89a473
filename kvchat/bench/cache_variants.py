"""Caches as others build them, with torch's fused attention, to be compared with ours.

The classics of `kv/contiguous.py` attend by plain matrix products, since they are the truth that
tests compare with. Here the same storage goes with `scaled_dot_product_attention`, so that what
differs in time is the cache. Further: a static cache written by `scatter_`, a paged one that copies
its blocks together first, and one tensor for a batch, padded to its longest sequence.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import ContiguousCache, DynamicCache, StaticCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec


def attend_fused(query: Tensor, keys: Tensor, values: Tensor, layer: LayerSpec) -> Tensor:
    """Attend the last tokens of one sequence to all of it.

    query [n, H, D]; keys, values [S, K, D] with S == n, or n == 1; returns [n, H, D]
    """
    assert query.shape[0] in (1, keys.shape[0]), "a prompt as a whole, or one token"
    q, k, v = (each.transpose(0, 1)[None] for each in (query, keys, values))
    output = functional.scaled_dot_product_attention(
        q, k, v, is_causal=q.shape[2] > 1, scale=layer.scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return output[0].transpose(0, 1)


class _Fused(ContiguousCache):
    """Attends to whatever its storage returns, row by row."""

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Store and attend; see KVCache.attend."""
        assert self._step is not None and value is not None
        outputs, start = [], 0
        for sequence, count in self._step.rows:
            new = slice(start, start + count)
            keys, values = self._store(sequence, layer_index, key[new], value[new])
            outputs.append(attend_fused(query[new], keys, values, self.spec.layers[layer_index]))
            start += count
        return torch.cat(outputs)


class FusedDynamicCache(_Fused, DynamicCache):
    """Concatenates, or grows by a factor, and attends by the fused operator."""


class FusedStaticCache(_Fused, StaticCache):
    """Preallocates, writes by `index_copy_`, and attends by the fused operator."""


class ScatterStaticCache(FusedStaticCache):
    """The same, written by `scatter_`, which wants an index for every number."""

    def _write(self, stored: Tensor, cache_position: Tensor, new: Tensor) -> None:
        stored.scatter_(0, cache_position[:, None, None].expand_as(new), new)


class GatheringKVCache(PagedKVCache):
    """Blocks as ours, but copied together in every layer before it attends."""

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Store, gather and attend; see KVCache.attend."""
        assert self._step is not None and value is not None
        self.write(layer_index, key, value)
        group_index, place = self._place(layer_index)
        storage, layer = self.storages[group_index], self.spec.layers[layer_index]
        if layer_index == 0:
            self._gathered = [
                torch.tensor(
                    [
                        slot
                        for first, count in row.groups[group_index]
                        .table_after(row.sequence.tables[group_index])
                        .runs(0, row.start + row.count)
                        for slot in range(first, first + count)
                    ]
                )
                for row in self._step.rows
            ]
        outputs, start = [], 0
        for row, slots in zip(self._step.rows, self._gathered, strict=True):
            keys, values = storage.read(place, slots)
            new = query[start : start + row.count]
            outputs.append(attend_fused(new, keys, values, layer))
            start += row.count
        return torch.cat(outputs)


class _PaddedStep:
    """One token of every sequence."""

    def __init__(self, cache: "PaddedCache") -> None:
        self.cache = cache
        self.positions = list(cache.lengths)

    def commit(self) -> None:
        """Count the new tokens."""
        self.cache.lengths = [length + 1 for length in self.cache.lengths]

    def rollback(self) -> None:
        """Forget them."""


class PaddedCache(KVCache):
    """One tensor a layer for a whole batch, as long as its longest sequence; one token a step.

    What is behind a shorter sequence is hidden by a mask, and read all the same.
    """

    def __init__(
        self, spec: KVCacheSpec, filled: PagedKVCache, chosen: Sequence[SequenceId]
    ) -> None:
        self.spec = spec
        self.lengths = [filled.length(each) for each in chosen]
        room = max(self.lengths) + 16
        self._stored: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(spec.layers):
            shape = len(chosen), layer.num_kv_heads, room, layer.key_dim
            key, value = torch.zeros(shape), torch.zeros(shape)
            for row, sequence in enumerate(chosen):
                keys, values = filled.keys_values(sequence, index)
                key[row, :, : len(keys)] = keys.transpose(0, 1)
                value[row, :, : len(values)] = values.transpose(0, 1)
            self._stored.append((key, value))

    def reserve(self, rows: Sequence[tuple[SequenceId, int]]) -> _PaddedStep:
        """Prepare one token of every sequence, whatever rows there are."""
        lengths = torch.tensor(self.lengths)
        end = max(self.lengths) + 1
        self._rows = torch.arange(len(self.lengths)), lengths
        self._mask = (torch.arange(end) <= lengths[:, None])[:, None, None]  # [B, 1, 1, S]
        return _PaddedStep(self)

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Store and attend, all rows in one call; query [B, H, D]."""
        assert value is not None
        layer = self.spec.layers[layer_index]
        keys, values = self._stored[layer_index]
        rows, positions = self._rows
        keys[rows, :, positions], values[rows, :, positions] = key, value
        end = self._mask.shape[-1]
        output = functional.scaled_dot_product_attention(
            query[:, :, None],
            keys[:, :, :end],
            values[:, :, :end],
            attn_mask=self._mask,
            scale=layer.scale,
            enable_gqa=query.shape[1] != keys.shape[1],
        )
        return output[:, :, 0]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, padding included."""
        return sum(key.nbytes + value.nbytes for key, value in self._stored)

    def open(
        self, *, window: int | None = None, sinks: int = 0, scheme_length: int = 0
    ) -> SequenceId:
        """Not for batches that are made at once."""
        raise NotImplementedError

    def length(self, sequence: SequenceId) -> int:
        """Return the tokens of a sequence, counted from 0."""
        return self.lengths[sequence]

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Keep the first `length` tokens."""
        self.lengths[sequence] = length
        return length

    def release(self, sequence: SequenceId) -> None:
        """Nothing is given back before the batch ends."""
