"""What rows of a step share, against a search of all positions."""

import random

import pytest

from kvchat.kv import shared_runs
from kvchat.kv.block_pool import BlockPool
from kvchat.kv.shared_runs import VisibleRange, find_shared_runs

SIZE = 4


class Family:
    """Tables over one pool that begin alike and branch at random."""

    def __init__(self, rng: random.Random, num_rows: int) -> None:
        self.rng = rng
        self.pool = BlockPool(600)
        self.tables: list[list[int]] = []
        for _ in range(num_rows):
            if self.tables and rng.random() < 0.8:
                parent = rng.choice(self.tables)
                table = parent[: rng.randint(0, len(parent))]
                for block in table:
                    self.pool.reference(block)
            else:
                table = []
            new = self.pool.take(rng.randint(1, 6))
            for block in new:
                self.pool.settle(block)
            self.tables.append(table + new)

    def ranges(self, *, is_recent: bool = False) -> list[VisibleRange]:
        """Return what each row sees: all of it, or what lies behind a window of random size."""
        found = []
        for row, table in enumerate(self.tables):
            behind = len(table) * SIZE
            first = max(0, behind - self.rng.randint(1, 60)) if is_recent else 0
            found.append(VisibleRange(row, table, first, behind, is_recent))
        return found

    def slots(self, row: int, first: int, behind: int) -> list[int]:
        table = self.tables[row]
        return [table[at // SIZE] * SIZE + at % SIZE for at in range(first, behind)]


@pytest.mark.parametrize("seed", range(60))
def test_members_name_the_same_slots_and_no_position_is_shared_twice(seed: int) -> None:
    rng = random.Random(seed)
    family = Family(rng, rng.randint(2, 9))
    ranges = family.ranges(is_recent=seed % 2 == 1)
    found = find_shared_runs(ranges, family.pool, SIZE)
    seen: dict[int, set[int]] = {row: set() for row in range(len(ranges))}
    for shared in found:
        rows = [member.row_index for member in shared.members]
        assert len(rows) == len(set(rows)) >= 2 and rows == sorted(rows)
        slots = {tuple(family.slots(row, shared.first, shared.behind)) for row in rows}
        assert len(slots) == 1
        for row in rows:
            positions = set(range(shared.first, shared.behind))
            assert positions and not positions & seen[row]
            assert ranges[row].first <= shared.first < shared.behind <= ranges[row].behind
            seen[row] |= positions


@pytest.mark.parametrize("seed", range(60))
def test_without_windows_each_slot_is_read_once(seed: int) -> None:
    rng = random.Random(seed)
    family = Family(rng, rng.randint(2, 9))
    ranges = family.ranges()
    found = find_shared_runs(ranges, family.pool, SIZE)
    num_read = sum(each.behind - each.first for each in found)
    covered = {
        (member.row_index, at)
        for each in found
        for member in each.members
        for at in range(each.first, each.behind)
    }
    num_read += sum(
        (row, at) not in covered
        for row, table in enumerate(family.tables)
        for at in range(len(table) * SIZE)
    )
    assert num_read == len({block for table in family.tables for block in table}) * SIZE


def windowed(starts: list[int], num_shared: int) -> tuple[BlockPool, list[VisibleRange]]:
    """Rows that share their first blocks and see each from its own position on."""
    pool = BlockPool(400)
    blocks = pool.take(num_shared)
    for block in blocks:
        pool.settle(block)
        for _ in starts[1:]:
            pool.reference(block)
    return pool, [
        VisibleRange(row, blocks, first, num_shared * SIZE, is_recent=True)
        for row, first in enumerate(starts)
    ]


@pytest.mark.parametrize(("num_tokens", "is_shared"), [(255, False), (256, True), (257, True)])
def test_behind_windows_only_a_long_common_part_is_shared(num_tokens: int, is_shared: bool) -> None:
    pool, ranges = windowed([100, 400 - num_tokens], 100)
    found = find_shared_runs(ranges, pool, SIZE)
    assert [(each.first, each.behind) for each in found] == [(400 - num_tokens, 400)] * is_shared


def test_a_window_far_ahead_does_not_keep_the_others_from_sharing() -> None:
    pool, ranges = windowed([390, 20, 10], 100)
    (shared,) = find_shared_runs(ranges, pool, SIZE)
    assert [member.row_index for member in shared.members] == [1, 2]
    assert (shared.first, shared.behind) == (20, 400)


def test_strangers_share_nothing() -> None:
    pool = BlockPool(20)
    tables = [pool.take(3) for _ in range(4)]
    ranges = [VisibleRange(row, table, 0, 12) for row, table in enumerate(tables)]
    assert find_shared_runs(ranges, pool, SIZE) == []


def test_the_least_common_part_behind_windows_is_a_quarter_of_a_kilotoken() -> None:
    assert shared_runs.MIN_WINDOW_TOKENS == 256
