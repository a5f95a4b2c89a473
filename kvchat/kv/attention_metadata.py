"""AttentionMetadata: what one reserved step attends to, planned once and executed by every layer.

Planning is integers only: which slots are written, and for each row which runs of slots it sees.
A layer then makes one call per run, so its cost in Python is the number of runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvchat.kv.block_table import BlockTable
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
    """One sequence of the step: its packed tokens and the stored keys they see.

    A row of one token finds its own key at the end of its last run. A row of several attends to
    `parts` of the past, and to its own keys causally, masked by `own_visible` where it is not None.
    """

    first_token: int
    num_tokens: int
    parts: tuple[RunPart, ...]
    own_visible: Tensor | None
    turn_offsets: Tensor | None


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """The plan of one layer group: slots [T] int64 of the new tokens, and a row per sequence."""

    slots: Tensor
    rows: tuple[RowPlan, ...]


def plan_group(
    rows: Sequence[StepRow], group_index: int, layer_window: int | None, device: str
) -> AttentionMetadata:
    """Plan one layer group of a reserved step, whose layers may have a window of their own."""
    slots: list[int] = []
    plans = []
    for row in rows:
        visible = row.sequence.visible.within(layer_window)
        table = row.groups[group_index].table_after(row.sequence.tables[group_index])
        plans.append(plan_row(table, visible, row.start, row.count, len(slots), device))
        slots += new_slots(table, row.start, row.count)
    packed = torch.tensor(slots, dtype=torch.int64, device=device)
    return AttentionMetadata(packed, tuple(plans))


def plan_row(
    table: BlockTable, visible: VisibleSet, start: int, count: int, first_token: int, device: str
) -> RowPlan:
    """Plan a row whose new tokens take positions start .. start + count - 1.

    The table already names the blocks of the new tokens. A row never straddles the position where
    its sinks begin to be turned (`PagedKVCache.chunk_limit`).
    """
    last = start + count - 1
    slid = visible.has_slid(last)
    turned = slid and visible.sinks > 0
    assert not turned or visible.has_slid(start), "a chunk straddles the start of sliding"
    end = start + 1 if count == 1 else start
    parts: list[RunPart] = []
    if turned:
        sink_runs = table.runs(0, min(visible.sinks, end))
        parts += [RunPart(slot, size, is_turned=True) for slot, size in sink_runs]
    lowest = visible.first_recent(start) if slid else 0
    offset = max(lowest, visible.sinks if turned else 0)
    needs_mask = slid and count > 1
    runs = list(table.runs(offset, end))
    gathered = None
    if len(runs) > MAX_RUNS:
        gathered = torch.tensor(list(_slots(runs)), device=device)
        runs = [(0, end - offset)]
    for slot, size in runs:
        mask = _band(visible, start, count, offset, size, device) if needs_mask else None
        parts.append(RunPart(slot, size, gathered=gathered, visible=mask))
        offset += size
    own_visible = None
    if needs_mask and visible.window is not None and count > visible.window:
        own_visible = _band(visible, start, count, start, count, device)
        own_visible &= torch.ones_like(own_visible).tril()
    turn_offsets = None
    if turned:
        positions = torch.arange(start, start + count)
        turn_offsets = visible.sinks + (visible.window or 0) - 1 - positions
    return RowPlan(first_token, count, tuple(parts), own_visible, turn_offsets)


def new_slots(table: BlockTable, start: int, count: int) -> Iterator[int]:
    """Yield the slot of each new token."""
    return _slots(table.runs(start, start + count))


def _slots(runs: Iterable[tuple[int, int]]) -> Iterator[int]:
    for slot, size in runs:
        yield from range(slot, slot + size)


def _band(
    visible: VisibleSet, start: int, count: int, first_key: int, num_keys: int, device: str
) -> Tensor:
    assert visible.window is not None
    queries = torch.arange(start, start + count, device=device)[:, None]
    keys = torch.arange(first_key, first_key + num_keys, device=device)
    return keys > queries - visible.window  # [count, num_keys]
