"""SentencePieceModel: runs of text <-> ids by a `tokenizer.model` file; the door to its library.

The rules for dummy prefixes are those under which published models were trained; they follow the
behavior of the Hugging Face `LlamaTokenizer` (legacy and not) and `GemmaTokenizer`.
"""

import re
from collections.abc import Collection
from functools import cached_property

import sentencepiece

from kvchat.text.detokenizer import ONE_MARK_PER_BYTE
from kvchat.text.piece_model import BLANK, Place
from kvchat.text.sentencepiece_proto import PieceType, SentencePieceProto
from kvchat.text.tokenizer_files import TokenizerFiles


class SentencePieceModel:
    """A SentencePiece model as one folder uses it; see PieceModel."""

    error_handler = ONE_MARK_PER_BYTE
    adds_bos = True

    def __init__(self, proto: SentencePieceProto, files: TokenizerFiles) -> None:
        """Raises RuntimeError when the library refuses the model, ValueError when we do."""
        self._proto = proto
        self._model = sentencepiece.SentencePieceProcessor(model_proto=proto.raw)
        self._model_without_prefix = self._model
        if proto.adds_dummy_prefix:
            self._model_without_prefix = sentencepiece.SentencePieceProcessor(
                model_proto=proto.without_dummy_prefix()
            )
        is_gemma = files.tokenizer_class.startswith("Gemma")
        self._prefixes_each_run = files.legacy or is_gemma
        self._prefixes_text = not self._prefixes_each_run and files.add_prefix_space
        unk_token = files.named.get("unk_token")
        self._shield = "<unk>" if unk_token is None else unk_token.content
        self._protected: Collection[int] = ()
        self.pieces = proto.pieces
        self.types = proto.types
        self.unk_id: int = self._model.unk_id()
        if not 0 <= self.unk_id < len(self.pieces):
            raise ValueError("it has no unknown piece")
        names = (
            ("bos_token", self._model.bos_id()),
            ("eos_token", self._model.eos_id()),
            ("unk_token", self._model.unk_id()),
            ("pad_token", self._model.pad_id()),
        )
        self.own_names = tuple(pair for pair in names if 0 <= pair[1] < len(self.pieces))
        self.reads_blanks = not self._prefixes_each_run
        adds_prefix = proto.adds_dummy_prefix if self._prefixes_each_run else self._prefixes_text
        self.strips_first_blank = adds_prefix

    def piece_id(self, content: str) -> int | None:
        """Return the id of the piece that is exactly this text, or None."""
        if any(0xD800 <= ord(character) < 0xE000 for character in content):
            return None  # no piece has a lone surrogate, and the library raises on it
        token_id = int(self._model.piece_to_id(content))
        return token_id if self.pieces[token_id] == content else None

    def protect(self, ids: Collection[int]) -> None:
        """Learn which ids user text must never become; raises nothing."""
        self._protected = ids

    def encode(self, text: str, place: Place, *, safe: bool) -> list[int]:
        """Return the ids of a run of text; with `safe` none of them is protected."""
        ids = self._encode(text, place, safe=safe)
        # A prefix alone before an added token was never part of what models were trained on.
        if place.starts_text and place.before_token and self._prefixes_text and len(ids) == 1:
            return [] if self.pieces[ids[0]] == BLANK else ids
        return ids

    def entries(self, *, raw: bool) -> list[str | bytes]:
        """Return what each id gives; byte pieces are bytes, U+2581 is a blank."""
        entries: list[str | bytes] = []
        for piece, kind in zip(self.pieces, self.types, strict=True):
            if kind == PieceType.CONTROL:
                entries.append(piece if raw else "")
            elif kind == PieceType.BYTE:
                entries.append(_byte(piece))
            else:
                entries.append(piece.replace(BLANK, " "))
        if not raw:
            entries[self.unk_id] = self._model.decode([self.unk_id])
        return entries

    def _encode(self, text: str, place: Place, *, safe: bool) -> list[int]:
        if safe:
            plain, without_prefix = self._safe_models
        else:
            plain, without_prefix = self._model, self._model_without_prefix
        if self._prefixes_each_run:
            return _ids(without_prefix if place.follows_text else plain, text)
        text = text.replace(BLANK, " ")
        if place.starts_text and self._prefixes_text:
            text = BLANK + text
        if not self._proto.strips_whitespace or not text.startswith((BLANK, " ")):
            return _ids(without_prefix, text)
        # The model would drop the leading blanks: hide them behind a text that is cut off again.
        shield_ids = _ids(without_prefix, self._shield)
        ids = _ids(without_prefix, self._shield + text)
        if ids[: len(shield_ids)] != shield_ids:
            return _ids(without_prefix, text)
        return ids[len(shield_ids) :]

    @cached_property
    def _safe_models(
        self,
    ) -> tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor]:
        """The model, with and without prefix, unable to make a protected id; only encodes."""
        parsed = (PieceType.NORMAL, PieceType.USER_DEFINED)
        size = len(self.types)
        proto = self._proto.with_controls(
            {each for each in self._protected if each < size and self.types[each] in parsed}
        )
        plain = sentencepiece.SentencePieceProcessor(model_proto=proto.raw)
        return plain, sentencepiece.SentencePieceProcessor(model_proto=proto.without_dummy_prefix())


def _ids(model: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    ids: list[int] = model.encode(text)
    return ids


def _byte(piece: str) -> bytes:
    """Return the byte of a piece such as <0x0A>; raises ValueError when it is no byte."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", piece) is None:
        raise ValueError(f"the byte piece {piece[:20]!a} names no byte")
    return bytes((int(piece[3:5], 16),))
