"""ContiguousAdapter: one paged sequence behind the `update` of a contiguous cache.

For model code that brings new keys and values, wants all of them back as plain tensors, and attends
by itself: it runs unchanged over the block pool, and gains fork, rewind and shared memory. Handing
whole tensors back means gathering them; a model that calls `PagedKVCache.attend` avoids that copy.
"""

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_step import PagedStep


class ContiguousAdapter:
    """Looks like a static cache of `max_length` slots, or without it like a growing one.

    A forward pass is one step of the paged cache: the first `update` reserves it, the one that
    completes all layers commits it. Between the two no other step of the cache can begin. If a
    pass breaks off, the next one undoes it, or `rollback` does.

    Raises InvalidArgument for a sequence with a window: whoever attends by itself knows of none.
    Where a layer has a window of its own, rows it no longer sees come back as zeros.
    """

    def __init__(
        self,
        cache: PagedKVCache,
        sequence: SequenceId | None = None,
        *,
        max_length: int | None = None,
    ) -> None:
        self.cache = cache
        self.sequence = cache.open() if sequence is None else sequence
        if cache.visible_set(self.sequence).window is not None:
            raise InvalidArgument("An adapter needs a sequence that sees everything.")
        self.max_length = max_length
        self._step: PagedStep | None = None
        self._start = self._count = 0
        self._missing: set[int] = set()

    @property
    def length(self) -> int:
        """Number of tokens of all passes that are complete."""
        return self.cache.length(self.sequence)

    def update(
        self, layer_idx: int, key: Tensor, value: Tensor | None, cache_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; return those of all tokens, the new ones included.

        key, value      [n, num_kv_heads, dim], or [1, num_kv_heads, n, dim] as transformers has it;
                        MLA has no values
        cache_position  [n] int64, consecutive; where it begins before the end, the sequence is
                        rewound to there first, and what lay behind is gone
        return          in the order of axes that came, of `length + n` tokens; with `max_length`
                        padded by zeros to that many, as a static cache returns its slots

        Raises InvalidArgument for positions with a gap, beyond `max_length`, or before what a layer
        with a window of its own has let go of, and OutOfBlocks when the pool is full; nothing is
        stored then.
        """
        is_batched = key.dim() == 4
        if is_batched:
            if key.shape[0] != 1:
                raise InvalidArgument(
                    f"One adapter is one sequence, but the batch has {key.shape[0]}."
                )
            key = key[0].transpose(0, 1)
            value = None if value is None else value[0].transpose(0, 1)
        count = key.shape[0]
        if cache_position.shape != (count,) or count == 0:
            raise InvalidArgument(
                f"{count} tokens need as many positions, and at least one; there are"
                f" {list(cache_position.shape)}."
            )
        start = int(cache_position[0])
        if self._step is not None and (
            layer_idx not in self._missing or (start, count) != (self._start, self._count)
        ):
            self.rollback()
        if self._step is None:
            self._begin(start, count, cache_position)
        assert self._step is not None
        try:
            self.cache.write(layer_idx, key, value)
            keys, values = self.cache.keys_values(self.sequence, layer_idx, released=0.0)
        except BaseException:
            self.rollback()
            raise
        self._missing.remove(layer_idx)
        if not self._missing:
            self._step.commit()
            self._step = None
        return self._shaped(keys, is_batched), self._shaped(values, is_batched)

    def rollback(self) -> None:
        """Undo a pass that broke off before its last layer; harmless when there is none."""
        if self._step is not None:
            self._step.rollback()
            self._step = None

    def truncate(self, length: int) -> int:
        """Rewind to the first `length` tokens; see `PagedKVCache.truncate`."""
        self.rollback()
        return self.cache.truncate(self.sequence, length)

    def fork(self, length: int | None = None) -> "ContiguousAdapter":
        """Return an adapter of a sequence that shares every block with this one."""
        self.rollback()
        child = self.cache.fork(self.sequence, length)
        return ContiguousAdapter(self.cache, child, max_length=self.max_length)

    def release(self) -> None:
        """Give the blocks back; the adapter is not used again."""
        self.rollback()
        self.cache.release(self.sequence)

    def _begin(self, start: int, count: int, cache_position: Tensor) -> None:
        length = self.length
        expected = torch.arange(start, start + count, device=cache_position.device)
        if not 0 <= start <= length or not torch.equal(cache_position, expected):
            raise InvalidArgument(
                f"New tokens follow the {length} there are, or replace the last of them;"
                f" positions from {start} on do not."
            )
        if self.max_length is not None and start + count > self.max_length:
            raise InvalidArgument(
                f"{start + count} tokens do not fit the {self.max_length} slots of this cache."
            )
        if start < length and not self.cache.can_rewind(self.sequence, start):
            raise InvalidArgument(
                f"A layer with a window has let go of what token {start} sees; truncate the"
                " adapter, and bring all tokens again from where it then ends."
            )
        if start < length:
            self.cache.truncate(self.sequence, start)
        self._step = self.cache.reserve([(self.sequence, count)])
        self._start, self._count = start, count
        self._missing = set(range(len(self.cache.spec.layers)))

    def _shaped(self, stored: Tensor, is_batched: bool) -> Tensor:
        if self.max_length is not None:
            missing = self.max_length - stored.shape[0]
            stored = torch.cat((stored, stored.new_zeros(missing, *stored.shape[1:])))
        return stored.transpose(0, 1)[None] if is_batched else stored
