"""PagedSequence: one sequence as tables of blocks, and what fork and rewind do to it.

Every operation here changes tables and counts only; the cache copies tensors. What the layers of a
group see is passed in, one WindowSchedule per table. Plain Python, no tensors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.prefix_index import ROOT_KEY, block_key
from kvchat.kv.window_schedule import WindowSchedule


@dataclass(eq=False, slots=True)
class PagedSequence:
    """One sequence: its committed length, and a block table per layer group.

    `token_ids` and `keys` are kept while every token came with its id; a sequence of bare tensors
    has neither and is never published. `keys` holds the chained key of each full block. `last_used`
    is a counter, never a clock. What a query at `held_since` sees is kept although a window has
    moved on, while that is not None.
    """

    schedule: WindowSchedule
    tables: list[BlockTable]
    owner: str = ""
    label: str = ""
    length: int = 0
    token_ids: list[int] | None = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    last_used: int = 0
    held_since: int | None = None

    @property
    def block_size(self) -> int:
        """Tokens per block, equal in all tables."""
        return self.tables[0].block_size

    @property
    def name(self) -> str:
        """What the words of events call the sequence."""
        return self.label or "a sequence"

    @property
    def release_length(self) -> int:
        """The length whose query decides which blocks are let go of: its own, or an earlier one."""
        return self.length if self.held_since is None else min(self.held_since, self.length)

    def fork(self, length: int, owner: str = "", label: str = "") -> "PagedSequence":
        """Return a sequence of the first `length` tokens that shares every block; takes none."""
        return PagedSequence(
            self.schedule,
            [table.fork(length) for table in self.tables],
            owner,
            label,
            length,
            None if self.token_ids is None and length else (self.token_ids or [])[:length],
            self.keys[: length // self.block_size],
            held_since=self.held_since,
        )

    def cut(self, length: int) -> int:
        """Drop what is behind the first `length` tokens; return how many blocks were let go."""
        dropped = sum(table.truncate(length) for table in self.tables)
        self.length = min(length, self.length)
        del self.keys[length // self.block_size :]
        if self.token_ids is not None:
            del self.token_ids[length:]
        elif length == 0:
            self.token_ids = []
        return dropped

    def become(self, source: "PagedSequence") -> None:
        """Hold exactly what another sequence holds, sharing every block with it."""
        tables = [table.fork(source.length) for table in source.tables]
        self.cut(0)
        self.schedule, self.tables, self.length = source.schedule, tables, source.length
        self.held_since = source.held_since
        self.token_ids = None if source.token_ids is None else list(source.token_ids)
        self.keys = list(source.keys)

    def extend(
        self, token_ids: Sequence[int], keys: Sequence[bytes], blocks: Sequence[Sequence[int]]
    ) -> None:
        """Take over blocks that hold the next tokens; see `PagedKVCache.extend`."""
        self.cut(len(self.keys) * self.block_size)
        for table, new in zip(self.tables, blocks, strict=True):
            table.blocks += new
        self.keys = list(keys)
        self.token_ids = list(token_ids)
        self.length = len(token_ids)
        self.cut(self.length)

    def can_stand_at(self, length: int, schedules: Sequence[WindowSchedule]) -> bool:
        """Say whether everything that queries from `length` on see is still in the tables."""
        return next(self._holes(length, schedules), None) is None

    def fill_holes(self, schedules: Sequence[WindowSchedule]) -> int | None:
        """Take released blocks that are seen again back from the pool; return how many.

        None, and nothing taken, where one of them is there no more.
        """
        size, found = self.block_size, []
        for table, index in self._holes(self.length, schedules):
            if self.token_ids is None or index >= len(self.keys):
                return None  # no ids, or a block that is cut open
            tokens = self.token_ids[index * size : (index + 1) * size]
            block = table.pool.index.find(self.keys[index], tokens)
            if block is None:
                return None
            found.append((table, index, block))
        for table, index, block in found:
            table.pool.reference(block)
            table.blocks[index] = block
        return len(found)

    def _holes(
        self, length: int, schedules: Sequence[WindowSchedule]
    ) -> Iterator[tuple[BlockTable, int]]:
        """Yield the released blocks that queries from `length` on see."""
        num_blocks = -(-length // self.block_size)
        for table, schedule in zip(self.tables, schedules, strict=True):
            kept = table.blocks[:num_blocks]
            if HOLE not in kept:
                continue
            hidden = schedule.hidden_blocks(length, self.block_size)
            for index, block in enumerate(kept):
                if block == HOLE and index not in hidden:
                    yield table, index

    def release_hidden(self, schedules: Sequence[WindowSchedule], since: int = 0) -> int:
        """Let go of blocks hidden since the sequence had `since` tokens; return how many."""
        released = 0
        for table, schedule in zip(self.tables, schedules, strict=True):
            hidden = schedule.hidden_blocks(self.release_length, self.block_size)
            old = schedule.hidden_blocks(since, self.block_size)
            if old:  # where a change takes sinks away, there is something new before it as well
                released += table.release_range(hidden.start, min(hidden.stop, old.start))
            released += table.release_range(max(hidden.start, old.stop), hidden.stop)
        return released

    def blocks_for(self, count: int) -> int:
        """Return how many blocks `count` more tokens would take, in the layer group of most."""
        return max(self.blocks_by_group(count))

    def blocks_by_group(self, count: int) -> BlockCounts:
        """Return how many blocks `count` more tokens would take if they came in one step.

        Counts a copy of the last block where it cannot be written in place.
        """
        needed = -(-(self.length + count) // self.block_size)
        has_open_tail = self.length % self.block_size != 0
        return BlockCounts(
            needed
            - len(table.blocks)
            + (has_open_tail and not table.pool.is_writable(table.blocks[-1]))
            for table in self.tables
        )

    def blocks_to_hold(self, count: int, schedules: Sequence[WindowSchedule]) -> BlockCounts:
        """Return how many blocks the sequence must get until it has `count` more tokens.

        Like `blocks_by_group`, but behind a window blocks are given back while tokens come a few at
        a time, so no more is needed than the sinks and the blocks over which the window can lie.
        """
        needs = []
        for need, table, schedule in zip(
            self.blocks_by_group(count), self.tables, schedules, strict=True
        ):
            most = schedule.most_blocks(self.block_size, self.length)
            if most is not None:
                # What others hold as well is not given back when this sequence lets go.
                own = sum(1 for block in table.blocks if table.pool.is_private(block))
                need = min(need, max(0, most - own))
            needs.append(need)
        return BlockCounts(needs)


def chain_key(
    sequence: PagedSequence, index: int, token_ids: Sequence[int], block_size: int, salt: bytes
) -> bytes:
    """Return the key of the block at `index` of a sequence that has all keys before it.

    From the first block with a token to which something was hidden, the windows of its tokens are
    part of the key, since what a token sees changes its keys and values in deeper layers. The
    length for which keys are rotated is part of all of them.
    """
    schedule = sequence.schedule
    if schedule.scheme_length:
        salt = b"%s|rotated for %d" % (salt, schedule.scheme_length)
    salt += schedule.block_salt(index, block_size)
    parent = sequence.keys[index - 1] if index else ROOT_KEY
    return block_key(parent, token_ids, salt)


def open_schedules(
    sequence: PagedSequence, block_size: int
) -> Iterator[tuple[PagedSequence, int | None]]:
    """Yield what may give the key of the block behind those whose keys a sequence has.

    A sequence of the same keys, and how many of the block's tokens that key says all of, None for
    any number. Where windows change inside the block, others may have its beginning under the
    windows before the change.
    """
    index = len(sequence.keys)
    yield sequence, None
    for start in sequence.schedule.changes_in(index, block_size):
        schedule = sequence.schedule.before(start)
        yield PagedSequence(schedule, [], keys=sequence.keys), start - index * block_size
