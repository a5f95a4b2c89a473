"""Blocks of one size become blocks of another and back, and every byte is the same token's."""

from collections.abc import Iterator, Mapping

import pytest

from kvchat.kv.block_conversion import ConvertedBlocks, convert_blocks
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.segments import BlockArray, SegmentLayout
from kvchat.kv.spec import VisibleSet
from kvchat.kv.window_schedule import WindowSchedule

SALT = b"salt"
SEES_ALL = WindowSchedule.always(VisibleSet())
Blocks = dict[tuple[bytes, int], tuple[memoryview, ...]]


def layout_of(block_size: int) -> SegmentLayout:
    """Two layer groups: codes with scales, and plain numbers."""
    return SegmentLayout(
        "digest",
        "scheme",
        block_size,
        (
            (
                BlockArray("blocks", "I8", (2, 2, block_size, 4)),
                BlockArray("scales", "U8", (2, 2, block_size)),
            ),
            (BlockArray("blocks", "U8", (3, 1, block_size, 2)),),
        ),
    )


def keys_of(
    token_ids: list[int], block_size: int, visible: WindowSchedule = SEES_ALL
) -> Iterator[bytes]:
    sequence = PagedSequence(visible, [])
    for index in range(-(-len(token_ids) // block_size)):
        ids = token_ids[index * block_size : (index + 1) * block_size]
        sequence.keys.append(chain_key(sequence, index, ids, block_size, SALT))
        yield sequence.keys[-1]


def slot(group: int, array: int, row: int, position: int, count: int) -> bytes:
    """The bytes of one token in one head of one layer: another value wherever it is."""
    return bytes((37 * group + 91 * array + 7 * row + 3 * position + lane) % 251
                 for lane in range(count))  # fmt: skip


def blocks_of(token_ids: list[int], block_size: int, visible: WindowSchedule = SEES_ALL) -> Blocks:
    """All blocks as a pool of this block size would have saved them; zeros behind the end."""
    found: Blocks = {}
    for index, key in enumerate(keys_of(token_ids, block_size, visible)):
        for group, arrays in enumerate(layout_of(block_size).groups):
            contents = []
            for number, each in enumerate(arrays):
                layers, heads, _, *rest = each.shape
                count = rest[0] if rest else 1
                content = bytearray()
                for row in range(layers * heads):
                    for position in range(index * block_size, (index + 1) * block_size):
                        is_used = position < len(token_ids)
                        content += (
                            slot(group, number, row, position, count) if is_used else bytes(count)
                        )
                contents.append(memoryview(content))
            found[key, group] = tuple(contents)
    return found


def convert(
    token_ids: list[int],
    old: int,
    new: int,
    found: Blocks | None = None,
    visible: WindowSchedule = SEES_ALL,
) -> ConvertedBlocks:
    return convert_blocks(
        layout_of(old),
        layout_of(new),
        tuple(keys_of(token_ids, old, visible)),
        blocks_of(token_ids, old, visible) if found is None else found,
        token_ids,
        visible,
        SALT,
    )


def as_bytes(blocks: Mapping[tuple[bytes, int], tuple[memoryview, ...]]) -> dict[object, object]:
    return {place: tuple(map(bytes, arrays)) for place, arrays in blocks.items()}


@pytest.mark.parametrize("num_tokens", [1, 7, 8, 9, 24, 40, 41])
@pytest.mark.parametrize(("old", "new"), [(8, 8), (8, 4), (4, 8), (8, 16), (16, 2), (3, 8), (8, 5)])
def test_blocks_of_any_size_are_those_a_pool_of_that_size_would_have_saved(
    old: int, new: int, num_tokens: int
) -> None:
    token_ids = list(range(100, 100 + num_tokens))
    found = convert(token_ids, old, new)
    assert as_bytes(found.blocks) == as_bytes(blocks_of(token_ids, new))
    if num_tokens % new:
        assert found.tail is not None
        assert list(found.tail.token_ids) == token_ids[-(num_tokens % new) :]
        assert (found.tail.key, 0) in found.blocks
    else:
        assert found.tail is None


@pytest.mark.parametrize("missing", range(5))
def test_a_block_of_which_a_part_is_missing_is_not_made(missing: int) -> None:
    token_ids = list(range(40))
    there = blocks_of(token_ids, 8)
    lost = list(keys_of(token_ids, 8))[missing]
    del there[lost, 1]
    found = convert(token_ids, 8, 16, there)
    expected = blocks_of(token_ids, 16)
    del expected[list(keys_of(token_ids, 16))[missing // 2], 1]
    assert as_bytes(found.blocks) == as_bytes(expected)


def test_keys_follow_the_window_in_terms_of_the_new_size() -> None:
    token_ids, visible = list(range(40)), WindowSchedule.always(VisibleSet(8, 8))
    found = convert(token_ids, 4, 8, visible=visible)
    assert {key for key, _ in found.blocks} == set(keys_of(token_ids, 8, visible))
    assert {key for key, _ in found.blocks} != set(keys_of(token_ids, 8))
