"""Tokenizer: text <-> token ids for a model folder, whichever tokenizer file it has.

Two ways in. `encode` takes text as text: whatever a user writes, no control token comes out.
`encode_rendered` takes the output of a chat template, in which control tokens are real and user
text was masked by `mask` before: each look-alike of a control token stands as one private
character, which no template can split or change, and is spelled out again as ordinary pieces.
Knows nothing of templates, messages or files other than through TokenizerFiles.
"""

import codecs
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from kvchat.errors import ModelError
from kvchat.text.added_tokens import TokenCutter
from kvchat.text.control_set import ControlSet, clean
from kvchat.text.detokenizer import StreamDetokenizer, TokenTable, decode_all
from kvchat.text.json_model import JsonModel
from kvchat.text.piece_model import BLANK, PieceModel, Place
from kvchat.text.sentencepiece_model import SentencePieceModel
from kvchat.text.sentencepiece_proto import PieceType, SentencePieceProto
from kvchat.text.tokenizer_files import (
    MAX_MODEL_BYTES,
    MAX_TOKENIZER_JSON_BYTES,
    TokenizerFiles,
    model_error,
)
from kvchat.text.tokenizer_json import TokenizerJson
from kvchat.untrusted import FileMissing, UntrustedFile, read_regular


class FirstLoad(Protocol):
    """Loads a stranger's tokenizer file where a crash does no harm, as `Sandbox` does."""

    def check_tokenizer(self, kind: str, raw: bytes) -> str | None:
        """Return why a file of a kind ('model' or 'json') cannot be loaded, or None."""


class Tokenizer:
    """The tokenizer of one model folder; immutable, for any thread."""

    def __init__(
        self, files: TokenizerFiles, model: PieceModel, num_rows: int | None = None
    ) -> None:
        """Use `Tokenizer.load`; raises ValueError when the model cannot be used, or ModelError."""
        self.folder = files.folder
        self._model = model
        self._controls = controls = ControlSet(files, model, num_rows)
        self._added = controls.added
        self.adds_bos: bool = model.adds_bos if files.adds_bos is None else files.adds_bos
        """Whether plain text (not a rendered template) should begin with bos."""
        self.named_tokens: dict[str, str] = controls.texts_of_names
        """bos_token, eos_token, ... as the text a template writes."""
        self.vocab_size: int = max(len(model.pieces), *(token.id + 1 for token in self._added), 1)
        """One more than the highest token id."""
        self.bos_id: int | None = self._id_of("bos_token")
        self.eos_id: int | None = self._id_of("eos_token")
        self.pad_id: int | None = self._id_of("pad_token")
        self.unk_id: int = model.unk_id
        self.control_ids: frozenset[int] = controls.ids
        """Ids that user text never becomes. The id of unknown characters is not one of them."""
        self.control_tokens: tuple[str, ...] = controls.texts
        """The text of every control token; index i is masked as U+105000 + i."""

        # Hard tokens are cut out of text first; soft ones (user-defined pieces) are parsed by the
        # library itself, unless text of a user stands in the same run.
        hard = (*controls.others, *controls.hard)
        self._others = TokenCutter(controls.others)
        self._cutter = TokenCutter(hard)
        self._soft_cutter = TokenCutter(controls.soft)
        self._all_cutter = TokenCutter([*hard, *controls.soft])
        self._blanks_first = model.reads_blanks and not any(
            BLANK in token.content for token in (*hard, *controls.soft)
        )
        self._hard_ids = frozenset(token.id for token in hard)
        self._rstrip_ids = frozenset(token.id for token in hard if token.rstrip)
        model.protect(controls.ids)
        self._content_table = self._make_table(raw=False)

    @classmethod
    def load(
        cls, folder: Path, first_load: FirstLoad | None = None, num_rows: int | None = None
    ) -> "Tokenizer":
        """Load the tokenizer of a model folder; raises ModelError with one sentence.

        `first_load` parses the file in another process before this one does, so that a crafted
        file cannot take this one down; leave it out for files that are trusted. `num_rows` is the
        number of ids the language model knows. A `tokenizer.model` is used rather than a
        `tokenizer.json`, unless it is no SentencePiece file.
        """
        cls.check_folder(folder)
        has_json = os.path.lexists(folder / "tokenizer.json")
        try:
            raw = read_regular(folder / "tokenizer.model", MAX_MODEL_BYTES)
        except FileMissing:
            return cls._load_json(folder, first_load, num_rows)
        except UntrustedFile as error:
            raise model_error(folder, error.sentence) from error
        try:
            proto = SentencePieceProto.parse(raw)
        except ValueError as error:
            if has_json:  # other tokenizers, such as tiktoken, have files of that name
                return cls._load_json(folder, first_load, num_rows)
            raise model_error(folder, f"tokenizer.model is damaged: {error}.") from error
        files = TokenizerFiles.read(folder)
        try:
            if first_load is not None:
                _ask(first_load, "model", raw)
            tokenizer = cls(files, SentencePieceModel(proto, files), num_rows)
            tokenizer.encode("a 1")
        except ValueError as error:
            raise model_error(folder, f"tokenizer.model is damaged: {error}.") from error
        except RuntimeError as error:  # its text names a line of the library
            raise model_error(
                folder, "tokenizer.model is damaged: the SentencePiece library refuses it."
            ) from error
        return tokenizer

    @staticmethod
    def check_folder(folder: Path) -> None:
        """Raise ModelError when a folder has no tokenizer, or one that needs another package.

        Takes no time; what is in the files is found out by `load`.
        """
        if os.path.lexists(folder / "tokenizer.model"):
            return
        if not os.path.lexists(folder / "tokenizer.json"):
            raise ModelError(
                f"Cannot load {folder}: no tokenizer.model or tokenizer.json.",
                code="tokenizer_missing",
            )
        JsonModel.check_library(folder)

    @classmethod
    def _load_json(
        cls, folder: Path, first_load: FirstLoad | None, num_rows: int | None
    ) -> "Tokenizer":
        JsonModel.check_library(folder)
        try:
            raw = read_regular(folder / "tokenizer.json", MAX_TOKENIZER_JSON_BYTES)
            raw = raw.removeprefix(codecs.BOM_UTF8)  # the library that reads it next knows none
            document = TokenizerJson.parse(raw, folder)
        except UntrustedFile as error:
            raise model_error(folder, error.sentence) from error
        files = TokenizerFiles.read(folder, document.added_tokens or [])
        try:
            if first_load is not None:
                _ask(first_load, "json", raw)
            tokenizer = cls(files, JsonModel(document, files), num_rows)
            tokenizer.encode("a 1")
        except ValueError as error:
            raise model_error(folder, f"tokenizer.json is damaged: {error}.") from error
        return tokenizer

    # -- text to ids ---------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text, without bos; never a control id, whatever it says."""
        return self.encode_rendered(self.mask(text))

    def encode_rendered(self, text: str) -> list[int]:
        """Return the ids of a whole rendered prompt, in which user text is masked."""
        return self._encode(self._prepare(text), at_start=True, follows_text=False)

    def encode_continuation(self, text: str, last_id: int) -> list[int]:
        """Return the ids of rendered text that goes on behind ids that end with `last_id`."""
        text = self._prepare(text)
        if last_id in self._rstrip_ids:
            text = text.lstrip()
        return self._encode(text, at_start=False, follows_text=last_id not in self._hard_ids)

    def mask(self, text: str, *, of_reply: bool = False) -> str:
        """Return a user's text with each look-alike of a control token as one private character.

        Characters that would be mistaken for such a mask, and lone surrogates, become U+FFFD. In a
        reply of the model, reasoning tags stay as they are, since templates look for them.
        """
        return self._controls.mask(text, of_reply=of_reply)

    def unmask(self, text: str) -> str:
        """Return text in which every private character is the text it stands for."""
        return self._controls.unmask(text)

    def control_spans(self, text: str) -> list[tuple[int, int, int]]:
        """Return (start, end, id) of each control token of rendered text, in order.

        A span covers the white space that the token eats. The token for unknown characters is
        left out, since its id can also come from ordinary text.
        """
        return [
            (segment.start, segment.end, segment.token.id)
            for segment in self._all_cutter.cut(self._prepare(text))
            if segment.token is not None and segment.token.id in self.control_ids
        ]

    def _prepare(self, text: str) -> str:
        """Return text as it is cut, of the same length; a token may eat any written blank."""
        text = clean(text)
        return text.replace(BLANK, " ") if self._blanks_first else text

    def _encode(self, text: str, *, at_start: bool, follows_text: bool) -> list[int]:
        ids: list[int] = []
        segments = self._cutter.cut(text)
        for index, segment in enumerate(segments):
            if segment.token is not None:
                ids.append(segment.token.id)
                continue
            is_first = index == 0
            place = Place(
                starts_text=is_first and at_start,
                follows_text=is_first and follows_text,
                before_token=index + 1 < len(segments),
            )
            ids += self._encode_run(segment.text, place)
        return ids

    def _encode_run(self, run: str, place: Place) -> list[int]:
        """Encode text between hard tokens; a look-alike in it is spelled with ordinary pieces."""
        if not self._controls.has_masks(run):
            return self._model.encode(run, place, safe=False)
        ids: list[int] = []
        follows_text = place.follows_text
        for part in self._soft_cutter.cut(run):
            if part.token is not None:
                ids.append(part.token.id)
                follows_text = True
                continue
            for segment in self._others.cut(self.unmask(part.text)):
                if segment.token is not None:
                    ids.append(segment.token.id)
                    follows_text = False
                else:
                    here = Place(place.starts_text and not ids, follows_text)
                    ids += self._model.encode(segment.text, here, safe=True)
                    follows_text = True
        return ids

    # -- ids to text ---------------------------------------------------------------------------

    def decode(self, ids: Iterable[int]) -> str:
        """Return the content of a text: special tokens and one leading prefix blank dropped."""
        return decode_all(self._content_table, ids)

    def decode_raw(self, ids: Sequence[int]) -> str:
        """Return the text that ids stand for inside a rendered prompt.

        Special tokens and the leading blank stay, and a control token that was only spelled is
        masked, so `control_spans` of the result finds exactly the control ids.
        """
        parts: list[str] = []
        start = 0
        for index, token_id in enumerate(ids):
            if token_id in self.control_ids:
                parts.append(
                    self.mask(decode_all(self._raw_table, ids[start:index]), of_reply=True)
                )
                entry = self._raw_table.entry(token_id)
                parts.append(entry if isinstance(entry, str) else entry.decode("utf-8", "replace"))
                start = index + 1
        parts.append(self.mask(decode_all(self._raw_table, ids[start:]), of_reply=True))
        return "".join(parts)

    def begins_with_prefix(self, ids: Iterable[int]) -> bool:
        """Return whether the first blank of these ids is none that `decode` shows.

        It is the one that a model with a prefix puts before every first word.
        """
        table = self._content_table
        for token_id in ids:
            if entry := table.entry(token_id):
                return entry[0] == " " and bool(table.drops_blank[token_id])
        return False

    def detokenizer(self, stop: Sequence[str] = ()) -> StreamDetokenizer:
        """Return a fresh detokenizer for one reply, which ends before any of the stop strings."""
        return StreamDetokenizer(self._content_table, stop)

    @cached_property
    def token_bytes_table(self) -> tuple[bytes, ...]:
        """The UTF-8 bytes every id adds to a text, in the raw form, where control tokens show."""
        return tuple(
            entry if isinstance(entry, bytes) else entry.encode("utf-8")
            for entry in self._raw_table.entries
        )

    @cached_property
    def _raw_table(self) -> TokenTable:
        return self._make_table(raw=True)

    def _make_table(self, *, raw: bool) -> TokenTable:
        entries = self._model.entries(raw=raw)
        pieces, types, size = self._model.pieces, self._model.types, len(entries)
        entries += [""] * (self.vocab_size - size)
        for token in self._added:
            if token.special and not raw:
                if token.id != self.unk_id:
                    entries[token.id] = ""
            elif token.id >= size or pieces[token.id] != token.content:
                entries[token.id] = clean(token.content)
            elif isinstance(entries[token.id], bytes) and types[token.id] != PieceType.BYTE:
                entries[token.id] = clean(token.content)  # verbatim, not spelled in bytes
        drops_blank = bytearray(self.vocab_size)
        if not raw and self._model.strips_first_blank:
            ordinary = {PieceType.NORMAL, PieceType.UNUSED}
            drops_blank[:size] = bytes(kind in ordinary for kind in types)
            for token in self._added:
                drops_blank[token.id] = 0
        return TokenTable(tuple(entries), bytes(drops_blank), self._model.error_handler)

    def _id_of(self, role: str) -> int | None:
        token = self._controls.named.get(role)
        return None if token is None else token.id


def _ask(first_load: FirstLoad, kind: str, raw: bytes) -> None:
    """Load the file elsewhere first; raises ValueError with the reason when that fails."""
    reason = first_load.check_tokenizer(kind, raw)
    if reason is not None:
        raise ValueError(reason)
