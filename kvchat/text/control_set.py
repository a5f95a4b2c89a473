"""ControlSet: which tokens of a folder act, and which a user may write like any other text.

A control token typed by a user must not act. Before a template sees a text, each look-alike in it
becomes one private character, which no template can split, slice or re-case; it is spelled with
ordinary pieces in the end. Knows nothing of templates but their letters, and encodes nothing.
"""

import logging
import re
from collections.abc import Iterable

from kvchat.errors import ModelError
from kvchat.text.added_tokens import AddedToken, TokenCutter
from kvchat.text.piece_model import BLANK, PieceModel
from kvchat.text.sentencepiece_proto import PieceType
from kvchat.text.tokenizer_files import TokenizerFiles, model_error

FIRST_PRIVATE = 0x105000
"""The first of the private characters that stand for the look-alikes of control tokens."""
_MAX_CONTROLS = 0x10FFFE - FIRST_PRIVATE
_SURROGATES = re.compile("[\ud800-\udfff]")
_HTML_TAG = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|sub|sup"
    r"|code|pre|p|br|hr|ul|ol|li|div|span|a|img)>"
)  # <s> is missing on purpose: it begins a text
_REASONING_TAG = re.compile(r"<(/?)(\w+)>")
_ACTING_ROLES = ("bos_token", "eos_token")
_log = logging.getLogger(__name__)


class ControlSet:
    """The added, named and control tokens of one folder, sorted by who may write them."""

    def __init__(
        self, files: TokenizerFiles, model: PieceModel, num_rows: int | None = None
    ) -> None:
        """`num_rows` is the number of ids the language model knows, if that is known.

        Raises ModelError when a token that is needed lies behind the last of them.
        """
        added, self.named = _resolve(files, model)
        self.texts_of_names = {role: token.content for role, token in self.named.items()}
        """bos_token, eos_token, ... as the text a template writes."""
        if num_rows is not None:
            added = _with_rows(files, model, added, self.named, num_rows)
            known = {token.id for token in added} | set(range(len(model.pieces)))
            self.named = {role: token for role, token in self.named.items() if token.id in known}
        self.added: tuple[AddedToken, ...] = added
        self.hard, self.soft, self.others = _sorted(files, model, self.added)
        acting = (*self.hard, *self.soft)
        self.ids: frozenset[int] = frozenset(token.id for token in acting) - {model.unk_id}
        """Ids that user text never becomes. The id of unknown characters is not one of them."""
        self.texts: tuple[str, ...] = tuple(sorted({token.content for token in acting}))
        """The text of every control token; index i is masked as U+105000 + i."""
        if len(self.texts) > _MAX_CONTROLS:
            raise model_error(files.folder, f"it has {len(self.texts)} control tokens, too many.")
        self._cutter = TokenCutter(AddedToken(index, text) for index, text in enumerate(self.texts))
        self._masks = {text: chr(FIRST_PRIVATE + index) for index, text in enumerate(self.texts)}
        self._reply_masks = self._masks | {text: text for text in _reasoning_tags(self.added)}
        last = chr(FIRST_PRIVATE + max(len(self.texts) - 1, 0))
        self._private = re.compile(f"[{chr(FIRST_PRIVATE)}-{last}]")

    def mask(self, text: str, *, of_reply: bool) -> str:
        """Return a user's text with each look-alike of a control token as one private character.

        Characters that would be mistaken for such a mask, and lone surrogates, become U+FFFD. In a
        reply of the model, reasoning tags stay as they are, since templates look for them.
        """
        text = self._private.sub("\ufffd", clean(text))
        return self._cutter.replace(text, self._reply_masks if of_reply else self._masks)

    def unmask(self, text: str) -> str:
        """Return text in which every private character is the text it stands for."""
        return self._private.sub(lambda match: self.texts[ord(match.group()) - FIRST_PRIVATE], text)

    def has_masks(self, text: str) -> bool:
        """Return whether a text holds one of the private characters."""
        return self._private.search(text) is not None


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)


def _resolve(
    files: TokenizerFiles, model: PieceModel
) -> tuple[tuple[AddedToken, ...], dict[str, AddedToken]]:
    """Return the added tokens and the named ones, all with ids."""
    by_content = {token.content: token for token in files.added_tokens if token.content}
    taken = {token.id for token in files.added_tokens}
    next_id = max(len(model.pieces), *(token_id + 1 for token_id in taken), 0)

    def resolve(token: AddedToken) -> AddedToken:
        nonlocal next_id
        if token.content in by_content:
            return by_content[token.content]
        token_id = model.piece_id(token.content)
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
    for role, token_id in model.own_names:
        if role not in named:
            named[role] = AddedToken(token_id, model.pieces[token_id], special=True)
    return tuple(by_content.values()), named


def _with_rows(
    files: TokenizerFiles,
    model: PieceModel,
    added: tuple[AddedToken, ...],
    named: dict[str, AddedToken],
    num_rows: int,
) -> tuple[AddedToken, ...]:
    """Return the added tokens the language model has rows for.

    Published text models name tokens of their siblings for images that they have no rows for: such
    a token is left out, and stays ordinary text. One that is needed is an error.
    """
    needed = {named[role].content for role in _ACTING_ROLES if role in named}
    needed |= {token.content for token in added if token.content in (files.template or "")}
    for token_id in range(num_rows, len(model.pieces)):
        if model.pieces[token_id]:
            raise _beyond(files, model.pieces[token_id], token_id, num_rows)
    kept = []
    for token in added:
        if token.id < num_rows:
            kept.append(token)
        elif token.content in needed:
            raise _beyond(files, token.content, token.id, num_rows)
    if len(kept) < len(added):
        _log.warning(
            "%d added tokens without a row in the model were left out", len(added) - len(kept)
        )
    return tuple(kept)


def _beyond(files: TokenizerFiles, content: str, token_id: int, num_rows: int) -> ModelError:
    return ModelError(
        f"Cannot load {files.folder}: token {content[:40]!a} has id {token_id}, "
        f"but the model has {num_rows} rows; tokenizer and weights belong to different models.",
        code="tokenizer_damaged",
    )


def _sorted(
    files: TokenizerFiles, model: PieceModel, added: Iterable[AddedToken]
) -> tuple[list[AddedToken], list[AddedToken], list[AddedToken]]:
    """Return (control tokens cut out of text, user-defined control pieces, other added)."""
    types = model.types
    written = files.template or ""

    def is_free(content: str, token_id: int) -> bool:
        """Whether users may write it: white space and HTML that no template relies on."""
        if content.isspace():
            return True
        is_html = _HTML_TAG.fullmatch(content) is not None
        return is_html and content not in written and token_id not in files.stop_ids

    hard: list[AddedToken] = []
    others: list[AddedToken] = []
    soft: list[AddedToken] = []
    seen_ids = {token.id for token in added}
    seen = {token.content for token in added}
    for token in added:
        is_byte = token.id < len(types) and types[token.id] == PieceType.BYTE
        text = token.content.replace(BLANK, " ")
        is_other = is_byte or (not token.special and is_free(text, token.id))
        (others if is_other else hard).append(token)
    ordinary = (PieceType.NORMAL, PieceType.BYTE, PieceType.UNUSED)
    for token_id, kind in enumerate(types):
        if kind in ordinary and token_id not in files.stop_ids:
            continue
        piece = model.pieces[token_id]
        if token_id in seen_ids or piece in seen or not piece:
            continue
        literal = piece.replace(BLANK, " ")
        if kind == PieceType.USER_DEFINED:
            if not is_free(literal, token_id):
                soft.append(AddedToken(token_id, literal))
        elif kind not in ordinary:
            hard.append(AddedToken(token_id, piece, special=True))
        elif kind == PieceType.NORMAL and len(piece) > 1 and literal == piece:
            hard.append(AddedToken(token_id, piece, special=True))  # an ordinary piece that stops
    return hard, soft, others


def _reasoning_tags(added: Iterable[AddedToken]) -> set[str]:
    """Return tags such as <think> that are added in pairs and are not special."""
    plain = {token.content for token in added if not token.special}
    return {
        content
        for content in plain
        if (tag := _REASONING_TAG.fullmatch(content)) is not None
        and {f"<{tag.group(2)}>", f"</{tag.group(2)}>"} <= plain
    }
