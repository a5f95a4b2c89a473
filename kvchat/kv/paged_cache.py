"""PagedKVCache: many sequences in one pool of blocks; fork and rewind cost metadata.

    cache = PagedKVCache(model.config.kv_spec(), num_blocks=64)
    parent = cache.open()
    step = cache.reserve([(parent, len(prompt))], token_ids=[prompt])
    logits = model(token_ids, positions, cache)
    step.commit()
    child = cache.fork(parent)          # shares every block, copies nothing
    cache.truncate(parent, 3)           # rewind; the child keeps its blocks

Layer groups have a pool, a storage and a table per sequence each. What needs no tensor lies in
`paged_bookkeeping.py` and `paged_windows.py`; here are steps, and whatever reads or writes slots.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, StepStopped, fault
from kvchat.kv.attention_metadata import AttentionMetadata, plan_group
from kvchat.kv.bare_tensors import read_tokens, split_layers
from kvchat.kv.cache import KVCache
from kvchat.kv.compaction import compact
from kvchat.kv.integrity import check_pool, check_report, check_sequence
from kvchat.kv.kernel_attention import KernelAttention
from kvchat.kv.memory_report import MemoryReport, memory_report
from kvchat.kv.paged_attention import paged_attention
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.paged_step import PagedStep
from kvchat.kv.paged_windows import PagedWindows
from kvchat.kv.pool_budget import PoolShape, split_pool
from kvchat.kv.pool_view import GroupCounts, PoolView
from kvchat.kv.spec import (
    KV_DTYPES,
    DescribesCache,
    KVCacheSpec,
    KVDtype,
    SequenceId,
    VisibleSet,
    check_whole,
)
from kvchat.kv.step import Step, StepRow
from kvchat.kv.step_arguments import check_key_value, check_query, check_row, checked_token_ids
from kvchat.kv.storage import KVStorage
from kvchat.kv.table_attention import TableAttention
from kvchat.native.kernels import Kernels


class PagedKVCache(PagedWindows, KVCache):
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
        kernels: Kernels | None = None,
    ) -> None:
        if kv_dtype not in KV_DTYPES or not dtype.is_floating_point:
            raise InvalidArgument(
                f"A cache of {dtype} as {kv_dtype} is none of those there are: a float type, stored"
                f" as {' or '.join(KV_DTYPES)}."
            )
        if any(group.value_dim not in (0, group.key_dim) for group in spec.groups):
            raise InvalidArgument("Keys and values of a paged cache have one size.")
        super().__init__(spec, num_blocks, block_size=block_size, salt=salt)
        self.device = device
        self.kernels = kernels
        self.storages = [
            KVStorage(
                group, pool.num_blocks, block_size, dtype=dtype, device=device, kv_dtype=kv_dtype
            )
            for group, pool in zip(spec.groups, self.pools, strict=True)
        ]
        self.kernel_attention = [
            KernelAttention.of(kernels, spec, group_index, storage)
            for group_index, storage in enumerate(self.storages)
        ]
        """For each layer group the native kernel's attention, or None for torch's."""
        self.table_attention = [
            TableAttention.of(spec, group_index, storage)
            for group_index, storage in enumerate(self.storages)
        ]
        """For each layer group attention by block tables, on a GPU that has it, or None."""
        self.is_cascading = True
        """Whether the rows of a step read blocks they share once, together; a setting for tests."""
        self.should_stop: Callable[[], bool] | None = None
        """Asked before each layer of a step whether to go on with it."""
        self.num_copied_blocks = 0
        self._metadata: list[AttentionMetadata] = []
        self._places = spec.places
        self._like = torch.empty(0, dtype=dtype, device=device)
        self._num_views = 0
        for pool, storage in zip(self.pools, self.storages, strict=True):
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
        kernels: Kernels | None = None,
    ) -> "PagedKVCache":
        """Return a cache for a spec, or for a model's configuration, of a given size.

        pool_bytes     bytes of all tensors together, at most; split over layer groups so that all
                       hold equally long contexts (`pool_budget.split_pool`)
        num_blocks     instead of bytes: blocks in every layer group
        kv_dtype       "int8" stores codes and scales, see `quantization.py`
        max_sequences  for how many sequences layers with a window of their own keep room
        kernels        native kernels for attention on a CPU, from `native.kernels.choose_kernels`

        Raises InvalidArgument unless exactly one size is given, and it holds a block a group.
        """
        spec = model if isinstance(model, KVCacheSpec) else model.kv_spec()
        if (pool_bytes is None) == (num_blocks is None):
            raise InvalidArgument("A cache is given either pool_bytes or num_blocks.")
        check_whole(block_size=block_size, max_sequences=max_sequences)
        if pool_bytes is not None:
            check_whole(pool_bytes=pool_bytes)
        counts = [num_blocks or 0] * len(spec.groups)
        if pool_bytes is not None and (not spec.groups or block_size < 1):
            raise InvalidArgument(
                f"Blocks of {block_size} tokens in {len(spec.groups)} layer groups hold nothing."
            )
        if pool_bytes is not None:
            shape = PoolShape.of(
                spec,
                dtype.itemsize,
                kv_dtype,
                block_size=block_size,
                max_sequences=max_sequences,
            )
            counts = split_pool(shape, pool_bytes)
        return cls(
            spec,
            counts,
            block_size=block_size,
            dtype=dtype,
            device=device,
            salt=salt,
            kv_dtype=kv_dtype,
            kernels=kernels,
        )

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

    # Steps

    def reserve(
        self,
        rows: Sequence[tuple[SequenceId, int]],
        token_ids: Sequence[Sequence[int]] | None = None,
    ) -> PagedStep:
        """Prepare a step for all rows or for none; with token ids its full blocks become findable.

        Used in `with`, the step commits at the end of the block, and is rolled back if that raises.

        Raises OutOfBlocks when the pool has no room, and InvalidArgument for a row without tokens,
        a sequence that is in it twice or not at all in the cache, ids that do not name the tokens,
        or more than `chunk_limit` where sinks begin to turn; nothing has changed then.
        """
        assert self._step is None, "the last step was neither committed nor rolled back"
        step = Step(self.block_size, self.salt)
        if token_ids is not None and len(token_ids) != len(rows):
            raise InvalidArgument(f"Ids of {len(token_ids)} rows do not fit {len(rows)}.")
        try:
            for index, (sequence, count) in enumerate(rows):
                state = self._state(sequence)
                check_row(step, state, count)
                ids = None if token_ids is None else checked_token_ids(token_ids[index], count)
                step.add(state, count, ids)
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

        A cache of one layer also takes [T, num_kv_heads, dim]; MLA has no values. No tokens change
        nothing. Raises InvalidArgument for another number of layers, another shape or type, or more
        than `chunk_limit` tokens, and OutOfBlocks when the pool has no room; nothing has changed
        then.
        """
        layers = split_layers(key, value, len(self.spec.layers))
        count = len(layers[0][0])
        for place, (layer_key, layer_value) in enumerate(layers):
            check_key_value(self.spec.layers[place], self._like, count, layer_key, layer_value)
        if count == 0 and not token_ids:
            return self.length(sequence)
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
        Raises InvalidArgument for a layer the cache has not.
        """
        state = self._state(sequence)
        group_index, place = self._place(layer_index)
        table, length = state.tables[group_index], state.length
        for row in self._step.rows if self._step is not None else ():
            if row.sequence is state:
                table = row.groups[group_index].table_after(table)
                length = row.start + row.count
        return read_tokens(self.storages[group_index], place, table, length, released)

    def write(self, layer_index: int, key: Tensor, value: Tensor | None) -> None:
        """Store one layer's new keys and values of the reserved step, and attend to nothing.

        key, value  [T, num_kv_heads, dim], rows packed in the order of the step; no value for MLA

        Raises InvalidArgument for another shape, type or device, or a layer the cache has not.
        """
        assert self._step is not None, "reserve a step first"
        group_index, place = self._place(layer_index)
        storage, metadata = self.storages[group_index], self._metadata[group_index]
        layer = self.spec.layers[layer_index]
        check_key_value(layer, self._like, len(metadata.slots), key, value)
        storage.write(place, metadata.slots, key, value)

    def visible_sets(self) -> list[VisibleSet]:
        """Return what each row of the reserved step sees, apart from windows of layers."""
        assert self._step is not None
        return [row.visible for row in self._step.rows]

    def rotary_lengths(self) -> list[int] | None:
        """Return for which length each packed token is rotated; see KVCache.rotary_lengths."""
        assert self._step is not None, "reserve a step first"
        if not self.spec.depends_on_length:
            return None
        return [
            row.visible.rotated_length(position)
            for row in self._step.rows
            for position in range(row.start, row.start + row.count)
        ]

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Write the step's keys and values, then attend over runs; see KVCache.attend.

        Raises StepStopped where `should_stop` says that nobody wants the step any more, and
        InvalidArgument for another shape, type or device, or a layer the cache has not.
        """
        assert self._step is not None, "reserve a step first"
        self.check_wanted()
        group_index, place = self._place(layer_index)
        storage, metadata = self.storages[group_index], self._metadata[group_index]
        layer = self.spec.layers[layer_index]
        count = len(metadata.slots)
        check_query(layer, self._like, count, query)
        check_key_value(layer, self._like, count, key, value)
        kernel_attention = self.kernel_attention[group_index]
        if metadata.kernel is not None and kernel_attention is not None:
            return kernel_attention.attend(query, key, value, layer, place, metadata)
        table_attention = self.table_attention[group_index]
        if metadata.tables is not None and table_attention is not None:
            return table_attention.attend(query, key, value, layer, place, metadata)
        stored = storage.write(place, metadata.slots, key, value)
        return paged_attention(query, stored, layer, storage.views[place], metadata)

    def check_wanted(self) -> None:
        """Raise StepStopped where `should_stop` says that nobody wants the step any more."""
        if self.should_stop is not None and self.should_stop():
            raise StepStopped
        fault("cache.attend")

    def kernel_plans(self) -> list[AttentionMetadata] | None:
        """Return how each layer group attends in the reserved step, if the kernel has all rows."""
        assert self._step is not None, "reserve a step first"
        for metadata in self._metadata:
            if metadata.kernel is None or metadata.kernel.rest is not None:
                return None
        return self._metadata

    def _prepare(self, step: Step) -> None:
        for group_index, storage in enumerate(self.storages):
            copies = step.copies(group_index)
            if copies:
                fault("cache.copy")
                storage.copy_blocks(copies)
        self._metadata = [self._plan(step, index) for index in range(len(self.spec.groups))]

    def _plan(self, step: Step, group_index: int) -> AttentionMetadata:
        planner = self.kernel_attention[group_index] or self.table_attention[group_index]
        if planner is not None:
            return planner.plan(step.rows, group_index, is_cascading=self.is_cascading)
        window = self.spec.groups[group_index].window
        return plan_group(
            step.rows, group_index, window, self.device, is_cascading=self.is_cascading
        )

    def _place(self, layer_index: int) -> tuple[int, int]:
        if not 0 <= layer_index < len(self._places):
            raise InvalidArgument(
                f"There is no layer {layer_index} in a cache of {len(self._places)}."
            )
        return self._places[layer_index]

    def _abandon_step(self) -> None:
        assert self._step is not None
        rows = list(self._step.rows)
        super()._abandon_step()
        self._metadata = []
        self._undo_rows(rows)

    def _undo_rows(self, rows: list[StepRow]) -> None:
        for row in rows:
            self._forget_slots_behind(row.sequence)

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
                self.record("copy", f"{name} writes into a block it shared", copied)
            released = row.sequence.release_hidden(self._schedules(row.sequence), row.start)
            if released:
                self.record("release", f"{name}: its window moved on; the text stays", released)
            self._use(row.sequence)
        self._events.tell_evictions()
        self._history.note(self.pools[0], self._sequences.values())

    def _forget_slots_behind(self, state: PagedSequence) -> None:
        """Make slots behind the last token NaN where tests ask for it: rewound, or rolled back."""
        used = state.length % self.block_size
        for table, storage in zip(state.tables, self.storages, strict=True):
            if storage.is_poisoning and used and table.pool.is_writable(table.blocks[-1]):
                storage.poison(table.blocks[-1], used)

    # The same by other names

    def rewind(self, sequence: SequenceId, length: int) -> int:
        """Go back to the first `length` tokens: `truncate`, in the word of chats."""
        return self.truncate(sequence, length)

    def free(self, sequence: SequenceId) -> None:
        """Forget a sequence: `release`, in the word of memory."""
        self.release(sequence)

    def stats(self) -> MemoryReport:
        """Return where every block is: `memory`, in the word of other caches."""
        return self.memory()

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
            check_sequence(state, self._schedules(state), self.block_size, self.salt)
        check_report(self.memory(), self.pools, self.nbytes)

    def _block_bytes(self, group_index: int) -> int:
        return self.storages[group_index].nbytes // self.pools[group_index].num_blocks
