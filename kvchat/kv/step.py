"""Step: one forward pass as a transaction over block tables.

Reserve takes blocks and names copies, compute fills only what was taken, commit makes it part of
the sequences. Until commit no table, length, count or published key has changed, so one row can be
rolled back alone. (What makes room is not undone: a cached block evicted, or in a pool without any
other room a block that is no longer findable. Both cost time later, never words.) Plain Python, no
tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.prefix_index import ROOT_KEY
from kvchat.kv.spec import VisibleSet


@dataclass(slots=True)
class GroupReservation:
    """What one row takes in one layer group: blocks to append, and one to copy before writing."""

    new_blocks: list[int]
    copy_source: int | None = None
    copy_target: int = -1

    def table_after(self, table: BlockTable) -> BlockTable:
        """Return the table as it will be after commit; counts no reference."""
        blocks = table.blocks + self.new_blocks
        if self.copy_source is not None:
            blocks[len(table.blocks) - 1] = self.copy_target
        return BlockTable(table.pool, table.block_size, blocks)


@dataclass(eq=False, slots=True)
class StepRow:
    """One sequence of the step and the tokens it gets."""

    sequence: PagedSequence
    start: int
    count: int
    token_ids: Sequence[int] | None
    groups: list[GroupReservation]

    @property
    def visible(self) -> VisibleSet:
        """What its queries see; no step goes past the position where a window changes."""
        return self.sequence.schedule.at(self.start)


class Step:
    """Rows that are computed together; then exactly one commit or rollback of each."""

    def __init__(self, block_size: int, salt: bytes = b"") -> None:
        self.rows: list[StepRow] = []
        self._block_size = block_size
        self._salt = salt

    @property
    def positions(self) -> list[int]:
        """Absolute position of each packed token."""
        return [row.start + offset for row in self.rows for offset in range(row.count)]

    def copies(self, group_index: int) -> list[tuple[int, int, int]]:
        """Return (source, target, number of valid slots) of each block to copy before writing."""
        found = []
        for row in self.rows:
            group = row.groups[group_index]
            if group.copy_source is not None:
                found.append((group.copy_source, group.copy_target, row.start % self._block_size))
        return found

    def add(
        self, sequence: PagedSequence, count: int, token_ids: Sequence[int] | None = None
    ) -> StepRow:
        """Reserve `count` new tokens for a sequence, in every layer group or in none.

        Raises OutOfBlocks, with nothing changed, when there is no room.
        """
        assert count > 0 and all(row.sequence is not sequence for row in self.rows)
        assert token_ids is None or len(token_ids) == count
        row = StepRow(sequence, sequence.length, count, token_ids, [])
        try:
            for table in sequence.tables:
                row.groups.append(self._reserve_group(table, row.start, count))
        except BaseException:
            self._give_back(row)
            raise
        self.rows.append(row)
        return row

    def rollback_row(self, row: StepRow) -> None:
        """Undo one row; its sequence is as before the step, the other rows stay."""
        self.rows.remove(row)
        self._give_back(row)

    def rollback(self) -> None:
        """Undo all rows."""
        while self.rows:
            self._give_back(self.rows.pop())

    def commit(self) -> None:
        """Make the new tokens of all rows part of their sequences, and publish full blocks."""
        for row in self.rows:
            self._commit_row(row)
        self.rows.clear()

    def _reserve_group(self, table: BlockTable, start: int, count: int) -> GroupReservation:
        pool, blocks = table.pool, table.blocks
        num_new = -(-(start + count) // self._block_size) - len(blocks)
        copies = False
        if start % self._block_size:
            tail = blocks[-1]
            assert tail != HOLE
            copies = not pool.is_writable(tail)
            if copies and pool.num_available == num_new and pool.ref_counts[tail] == 1:
                # Room for all but the copy, and nobody else holds the block: it stops being
                # findable and is written in place. A rewound sequence can always go on.
                pool.index.forget(tail)
                copies = False
        need = num_new + copies
        if need == 0:
            return GroupReservation([])
        before = blocks[: len(blocks) - copies]
        after = before[-1] if before and before[-1] != HOLE else None
        taken = pool.take(need, after=after)
        if not copies:
            return GroupReservation(taken)
        return GroupReservation(taken[1:], copy_source=blocks[-1], copy_target=taken[0])

    def _give_back(self, row: StepRow) -> None:
        for table, group in zip(row.sequence.tables, row.groups, strict=False):
            for block in reversed(group.new_blocks):
                table.pool.give_back(block)
            if group.copy_source is not None:
                table.pool.give_back(group.copy_target)

    def _commit_row(self, row: StepRow) -> None:
        sequence = row.sequence
        for table, group in zip(sequence.tables, row.groups, strict=True):
            if group.copy_source is not None:
                table.pool.settle(group.copy_target)
                table.blocks[-1] = group.copy_target
                table.pool.release(group.copy_source)
            for block in group.new_blocks:
                table.pool.settle(block)
            table.blocks += group.new_blocks
        sequence.length = row.start + row.count
        if row.token_ids is None or sequence.token_ids is None:
            sequence.token_ids = None
            return
        sequence.token_ids += row.token_ids
        self.publish(sequence)

    def publish(self, sequence: PagedSequence) -> None:
        """Publish the full blocks of a sequence that are not published yet."""
        token_ids = sequence.token_ids
        assert token_ids is not None
        size = self._block_size
        for index in range(len(sequence.keys), sequence.length // size):
            tokens = token_ids[index * size : (index + 1) * size]
            parent = sequence.keys[-1] if sequence.keys else ROOT_KEY
            key = chain_key(sequence, index, tokens, size, self._salt)
            sequence.keys.append(key)
            for table in sequence.tables:
                block = table.blocks[index]
                if block != HOLE and table.pool.is_writable(block):
                    table.pool.index.publish(block, key, tokens, parent)
