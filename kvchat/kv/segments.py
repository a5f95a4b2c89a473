"""Segment <-> safetensors bytes: one run of saved blocks in a file whose every byte is expected.

A file is used only together with its manifest row, which lies in the chat database. The row implies
the header, token ids, keys and indexes to the byte, and holds for each block a checksum keyed with
a secret of this installation; so a damaged, swapped, stale or foreign file is found out, and its
tokens are computed again. Knows no tensors: blocks are bytes, in one order whatever the device.

Format 1, a safetensors file with these tensors, in this order:
`blocks.g` (and further arrays per block, such as scales) of each layer group g [m, ...one block];
`tokens` int32 [n, block_size], -1 behind the last token of an open tail; `index.g` int32 [m], which
of the n blocks group g has; `keys` uint8 [n, 16]. Numbers are little-endian.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias

from kvchat.errors import SegmentRejected
from kvchat.untrusted import DTYPE_BYTES, UntrustedFile, parse_safetensors_header

FORMAT = "kvchat-segment-1"
MAX_HEADER_BYTES = 256 << 10
MAX_BLOCKS = 1024
KEY_BYTES = 16
CHECKSUM_BYTES = 32
NO_TOKEN = -1

Content: TypeAlias = bytes | bytearray | memoryview
FoundBlocks: TypeAlias = Mapping[tuple[bytes, int], tuple[memoryview, ...]]
"""Verified bytes by key and layer group: the arrays of one block."""


@dataclass(frozen=True, slots=True)
class BlockArray:
    """One array that every block of a layer group has, such as its codes or its scales.

    `dtype` is a name of safetensors, `shape` that of a single block.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of one block."""
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]

    def with_block_size(self, block_size: int) -> "BlockArray":
        """Return the same array of blocks of another size; tokens are the third axis."""
        layers, heads, _, *rest = self.shape
        return BlockArray(self.name, self.dtype, (layers, heads, block_size, *rest))


@dataclass(frozen=True)
class SegmentLayout:
    """What this process can use: its model, and how its pool stores keys and values.

    `groups` lists the arrays of each layer group, in the order of the pool's groups.
    """

    model_digest: str
    scheme: str
    block_size: int
    groups: tuple[tuple[BlockArray, ...], ...]

    @cached_property
    def block_bytes(self) -> int:
        """Bytes of one block in all groups."""
        return sum(each.num_bytes for group in self.groups for each in group)

    @property
    def all_groups(self) -> int:
        """A mask with the bit of every group."""
        return (1 << len(self.groups)) - 1

    def fits(self, row: "ManifestRow") -> bool:
        """Say whether the blocks of a file can be used here, whatever their size."""
        return (row.model_digest, row.scheme) == (self.model_digest, self.scheme)

    def with_block_size(self, block_size: int) -> "SegmentLayout":
        """Return the layout of the same model and kind of cache in blocks of another size."""
        if block_size == self.block_size:
            return self
        groups = tuple(
            tuple(each.with_block_size(block_size) for each in group) for group in self.groups
        )
        return SegmentLayout(self.model_digest, self.scheme, block_size, groups)


@dataclass(frozen=True)
class SegmentIndex:
    """What a segment holds, apart from the bytes of its blocks.

    schedule     window and sinks under which the tokens were computed, '' without a window
    first_block  index of the first block in its sequence
    keys, stems  for each block its chained key, and the key it would have without any token: blocks
                 with one stem continue the same tokens
    token_ids    for each block its ids; an open tail is a single block with fewer than block_size
    places       for each layer group, which blocks are there, by their place in `keys`, ascending
    """

    schedule: str
    first_block: int
    keys: tuple[bytes, ...]
    stems: tuple[bytes, ...]
    token_ids: tuple[tuple[int, ...], ...]
    places: tuple[tuple[int, ...], ...]

    def masks(self) -> list[int]:
        """Return for each block a mask of the groups in which it is there."""
        masks = [0] * len(self.keys)
        for group, places in enumerate(self.places):
            for place in places:
                masks[place] |= 1 << group
        return masks

    @property
    def num_tokens(self) -> int:
        """Tokens in all its blocks."""
        return sum(map(len, self.token_ids))


@dataclass(frozen=True)
class Segment:
    """An index, and the bytes: for each group, each array of all its blocks one after the other."""

    index: SegmentIndex
    arrays: tuple[tuple[Content, ...], ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of all blocks."""
        return sum(len(content) for group in self.arrays for content in group)


@dataclass(frozen=True)
class ManifestRow:
    """What the database knows of a segment file; without it the file is worth nothing.

    `checksums` has one entry for each group and block there, in the order of `index.places`.
    """

    name: str
    model_digest: str
    scheme: str
    block_size: int
    index: SegmentIndex
    checksums: tuple[tuple[bytes, ...], ...]
    num_bytes: int
    use_order: int = 0


@dataclass(frozen=True, slots=True)
class FetchedBlocks:
    """What was read of the blocks somebody asked for: the good ones.

    `loss` says for people why others are not there, None where nothing of theirs was wrong.
    """

    blocks: FoundBlocks
    loss: str | None = None


def encode(layout: SegmentLayout, segment: Segment, secret: bytes) -> tuple[ManifestRow, bytes]:
    """Return the row and the file of a segment; the name follows from the content."""
    index = segment.index
    assert 0 < len(index.keys) <= MAX_BLOCKS
    checksums = tuple(
        tuple(
            _checksum(
                layout,
                secret,
                index.keys[place],
                group,
                [
                    memoryview(content)[nth * each.num_bytes : (nth + 1) * each.num_bytes]
                    for each, content in zip(
                        layout.groups[group], segment.arrays[group], strict=True
                    )
                ],
            )
            for nth, place in enumerate(places)
        )
        for group, places in enumerate(index.places)
    )
    header = _header(layout, index)
    content = b"".join(
        [header, *(each for group in segment.arrays for each in group), _trailer(layout, index)]
    )
    digest = blake2b(b"".join(chain.from_iterable(checksums)), key=secret, digest_size=8)
    name = f"{index.keys[-1].hex()}-{len(index.keys)}-{digest.hexdigest()}.safetensors"
    row = ManifestRow(
        name,
        layout.model_digest,
        layout.scheme,
        layout.block_size,
        index,
        checksums,
        len(content),
    )
    return row, content


class SegmentFile:
    """The content of a file, checked against its row; blocks are checked one by one when taken.

    Raises SegmentRejected, with the reason, unless everything but the blocks is as the row says.
    """

    def __init__(
        self, layout: SegmentLayout, row: ManifestRow, content: Content, secret: bytes
    ) -> None:
        self._layout = layout
        self._row = row
        self._secret = secret
        self._content = memoryview(content)
        if (row.model_digest, row.scheme) != (layout.model_digest, layout.scheme):
            raise SegmentRejected("it was made with another model or another kind of cache")
        if row.block_size != layout.block_size:
            raise SegmentRejected(f"its blocks have {row.block_size} tokens")
        if len(content) != row.num_bytes:
            raise SegmentRejected(f"it has {len(content)} bytes instead of {row.num_bytes}")
        # The row implies both ends of the file to the byte, so nothing in them is believed.
        header, trailer = _header(layout, row.index), _trailer(layout, row.index)
        if self._content[: len(header)] != header:
            raise SegmentRejected(self._what_is_wrong())
        if self._content[len(self._content) - len(trailer) :] != trailer:
            raise SegmentRejected("it names other tokens")
        self._nth = [
            {place: nth for nth, place in enumerate(places)} for places in row.index.places
        ]
        self._starts: dict[tuple[int, int], int] = {}
        at = len(header)
        for group, arrays in enumerate(layout.groups):
            for number, each in enumerate(arrays):
                self._starts[group, number] = at
                at += each.num_bytes * len(row.index.places[group])

    def _what_is_wrong(self) -> str:
        """Return why a header that is not the expected one is not."""
        try:
            found = parse_safetensors_header(
                bytes(self._content[: 8 + MAX_HEADER_BYTES]), len(self._content), MAX_HEADER_BYTES
            )
        except UntrustedFile as error:
            return error.sentence
        if found.metadata.get("format") != FORMAT:
            return "it has another format"
        return "its header is not the one it was written with"

    def block(self, place: int, group: int) -> tuple[memoryview, ...]:
        """Return the arrays of one block; raises SegmentRejected when its checksum is wrong.

        Callable from several threads at once.
        """
        nth = self._nth[group][place]
        arrays = []
        for number, each in enumerate(self._layout.groups[group]):
            start = self._starts[group, number] + nth * each.num_bytes
            arrays.append(self._content[start : start + each.num_bytes])
        key = self._row.index.keys[place]
        found = _checksum(self._layout, self._secret, key, group, arrays)
        if found != self._row.checksums[group][nth]:
            raise SegmentRejected(f"it is damaged at block {self._row.index.first_block + place}")
        return tuple(arrays)


def _checksum(
    layout: SegmentLayout,
    secret: bytes,
    key: bytes,
    group: int,
    arrays: Sequence[memoryview],
) -> bytes:
    digest = blake2b(key=secret, digest_size=CHECKSUM_BYTES)
    for part in (layout.model_digest.encode(), layout.scheme.encode(), key):
        digest.update(struct.pack("<I", len(part)) + part)
    digest.update(struct.pack("<II", group, len(arrays)))
    for each in arrays:
        digest.update(struct.pack("<Q", len(each)))
        digest.update(each)
    return digest.digest()


def _header(layout: SegmentLayout, index: SegmentIndex) -> bytes:
    """Return length and JSON of the file's header, padded so that data begins at 8 bytes."""
    entries: dict[str, Mapping[str, object]] = {
        "__metadata__": {
            "format": FORMAT,
            "model_digest": layout.model_digest,
            "scheme": layout.scheme,
            "block_size": str(layout.block_size),
            "first_position": str(index.first_block * layout.block_size),
            "num_tokens": str(index.num_tokens),
            "schedule": index.schedule,
        }
    }
    at = 0

    def add(name: str, dtype: str, shape: tuple[int, ...]) -> None:
        nonlocal at
        end = at + math.prod(shape) * DTYPE_BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (at, end)}
        at = end

    for group, arrays in enumerate(layout.groups):
        for each in arrays:
            add(f"{each.name}.{group}", each.dtype, (len(index.places[group]), *each.shape))
    add("tokens", "I32", (len(index.keys), layout.block_size))
    for group, places in enumerate(index.places):
        add(f"index.{group}", "I32", (len(places),))
    add("keys", "U8", (len(index.keys), KEY_BYTES))
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _trailer(layout: SegmentLayout, index: SegmentIndex) -> bytes:
    """Return the data behind the blocks: tokens, indexes and keys."""
    padding = (NO_TOKEN,) * layout.block_size
    rows = [(*ids, *padding[len(ids) :]) for ids in index.token_ids]
    numbers = [number for row in rows for number in row]
    numbers += chain.from_iterable(index.places)
    return pack_int32(numbers) + b"".join(index.keys)


def pack_int32(numbers: Sequence[int]) -> bytes:
    """Return numbers as int32, little-endian."""
    return struct.pack(f"<{len(numbers)}i", *numbers)
