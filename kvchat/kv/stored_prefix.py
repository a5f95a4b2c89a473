"""find_stored_prefix(): how much of a prompt pool and disk hold together, in every layer group.

Only looks, and decides nothing about where a block comes from. Plain Python, no tensors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvchat.kv.paged_sequence import PagedSequence, chain_key, open_schedules
from kvchat.kv.window_schedule import WindowSchedule

FindGroups = Callable[[bytes, tuple[int, ...]], int]
"""(key, token ids of a full block) -> mask of the layer groups that can be had"""
FindTail = Callable[[bytes, Sequence[int]], "tuple[bytes, int, int] | None"]
"""(stem, token ids that follow) -> key of the block with the longest common prefix, the length of
that prefix, and the mask of the layer groups that can be had"""


@dataclass(frozen=True, slots=True)
class NeededBlock:
    """A block that a sequence lacks; `num_tokens` of its slots are wanted, from the first on."""

    index: int
    key: bytes
    token_ids: tuple[int, ...]
    groups: int
    """Mask of the layer groups that need it."""


@dataclass(frozen=True, slots=True)
class StoredPrefix:
    """What extends a sequence, if all needed blocks are brought.

    length  tokens the sequence can then have; may end inside the last block
    keys    chained keys of its full blocks, from position 0 on
    needed  blocks behind those the sequence has, in order; the last may be a partial one
    """

    length: int
    keys: tuple[bytes, ...]
    needed: tuple[NeededBlock, ...]

    @property
    def num_blocks(self) -> int:
        """Entries of a block table of this length, holes included."""
        tail = self.needed[-1] if self.needed else None
        return len(self.keys) + (tail is not None and tail.index == len(self.keys))


def find_stored_prefix(
    sequence: PagedSequence,
    token_ids: Sequence[int],
    schedules: Sequence[WindowSchedule],
    block_size: int,
    salt: bytes,
    find: FindGroups,
    find_tail: FindTail,
) -> StoredPrefix | None:
    """Return the longest prefix of `token_ids` whose visible blocks can all be had, or None.

    Leaves at least one token to compute; None where that is no more than the sequence has. A
    windowed group needs only sinks and window.
    """
    size, limit, base = block_size, len(token_ids) - 1, len(sequence.keys)
    probe = PagedSequence(sequence.schedule, [], keys=list(sequence.keys))
    masks: list[int] = []  # of the blocks from `base` on
    all_groups = (1 << len(schedules)) - 1
    unbounded = sum(1 << group for group, seen in enumerate(schedules) if not seen.has_window)
    for index in range(base, len(token_ids) // size):
        tokens = tuple(token_ids[index * size : (index + 1) * size])
        key = chain_key(probe, index, tokens, size, salt)
        mask = find(key, tokens)
        if unbounded & ~mask:
            break  # a group without a window needs every block
        probe.keys.append(key)
        masks.append(mask)

    def lacking(count: int, length: int) -> tuple[list[int], list[int]]:
        """Return for each block from `base` on the groups that need it, and which cannot have it"""
        wanted = []
        for index in range(base, count):
            groups = all_groups
            for group, seen in enumerate(schedules):
                if index in seen.hidden_blocks(length, size):
                    groups &= ~(1 << group)
            wanted.append(groups)
        missing = [
            base + place
            for place, (groups, mask) in enumerate(zip(wanted, masks, strict=False))
            if groups & ~mask
        ]
        return wanted, missing

    count = base + len(masks)
    while True:
        tail = None
        following = tuple(token_ids[count * size : min((count + 1) * size, limit)])
        before = PagedSequence(probe.schedule, [], keys=probe.keys[:count])
        for twin, most in open_schedules(before, size) if following else ():
            stem = chain_key(twin, count, (), size, salt)
            found = find_tail(stem, following[:most])
            if found is None or found[1] == 0 or found[2] != all_groups:
                continue
            if tail is None or found[1] > tail[1]:
                tail = found
        if tail is not None:
            length = count * size + tail[1]
            wanted, missing = lacking(count, length)
            if not missing:
                break
            tail = None
        length = min(count * size, limit)
        wanted, missing = lacking(count, length)
        if not missing or count == base:
            break
        # A shorter prefix looks at all the blocks of a longer one that lie before its end.
        count = min(missing)
    if length <= sequence.length:
        return None
    needed = [
        NeededBlock(
            base + place,
            probe.keys[base + place],
            tuple(token_ids[(base + place) * size : (base + place + 1) * size]),
            groups,
        )
        for place, groups in enumerate(wanted)
        if groups
    ]
    if tail is not None:
        needed.append(NeededBlock(count, tail[0], following[: tail[1]], all_groups))
    return StoredPrefix(length, tuple(probe.keys[:count]), tuple(needed))
