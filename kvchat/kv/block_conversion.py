"""Saved blocks of one size become blocks of another, bit by bit; keys are computed from token ids.

Memory and device do not show in saved blocks, so the size is all there is to convert. A block is
made only if every slot of it that counts was there. Bytes and integers, no tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.segments import BlockArray, FoundBlocks, SegmentLayout
from kvchat.kv.window_schedule import WindowSchedule


class OpenTail(NamedTuple):
    """The last block of a conversion, where it is not full."""

    stem: bytes
    key: bytes
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConvertedBlocks:
    """Blocks of the new size by key and layer group, and which of them is the open one."""

    blocks: FoundBlocks
    tail: OpenTail | None


def convert_blocks(
    source: SegmentLayout,
    target: SegmentLayout,
    keys: Sequence[bytes],
    found: FoundBlocks,
    token_ids: Sequence[int],
    schedule: WindowSchedule,
    salt: bytes,
) -> ConvertedBlocks:
    """Return blocks of the target's size for the tokens of blocks of the source's size.

    keys       those of all source blocks, from position 0 on; the last block may be an open one
    found      those of them that are there, by key and layer group
    token_ids  all tokens the source blocks hold; the target's open block holds the last of them
    schedule   what the sequence sees, in the target's terms
    """
    old, new = source.block_size, target.block_size
    length = len(token_ids)
    sequence = PagedSequence(schedule, [])
    blocks: dict[tuple[bytes, int], tuple[memoryview, ...]] = {}
    tail: OpenTail | None = None
    for index in range(-(-length // new)):
        first, behind = index * new, min((index + 1) * new, length)
        ids = tuple(token_ids[first:behind])
        key = chain_key(sequence, index, ids, new, salt)
        if len(ids) < new:
            tail = OpenTail(chain_key(sequence, index, (), new, salt), key, ids)
        sequence.keys.append(key)
        parts = range(first // old, -(-behind // old))
        for group in range(len(target.groups)):
            if all((keys[part], group) in found for part in parts):
                blocks[key, group] = tuple(
                    _join(
                        [(part * old, found[keys[part], group][number]) for part in parts],
                        each,
                        old,
                        first,
                        behind,
                    )
                    for number, each in enumerate(target.groups[group])
                )
    return ConvertedBlocks(blocks, tail)


def _join(
    parts: Sequence[tuple[int, memoryview]],
    array: BlockArray,
    old_size: int,
    first: int,
    behind: int,
) -> memoryview:
    """Return one array of the block of tokens `first` to `behind` out of those of old blocks.

    parts  position of the first token and bytes of each old block that has some of these tokens
    """
    layers, heads, new_size, *_ = array.shape
    slot_bytes = array.num_bytes // (layers * heads * new_size)
    content = bytearray(array.num_bytes)
    old_row, new_row = old_size * slot_bytes, new_size * slot_bytes
    for start, old in parts:
        begin, end = max(first, start), min(behind, start + old_size)
        read, write = (begin - start) * slot_bytes, (begin - first) * slot_bytes
        count = (end - begin) * slot_bytes
        for row in range(layers * heads):
            at, to = row * old_row + read, row * new_row + write
            content[to : to + count] = old[at : at + count]
    return memoryview(content)
