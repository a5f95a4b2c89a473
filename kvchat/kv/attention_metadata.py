"""AttentionMetadata: what one reserved step attends to, planned once and executed by every layer.

Planning is integers only: which slots are written, which runs of slots several rows see together,
and for each row which other runs it sees. A layer then makes one call per run, so its cost in
Python is the number of runs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import BlockTable
from kvchat.kv.rotary import QueryTurn
from kvchat.kv.shared_runs import SharedRange, VisibleRange, find_shared_runs
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import StepRow

MAX_RUNS = 8
"""Beyond this many runs of a row one gather per layer is faster than a call per run."""


@dataclass(frozen=True, slots=True)
class RunPart:
    """Stored keys that a row attends to in one call: consecutive slots, or gathered ones.

    `gathered` [S] int64 names the slots where the runs are too many for a view of each; `visible`
    [n, S] bool masks single keys where the row's tokens see different parts of the run; `is_turned`
    says that queries are turned back first, as for sinks once the window slid.
    """

    first_slot: int
    num_slots: int
    gathered: Tensor | None = None
    visible: Tensor | None = None
    is_turned: bool = False


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One sequence of the step: its packed tokens and the stored keys they alone see.

    A row of one token finds its own key at the end of its last run. A row of several attends to
    `parts` of the past, and to its own keys causally, masked by `own_visible` where it is not None.
    What it sees together with others is in the shared runs.
    """

    first_token: int
    num_tokens: int
    parts: tuple[RunPart, ...]
    own_visible: Tensor | None
    turn: QueryTurn | None


@dataclass(frozen=True, slots=True)
class SharedRun:
    """Stored keys that all tokens of several rows see, attended to once for all of them.

    tokens  [m] int64, which packed tokens; None where they are first_token and those behind it
    turn    how the queries of these tokens are turned first, if any is
    """

    first_token: int
    num_tokens: int
    tokens: Tensor | None
    parts: tuple[RunPart, ...]
    turn: QueryTurn | None


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Rows of a step that the native kernel attends to, whose plan of them lies with itself.

    num_slots_read  how many stored keys it reads; what is shared counts once
    turn            how queries of all tokens are turned for sinks, if any is
    rest            [t] int64, the packed tokens of all other rows; None where there are none
    """

    num_slots_read: int
    turn: QueryTurn | None
    rest: Tensor | None


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of a step that attend by their block tables; N rows, M of the step's T tokens.

    tokens        [M] int64, which packed tokens are theirs; None where all are
    rest          [T - M] int64, those of all other rows; None where there are none
    first_queries [N + 1] int32, where each row's queries begin among the M, and their number
    num_keys      [N] int32, how many tokens each row has with its new ones
    blocks        [N, B] int32, the blocks of each row, filled up with block 0
    most_queries  of a row, and most_keys likewise
    num_slots_read  how many stored keys a layer reads
    """

    tokens: Tensor | None
    rest: Tensor | None
    first_queries: Tensor
    num_keys: Tensor
    blocks: Tensor
    most_queries: int
    most_keys: int
    num_slots_read: int


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """The plan of one layer group: slots [T] int64 of the new tokens, and a row per sequence.

    Rows that `kernel` or `tables` has are not in `rows`; the others are packed there by themselves.
    """

    slots: Tensor
    rows: tuple[RowPlan, ...]
    shared: tuple[SharedRun, ...] = ()
    kernel: KernelRows | None = None
    tables: TableRows | None = None

    @property
    def num_slots_read(self) -> int:
        """How many stored keys a layer reads; what is shared counts once."""
        own = sum(part.num_slots for row in self.rows for part in row.parts)
        own += 0 if self.kernel is None else self.kernel.num_slots_read
        own += 0 if self.tables is None else self.tables.num_slots_read
        return own + sum(part.num_slots for each in self.shared for part in each.parts)


@dataclass(slots=True)
class SeenRow:
    """A row while it is planned: new tokens at start .. start + count - 1, queries seeing what."""

    table: BlockTable
    visible: VisibleSet
    start: int
    count: int
    first_token: int

    @property
    def has_slid(self) -> bool:
        """Whether some query no longer sees everything before it."""
        return self.visible.has_slid(self.start + self.count - 1)

    @property
    def is_turned(self) -> bool:
        """Whether sinks are seen with turned queries."""
        return self.has_slid and self.visible.sinks > 0

    @property
    def end(self) -> int:
        """Where the stored keys end that are read as runs; one token reads its own there."""
        return self.start + 1 if self.count == 1 else self.start

    @property
    def first_recent(self) -> int:
        """The lowest position that some query sees with an ordinary query."""
        lowest = self.visible.first_recent(self.start) if self.has_slid else 0
        return max(lowest, self.visible.sinks if self.is_turned else 0)

    @property
    def first_common(self) -> int:
        """The lowest position from which on every query sees everything."""
        if not self.has_slid:
            return 0
        return max(self.first_recent, self.visible.first_recent(self.start + self.count - 1))

    def new_slots(self) -> Iterator[int]:
        """Yield the slot of each new token."""
        return _slots(self.table.runs(self.start, self.start + self.count))

    def turn_offsets(self) -> Tensor:
        """Return by how much the query of each token is turned for the sinks, [count] int64."""
        positions = torch.arange(self.start, self.start + self.count)
        return self.visible.sinks + (self.visible.window or 0) - 1 - positions

    def lengths(self) -> list[int]:
        """Return for which length each token is rotated; see `VisibleSet.rotated_length`."""
        positions = range(self.start, self.start + self.count)
        return [self.visible.rotated_length(position) for position in positions]

    def ranges(self, row_index: int) -> Iterator[VisibleRange]:
        """Yield what all queries see, in whole stored blocks behind which nothing is written."""
        size, blocks = self.table.block_size, self.table.blocks
        behind = self.start // size * size
        if self.is_turned:
            yield VisibleRange(row_index, blocks, 0, min(self.visible.sinks, behind))
        first = self.first_common
        if first < behind:
            yield VisibleRange(row_index, blocks, first, behind, is_recent=self.has_slid)


def plan_group(
    rows: Sequence[StepRow],
    group_index: int,
    layer_window: int | None,
    device: str,
    *,
    is_cascading: bool = True,
) -> AttentionMetadata:
    """Plan one layer group of a reserved step, whose layers may have a window of their own.

    is_cascading  whether what rows share is read once; else each reads all it sees
    """
    planned = seen_rows(rows, group_index, layer_window)
    found: list[SharedRange] = []
    if is_cascading and len(planned) > 1:
        found = _find_shared(planned, planned[0].table.pool)
    covered: list[list[range]] = [[] for _ in planned]
    for shared in found:
        for member in shared.members:
            covered[member.row_index].append(range(shared.first, shared.behind))
    return AttentionMetadata(
        packed_slots(planned, device),
        tuple(_plan_row(row, seen, device) for row, seen in zip(planned, covered, strict=True)),
        tuple(_plan_shared(each, planned, device) for each in found),
    )


def seen_rows(rows: Sequence[StepRow], group_index: int, layer_window: int | None) -> list[SeenRow]:
    """Return what the rows of a step see in one layer group, packed in their order."""
    seen: list[SeenRow] = []
    num_tokens = 0
    for row in rows:
        visible = row.visible.within(layer_window)
        table = row.groups[group_index].table_after(row.sequence.tables[group_index])
        seen.append(SeenRow(table, visible, row.start, row.count, num_tokens))
        num_tokens += row.count
    return seen


def divide(
    rows: Sequence[StepRow], seen: Sequence[SeenRow], is_taken: Callable[[SeenRow], bool]
) -> tuple[list[SeenRow], list[SeenRow], list[StepRow]]:
    """Return the rows that somebody takes, all others, and the latter as they were reserved."""
    taken: list[SeenRow] = []
    others: list[SeenRow] = []
    reserved = []
    for row, each in zip(rows, seen, strict=True):
        if is_taken(each):
            taken.append(each)
        else:
            others.append(each)
            reserved.append(row)
    return taken, others, reserved


def packed_tokens(rows: Sequence[SeenRow], device: str) -> Tensor:
    """Return the places of the rows' tokens among those of the step, [t] int64."""
    places = [row.first_token + index for row in rows for index in range(row.count)]
    return torch.tensor(places, dtype=torch.int64, device=device)


def packed_slots(rows: Sequence[SeenRow], device: str) -> Tensor:
    """Return the slots of all new tokens, [T] int64."""
    slots = [slot for row in rows for slot in row.new_slots()]
    return torch.tensor(slots, dtype=torch.int64, device=device)


def _find_shared(rows: Sequence[SeenRow], pool: BlockPool) -> list[SharedRange]:
    ranges = [each for index, row in enumerate(rows) for each in row.ranges(index)]
    return find_shared_runs(ranges, pool, rows[0].table.block_size)


def _plan_shared(shared: SharedRange, rows: Sequence[SeenRow], device: str) -> SharedRun:
    members = [rows[member.row_index] for member in shared.members]
    num_tokens = sum(row.count for row in members)
    first_token, last = members[0].first_token, members[-1]
    tokens = None
    if last.first_token + last.count - first_token != num_tokens:
        packed = (range(row.first_token, row.first_token + row.count) for row in members)
        tokens = torch.tensor([token for each in packed for token in each], device=device)
    turn = None
    # Sinks end where the recent part begins, so a row is turned in all of this or in nothing.
    is_turned = [row.is_turned and shared.first < row.visible.sinks for row in members]
    if any(is_turned):
        offsets = [
            row.turn_offsets() if turned else torch.zeros(row.count, dtype=torch.int64)
            for row, turned in zip(members, is_turned, strict=True)
        ]
        lengths = [length for row in members for length in row.lengths()]
        turn = QueryTurn(torch.cat(offsets), lengths)
    parts = _parts(members[0].table, [range(shared.first, shared.behind)], device)
    return SharedRun(first_token, num_tokens, tokens, parts, turn)


def _plan_row(row: SeenRow, covered: Sequence[range], device: str) -> RowPlan:
    """Plan what a row reads by itself: all it sees but what it shares with others.

    A row never straddles the position where its sinks begin to be turned
    (`PagedKVCache.chunk_limit`).
    """
    visible, start, count = row.visible, row.start, row.count
    turned, end = row.is_turned, row.end
    assert not turned or visible.has_slid(start), "a chunk straddles the start of sliding"
    parts: list[RunPart] = []
    if turned:
        sinks = _without(range(min(visible.sinks, end)), covered)
        parts += _parts(row.table, sinks, device, is_turned=True)
    needs_mask = row.has_slid and count > 1
    masked = row if needs_mask else None
    parts += _parts(row.table, _without(range(row.first_recent, end), covered), device, row=masked)
    own_visible = None
    if needs_mask and visible.window is not None and count > visible.window:
        own_visible = _band(row, range(start, start + count), device)
        own_visible &= torch.ones_like(own_visible).tril()
    turn = None
    if any(part.is_turned for part in parts):
        turn = QueryTurn(row.turn_offsets(), row.lengths())
    return RowPlan(row.first_token, count, tuple(parts), own_visible, turn)


def _without(positions: range, covered: Sequence[range]) -> list[range]:
    """Return the pieces of positions that lie in none of the covered ranges."""
    pieces = []
    first = positions.start
    for each in sorted(covered, key=lambda each: each.start):
        if each.stop <= first or each.start >= positions.stop:
            continue
        if each.start > first:
            pieces.append(range(first, each.start))
        first = each.stop
    if first < positions.stop:
        pieces.append(range(first, positions.stop))
    return pieces


def _parts(
    table: BlockTable,
    pieces: Sequence[range],
    device: str,
    *,
    row: SeenRow | None = None,
    is_turned: bool = False,
) -> tuple[RunPart, ...]:
    """Return the runs of positions as parts, gathered where they are too many.

    row  the row whose queries see different parts of these, which masks hide from the others
    """
    runs: list[tuple[int, int, range]] = []
    for piece in pieces:
        position = piece.start
        for slot, size in table.runs(piece.start, piece.stop):
            runs.append((slot, size, range(position, position + size)))
            position += size
    if len(runs) > MAX_RUNS:
        slots = torch.tensor(list(_slots((slot, size) for slot, size, _ in runs)), device=device)
        mask = None
        if row is not None:
            mask = torch.cat([_band(row, piece, device) for piece in pieces], 1)
        return (RunPart(0, len(slots), gathered=slots, visible=mask, is_turned=is_turned),)
    parts = []
    for slot, size, positions in runs:
        is_hidden = row is not None and positions.start < row.first_common
        mask = _band(row, positions, device) if row is not None and is_hidden else None
        parts.append(RunPart(slot, size, visible=mask, is_turned=is_turned))
    return tuple(parts)


def _slots(runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    for slot, size in runs:
        yield from range(slot, slot + size)


def _band(row: SeenRow, positions: range, device: str) -> Tensor:
    """Return which queries of a row see which of the positions, [count, positions] bool."""
    window = row.visible.window
    assert window is not None
    queries = torch.arange(row.start, row.start + row.count, device=device)[:, None]
    keys = torch.arange(positions.start, positions.stop, device=device)
    return keys > queries - window
