"""Tokenizer: text <-> token ids for a folder with a SentencePiece `tokenizer.model`.

Two ways in. `encode` takes text as text: whatever a user writes, no control token comes out.
`encode_rendered` takes the output of a chat template, in which control tokens are real and user
text was masked by `mask` before: each look-alike of a control token stands as one private
character, which no template can split or change, and is spelled out again as ordinary pieces.
Knows nothing of templates, messages or files other than through TokenizerFiles.

The rules for dummy prefixes and added tokens are those under which published models were trained;
they follow the behavior of the Hugging Face `LlamaTokenizer` (legacy and not) and `GemmaTokenizer`.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import sentencepiece

from kvchat.errors import ModelError
from kvchat.text.added_tokens import AddedToken, TokenCutter
from kvchat.text.detokenizer import StreamDetokenizer, TokenTable, decode_all
from kvchat.text.sentencepiece_proto import PieceType, SentencePieceProto
from kvchat.text.tokenizer_files import MAX_MODEL_BYTES, TokenizerFiles, model_error
from kvchat.untrusted import FileMissing, UntrustedFile, read_regular

BLANK = "\u2581"
"""The character SentencePiece writes for a blank."""
FIRST_PRIVATE = 0x105000
"""The first of the private characters that stand for the look-alikes of control tokens."""
_MAX_CONTROLS = 0x10FFFE - FIRST_PRIVATE
_SURROGATES = re.compile("[\ud800-\udfff]")
_HTML_TAG = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|sub|sup"
    r"|code|pre|p|br|hr|ul|ol|li|div|span|a|img)>"
)  # <s> is missing on purpose: it begins a text
_REASONING_TAG = re.compile(r"<(/?)(\w+)>")


class FirstLoad(Protocol):
    """Loads a stranger's tokenizer file where a crash does no harm, as `Sandbox` does."""

    def check_tokenizer(self, raw: bytes) -> str | None:
        """Return why the file cannot be loaded, or None."""


class Tokenizer:
    """The tokenizer of one model folder; immutable, for any thread."""

    def __init__(self, files: TokenizerFiles, proto: SentencePieceProto) -> None:
        """Use `Tokenizer.load`; raises RuntimeError when the library refuses the model."""
        self.folder = files.folder
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
        self.adds_bos = files.adds_bos
        """Whether plain text (not a rendered template) should begin with bos."""

        added, named = self._resolve(files)
        self._added = added
        self.named_tokens: dict[str, str] = {role: token.content for role, token in named.items()}
        """bos_token, eos_token, ... as the text a template writes."""
        self.vocab_size: int = max(len(proto.pieces), *(token.id + 1 for token in added), 1)
        """One more than the highest token id."""
        self.bos_id: int | None = _id_of(named, "bos_token")
        self.eos_id: int | None = _id_of(named, "eos_token")
        self.pad_id: int | None = _id_of(named, "pad_token")
        self.unk_id: int = self._model.unk_id()

        controls, soft, others = self._sort_tokens(files, added)
        if len(controls) + len(soft) > _MAX_CONTROLS:
            raise model_error(files.folder, f"it has {len(controls)} control tokens, too many.")
        # Hard tokens are cut out of text first; soft ones (user-defined pieces) are parsed by the
        # library itself, unless text of a user stands in the same run.
        self._others = TokenCutter(others)
        self._cutter = TokenCutter([*others, *controls])
        self._soft_cutter = TokenCutter(soft)
        self._all_cutter = TokenCutter([*others, *controls, *soft])
        self._blanks_first = not self._prefixes_each_run and not any(
            BLANK in token.content for token in (*others, *controls, *soft)
        )
        self._hard_ids = frozenset(token.id for token in (*others, *controls))
        self._rstrip_ids = frozenset(token.id for token in (*others, *controls) if token.rstrip)
        self.control_ids: frozenset[int] = frozenset(token.id for token in (*controls, *soft)) - {
            self.unk_id
        }
        """Ids that user text never becomes. The id of unknown characters is not one of them."""
        self.control_tokens: tuple[str, ...] = tuple(
            sorted({token.content for token in (*controls, *soft)})
        )
        """The text of every control token; index i is masked as U+105000 + i."""
        self._mask_cutter = TokenCutter(
            AddedToken(index, content) for index, content in enumerate(self.control_tokens)
        )
        self._masks = {
            content: chr(FIRST_PRIVATE + index) for index, content in enumerate(self.control_tokens)
        }
        last = chr(FIRST_PRIVATE + max(len(self.control_tokens) - 1, 0))
        self._private = re.compile(f"[{chr(FIRST_PRIVATE)}-{last}]")
        self._reply_masks = self._masks | {
            content: content for content in self._reasoning_tags(added)
        }
        self._content_table = self._make_table(raw=False)

    @classmethod
    def load(cls, folder: Path, first_load: FirstLoad | None = None) -> "Tokenizer":
        """Load the tokenizer of a model folder; raises ModelError with one sentence.

        `first_load` parses the file in another process before this one does, so that a crafted
        file cannot take this one down; leave it out for files that are trusted.
        """
        try:
            raw = read_regular(folder / "tokenizer.model", MAX_MODEL_BYTES)
        except FileMissing:
            if (folder / "tokenizer.json").exists():
                raise ModelError(
                    f"Cannot load {folder}: its tokenizer is tokenizer.json only, which this "
                    "version of kvchat does not read; use a folder with tokenizer.model.",
                    code="tokenizer_kind",
                ) from None
            raise ModelError(
                f"Cannot load {folder}: no tokenizer.model or tokenizer.json.",
                code="tokenizer_missing",
            ) from None
        except UntrustedFile as error:
            raise model_error(folder, error.sentence) from error
        files = TokenizerFiles.read(folder)
        try:
            proto = SentencePieceProto.parse(raw)
            if first_load is not None and (reason := first_load.check_tokenizer(raw)) is not None:
                raise ValueError(reason)
            tokenizer = cls(files, proto)
            tokenizer.encode("a 1")
        except ValueError as error:
            raise model_error(folder, f"tokenizer.model is damaged: {error}.") from error
        except RuntimeError as error:  # its text names a line of the library
            raise model_error(
                folder, "tokenizer.model is damaged: the SentencePiece library refuses it."
            ) from error
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
        text = self._private.sub("\ufffd", clean(text))
        return self._mask_cutter.replace(text, self._reply_masks if of_reply else self._masks)

    def unmask(self, text: str) -> str:
        """Return text in which every private character is the text it stands for."""
        return self._private.sub(
            lambda match: self.control_tokens[ord(match.group()) - FIRST_PRIVATE], text
        )

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
            run = self._encode_run(
                segment.text,
                starts_text=is_first and at_start,
                follows_text=is_first and follows_text,
            )
            # A prefix alone before an added token was never part of what models were trained on.
            alone = is_first and index + 1 < len(segments) and self._prefixes_text
            if alone and len(run) == 1 and self._proto.pieces[run[0]] == BLANK:
                run = []
            ids += run
        return ids

    def _encode_run(self, run: str, *, starts_text: bool, follows_text: bool) -> list[int]:
        """Encode text between hard tokens; a look-alike in it is spelled with ordinary pieces."""
        if self._private.search(run) is None:
            return self._encode_text(run, starts_text, follows_text, safe=False)
        ids: list[int] = []
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
                    starts_here = starts_text and not ids
                    ids += self._encode_text(segment.text, starts_here, follows_text, safe=True)
                    follows_text = True
        return ids

    def _encode_text(
        self, text: str, starts_text: bool, follows_text: bool, *, safe: bool
    ) -> list[int]:
        if safe:
            plain, without_prefix = self._safe_models
        else:
            plain, without_prefix = self._model, self._model_without_prefix
        if self._prefixes_each_run:
            return _ids(without_prefix if follows_text else plain, text)
        text = text.replace(BLANK, " ")
        if starts_text and self._prefixes_text:
            text = BLANK + text
        if not self._proto.strips_whitespace or not text.startswith((BLANK, " ")):
            return _ids(without_prefix, text)
        # The model would drop the leading blanks: hide them behind a text that is cut off again.
        shield = self.named_tokens.get("unk_token", "<unk>")
        shield_ids = _ids(without_prefix, shield)
        ids = _ids(without_prefix, shield + text)
        if ids[: len(shield_ids)] != shield_ids:
            return _ids(without_prefix, text)
        return ids[len(shield_ids) :]

    @cached_property
    def _safe_models(
        self,
    ) -> tuple[sentencepiece.SentencePieceProcessor, sentencepiece.SentencePieceProcessor]:
        """The model, with and without prefix, unable to make a control token; only encodes."""
        types = self._proto.types
        parsed = (PieceType.NORMAL, PieceType.USER_DEFINED)
        proto = self._proto.with_controls(
            {
                token_id
                for token_id in self.control_ids
                if token_id < len(types) and types[token_id] in parsed
            }
        )
        plain = sentencepiece.SentencePieceProcessor(model_proto=proto.raw)
        return plain, sentencepiece.SentencePieceProcessor(model_proto=proto.without_dummy_prefix())

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
                parts.append(str(self._raw_table.entry(token_id)))
                start = index + 1
        parts.append(self.mask(decode_all(self._raw_table, ids[start:]), of_reply=True))
        return "".join(parts)

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
        entries: list[str | bytes] = [""] * self.vocab_size
        types = self._proto.types
        for token_id, piece in enumerate(self._proto.pieces):
            kind = types[token_id]
            if kind == PieceType.CONTROL:
                entries[token_id] = piece if raw else ""
            elif kind == PieceType.BYTE:
                entries[token_id] = _byte(piece)
            else:
                entries[token_id] = piece.replace(BLANK, " ")
        if not raw:
            entries[self.unk_id] = self._model.decode([self.unk_id])
        for token in self._added:
            if token.special and not raw:
                if token.id != self.unk_id:
                    entries[token.id] = ""
            elif token.id >= len(types) or self._proto.pieces[token.id] != token.content:
                entries[token.id] = clean(token.content)
        drops_blank = bytearray(self.vocab_size)
        if not raw and self._strips_first_blank:
            ordinary = {PieceType.NORMAL, PieceType.UNUSED}
            drops_blank[: len(types)] = bytes(kind in ordinary for kind in types)
            for token in self._added:
                drops_blank[token.id] = 0
        return TokenTable(tuple(entries), bytes(drops_blank))

    @property
    def _strips_first_blank(self) -> bool:
        if self._prefixes_each_run:
            return self._proto.adds_dummy_prefix
        return self._prefixes_text

    # -- which tokens there are ----------------------------------------------------------------

    def _resolve(
        self, files: TokenizerFiles
    ) -> tuple[tuple[AddedToken, ...], dict[str, AddedToken]]:
        """Return the added tokens and the named ones, all with ids."""
        by_content = {token.content: token for token in files.added_tokens if token.content}
        taken = {token.id for token in files.added_tokens}
        next_id = max(len(self._proto.pieces), *(token_id + 1 for token_id in taken), 0)

        def resolve(token: AddedToken) -> AddedToken:
            nonlocal next_id
            if token.content in by_content:
                return by_content[token.content]
            token_id = self._piece_id(token.content)
            if token_id is None:
                token_id = next_id
                next_id += 1
            token = AddedToken(
                token_id, token.content, True, token.lstrip, token.rstrip, token.single_word
            )
            by_content[token.content] = token
            return token

        named = {role: resolve(token) for role, token in files.named.items() if token.content}
        for token in files.named_lists:
            if token.content:
                resolve(token)
        own = (
            ("bos_token", self._model.bos_id()),
            ("eos_token", self._model.eos_id()),
            ("unk_token", self._model.unk_id()),
            ("pad_token", self._model.pad_id()),
        )
        for role, token_id in own:
            if role not in named and 0 <= token_id < len(self._proto.pieces):
                named[role] = AddedToken(token_id, self._proto.pieces[token_id], special=True)
        return tuple(by_content.values()), named

    def _piece_id(self, content: str) -> int | None:
        token_id = int(self._model.piece_to_id(clean(content)))
        return token_id if self._proto.pieces[token_id] == content else None

    def _sort_tokens(
        self, files: TokenizerFiles, added: Iterable[AddedToken]
    ) -> tuple[list[AddedToken], list[AddedToken], list[AddedToken]]:
        """Return (control tokens cut out of text, user-defined control pieces, other added)."""
        types = self._proto.types
        written = files.template or ""

        def is_free(content: str) -> bool:
            """Whether users may write it: white space and HTML that no template relies on."""
            if content.isspace():
                return True
            return _HTML_TAG.fullmatch(content) is not None and content not in written

        controls: list[AddedToken] = []
        others: list[AddedToken] = []
        soft: list[AddedToken] = []
        seen_ids = {token.id for token in added}
        seen = {token.content for token in added}
        for token in added:
            is_byte = token.id < len(types) and types[token.id] == PieceType.BYTE
            is_other = is_byte or (not token.special and is_free(token.content.replace(BLANK, " ")))
            (others if is_other else controls).append(token)
        for token_id, kind in enumerate(types):
            if kind in (PieceType.NORMAL, PieceType.BYTE, PieceType.UNUSED):
                continue
            piece = self._proto.pieces[token_id]
            if token_id in seen_ids or piece in seen or not piece:
                continue
            if kind != PieceType.USER_DEFINED:
                controls.append(AddedToken(token_id, piece, special=True))
            elif not is_free(literal := piece.replace(BLANK, " ")):
                soft.append(AddedToken(token_id, literal))
        return controls, soft, others

    def _reasoning_tags(self, added: Iterable[AddedToken]) -> set[str]:
        """Return tags such as <think> that are added in pairs and are not special."""
        plain = {token.content for token in added if not token.special}
        return {
            content
            for content in plain
            if (tag := _REASONING_TAG.fullmatch(content)) is not None
            and {f"<{tag.group(2)}>", f"</{tag.group(2)}>"} <= plain
        }


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


def _ids(model: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    ids: list[int] = model.encode(text)
    return ids


def _byte(piece: str) -> bytes:
    """Return the byte of a piece such as <0x0A>; raises ValueError when it is no byte."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", piece) is None:
        raise ValueError(f"the byte piece {piece[:20]!a} names no byte")
    return bytes((int(piece[3:5], 16),))


def _id_of(named: dict[str, AddedToken], role: str) -> int | None:
    token = named.get(role)
    return None if token is None else token.id
