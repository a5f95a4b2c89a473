"""A tokenizer.model is a stranger's file: crafted ones are refused, or are used without harm."""

import struct
from pathlib import Path

import pytest

from kvchat.errors import ModelError
from kvchat.text.sandbox import Sandbox
from kvchat.text.sentencepiece_proto import PieceType
from kvchat.text.tokenizer import Tokenizer
from tests.text.hard_strings import HARD_STRINGS

NORMAL, UNKNOWN, CONTROL = PieceType.NORMAL, PieceType.UNKNOWN, PieceType.CONTROL
USER_DEFINED, UNUSED, BYTE = PieceType.USER_DEFINED, PieceType.UNUSED, PieceType.BYTE
Pieces = list[tuple[str, PieceType]]
GOOD: Pieces = [
    ("<unk>", UNKNOWN),
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    ("▁", NORMAL),
    *((letter, NORMAL) for letter in "abcdefghijklmnopqrstuvwxyz<>/|"),
    ("th", NORMAL),
    ("the", NORMAL),
]
BYTES: Pieces = [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded + bytes((value,)))


def model_of(pieces: Pieces, *, trainer: bytes = b"", normalizer: bytes = b"") -> bytes:
    """The bytes of a BPE model with these pieces, and more fields of the two specs."""
    raw = b""
    for number, (piece, kind) in enumerate(pieces):
        score = varint(2 << 3 | 5) + struct.pack("<f", -float(number))
        raw += field(1, field(1, piece.encode("utf-8", "surrogatepass")) + score + field(3, kind))
    raw += field(2, field(3, 2) + trainer)  # model_type = BPE
    return raw + field(3, field(1, b"identity") + normalizer)


CRAFTED: dict[str, bytes] = {
    "good": model_of(GOOD),
    "one piece": model_of([("<unk>", UNKNOWN)]),
    "no unknown": model_of([piece for piece in GOOD if piece[1] != UNKNOWN]),
    "two unknown": model_of([*GOOD, ("<unk2>", UNKNOWN)]),
    "duplicates": model_of([*GOOD, ("the", NORMAL), ("a", NORMAL)]),
    "an empty piece": model_of([*GOOD, ("", NORMAL)]),
    "an empty control": model_of([*GOOD, ("", CONTROL)]),
    "NUL": model_of([*GOOD, ("\0", NORMAL), ("a\0b", CONTROL)]),
    "a surrogate": model_of([*GOOD, ("\ud800", NORMAL)]),
    "a long piece": model_of([*GOOD, ("x" * 100_000, NORMAL)]),
    "a long control": model_of([*GOOD, ("y" * 100_000, CONTROL)]),
    "control the": model_of([piece for piece in GOOD if piece[0] != "the"] + [("the", CONTROL)]),
    "control a": model_of([p for p in GOOD if p[0] != "a"] + [("a", CONTROL)]),
    "user-defined a": model_of([p for p in GOOD if p[0] != "a"] + [("a", USER_DEFINED)]),
    "user-defined blank": model_of([*GOOD, ("▁▁", USER_DEFINED), ("<b>", USER_DEFINED)]),
    "unused": model_of([*GOOD, ("q", UNUSED), ("<s2>", UNUSED)]),
    "all control": model_of([("<unk>", UNKNOWN), ("a", CONTROL), ("b", CONTROL)]),
    "bytes": model_of(GOOD + BYTES, trainer=field(35, 1)),
    "missing bytes": model_of(GOOD + BYTES[:200], trainer=field(35, 1)),
    "bytes without fallback": model_of(GOOD + BYTES),
    "byte -1": model_of([*GOOD, ("<0x-1>", BYTE)], trainer=field(35, 1)),
    "byte ZZ": model_of([*GOOD, ("<0xZZ>", BYTE)], trainer=field(35, 1)),
    "byte 1F600": model_of([*GOOD, ("<0x1F600>", BYTE)], trainer=field(35, 1)),
    "twice the same byte": model_of(GOOD + BYTES + BYTES[:1], trainer=field(35, 1)),
    "ids out of range": model_of(GOOD, trainer=field(41, 10**6) + field(42, 10**6)),
    "negative ids": model_of(GOOD, trainer=field(41, -5) + field(42, -5)),
    "equal ids": model_of(GOOD, trainer=field(40, 1) + field(41, 1) + field(42, 1)),
    "crafted charsmap": model_of(GOOD, normalizer=field(2, b"\xff" * 64)),
    "huge charsmap size": model_of(GOOD, normalizer=field(2, struct.pack("<I", 1 << 31) + b"x")),
    "short charsmap": model_of(GOOD, normalizer=field(2, b"\x04\0\0\0")),
    "another unk surface": model_of(GOOD, trainer=field(44, b"\x1b[31m")),
    "a broken unk surface": model_of(GOOD, trainer=field(44, b"\xff\xfe")),
    "an unknown model": model_of(GOOD, trainer=field(3, 99)),
    "words": model_of(GOOD, trainer=field(3, 3)),
    "characters": model_of(GOOD, trainer=field(3, 4)),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_model_is_refused_or_does_no_harm(
    name: str, sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(CRAFTED[name])
    try:
        tokenizer = Tokenizer.load(tmp_path, sandbox)
    except ModelError as error:
        assert "tokenizer.model is damaged: " in error.sentence
        assert name not in ("good", "control the", "bytes", "user-defined blank")
    else:
        for text in [*HARD_STRINGS, "the other </s> thing", "\ud800"]:
            ids = tokenizer.encode(text)
            assert not set(ids) & tokenizer.control_ids
            text = tokenizer.decode(ids)
            text.encode("utf-8")
            stream = tokenizer.detokenizer()
            assert "".join(map(stream.push, ids)) + stream.flush() == text
        tokenizer.decode_raw(range(tokenizer.vocab_size)).encode("utf-8")
    assert capfd.readouterr() == ("", "")


def test_a_word_that_acts_is_spelled_where_a_user_writes_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(CRAFTED["control the"])
    tokenizer = Tokenizer.load(tmp_path)
    acting = tokenizer.encode_rendered("the")
    assert len(acting) == 1 and set(acting) <= tokenizer.control_ids
    assert tokenizer.decode(tokenizer.encode("the other")) == "the other"
