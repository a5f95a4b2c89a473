"""PagedKVCache: many sequences in one pool of blocks; fork and rewind cost metadata.

    cache = PagedKVCache(model.config.kv_spec(), num_blocks=64)
    parent = cache.open()
    step = cache.reserve([(parent, len(prompt))], token_ids=[prompt])
    logits = model(token_ids, positions, cache)
    step.commit()
    child = cache.fork(parent)          # shares every block, copies nothing
    cache.truncate(parent, 3)           # rewind; the child keeps its blocks

Layer groups have a pool, a storage and a table per sequence each. Bookkeeping lies in `step.py`,
`paged_sequence.py`, `block_table.py`, `block_pool.py` and `prefix_index.py`, none of which knows a
tensor.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, fault
from kvchat.kv.attention_metadata import AttentionMetadata, plan_group
from kvchat.kv.bare_tensors import read_tokens, split_layers
from kvchat.kv.block_pool import HEADROOM_TOKENS, BlockPool, evict_saved
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.compaction import compact
from kvchat.kv.integrity import check_pool, check_report, check_sequence
from kvchat.kv.memory_report import MemoryReport, memory_report
from kvchat.kv.paged_attention import paged_attention
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.paged_step import PagedStep
from kvchat.kv.pool_budget import split_pool
from kvchat.kv.pool_events import PoolEvents
from kvchat.kv.pool_history import PoolHistory
from kvchat.kv.pool_view import GroupCounts, PoolView
from kvchat.kv.resident_prefix import find_resident_prefix
from kvchat.kv.spec import DescribesCache, KVCacheSpec, KVDtype, VisibleSet
from kvchat.kv.step import Step, StepRow
from kvchat.kv.storage import KVStorage


class PagedKVCache(KVCache):
    """Keys and values of many sequences in blocks of `block_size` tokens.

    `num_blocks` is that of every layer group, or has one number for each; `create` takes bytes.
    `salt` names the model and how its KV is stored; sequences share blocks by content only under
    one salt. Not thread-safe: one thread owns the cache; `pool_view()` results may go anywhere.
    """

    def __init__(
        self,
        spec: KVCacheSpec,
        num_blocks: int | Sequence[int],
        *,
        block_size: int = 32,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        salt: bytes = b"",
        kv_dtype: KVDtype = "auto",
    ) -> None:
        counts = [num_blocks] * len(spec.groups) if isinstance(num_blocks, int) else num_blocks
        assert len(counts) == len(spec.groups), "one number of blocks for each layer group"
        if min(counts) < 1 or block_size < 1:
            raise InvalidArgument(
                f"A pool of {min(counts)} blocks of {block_size} tokens cannot hold anything."
            )
        self.spec = spec
        self.block_size = block_size
        self.num_blocks = max(counts)
        self.device = device
        self.salt = salt
        self.pools = [
            BlockPool(count, min(HEADROOM_TOKENS // block_size, count // 16)) for count in counts
        ]
        self.storages = [
            KVStorage(group, count, block_size, dtype=dtype, device=device, kv_dtype=kv_dtype)
            for group, count in zip(spec.groups, counts, strict=True)
        ]
        self.num_copied_blocks = 0
        self.is_on_disk: Callable[[bytes, int], bool] | None = None
        """Says of a block's key and layer group whether it can be read back; see `tidy`."""
        self._sequences: dict[SequenceId, PagedSequence] = {}
        self._next_id = 0
        self._step: Step | None = None
        self._metadata: list[AttentionMetadata] = []
        self._places = spec.places
        self._events = PoolEvents()
        self._history = PoolHistory()
        self._num_views = 0
        self._num_uses = 0
        for index, (pool, storage) in enumerate(zip(self.pools, self.storages, strict=True)):
            pool.on_evicted = partial(self._events.count_eviction, group_index=index)
            if storage.is_poisoning:
                pool.on_freed = storage.poison

    @classmethod
    def create(
        cls,
        model: KVCacheSpec | DescribesCache,
        *,
        pool_bytes: int | None = None,
        num_blocks: int | None = None,
        block_size: int = 32,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        salt: bytes = b"",
        kv_dtype: KVDtype = "auto",
        max_sequences: int = 16,
    ) -> "PagedKVCache":
        """Return a cache for a spec, or for a model's configuration, of a given size.

        pool_bytes     bytes of all tensors together, at most; split over layer groups so that all
                       hold equally long contexts (`pool_budget.split_pool`)
        num_blocks     instead of bytes: blocks in every layer group
        kv_dtype       "int8" stores codes and scales, see `quantization.py`
        max_sequences  for how many sequences layers with a window of their own keep room

        Raises InvalidArgument unless exactly one size is given, and it holds a block a group.
        """
        spec = model if isinstance(model, KVCacheSpec) else model.kv_spec()
        if (pool_bytes is None) == (num_blocks is None):
            raise InvalidArgument("A cache is given either pool_bytes or num_blocks.")
        counts = [num_blocks or 0] * len(spec.groups)
        if pool_bytes is not None:
            sizes = [block_size * g.bytes_per_token(dtype.itemsize, kv_dtype) for g in spec.groups]
            counts = split_pool(
                spec.groups, sizes, pool_bytes, block_size, max_sequences=max_sequences
            )
        return cls(
            spec,
            counts,
            block_size=block_size,
            dtype=dtype,
            device=device,
            salt=salt,
            kv_dtype=kv_dtype,
        )

    # Sequences

    def open(
        self, *, window: int | None = None, sinks: int = 0, owner: str = "", label: str = ""
    ) -> SequenceId:
        """Start an empty sequence; sinks are rounded up to whole blocks.

        `owner` names the sequence in views, `label` in the words of events.
        Raises InvalidArgument for a window below 1 or negative sinks.
        """
        if window is not None and window < 1:
            raise InvalidArgument(f"window is {window}, but it must be at least 1.")
        if sinks < 0:
            raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
        size = self.block_size
        visible = VisibleSet() if window is None else VisibleSet(window, -(-sinks // size) * size)
        tables = [BlockTable(pool, size) for pool in self.pools]
        return self._register(PagedSequence(visible, tables, owner, label))

    def length(self, sequence: SequenceId) -> int:
        """Return the number of committed tokens."""
        return self._sequences[sequence].length

    def visible_set(self, sequence: SequenceId) -> VisibleSet:
        """Return the session's window and sinks, rounded up to blocks."""
        return self._sequences[sequence].visible

    def token_ids(self, sequence: SequenceId) -> list[int]:
        """Return a copy of the ids of the committed tokens."""
        token_ids = self._sequences[sequence].token_ids
        assert token_ids is not None
        return list(token_ids)

    def fork(
        self,
        sequence: SequenceId,
        length: int | None = None,
        *,
        owner: str = "",
        label: str = "",
    ) -> SequenceId:
        """Return a new sequence of the first `length` tokens that shares every block with this.

        Takes no block, so it succeeds under a full pool. Where a window has released what the child
        would see, the child starts empty and its tokens are brought again.
        """
        parent = self._at_rest(sequence)
        length = parent.length if length is None else length
        length = self._standing_length(parent, length)
        child = parent.fork(length, owner, label)
        shared = sum(1 for block in child.tables[0].blocks if block != HOLE)
        self.record(
            "fork",
            f"{label or 'a fork'} shares {shared} blocks with {parent.label or 'its parent'},"
            " nothing copied",
            shared,
        )
        return self._register(child)

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Rewind to the first `length` tokens; return how many were kept.

        Drops references to blocks behind; touches no tensor. The block that is cut open is written
        in place if nobody else can read it, else copied at the next write.

        Published blocks that are cut off stay cached, so going back costs nothing while they last.
        Returns 0 where a window has released what the shorter sequence would see; `adopt` then
        finds what is still resident.
        """
        state = self._at_rest(sequence)
        length = self._standing_length(state, length)
        before = state.length
        dropped = self._cut(state, length)
        if length < before:
            self.record("rewind", f"{state.name} went back to token {length}", dropped)
        return length

    @contextmanager
    def checkpoint(self, sequence: SequenceId) -> Iterator[SequenceId]:
        """Keep a sequence as it is now, to `rollback` to; what raises inside rolls back by itself.

            with cache.checkpoint(sequence) as before:
                cache.append(sequence, key, value)
                if not wanted:
                    cache.rollback(sequence, before)

        The checkpoint is a fork: it costs no block, and holds what windows release meanwhile.
        """
        before = self.fork(sequence)
        try:
            yield before
        except BaseException:
            self.rollback(sequence, before)
            raise
        finally:
            self.release(before)

    def rollback(self, sequence: SequenceId, checkpoint: SequenceId) -> None:
        """Make a sequence equal to another, usually a fork that was made of it before.

        Shares every block with it; the checkpoint stays as it is and can be used again.
        """
        state, source = self._at_rest(sequence), self._at_rest(checkpoint)
        state.become(source)

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence; its published blocks stay cached until their room is needed."""
        state = self._at_rest(sequence)
        dropped = self._cut(state, 0)
        del self._sequences[sequence]
        self.record("free", f"{state.name} closed", dropped)

    def adopt(self, sequence: SequenceId, token_ids: Sequence[int]) -> int:
        """Extend a sequence by published blocks that hold exactly these tokens.

        token_ids  all ids the sequence is to have, those it has already included
        return     the new length, at most len(token_ids) - 1, so one token is left to compute

        References every hit before anything else is taken, in every layer group or in none. In a
        windowed group only sinks and window must be resident; the rest becomes holes.
        """
        state = self._at_rest(sequence)
        if state.token_ids is None:
            return state.length
        assert state.token_ids == list(token_ids[: state.length])
        visible_sets = self._visible_sets(state)
        prefix = find_resident_prefix(state, token_ids, visible_sets, self.block_size, self.salt)
        if prefix is None:
            return state.length
        num_hits = prefix.reference(state.tables)
        self.extend(sequence, token_ids[: prefix.length], prefix.keys, prefix.blocks)
        self.record("hit", f"{state.name} found {state.length} tokens computed before", num_hits)
        return state.length

    def extend(
        self,
        sequence: SequenceId,
        token_ids: Sequence[int],
        keys: Sequence[bytes],
        blocks: Sequence[Sequence[int]],
    ) -> None:
        """Give a sequence blocks that hold its next tokens and were referenced for it.

        token_ids  all ids the sequence then has
        keys       chained keys of its full blocks, from position 0 on
        blocks     per layer group, the blocks behind those whose keys it has already, and HOLE
                   where no query behind `token_ids` looks
        """
        state = self._at_rest(sequence)
        state.extend(token_ids, keys, blocks)
        state.release_hidden(self._visible_sets(state))
        self._poison_behind(state)
        self._use(state)

    def paged_sequence(self, sequence: SequenceId) -> PagedSequence:
        """Return a sequence's tables and keys, to be looked at between two steps."""
        return self._at_rest(sequence)

    def visible_sets_of(self, sequence: SequenceId) -> list[VisibleSet]:
        """Return what queries of a sequence see, in the order of the layer groups."""
        return self._visible_sets(self._sequences[sequence])

    def record(self, kind: str, text: str, num_blocks: int) -> None:
        """Add an event to those a panel shows."""
        self._events.add(kind, text, num_blocks)
        self._history.note(self.pools[0], self._sequences.values())

    def shrink(self, sequence: SequenceId, wanted: int) -> int:
        """Give up blocks of an idle sequence, tail first, until `wanted` are available.

        Returns the new length. A sequence with a window gives up everything, since it cannot
        continue without its last positions.
        """
        state = self._at_rest(sequence)
        is_windowed = any(visible.window for visible in self._visible_sets(state))
        dropped = 0
        while state.length and self.num_available < wanted:
            last = (state.length - 1) // self.block_size * self.block_size
            dropped += self._cut(state, 0 if is_windowed else last)
        if dropped:
            name = state.label or "an idle sequence"
            self.record("evict", f"{name} made room; its text stays", dropped)
        return state.length

    def compact(self, sequence: SequenceId, num_tokens: int = 0) -> int:
        """Move a sequence's own blocks side by side where free room allows; return how many.

        num_tokens  how many tokens will follow soon, which are to fit behind

        Shared blocks never move, nothing is evicted, and a failure changes nothing. Costs a copy of
        the blocks, so it is meant for the start of a turn; not while a step is reserved.
        """
        assert self._step is None, "blocks move between two steps"
        state = self._at_rest(sequence)
        room = -(-num_tokens // self.block_size)
        copies = [storage.copy_blocks for storage in self.storages]
        num_moved = compact(state, copies, room=room)
        if num_moved:
            self.record("compact", f"{state.name} was moved into one piece", num_moved)
        return num_moved

    def tidy(self) -> int:
        """Evict cached blocks that are on disk until a fifth of each pool is free; return how many.

        For the time between turns: sequences are placed better where there is free room, and what
        is on disk comes back cheaply. Does nothing until `is_on_disk` is set.
        """
        if self.is_on_disk is None:
            return 0
        count = evict_saved(self.pools, self.is_on_disk)
        if count:
            self._events.forget_evictions()
            self.record("evict", "blocks that are on disk made room between turns", count)
        return count

    def chunk_limit(self, sequence: SequenceId, wanted: int) -> int:
        """Return how many of `wanted` new tokens one step may hold: chunks respect the window."""
        state = self._sequences[sequence]
        return state.visible.chunk_limit(state.length, wanted)

    def blocks_for(self, sequence: SequenceId, count: int) -> int:
        """Return how many blocks `count` more tokens would take, in the layer group of most.

        Counts a copy of the last block where it cannot be written in place.
        """
        return self._sequences[sequence].blocks_for(count)

    @property
    def num_available(self) -> int:
        """Free and cached blocks, in the layer group that has fewest."""
        return min(pool.num_available for pool in self.pools)

    # Steps

    def reserve(
        self,
        rows: Sequence[tuple[SequenceId, int]],
        token_ids: Sequence[Sequence[int]] | None = None,
    ) -> PagedStep:
        """Prepare a step for all rows or for none; with token ids its full blocks become findable.

        Raises OutOfBlocks, with nothing changed, when the pool has no room.
        """
        assert self._step is None, "the last step was neither committed nor rolled back"
        step = Step(self.block_size, self.salt)
        try:
            for index, (sequence, count) in enumerate(rows):
                ids = None if token_ids is None else token_ids[index]
                step.add(self._sequences[sequence], count, ids)
            self._prepare(step)
        except BaseException:
            step.rollback()
            raise
        self._step = step
        return PagedStep(step, on_undone=self._undo_rows, on_end=self._end_step)

    def append(
        self,
        sequence: SequenceId,
        key: Tensor | Sequence[Tensor],
        value: Tensor | Sequence[Tensor] | None,
        *,
        token_ids: Sequence[int] | None = None,
    ) -> int:
        """Store new tokens without a model, as one step; return the new length.

        key, value  [layers, T, num_kv_heads, dim], or one [T, num_kv_heads, dim] a layer
        token_ids   the T ids; with them full blocks become findable by `adopt`

        A cache of one layer also takes [T, num_kv_heads, dim]; MLA has no values. Raises
        InvalidArgument for another number of layers, or more than `chunk_limit` tokens, and
        OutOfBlocks when the pool has no room; nothing has changed then.
        """
        layers = split_layers(key, value, len(self.spec.layers))
        count = len(layers[0][0])
        limit = self.chunk_limit(sequence, count)
        if count > limit:
            raise InvalidArgument(
                f"{count} tokens are more than the {limit} that may follow in one step."
            )
        ids = None if token_ids is None else [token_ids]
        step = self.reserve([(sequence, count)], ids)
        try:
            for layer_index, (layer_key, layer_value) in enumerate(layers):
                self.write(layer_index, layer_key, layer_value)
        except BaseException:
            step.rollback()
            raise
        step.commit()
        return self.length(sequence)

    def keys_values(
        self, sequence: SequenceId, layer_index: int, *, released: float = float("nan")
    ) -> tuple[Tensor, Tensor]:
        """Return copies of one layer's keys and values, [length, num_kv_heads, dim] each.

        For inspection and tests; attention gathers nothing. A sequence of the reserved step is as
        long as it will be after commit. Rows that a window let go of hold the number `released`.
        """
        state = self._sequences[sequence]
        group_index, place = self._places[layer_index]
        table, length = state.tables[group_index], state.length
        for row in self._step.rows if self._step is not None else ():
            if row.sequence is state:
                table = row.groups[group_index].table_after(table)
                length = row.start + row.count
        return read_tokens(self.storages[group_index], place, table, length, released)

    def write(self, layer_index: int, key: Tensor, value: Tensor | None) -> None:
        """Store one layer's new keys and values of the reserved step, and attend to nothing.

        key, value  [T, num_kv_heads, dim], rows packed in the order of the step; no value for MLA
        """
        assert self._step is not None
        group_index, place = self._places[layer_index]
        storage, metadata = self.storages[group_index], self._metadata[group_index]
        assert key.dtype == storage.dtype, "keys are stored in the model's dtype"
        storage.write(place, metadata.slots, key, value)

    def visible_sets(self) -> list[VisibleSet]:
        """Return what each row of the reserved step sees, apart from windows of layers."""
        assert self._step is not None
        return [row.sequence.visible for row in self._step.rows]

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Write the step's keys and values, then attend over runs; see KVCache.attend."""
        assert self._step is not None
        fault("cache.attend")
        group_index, place = self._places[layer_index]
        storage, metadata = self.storages[group_index], self._metadata[group_index]
        assert key.dtype == storage.dtype, "keys are stored in the model's dtype"
        layer = self.spec.layers[layer_index]
        assert (value is None) == (layer.value_dim == 0), "MLA alone has no values"
        stored = storage.write(place, metadata.slots, key, value)
        return paged_attention(query, stored, layer, storage.views[place], metadata)

    def _prepare(self, step: Step) -> None:
        for group_index, storage in enumerate(self.storages):
            copies = step.copies(group_index)
            if copies:
                fault("cache.copy")
                storage.copy_blocks(copies)
        self._metadata = [
            plan_group(step.rows, group_index, group.window, self.device)
            for group_index, group in enumerate(self.spec.groups)
        ]

    def _undo_rows(self, rows: list[StepRow]) -> None:
        for row in rows:
            self._poison_behind(row.sequence)

    def _end_step(self, step: Step, committed: list[StepRow]) -> None:
        assert step is self._step
        self._step = None
        self._metadata = []
        for row in committed:
            name = row.sequence.name
            copied = sum(group.copy_source is not None for group in row.groups)
            if copied:
                self.num_copied_blocks += copied
                for index, group in enumerate(row.groups):
                    if group.copy_source is not None:
                        self._events.mark("copied", index, (group.copy_target,))
                self.record(
                    "copy", f"{name} copied the block it shared before writing to it", copied
                )
            released = row.sequence.release_hidden(self._visible_sets(row.sequence), row.start)
            if released:
                self.record("release", f"{name} let tokens leave its window", released)
            self._use(row.sequence)
        self._events.tell_evictions()
        self._history.note(self.pools[0], self._sequences.values())

    # Reports

    def memory(self) -> MemoryReport:
        """Return where every block is; the parts sum to the pool, to the byte."""
        block_bytes = [self._block_bytes(index) for index in range(len(self.pools))]
        sequences = {int(number): state for number, state in self._sequences.items()}
        return memory_report(self.pools, block_bytes, sequences)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, used or not."""
        return sum(storage.nbytes for storage in self.storages)

    def pool_view(self, group_index: int = 0) -> PoolView:
        """Return an immutable copy of one layer group's pool, for any thread.

        For an index behind the last group, that of the last group.
        """
        group_index = min(group_index, len(self.pools) - 1)
        self._num_views += 1
        counts = [
            GroupCounts.of(pool, self._block_bytes(index)) for index, pool in enumerate(self.pools)
        ]
        return PoolView.of(
            self.pools[group_index],
            list(self._sequences.values()),
            group_index,
            version=self._num_views,
            block_size=self.block_size,
            block_bytes=self._block_bytes(group_index),
            events=self._events.latest(),
            groups=tuple(counts),
            copied=self._events.marked("copied", group_index),
            evicted=self._events.marked("evicted", group_index),
            history=self._history.samples(),
            num_blocks_by_kind=self._events.num_blocks_by_kind(),
            peak_used_blocks=self._history.peak_used_blocks,
        )

    def check_integrity(self) -> None:
        """Recompute every count from nothing and compare; raises AssertionError on a difference."""
        states = self._sequences.values()
        for group_index, pool in enumerate(self.pools):
            check_pool(pool, [state.tables[group_index] for state in states])
        for state in states:
            check_sequence(state, self._visible_sets(state), self.block_size, self.salt)
        check_report(self.memory(), self.pools, self.nbytes)

    # Pieces

    def _register(self, state: PagedSequence) -> SequenceId:
        sequence = SequenceId(self._next_id)
        self._next_id += 1
        self._sequences[sequence] = state
        self._use(state)
        return sequence

    def _use(self, state: PagedSequence) -> None:
        self._num_uses += 1
        state.last_used = self._num_uses

    def _at_rest(self, sequence: SequenceId) -> PagedSequence:
        """Return a sequence that may change, which none of the step in progress may."""
        state = self._sequences[sequence]
        assert self._step is None or all(row.sequence is not state for row in self._step.rows)
        return state

    def _standing_length(self, state: PagedSequence, length: int) -> int:
        """Return `length`, or 0 where a window has released what a query there would see."""
        if not 0 <= length <= state.length:
            raise InvalidArgument(
                f"Position {length} is outside the sequence, which has {state.length} tokens."
            )
        return length if state.can_stand_at(length, self._visible_sets(state)) else 0

    def _cut(self, state: PagedSequence, length: int) -> int:
        dropped = state.cut(length)
        self._poison_behind(state)
        return dropped

    def _visible_sets(self, state: PagedSequence) -> list[VisibleSet]:
        return [state.visible.within(group.window) for group in self.spec.groups]

    def _poison_behind(self, state: PagedSequence) -> None:
        """Make slots behind the last token NaN where tests ask for it: rewound, or rolled back."""
        used = state.length % self.block_size
        for table, storage in zip(state.tables, self.storages, strict=True):
            if storage.is_poisoning and used and table.pool.is_writable(table.blocks[-1]):
                storage.poison(table.blocks[-1], used)

    def _block_bytes(self, group_index: int) -> int:
        return self.storages[group_index].nbytes // self.pools[group_index].num_blocks
