"""What a `tokenizer.model` file says about its pieces, read without a protobuf package.

SentencePieceProto reads the few fields of the file that the library does not tell (user-defined
pieces, the normalizer's switches) and writes the variants kvchat needs of the same model. It does
not know the library, nor what the pieces are used for; every loop is bounded by the file's size.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum

MAX_PIECES = 1_000_000

_PIECES, _NORMALIZER = 1, 3  # fields of ModelProto
_ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES = 3, 4  # fields of NormalizerSpec
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class PieceType(IntEnum):
    """What a piece is for, with the numbers of the file format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class SentencePieceProto:
    """The pieces of a SentencePiece model and how it treats white space."""

    raw: bytes
    pieces: tuple[str, ...]
    types: bytes
    """One PieceType per piece."""
    adds_dummy_prefix: bool
    strips_whitespace: bool

    @classmethod
    def parse(cls, raw: bytes) -> "SentencePieceProto":
        """Read the file's bytes; raises ValueError with the reason when they are damaged."""
        pieces: list[str] = []
        types = bytearray()
        adds_dummy_prefix = strips_whitespace = True
        try:
            for number, _, begin, end in _top_fields(raw):
                if number == _PIECES:
                    piece, kind = _read_piece(raw, begin, end)
                    if not PieceType.NORMAL <= kind <= PieceType.BYTE:
                        raise ValueError(f"piece {len(pieces)} has the unknown type {kind}")
                    pieces.append(piece.decode("utf-8"))
                    types.append(kind)
                    if len(pieces) > MAX_PIECES:
                        raise ValueError(f"it has more than {MAX_PIECES} pieces")
                elif number == _NORMALIZER:
                    for inner, value in _varints(raw, begin, end):
                        if inner == _ADD_DUMMY_PREFIX:
                            adds_dummy_prefix = value != 0
                        elif inner == _REMOVE_EXTRA_WHITESPACES:
                            strips_whitespace = value != 0
        except IndexError:
            raise ValueError("it ends early") from None
        except UnicodeDecodeError:
            raise ValueError(f"piece {len(pieces)} is not UTF-8 text") from None
        if not pieces:
            raise ValueError("it has no pieces")
        return cls(raw, tuple(pieces), bytes(types), adds_dummy_prefix, strips_whitespace)

    def without_dummy_prefix(self) -> bytes:
        """Return the same model without its dummy prefix.

        A second normalizer_spec at the end is merged into the first by every protobuf reader.
        """
        return self.raw + b"\x1a\x02\x18\x00"

    def with_controls(self, ids: Collection[int]) -> "SentencePieceProto":
        """Return a copy in which these pieces are CONTROL, so that no text is encoded to them."""
        parts: list[bytes] = []
        types = bytearray(self.types)
        index = copied = 0
        for number, start, _, end in _top_fields(self.raw):
            if number != _PIECES:
                continue
            if index in ids:
                # The last value of a field counts, so the type is put behind what is there.
                body = self.raw[_body(self.raw, start) : end] + bytes((0x18, PieceType.CONTROL))
                parts += (self.raw[copied:start], b"\x0a", _varint(len(body)), body)
                copied = end
                types[index] = PieceType.CONTROL
            index += 1
        parts.append(self.raw[copied:])
        raw = b"".join(parts)
        return SentencePieceProto(
            raw, self.pieces, bytes(types), self.adds_dummy_prefix, self.strips_whitespace
        )


def _top_fields(raw: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, start of the field, begin of its value, end) of each bytes field."""
    position, size = 0, len(raw)
    while position < size:
        start = position
        if raw[position] == 0x0A and raw[position + 1] < 0x80:  # nearly every field: a short piece
            number, begin = _PIECES, position + 2
            end = begin + raw[position + 1]
        else:
            number, wire_type, position = _tag(raw, position)
            begin, end = _value(raw, wire_type, position)
            if wire_type != _BYTES:
                position = end
                continue
        if end > size:
            raise IndexError
        yield number, start, begin, end
        position = end


def _read_piece(raw: bytes, begin: int, end: int) -> tuple[bytes, int]:
    """Return (text, type) of one piece message."""
    if end > begin + 1 and raw[begin] == 0x0A and raw[begin + 1] < 0x80:
        rest = begin + 2 + raw[begin + 1]
        if end - rest == 5 and raw[rest] == 0x15:  # text and score only: a normal piece
            return raw[begin + 2 : rest], PieceType.NORMAL
    text, kind = b"", int(PieceType.NORMAL)
    while begin < end:
        number, wire_type, position = _tag(raw, begin)
        value, begin = _value(raw, wire_type, position)
        if begin > end:
            raise IndexError
        if number == 1 and wire_type == _BYTES:
            text = raw[value:begin]
        elif number == 3 and wire_type == _VARINT:
            kind = _read_varint(raw, position)[0]
    return text, kind


def _varints(raw: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (field number, value) of the integer fields of a message."""
    while begin < end:
        number, wire_type, position = _tag(raw, begin)
        _, begin = _value(raw, wire_type, position)
        if begin > end:
            raise IndexError
        if wire_type == _VARINT:
            yield number, _read_varint(raw, position)[0]


def _tag(raw: bytes, position: int) -> tuple[int, int, int]:
    tag, position = _read_varint(raw, position)
    return tag >> 3, tag & 7, position


def _value(raw: bytes, wire_type: int, position: int) -> tuple[int, int]:
    """Return (begin, end) of a field's value."""
    if wire_type == _BYTES:
        length, position = _read_varint(raw, position)
        return position, position + length
    if wire_type == _VARINT:
        return position, _read_varint(raw, position)[1]
    if wire_type in (_FIXED32, _FIXED64):
        return position, position + (4 if wire_type == _FIXED32 else 8)
    raise ValueError(f"it has a field of unknown kind {wire_type}")


def _body(raw: bytes, start: int) -> int:
    """Return where the value of the bytes field at `start` begins."""
    _, wire_type, position = _tag(raw, start)
    return _value(raw, wire_type, position)[0]


def _read_varint(raw: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = raw[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("it has a number that is too long")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
