"""The classic caches: NoCache, DynamicCache, StaticCache.

They share `dense_attention`, which is written to be believed: one matrix product, one mask, one
softmax. Nothing here is shared with the paged path, so each is a truth to compare the other with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from kvchat.errors import InvalidArgument, OutOfBlocks
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.rotary import rotate, rotation
from kvchat.kv.spec import KVCacheSpec, LayerSpec, VisibleSet, check_window

MAX_PRODUCT_LENGTH = 400
"""Rows up to so long are trained by plain products: the fused operator's gradient is slow on CPUs
while the square of scores is small."""


def dense_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layer: LayerSpec,
    *,
    window: int | None = None,
    sinks: int = 0,
    scheme_length: int = 0,
) -> Tensor:
    """Attend the last `n` positions of a sequence to all positions they may see, densely.

    query  [n, H, D], at positions S - n .. S - 1
    key    [S, K, D], value [S, K, Dv], of positions 0 .. S - 1; for MLA `value` is not looked at,
           since the key's first `latent_value_dim` channels are the value
    return [n, H, Dv]

    `window` and `sinks` are the session's; a window of the layer itself that is no larger wins
    and has no sinks. For sink keys the query is turned back to position min(t, sinks + window - 1),
    which equals numbering tokens by their place in the cache (Xiao et al. 2023).
    """
    num_queries, num_keys = query.shape[0], key.shape[0]
    if layer.value_dim == 0:
        value = key[..., : layer.latent_value_dim]
    group = layer.num_heads // layer.num_kv_heads
    key = key.repeat_interleave(group, 1)  # [S, H, D]
    value = value.repeat_interleave(group, 1)  # [S, H, Dv]
    query_at = torch.arange(num_keys - num_queries, num_keys, device=query.device)  # [n]
    key_at = torch.arange(num_keys, device=query.device)  # [S]
    distance = query_at[:, None] - key_at  # [n, S]
    visible = distance >= 0
    scores = torch.einsum("nhd,shd->hns", query, key)
    if layer.window is not None and (window is None or layer.window <= sinks + window):
        visible &= distance < layer.window
    elif window is not None:
        slid = query_at >= sinks + window  # [n]
        is_sink = key_at < sinks  # [S]
        visible &= ~slid[:, None] | is_sink | (distance < window)
        if layer.rotary is not None and sinks > 0:
            clamped = query_at.clamp(max=sinks + window - 1)
            lengths = [max(sinks + window, scheme_length)] * num_queries
            turn = rotation(
                clamped - query_at, layer.rotary, query.dtype, pure=True, lengths=lengths
            )
            turned = rotate(query, *turn, layer.first_rotary_channel)
            sink_scores = torch.einsum("nhd,shd->hns", turned, key)
            scores = torch.where(slid[:, None] & is_sink, sink_scores, scores)
    scores = scores * layer.scale
    if layer.soft_cap is not None:
        scores = layer.soft_cap * torch.tanh(scores / layer.soft_cap)
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
    return torch.einsum("hns,shd->nhd", weights, value)


@dataclass(slots=True)
class _Sequence:
    window: int | None
    sinks: int
    scheme_length: int = 0
    length: int = 0


class ContiguousStep:
    """The step of a contiguous cache: its rows, and lengths that change at commit."""

    def __init__(self, cache: "ContiguousCache", rows: Sequence[tuple[SequenceId, int]]) -> None:
        self.cache = cache
        self.rows = tuple(rows)
        self.positions = [
            cache.length(sequence) + offset for sequence, count in rows for offset in range(count)
        ]

    def commit(self) -> None:
        """Count the new tokens of all rows."""
        self.cache._finish(self, committed=True)

    def rollback(self) -> None:
        """Forget the step."""
        self.cache._finish(self, committed=False)


class ContiguousCache(KVCache):
    """What the three classic caches share: sequences, lengths, and the loop over rows."""

    def __init__(self, spec: KVCacheSpec) -> None:
        self.spec = spec
        self._sequences: dict[SequenceId, _Sequence] = {}
        self._next_id = 0
        self._step: ContiguousStep | None = None

    def open(
        self, *, window: int | None = None, sinks: int = 0, scheme_length: int = 0
    ) -> SequenceId:
        """Start an empty sequence; raises InvalidArgument for an impossible window or sinks."""
        check_window(window, sinks)
        sequence = SequenceId(self._next_id)
        self._next_id += 1
        self._sequences[sequence] = _Sequence(window, sinks, scheme_length)
        return sequence

    def rotary_lengths(self) -> list[int] | None:
        """Return for which length each packed token is rotated; see KVCache.rotary_lengths."""
        assert self._step is not None, "reserve a step first"
        if not self.spec.depends_on_length:
            return None
        lengths = []
        for sequence, count in self._step.rows:
            state = self._sequences[sequence]
            visible = VisibleSet(state.window, state.sinks, state.scheme_length)
            positions = range(state.length, state.length + count)
            lengths += [visible.rotated_length(position) for position in positions]
        return lengths

    def length(self, sequence: SequenceId) -> int:
        """Return the number of committed tokens."""
        return self._sequences[sequence].length

    def reserve(self, rows: Sequence[tuple[SequenceId, int]]) -> ContiguousStep:
        """Prepare a step; raises OutOfBlocks when a preallocated cache is full."""
        assert self._step is None, "the last step was neither committed nor rolled back"
        for sequence, count in rows:
            self._make_room(sequence, self.length(sequence) + count)
        self._step = ContiguousStep(self, rows)
        return self._step

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Store and attend, row by row; see KVCache.attend."""
        assert self._step is not None
        layer = self.spec.layers[layer_index]
        if value is None:
            assert layer.value_dim == 0, "MLA alone has no values"
            value = key[..., :0]  # [T, K, 0], stored like any other
        outputs, start = [], 0
        for sequence, count in self._step.rows:
            new = slice(start, start + count)
            keys, values = self._store(sequence, layer_index, key[new], value[new])
            settings = self._sequences[sequence]
            outputs.append(
                dense_attention(
                    query[new],
                    keys,
                    values,
                    layer,
                    window=settings.window,
                    sinks=settings.sinks,
                    scheme_length=settings.scheme_length,
                )
            )
            start += count
        return torch.cat(outputs)

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Keep the first `length` tokens; raises InvalidArgument beyond the present length."""
        if not 0 <= length <= self.length(sequence):
            raise InvalidArgument(
                f"Cannot rewind to {length} tokens: the sequence has {self.length(sequence)}."
            )
        self._sequences[sequence].length = length
        return length

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence."""
        del self._sequences[sequence]

    def _finish(self, step: ContiguousStep, *, committed: bool) -> None:
        assert step is self._step
        self._step = None
        for sequence, count in step.rows:
            if committed:
                self._sequences[sequence].length += count
            self._settle(sequence)

    def _make_room(self, sequence: SequenceId, num_tokens: int) -> None:
        """Raise OutOfBlocks unless `num_tokens` fit; may allocate."""

    def _settle(self, sequence: SequenceId) -> None:
        """Drop what the finished step left behind."""

    def _store(
        self, sequence: SequenceId, layer_index: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store [n, K, D] behind the committed tokens; return all keys and values, [S, K, D]."""
        raise AssertionError("each cache says how it stores")


class NoCache(ContiguousCache):
    """Keeps nothing: every step brings all tokens of its sequences again.

    The truth of all tests, and the cache of training: it is differentiable. `fused` computes
    windowless attention by torch's fused operator instead, rows of equal length in one call.
    """

    def __init__(self, spec: KVCacheSpec, *, fused: bool = False) -> None:
        super().__init__(spec)
        self.fused = fused

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Attend each row to itself."""
        layer = self.spec.layers[layer_index]
        if not self.fused or layer.window is not None or layer.soft_cap is not None:
            return super().attend(layer_index, query, key, value)
        assert self._step is not None
        if value is None:
            value = key[..., : layer.latent_value_dim]
        counts = [count for _, count in self._step.rows]
        assert all(self._sequences[sequence].window is None for sequence, _ in self._step.rows)
        size = counts[0] if len(set(counts)) == 1 else None
        sizes = [size * len(counts)] if size is not None else counts
        outputs = []
        parts = (torch.split(packed, sizes) for packed in (query, key, value))
        for q, k, v in zip(*parts, strict=True):
            length = size if size is not None else q.shape[0]
            q, k, v = (x.unflatten(0, (-1, length)).transpose(1, 2) for x in (q, k, v))
            if length <= MAX_PRODUCT_LENGTH and q.requires_grad:
                output = _attend_by_products(q, k, v, layer.scale)
            else:
                output = functional.scaled_dot_product_attention(
                    q, k, v, is_causal=True, scale=layer.scale, enable_gqa=q.shape[1] != k.shape[1]
                )  # [rows, H, length, D]
            outputs.append(output.transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs)

    @property
    def nbytes(self) -> int:
        """Always 0."""
        return 0

    def _settle(self, sequence: SequenceId) -> None:
        self._sequences[sequence].length = 0

    def _store(
        self, sequence: SequenceId, layer_index: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        return key, value


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attend rows of equal length to themselves; [rows, H or K, length, D] in, H heads out."""
    num_rows, num_heads, length, _ = query.shape
    num_kv_heads = key.shape[1]
    hidden = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    # The query heads of a key head stand one behind the other: one product for all of them.
    folded = (query * scale).reshape(num_rows, num_kv_heads, -1, query.shape[-1])
    scores = torch.matmul(folded, key.transpose(-1, -2))  # [rows, K, H / K * length, length]
    scores = scores.reshape(num_rows, num_kv_heads, -1, length, length).masked_fill(
        hidden, float("-inf")
    )
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype).flatten(2, 3)
    return torch.matmul(weights, value).reshape(num_rows, num_heads, length, -1)


class DynamicCache(ContiguousCache):
    """Concatenates new keys and values to the old ones: simple, and a full copy every step.

    With a `growth_factor` above 1, as 1.5, a full tensor is replaced by one that much larger, so
    appending copies each token a bounded number of times, for up to that much idle memory.
    """

    def __init__(self, spec: KVCacheSpec, *, growth_factor: float | None = None) -> None:
        super().__init__(spec)
        if growth_factor is not None and not 1 < growth_factor < float("inf"):
            raise InvalidArgument(f"growth_factor is {growth_factor}, but it must be above 1.")
        self.growth_factor = growth_factor
        self._stored: dict[tuple[SequenceId, int], tuple[Tensor, Tensor]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all stored keys and values, and of room that was grown ahead."""
        return sum(key.nbytes + value.nbytes for key, value in self._stored.values())

    def set_window(self, sequence: SequenceId, window: int | None, sinks: int = 0) -> None:
        """Let the tokens that follow see the first `sinks` and the last `window`; None is all."""
        check_window(window, sinks)
        state = self._sequences[sequence]
        state.window, state.sinks = window, sinks

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Keep the first `length` tokens."""
        super().truncate(sequence, length)
        self._settle(sequence)
        return length

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence and free its tensors."""
        super().release(sequence)
        for layer_index in range(len(self.spec.layers)):
            self._stored.pop((sequence, layer_index), None)

    def _settle(self, sequence: SequenceId) -> None:
        if self.growth_factor is not None:
            return  # what is behind the length is room, and written again
        length = self.length(sequence)
        for layer_index in range(len(self.spec.layers)):
            stored = self._stored.get((sequence, layer_index))
            if stored is not None and stored[0].shape[0] > length:
                key, value = stored
                # Clones, so that the longer tensors are really freed.
                self._stored[sequence, layer_index] = key[:length].clone(), value[:length].clone()

    def _store(
        self, sequence: SequenceId, layer_index: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        stored = self._stored.get((sequence, layer_index))
        if self.growth_factor is not None:
            return self._grow(sequence, layer_index, stored, key, value)
        if stored is not None:
            key, value = torch.cat((stored[0], key)), torch.cat((stored[1], value))
        else:
            # A view of the packed batch would keep the tokens of all its rows alive.
            key, value = key.clone(), value.clone()
        self._stored[sequence, layer_index] = key, value
        return key, value

    def _grow(
        self,
        sequence: SequenceId,
        layer_index: int,
        stored: tuple[Tensor, Tensor] | None,
        key: Tensor,
        value: Tensor,
    ) -> tuple[Tensor, Tensor]:
        assert self.growth_factor is not None
        start = self.length(sequence)
        end = start + key.shape[0]
        capacity = 0 if stored is None else stored[0].shape[0]
        if end > capacity:
            capacity = max(end, int(capacity * self.growth_factor))
            larger = key.new_empty(capacity, *key.shape[1:])
            larger_value = value.new_empty(capacity, *value.shape[1:])
            if stored is not None:
                larger[:start], larger_value[:start] = stored[0][:start], stored[1][:start]
            stored = larger, larger_value
            self._stored[sequence, layer_index] = stored
        assert stored is not None
        stored[0][start:end], stored[1][start:end] = key, value
        return stored[0][:end], stored[1][:end]


class StaticCache(ContiguousCache):
    """Preallocates `max_length` slots per sequence and writes at `cache_position`.

    Every sequence takes its full size from the start, which is what paging avoids.
    """

    def __init__(
        self,
        spec: KVCacheSpec,
        max_length: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        super().__init__(spec)
        if max_length < 1:
            raise InvalidArgument(f"max_length is {max_length}, but it must be at least 1.")
        self.max_length = max_length
        self.dtype, self.device = dtype, device
        self._stored: dict[SequenceId, list[tuple[Tensor, Tensor]]] = {}
        self._has_index_copy = True

    def open(
        self, *, window: int | None = None, sinks: int = 0, scheme_length: int = 0
    ) -> SequenceId:
        """Start an empty sequence and allocate all its slots."""
        sequence = super().open(window=window, sinks=sinks, scheme_length=scheme_length)
        self._stored[sequence] = [
            (
                torch.zeros(
                    self.max_length,
                    layer.num_kv_heads,
                    layer.key_dim,
                    dtype=self.dtype,
                    device=self.device,
                ),
                torch.zeros(
                    self.max_length,
                    layer.num_kv_heads,
                    layer.value_dim,
                    dtype=self.dtype,
                    device=self.device,
                ),
            )
            for layer in self.spec.layers
        ]
        return sequence

    def update(
        self,
        layer_index: int,
        key: Tensor,
        value: Tensor,
        cache_position: Tensor,
        sequence: SequenceId,
    ) -> tuple[Tensor, Tensor]:
        """Write new keys and values at the given slots; return the whole preallocated tensors.

        key, value      [n, num_kv_heads, dim]
        cache_position  [n] int64, slots to write
        return          two tensors [max_length, num_kv_heads, dim]; never written slots are zero
        """
        stored_key, stored_value = self._stored[sequence][layer_index]
        self._write(stored_key, cache_position, key)
        self._write(stored_value, cache_position, value)
        return stored_key, stored_value

    @property
    def nbytes(self) -> int:
        """Bytes of all preallocated tensors, written or not."""
        return sum(
            key.nbytes + value.nbytes for layers in self._stored.values() for key, value in layers
        )

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence and free its slots."""
        super().release(sequence)
        del self._stored[sequence]

    def _make_room(self, sequence: SequenceId, num_tokens: int) -> None:
        if num_tokens > self.max_length:
            raise OutOfBlocks(f"{num_tokens} tokens do not fit {self.max_length} slots")

    def _store(
        self, sequence: SequenceId, layer_index: int, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        start = self.length(sequence)
        end = start + key.shape[0]
        cache_position = torch.arange(start, end, device=key.device)
        keys, values = self.update(layer_index, key, value, cache_position, sequence)
        return keys[:end], values[:end]

    def _write(self, stored: Tensor, cache_position: Tensor, new: Tensor) -> None:
        if self._has_index_copy:
            try:
                stored.index_copy_(0, cache_position, new.to(stored.dtype))
            except NotImplementedError:
                # Some devices lack the operator; found out once, then never tried again.
                self._has_index_copy = False
            else:
                return
        stored[cache_position] = new.to(stored.dtype)
