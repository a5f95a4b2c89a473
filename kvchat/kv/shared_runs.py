"""find_shared_runs(): which sequences of a step see the same stored blocks, and where.

Forks and prompts that begin alike name the same blocks in their tables, so what they have in common
can be attended to once, for all of them together. Looks at block ids alone, so it is exact: equal
contents in different blocks are not shared. Plain integers, no tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.kv.block_pool import BlockPool

MIN_WINDOW_TOKENS = 256
"""Behind a window the beginnings of what rows see differ, and each reads its own piece of it, so
only a longer common part is worth a call."""


@dataclass(frozen=True, slots=True)
class VisibleRange:
    """Positions first .. behind - 1 of one row of a step that all its tokens see.

    blocks       the row's table
    is_recent    whether it begins where a window does, apart from the beginning of the sequence
    """

    row_index: int
    blocks: Sequence[int]
    first: int
    behind: int
    is_recent: bool = False


@dataclass(frozen=True, slots=True)
class SharedRange:
    """Positions first .. behind - 1, in the same blocks for all members, in the order of rows."""

    members: tuple[VisibleRange, ...]
    first: int
    behind: int


def find_shared_runs(
    ranges: Sequence[VisibleRange], pool: BlockPool, block_size: int
) -> list[SharedRange]:
    """Return what two or more ranges have in common, each position of a range at most once.

    Ranges begin in a block that their row holds. What all members of a family share comes first,
    then what fewer of them share behind it, to any depth: a fork of a fork of a fork.
    """
    found: list[SharedRange] = []
    if pool.num_shared == 0:
        return found
    # The one that begins last goes first: whatever it shares at all, it shares from there on.
    rest = sorted(ranges, key=lambda each: each.first, reverse=True)
    while len(rest) > 1:
        anchor, *others = rest
        index = anchor.first // block_size
        block = anchor.blocks[index] if anchor.first < anchor.behind else -1
        rest = others
        if block < 0 or pool.ref_counts[block] < 2:
            continue
        family = [
            each
            for each in others
            if each.behind > index * block_size and each.blocks[index] == block
        ]
        if not family:
            continue
        family.append(anchor)
        family.sort(key=lambda each: each.row_index)
        shared = _split(family, anchor.first, block_size)
        if shared:
            found += shared
            members = set(map(id, family))
            rest = [each for each in others if id(each) not in members]
    return found


def _split(family: Sequence[VisibleRange], first: int, block_size: int) -> list[SharedRange]:
    """Return the common part of ranges that agree on the block at `first`, and of parts of them."""
    index = first // block_size
    last = min(each.behind for each in family) // block_size
    lead = family[0].blocks
    for each in family[1:]:
        last = index + _num_common(lead, each.blocks, index, last)
    behind = last * block_size
    if behind <= first:
        return []
    if behind - first < MIN_WINDOW_TOKENS and any(each.is_recent for each in family):
        return []
    found = [SharedRange(tuple(family), first, behind)]
    by_next: dict[int, list[VisibleRange]] = {}
    for each in family:
        if each.behind >= behind + block_size:
            by_next.setdefault(each.blocks[last], []).append(each)
    for branch in by_next.values():
        if len(branch) > 1:
            found += _split(branch, behind, block_size)
    return found


def _num_common(one: Sequence[int], other: Sequence[int], first: int, behind: int) -> int:
    """Return how many blocks from `first` on are equal, by halving: slices compare in C."""
    fits, too_many = 0, behind - first + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        start, end = first + fits, first + middle
        if one[start:end] == other[start:end]:
            fits = middle
        else:
            too_many = middle
    return fits
