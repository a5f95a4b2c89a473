from pathlib import Path

import pytest
import sentencepiece

from kvchat.text.sentencepiece_proto import PieceType, SentencePieceProto


@pytest.mark.parametrize("kind", ["own", "legacy", "gemma", "strict"])
def test_the_pieces_are_those_the_library_reads(kind: str, folders: dict[str, Path]) -> None:
    raw = (folders[kind] / "tokenizer.model").read_bytes()
    proto = SentencePieceProto.parse(raw)
    library = sentencepiece.SentencePieceProcessor(model_proto=raw)
    ids = range(library.vocab_size())
    assert list(proto.pieces) == [library.id_to_piece(i) for i in ids]
    for kind_name, ask in (
        (PieceType.CONTROL, library.IsControl),
        (PieceType.BYTE, library.IsByte),
        (PieceType.UNKNOWN, library.IsUnknown),
        (PieceType.UNUSED, library.IsUnused),
    ):
        assert [proto.types[i] == kind_name for i in ids] == [ask(i) for i in ids]


def test_user_defined_pieces_and_switches_are_read(folders: dict[str, Path]) -> None:
    gemma = SentencePieceProto.parse((folders["gemma"] / "tokenizer.model").read_bytes())
    kinds = dict(zip(gemma.pieces, gemma.types, strict=True))
    assert kinds["<start_of_turn>"] == PieceType.USER_DEFINED
    assert kinds["H"] == PieceType.NORMAL
    assert not gemma.adds_dummy_prefix and not gemma.strips_whitespace
    strict = SentencePieceProto.parse((folders["strict"] / "tokenizer.model").read_bytes())
    assert strict.adds_dummy_prefix and strict.strips_whitespace


def test_the_appended_switch_takes_the_dummy_prefix_away(folders: dict[str, Path]) -> None:
    proto = SentencePieceProto.parse((folders["legacy"] / "tokenizer.model").read_bytes())
    raw = proto.without_dummy_prefix()
    assert not SentencePieceProto.parse(raw).adds_dummy_prefix
    library = sentencepiece.SentencePieceProcessor(model_proto=raw)
    assert library.encode("hello", out_type=str)[0].startswith("h")


def test_a_retyped_piece_is_never_encoded(folders: dict[str, Path]) -> None:
    proto = SentencePieceProto.parse((folders["gemma"] / "tokenizer.model").read_bytes())
    turn = proto.pieces.index("<start_of_turn>")
    word = next(i for i, piece in enumerate(proto.pieces) if piece == "the")
    changed = proto.with_controls({turn, word})
    library = sentencepiece.SentencePieceProcessor(model_proto=changed.raw)
    ids = library.encode("the <start_of_turn> there")
    assert not {turn, word} & set(ids)
    assert library.decode(ids) == "the <start_of_turn> there"
    assert SentencePieceProto.parse(changed.raw) == changed


def test_every_truncation_is_refused_or_shorter(folders: dict[str, Path]) -> None:
    raw = (folders["own"] / "tokenizer.model").read_bytes()
    whole = len(SentencePieceProto.parse(raw).pieces)
    for size in range(0, len(raw), 37):
        try:
            assert len(SentencePieceProto.parse(raw[:size]).pieces) <= whole
        except ValueError as error:
            assert "it" in str(error) or "piece" in str(error)


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        SentencePieceProto.parse(b"\x12" + b"\xff" * 20)
