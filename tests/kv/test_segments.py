"""Segment files: what was written is read, and anything else is rejected."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from kvchat.errors import SegmentRejected
from kvchat.kv.segments import (
    BlockArray,
    ManifestRow,
    Segment,
    SegmentFile,
    SegmentIndex,
    SegmentLayout,
    encode,
)

SECRET = bytes(range(32))
LAYOUT = SegmentLayout(
    "digest",
    "scheme",
    4,
    (
        (BlockArray("blocks", "I8", (2, 2, 4, 8)), BlockArray("scales", "F32", (2, 2, 4))),
        (BlockArray("blocks", "F32", (1, 2, 4, 8)),),
    ),
)


def make_segment(seed: int = 0, num_blocks: int = 3) -> Segment:
    rng = random.Random(seed)
    places = (tuple(range(num_blocks)), tuple(range(1, num_blocks)))
    index = SegmentIndex(
        "4|16",
        2,
        tuple(rng.randbytes(16) for _ in range(num_blocks)),
        tuple(rng.randbytes(16) for _ in range(num_blocks)),
        tuple(tuple(rng.randrange(1000) for _ in range(4)) for _ in range(num_blocks)),
        places,
    )
    arrays = tuple(
        tuple(rng.randbytes(each.num_bytes * len(of_group)) for each in group)
        for group, of_group in zip(LAYOUT.groups, places, strict=True)
    )
    return Segment(index, arrays)


def read_all(content: bytes | bytearray, row: ManifestRow, secret: bytes = SECRET) -> list[bytes]:
    file = SegmentFile(LAYOUT, row, content, secret)
    return [
        bytes(array)
        for group, places in enumerate(row.index.places)
        for place in places
        for array in file.block(place, group)
    ]


def is_rejected(content: bytes | bytearray, row: ManifestRow, secret: bytes = SECRET) -> bool:
    try:
        read_all(content, row, secret)
    except SegmentRejected:
        return True
    return False


def test_blocks_come_back_as_they_were() -> None:
    segment = make_segment()
    row, content = encode(LAYOUT, segment, SECRET)
    assert row.num_bytes == len(content)
    codes, scales = segment.arrays[0]
    (numbers,) = segment.arrays[1]
    assert read_all(content, row) == [
        *(
            part
            for nth in range(3)
            for part in (codes[nth * 128 : nth * 128 + 128], scales[nth * 64 : nth * 64 + 64])
        ),
        *(numbers[nth * 256 : nth * 256 + 256] for nth in range(2)),
    ]


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    segment = make_segment()
    row, content = encode(LAYOUT, segment, SECRET)
    path = tmp_path / row.name
    path.write_bytes(content)
    with safe_open(path, framework="np") as file:
        assert file.metadata()["first_position"] == "8"
        assert file.get_tensor("tokens").tolist() == [list(ids) for ids in segment.index.token_ids]
        assert file.get_tensor("index.1").tolist() == [1, 2]
        assert file.get_tensor("keys").tobytes() == b"".join(segment.index.keys)
        assert file.get_tensor("blocks.0").shape == (3, 2, 2, 4, 8)
        assert file.get_tensor("scales.0").tobytes() == segment.arrays[0][1]


def test_the_name_follows_from_the_content() -> None:
    assert encode(LAYOUT, make_segment(), SECRET)[0] == encode(LAYOUT, make_segment(), SECRET)[0]
    other = make_segment()
    changed = replace(other, arrays=((bytes(384), other.arrays[0][1]), other.arrays[1]))
    names = {encode(LAYOUT, each, SECRET)[0].name for each in (other, changed, make_segment(1))}
    assert len(names) == 3


def test_an_open_tail_may_have_fewer_tokens() -> None:
    segment = make_segment(num_blocks=1)
    index = replace(segment.index, token_ids=((7, 8),), places=((0,), (0,)))
    arrays = (segment.arrays[0], (bytes(256),))
    row, content = encode(LAYOUT, Segment(index, arrays), SECRET)
    assert len(read_all(content, row)) == 3
    assert not is_rejected(content, row)


def test_every_flipped_byte_outside_the_blocks_is_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    header_end = 8 + int.from_bytes(content[:8], "little")
    blocks_end = header_end + 3 * (128 + 64) + 2 * 256
    for at in [*range(header_end), *range(blocks_end, len(content))]:
        for bit in (0, 3, 7):
            changed = bytearray(content)
            changed[at] ^= 1 << bit
            with pytest.raises(SegmentRejected):
                SegmentFile(LAYOUT, row, changed, SECRET)


def test_every_flipped_byte_of_a_block_is_found_when_the_block_is_taken() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    header_end = 8 + int.from_bytes(content[:8], "little")
    for at in range(header_end, header_end + 3 * (128 + 64) + 2 * 256):
        changed = bytearray(content)
        changed[at] ^= 0x20
        assert is_rejected(changed, row)


def test_every_other_length_is_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    for length in range(0, len(content), 7):
        assert is_rejected(content[:length], row)
    for added in (1, 8, 4096):
        assert is_rejected(content + bytes(added), row)


def test_spliced_files_are_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(0), SECRET)
    _, other = encode(LAYOUT, make_segment(1), SECRET)
    rng = random.Random(0)
    for _ in range(300):
        start = rng.randrange(len(content))
        end = rng.randint(start, len(content)) + 1
        changed = content[:start] + other[start:end] + content[end:]
        assert changed == content or is_rejected(changed, row)


def test_two_blocks_that_change_places_are_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    start = 8 + int.from_bytes(content[:8], "little")
    first, second = content[start : start + 128], content[start + 128 : start + 256]
    assert is_rejected(content[:start] + second + first + content[start + 256 :], row)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_digest": "other"}, "another model"),
        ({"scheme": "other"}, "another kind of cache"),
        ({"block_size": 8}, "8 tokens"),
        ({"num_bytes": 1}, "instead of 1"),
    ],
)
def test_a_row_of_something_else_is_rejected_with_the_reason(
    change: dict[str, object], reason: str
) -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    with pytest.raises(SegmentRejected, match=reason):
        SegmentFile(LAYOUT, replace(row, **change), content, SECRET)  # type: ignore[arg-type]


def test_what_another_installation_wrote_is_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    assert is_rejected(content, row, secret=bytes(32))
    foreign, same_content = encode(LAYOUT, make_segment(), bytes(32))
    assert same_content == content and foreign.checksums != row.checksums


def test_a_well_formed_file_with_other_numbers_is_rejected() -> None:
    row, _ = encode(LAYOUT, make_segment(), SECRET)
    segment = make_segment()
    hostile = replace(segment, arrays=tuple(
        tuple(bytes(len(array)) for array in group) for group in segment.arrays
    ))  # fmt: skip
    assert is_rejected(encode(LAYOUT, hostile, SECRET)[1], row)


def test_a_header_that_says_the_same_in_other_words_is_rejected() -> None:
    row, content = encode(LAYOUT, make_segment(), SECRET)
    length = int.from_bytes(content[:8], "little")
    document = json.loads(content[8 : 8 + length])
    text = json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode()
    text += b" " * (length - len(text))
    assert is_rejected(content[:8] + text + content[8 + length :], row)
