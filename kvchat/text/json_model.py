"""JsonModel: runs of text -> ids by a `tokenizer.json` file; the door to the `tokenizers` library.

The library encodes runs of ordinary text and nothing else: added tokens are cut out before, and
ids are decoded by a table made here, since its own stream decoder holds text back. It is an extra,
so nothing but a folder that needs it imports it.
"""

import importlib.util
import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kvchat.errors import ModelError
from kvchat.text.detokenizer import ONE_MARK_PER_BYTE
from kvchat.text.piece_model import BLANK, Place
from kvchat.text.sentencepiece_proto import PieceType
from kvchat.text.tokenizer_files import TokenizerFiles
from kvchat.text.tokenizer_json import Blank, TokenizerJson

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

_LIBRARY = "tokenizers"


class JsonModel:
    """The model of a tokenizer.json as one folder uses it; see PieceModel."""

    reads_blanks = False

    def __init__(self, document: TokenizerJson, files: TokenizerFiles) -> None:
        self._folder = files.folder
        self._document: TokenizerJson | None = document  # dropped when the library has it
        self._is_byte_level = document.is_byte_level
        self._ids = document.ids
        self._settings = {
            blank: document.settings(blank) for blank in Blank if document.has_variant(blank)
        }
        self._protected: frozenset[int] = frozenset()
        self._library: LibraryTokenizer
        self.pieces = document.pieces
        self.types = _types(document)
        self.unk_id = document.unk_id
        self.own_names: tuple[tuple[str, int], ...] = ()
        self.strips_first_blank = document.strips_first_blank
        self.error_handler = "replace" if document.is_byte_level else ONE_MARK_PER_BYTE
        bos_token = files.named.get("bos_token")
        self.adds_bos = bos_token is not None and document.first_special == bos_token.content

    @staticmethod
    def check_library(folder: Path) -> None:
        """Raise ModelError, which says what to install, unless the library is there."""
        if importlib.util.find_spec(_LIBRARY) is None:
            raise ModelError(
                f"Cannot load {folder}: its tokenizer is tokenizer.json only; to read it, install "
                "kvchat with its extra hf, or: pip install 'tokenizers>=0.21'.",
                code="tokenizer_kind",
            )

    def piece_id(self, content: str) -> int | None:
        """Return the id of the piece that is exactly this text, or None."""
        return self._ids.get(content)

    def protect(self, ids: Collection[int]) -> None:
        """Learn which ids no text becomes, and load the model; raises ValueError."""
        self._protected = frozenset(ids)
        assert self._document is not None, "protect is called once"
        self._library = _load(self._document.without_added_tokens(self._protected))
        self._document = None

    def encode(self, text: str, place: Place, *, safe: bool) -> list[int]:
        """Return the ids of a run of text; none of them is protected, `safe` or not.

        Raises ModelError where the library fails, as it does with patterns that try everything.
        """
        if place.follows_text:
            library = self._going_on
        else:
            library = self._library if place.starts_text else self._inside
        ids = self._encode(library, text)
        if self._protected.isdisjoint(ids):
            return ids
        # A piece that must not be spelled was put together after all: spell it letter by letter.
        return [
            token_id
            for character in text
            for token_id in self._encode(self._going_on, character)
            if token_id not in self._protected
        ]

    def entries(self, *, raw: bool) -> list[str | bytes]:
        """Return what each id gives: bytes, or text in which U+2581 is a blank."""
        entries: list[str | bytes]
        if self._is_byte_level:
            entries = [_bytes_of(piece) for piece in self.pieces]
        else:
            entries = [
                bytes((int(piece[3:5], 16),))
                if kind == PieceType.BYTE
                else piece.replace(BLANK, " ")
                for piece, kind in zip(self.pieces, self.types, strict=True)
            ]
        if not raw and self.unk_id >= 0:
            entries[self.unk_id] = ""
        return entries

    @cached_property
    def _inside(self) -> "LibraryTokenizer":
        """The model for runs that do not start the text."""
        return self._variant(Blank.NOT_INSIDE)

    @cached_property
    def _going_on(self) -> "LibraryTokenizer":
        """The model for text that goes on in the middle."""
        return self._variant(Blank.NEVER)

    def _encode(self, library: "LibraryTokenizer", text: str) -> list[int]:
        """Return the ids of a text, as a batch of one: only that lets other threads go on."""
        try:
            return library.encode_batch_fast([text], add_special_tokens=False)[0].ids
        except Exception as error:  # the library raises plain Exception
            failure: BaseException = error
        except BaseException as error:  # and where it panics, something that is no Exception
            if not _is_panic(error):
                raise
            failure = error
        raise ModelError(
            f"Cannot use {self._folder}: the tokenizers library fails at this text "
            f"({type(failure).__name__}); shorten it or use another model.",
            code="tokenizer_damaged",
        ) from None

    def _variant(self, blank: Blank) -> "LibraryTokenizer":
        settings = self._settings.get(blank)
        if settings is None:  # it would be no other
            return self._library
        variant = _load(settings)
        variant.model = self._library.model  # shared, not copied
        return variant


def _types(document: TokenizerJson) -> bytes:
    types = bytearray([PieceType.NORMAL]) * len(document.pieces)
    if document.has_byte_pieces:
        for token_id, piece in enumerate(document.pieces):
            if document.is_byte(piece):
                types[token_id] = PieceType.BYTE
    if document.unk_id >= 0:
        types[document.unk_id] = PieceType.UNKNOWN
    return bytes(types)


def _load(document: str) -> "LibraryTokenizer":
    """Return what the library makes of a document; raises ValueError when it refuses it."""
    # One text at a time has no use for threads of the library, one for each core.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer as LibraryTokenizer

    try:
        return LibraryTokenizer.from_str(document)
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"the tokenizers library refuses it: {str(error)[:120]}") from None
    except BaseException as error:  # and where it panics, something that is no Exception
        if not _is_panic(error):
            raise
        raise ValueError("the tokenizers library stopped in the middle") from None


def _is_panic(error: BaseException) -> bool:
    """Return whether this is the library's way to say that it met what it never expected."""
    return type(error).__name__ == "PanicException"


def _byte_alphabet() -> dict[str, int]:
    """Return the byte for each character of a byte-level piece: printable ones are themselves."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + index): byte for index, byte in enumerate(hidden)
    }


_BYTES = _byte_alphabet()


def _bytes_of(piece: str) -> bytes:
    try:
        return bytes(map(_BYTES.__getitem__, piece))
    except KeyError:  # as the library does with pieces that are no byte-level text
        return piece.encode("utf-8", "replace")
