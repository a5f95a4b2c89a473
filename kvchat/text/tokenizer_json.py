"""TokenizerJson: a `tokenizer.json` file, checked, and what of it kvchat does itself.

Added tokens are cut out of text by kvchat, ids are decoded by kvchat, so the library is given the
rest only: a copy of the document without added tokens, in which nobody can spell a protected piece.
Knows the file format, and not the library.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kvchat.errors import ModelError
from kvchat.text.tokenizer_files import MAX_TOKEN_ID
from kvchat.untrusted import JsonValue, UntrustedFile, strict_json

_NO_CHARACTER = "\U0010ffff"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
Object = dict[str, JsonValue]


class Blank(Enum):
    """Who puts a blank before the first word of a run of text."""

    AS_WRITTEN = "as written"
    NOT_INSIDE = "not inside"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class TokenizerJson:
    """The checked content of a tokenizer.json."""

    added_tokens: JsonValue
    pieces: tuple[str, ...]
    """The piece of each id, empty where none has that id."""
    ids: Mapping[str, int]
    unk_id: int
    is_byte_level: bool
    has_byte_pieces: bool
    reads_blanks: bool
    """Whether decoding turns U+2581 into a blank."""
    strips_first_blank: bool
    first_special: str | None
    """The token that the file puts before every text, if any."""
    _document: Object

    @classmethod
    def parse(cls, raw: bytes, folder: Path) -> "TokenizerJson":
        """Check the file's bytes.

        Raises UntrustedFile when it is damaged, ModelError when kvchat does not support it.
        """
        document = strict_json(raw, name="tokenizer.json")
        if not isinstance(document, dict):
            raise _damaged("it is not a JSON object")
        model = document.get("model")
        if not isinstance(model, dict):
            raise _damaged("it has no model")
        kind = model.get("type", "BPE" if "merges" in model else None)
        if kind == "BPE":
            ids, unk_id = _read_bpe(model, folder)
        elif kind == "Unigram":
            ids, unk_id = _read_unigram(model)
        else:
            raise _unsupported(folder, f"the model {_shown(kind)}")
        pieces = [""] * (max(ids.values(), default=-1) + 1)
        for piece, token_id in ids.items():
            pieces[token_id] = piece
        if not any(pieces):
            raise _damaged("it has no pieces")
        decoder = _read_decoder(document.get("decoder"), folder)
        is_byte_level = "ByteLevel" in decoder
        return cls(
            added_tokens=document.get("added_tokens"),
            pieces=tuple(pieces),
            ids=ids,
            # Bytes need no piece for what is unknown; some name a token that acts there.
            unk_id=-1 if is_byte_level else unk_id,
            is_byte_level=is_byte_level,
            has_byte_pieces="ByteFallback" in decoder,
            reads_blanks="Replace" in decoder,
            strips_first_blank="Strip" in decoder,
            first_special=_first_special(document.get("post_processor")),
            _document=document,
        )

    def is_byte(self, piece: str) -> bool:
        """Return whether a piece such as <0x0A> stands for a byte."""
        return self.has_byte_pieces and _BYTE.fullmatch(piece) is not None

    def has_variant(self, blank: Blank) -> bool:
        """Return whether the document without these blanks differs from the one as written."""
        return self._settings(blank) != self._settings(Blank.AS_WRITTEN)

    def settings(self, blank: Blank) -> str:
        """Return the document with an empty model, as text for the library."""
        model: Object = {"type": "BPE", "vocab": {}, "merges": []}
        return json.dumps({"version": "1.0", "model": model, **self._settings(blank)})

    def without_added_tokens(self, protected: Collection[int]) -> str:
        """Return the document as text for the library, which encodes runs of text only.

        Pieces with protected ids are renamed to what no text contains; those that other pieces
        merge into have to stay.
        """
        model = self._document["model"]
        assert isinstance(model, dict)
        hidden = {
            self.pieces[token_id]: f"{_NO_CHARACTER}{token_id}{_NO_CHARACTER}"
            for token_id in protected
            if token_id < len(self.pieces) and self.pieces[token_id] and token_id != self.unk_id
        }
        vocab = model["vocab"]
        if isinstance(vocab, dict):
            for pair in _merges(model["merges"]) if hidden else ():
                for piece in (*pair, "".join(pair)):
                    hidden.pop(piece, None)
            vocab = {hidden.get(piece, piece): token_id for piece, token_id in vocab.items()}
        elif isinstance(vocab, list):
            vocab = [
                [hidden.get(self.pieces[token_id], self.pieces[token_id]), entry[1]]
                for token_id, entry in enumerate(vocab)
                if isinstance(entry, list)
            ]
        model = {**model, "vocab": vocab, "dropout": None}
        return json.dumps({"version": "1.0", "model": model, **self._settings(Blank.AS_WRITTEN)})

    def _settings(self, blank: Blank) -> Object:
        normalizer = self._document.get("normalizer")
        pre_tokenizer = self._document.get("pre_tokenizer")
        if blank is not Blank.AS_WRITTEN:
            pre_tokenizer = _without_blank(pre_tokenizer, always=blank is Blank.NEVER)
        if blank is Blank.NEVER:
            normalizer = _without_prepend(normalizer)
        return {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}


def _read_bpe(model: Object, folder: Path) -> tuple[dict[str, int], int]:
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise _damaged("its vocabulary is not a JSON object")
    ids: dict[str, int] = {}
    for piece, token_id in vocab.items():
        if not isinstance(token_id, int) or isinstance(token_id, bool):
            raise _damaged(f"the piece {_shown(piece)} has no id")
        if not 0 <= token_id <= MAX_TOKEN_ID:
            raise _damaged(f"the piece {_shown(piece)} has id {token_id}, which is not an id")
        ids[piece] = token_id
    if len(set(ids.values())) != len(ids):
        raise _damaged("two pieces have the same id")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise _unsupported(folder, f"BPE with {name}")
    if not isinstance(model.get("merges"), list):
        raise _damaged("its merges are not a list")
    unk = model.get("unk_token")
    return ids, ids.get(unk, -1) if isinstance(unk, str) else -1


def _read_unigram(model: Object) -> tuple[dict[str, int], int]:
    vocab = model.get("vocab")
    if not isinstance(vocab, list):
        raise _damaged("its vocabulary is not a list")
    ids: dict[str, int] = {}
    for token_id, entry in enumerate(vocab):
        piece = entry[0] if isinstance(entry, list) and len(entry) == 2 else None
        if not isinstance(piece, str) or not isinstance(entry, list):
            raise _damaged(f"piece {token_id} is not a text and a score")
        if piece in ids:
            raise _damaged(f"the piece {_shown(piece)} appears twice")
        ids[piece] = token_id
    unk_id = model.get("unk_id")
    if unk_id is None:
        return ids, -1
    if not isinstance(unk_id, int) or not 0 <= unk_id < len(ids):
        raise _damaged(f"unk_id is {_shown(unk_id)}, which names no piece")
    return ids, unk_id


def _merges(merges: JsonValue) -> Iterator[tuple[str, str]]:
    """Yield the pairs that BPE merges; anything else in the list the library will refuse."""
    for merge in merges if isinstance(merges, list) else ():
        match merge.split(" ") if isinstance(merge, str) else merge:
            case [str(first), str(second)]:
                yield first, second


def _read_decoder(decoder: JsonValue, folder: Path) -> set[str]:
    """Return which steps the decoder takes: ByteLevel, or Replace, ByteFallback, Fuse and Strip."""
    steps: set[str] = set()
    listed = [decoder]
    if isinstance(decoder, dict) and decoder.get("type") == "Sequence":
        inner = decoder.get("decoders")
        listed = inner if isinstance(inner, list) else [None]
    for step in listed:
        if not isinstance(step, dict):
            raise _unsupported(folder, "a missing decoder")
        match step:
            case {"type": "ByteLevel" | "ByteFallback" | "Fuse" as kind}:
                steps.add(str(kind))
            case {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}:
                steps.add("Replace")
            case {"type": "Strip", "content": " ", "start": 1, "stop": 0} if "Fuse" in steps:
                steps.add("Strip")
            case {"type": "Metaspace", "replacement": "\u2581"}:
                steps.add("Replace")
                if _puts_prefix(step):
                    steps.add("Strip")
            case _:
                raise _unsupported(folder, f"the decoder {_shown(step.get('type'))}")
    if not steps & {"ByteLevel", "Replace"} or steps > {"ByteLevel"}:
        raise _unsupported(folder, f"the decoder {' and '.join(sorted(steps)) or 'without steps'}")
    return steps


def _puts_prefix(metaspace: Mapping[str, JsonValue]) -> bool:
    scheme = metaspace.get("prepend_scheme")
    if scheme is None:  # files of older versions
        return metaspace.get("add_prefix_space") is not False
    return scheme != "never"


def _without_blank(step: JsonValue, *, always: bool) -> JsonValue:
    """Return a pre-tokenizer that puts no blank before a run that does not start the text.

    With `always` also none where the file wants one before every run.
    """
    if not isinstance(step, dict):
        return step
    match step.get("type"):
        case "Sequence":
            inner = step.get("pretokenizers")
            steps = inner if isinstance(inner, list) else []
            return {
                **step,
                "pretokenizers": [_without_blank(each, always=always) for each in steps],
            }
        case "Metaspace" if always or step.get("prepend_scheme") == "first":
            return {**step, "prepend_scheme": "never", "add_prefix_space": False}
        case "ByteLevel" if always:
            return {**step, "add_prefix_space": False}
    return step


def _without_prepend(step: JsonValue) -> JsonValue:
    """Return a normalizer that puts nothing before a run."""
    if not isinstance(step, dict):
        return step
    if step.get("type") == "Prepend":
        return None
    if step.get("type") == "Sequence":
        inner = step.get("normalizers")
        steps = [_without_prepend(each) for each in inner] if isinstance(inner, list) else []
        return {**step, "normalizers": [each for each in steps if each is not None]}
    return step


def _first_special(processor: JsonValue) -> str | None:
    """Return the special token that a post-processor puts before a text."""
    if not isinstance(processor, dict):
        return None
    inner = processor.get("processors")
    for each in inner if isinstance(inner, list) else []:
        if (found := _first_special(each)) is not None:
            return found
    single = processor.get("single")
    match single[0] if isinstance(single, list) and single else None:
        case {"SpecialToken": {"id": str(name)}}:
            return name
    return None


def _damaged(why: str) -> UntrustedFile:
    return UntrustedFile(f"tokenizer.json is damaged: {why}.")


def _unsupported(folder: Path, what: str) -> ModelError:
    return ModelError(
        f"Cannot load {folder}: tokenizer.json: {what} is not supported.", code="tokenizer_kind"
    )


def _shown(value: object) -> str:
    return ascii(value if not isinstance(value, str) or len(value) <= 40 else value[:37] + "...")
