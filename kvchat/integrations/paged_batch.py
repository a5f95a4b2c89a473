"""PagedBatch: rows of equal length over a PagedKVCache, for models that attend by themselves.

Such a model brings the new keys and values of a batch layer by layer and wants back all that its
queries may see, as plain tensors. Knows block pools and nothing of any model library. Forward
passes are steps of the pool: one that breaks off before its last layer leaves no trace.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, OutOfBlocks, PoolTooSmall
from kvchat.kv.block_table import BlockTable
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_step import PagedStep


@dataclass(eq=False, slots=True)
class _Pass:
    """A forward pass in progress: its rows, and what each layer group reads."""

    rows: list[SequenceId]
    step: PagedStep
    num_new: int
    missing: set[int]
    slots: list[tuple[int, Tensor | None]]


@dataclass(eq=False, slots=True)
class _SharedPool:
    """What batches of one pool must know of each other.

    `dropped` are rows of batches that nobody has any more. The collector may run inside an
    operation of the pool, so it only makes a note, and the next batch that begins something
    releases them.
    """

    dropped: deque[SequenceId] = field(default_factory=deque)
    current: _Pass | None = None

    def rollback(self) -> None:
        """Undo the pass in progress, whosever it is; passes of one pool never overlap."""
        if self.current is not None:
            self.current.step.rollback()
            self.current = None

    def release_dropped(self, pool: PagedKVCache) -> None:
        """Give back the blocks of batches that are garbage."""
        while self.dropped:
            row = self.dropped.popleft()
            if self.current is not None and row in self.current.rows:
                self.rollback()
            pool.release(row)


_shared: "WeakKeyDictionary[PagedKVCache, _SharedPool]" = WeakKeyDictionary()


class PagedBatch:
    """A batch whose rows are sequences of one pool; while it is empty it has no rows.

    Rows see everything but for windows that layers have of their own. Blocks are given back by
    `release`, or soon after the batch was garbage. Not thread-safe, like the pool.
    """

    def __init__(self, pool: PagedKVCache, rows: Sequence[SequenceId] = ()) -> None:
        self.pool = pool
        self.rows: list[SequenceId] = list(rows)
        """One sequence of the pool for each row; always this list."""
        self.is_recording = False
        """Whether windows let go of nothing until `shrink`, so that `truncate` succeeds."""
        self._shared = _shared.setdefault(pool, _SharedPool())
        self._shared.release_dropped(pool)
        finalize(self, self._shared.dropped.extend, self.rows).atexit = False

    @property
    def length(self) -> int:
        """Number of tokens of every row; those of a pass count when all layers have them."""
        return self.pool.length(self.rows[0]) if self.rows else 0

    def first_visible(self, layer_index: int) -> int:
        """Return the lowest position that the next query of a layer sees."""
        window = self.pool.spec.layers[layer_index].window
        return 0 if window is None else max(0, self.length - window + 1)

    def update(self, layer_index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; return all that its new queries may see.

        key, value  [B, K, n, D], n new tokens of each of B rows
        return      [B, K, S, D] from `first_visible` on, the new ones included, to be read only:
                    where a single row lies in one run of blocks, these are views of the pool

        The first layer of a forward pass reserves room for all, the last one makes the tokens
        count. Raises PoolTooSmall where there is no room, and InvalidArgument for another number
        of rows, another shape or type; the batch is as before the pass then.
        """
        current = self._current()
        if current is not None and (
            layer_index not in current.missing or key.shape[2] != current.num_new
        ):
            current = None
        if current is None:
            current = self._begin(key.shape[0], key.shape[2])
        try:
            if key.shape[0] != len(self.rows):
                raise InvalidArgument(f"{key.shape[0]} rows came for {len(self.rows)}.")
            # [B, K, n, D] -> [B * n, K, D], packed as the rows of the step are
            packed_key, packed_value = (
                each.transpose(1, 2).reshape(-1, each.shape[1], each.shape[3])
                for each in (key, value)
            )
            self.pool.write(layer_index, packed_key, packed_value)
            found = self._gather(layer_index, current.slots, self.length + current.num_new)
        except BaseException:
            self.rollback()
            raise
        current.missing.remove(layer_index)
        if not current.missing:
            current.step.commit()
            self._shared.current = None
        return found

    def read(self, layer_index: int) -> tuple[Tensor, Tensor] | None:
        """Return what the next query of a layer sees, [B, K, S, D] each; None while empty."""
        self.rollback()
        if not self.rows:
            return None
        tables = [self.pool.paged_sequence(row).tables for row in self.rows]
        return self._gather(layer_index, self._find_slots(tables, self.length), self.length)

    def fork(self, length: int | None = None) -> "PagedBatch":
        """Return a batch of the first `length` tokens of all rows that shares every block.

        It is empty where windows have let go of what the shorter rows would see.
        """
        self.rollback()
        self._check_length(length)
        child = PagedBatch(self.pool, [self.pool.fork(row, length) for row in self.rows])
        child.is_recording = self.is_recording
        child._forget_empty_rows()
        return child

    def truncate(self, length: int) -> int:
        """Rewind all rows to the first `length` tokens; return how many are kept.

        Fewer, namely none, where windows have let go of what the shorter rows would see.
        """
        self.rollback()
        self._check_length(length)
        for row in self.rows:
            self.pool.truncate(row, length)
        self._forget_empty_rows()
        return self.length

    def select(self, indexes: Sequence[int]) -> None:
        """Make the batch of the rows named, each any number of times; copies nothing.

        Raises InvalidArgument for a row that is not there.
        """
        self.rollback()
        rows = list(self.rows)
        if any(not 0 <= index < len(rows) for index in indexes):
            raise InvalidArgument(f"Rows {list(indexes)[:20]} are not all among {len(rows)}.")
        used: set[int] = set()
        chosen = []
        for index in indexes:
            chosen.append(self.pool.fork(rows[index]) if index in used else rows[index])
            used.add(index)
        self.rows[:] = chosen
        for index, row in enumerate(rows):
            if index not in used:
                self.pool.release(row)

    def record(self) -> None:
        """From now on keep what windows leave behind, until `shrink` or `stop_recording`."""
        self.is_recording = True
        self.shrink()

    def shrink(self) -> None:
        """Let go of what windows have left behind; a recording goes on from here."""
        self.rollback()
        if self.is_recording:
            for row in self.rows:
                self.pool.hold(row)

    def stop_recording(self) -> None:
        """Let go of what windows have left behind, now and from now on."""
        self.rollback()
        self.is_recording = False
        for row in self.rows:
            self.pool.let_go(row)

    def release(self) -> None:
        """Give all blocks back; the batch is empty then, and can be used again."""
        self.rollback()
        while self.rows:
            self.pool.release(self.rows.pop())

    def rollback(self) -> None:
        """Undo a pass that broke off before its last layer; harmless when there is none."""
        if self._current() is not None:
            self._shared.rollback()
        self._forget_empty_rows()

    def _current(self) -> _Pass | None:
        current = self._shared.current
        return current if current is not None and current.rows is self.rows else None

    def _begin(self, num_rows: int, num_new: int) -> _Pass:
        self._shared.rollback()
        self._shared.release_dropped(self.pool)
        if num_rows == 0 or num_new == 0:
            raise InvalidArgument(f"{num_rows} rows of {num_new} tokens are nothing to store.")
        if not self.rows:
            self.rows += [self.pool.open() for _ in range(num_rows)]
            if self.is_recording:
                for row in self.rows:
                    self.pool.hold(row)
        try:
            step = self.pool.reserve([(row, num_new) for row in self.rows])
        except OutOfBlocks as error:
            available = self.pool.num_available
            self._forget_empty_rows()
            raise PoolTooSmall(
                f"{num_new} tokens in each of {num_rows} rows need more than the {available} blocks"
                f" of {self.pool.block_size} tokens that are left; release other caches, or make"
                " the pool larger."
            ) from error
        tables = [
            [
                group.table_after(table)
                for group, table in zip(row.groups, row.sequence.tables, strict=True)
            ]
            for row in step.rows
        ]
        slots = self._find_slots(tables, self.length + num_new)
        missing = set(range(len(self.pool.spec.layers)))
        self._shared.current = _Pass(self.rows, step, num_new, missing, slots)
        return self._shared.current

    def _find_slots(
        self, tables: Sequence[Sequence[BlockTable]], end: int
    ) -> list[tuple[int, Tensor | None]]:
        """Return per layer group the slots of all rows, one row after the other.

        tables  a table per layer group, of each row
        end     position behind the last one to read
        return  the first slot and None where they are one run; else 0 and [B * S] int64
        """
        found: list[tuple[int, Tensor | None]] = []
        for group_index, group in enumerate(self.pool.spec.groups):
            first = self.first_visible(group.layer_indexes[0])
            runs = [run for row in tables for run in row[group_index].runs(first, end)]
            if len(runs) == 1:
                found.append((runs[0][0], None))
                continue
            slots = torch.cat([torch.arange(slot, slot + count) for slot, count in runs])
            found.append((0, slots.to(self.pool.device)))
        return found

    def _gather(
        self, layer_index: int, slots_of_groups: Sequence[tuple[int, Tensor | None]], end: int
    ) -> tuple[Tensor, Tensor]:
        group_index, place = self.pool.spec.places[layer_index]
        storage = self.pool.storages[group_index]
        first_slot, slots = slots_of_groups[group_index]
        count = end - self.first_visible(layer_index)
        if slots is None and storage.kv_dtype == "auto":
            run = storage.views[place].narrow(first_slot, count)
            return run.key, run.value
        if slots is None:
            slots = torch.arange(first_slot, first_slot + count, device=self.pool.device)
        key, value = (
            part.reshape(len(self.rows), count, *part.shape[1:]).transpose(1, 2)  # [B, K, S, D]
            for part in storage.read(place, slots)
        )
        return key, value

    def _check_length(self, length: int | None) -> None:
        if length is not None and not 0 <= length <= self.length:
            raise InvalidArgument(
                f"Position {length} is outside the batch, whose rows have {self.length} tokens."
            )

    def _forget_empty_rows(self) -> None:
        """Close rows without a token, so that a batch of any other size may follow."""
        if self.rows and self.length == 0:
            while self.rows:
                self.pool.release(self.rows.pop())
