"""PieceModel: what turns runs of ordinary text into token ids, whichever file it was read from.

Two exist: SentencePieceModel for `tokenizer.model` and JsonModel for `tokenizer.json`. Tokenizer
cuts text at added and control tokens and hands over what lies between them; it alone knows which
tokens act, and what a chat is.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

BLANK = "\u2581"
"""The character that SentencePiece and its relatives write for a blank."""


class Place(NamedTuple):
    """Where a run of text stands, which decides about the blank that models put before words."""

    starts_text: bool = False
    """Nothing stands before it."""
    follows_text: bool = False
    """It goes on in the middle of a text, whose ids are there already."""
    before_token: bool = False
    """An added or control token comes next."""


class PieceModel(Protocol):
    """The pieces of one model; immutable after `protect`, for any thread."""

    pieces: tuple[str, ...]
    """The text of each of its ids, empty where an id has none."""
    types: bytes
    """One PieceType for each id."""
    unk_id: int
    """What stands for characters that have no piece; -1 when there is nothing."""
    own_names: tuple[tuple[str, int], ...]
    """(role, id) of the tokens that the model itself names, such as bos_token."""
    reads_blanks: bool
    """Whether U+2581 in a text is nothing but a blank."""
    strips_first_blank: bool
    """Whether a text begins with a blank that nobody wrote."""
    error_handler: str
    """How bytes that are no UTF-8 are shown, as `bytes.decode` takes it."""
    adds_bos: bool
    """Whether plain text begins with bos, when the configuration does not say."""

    def piece_id(self, content: str) -> int | None:
        """Return the id of the piece that is exactly this text, or None."""

    def protect(self, ids: Collection[int]) -> None:
        """Learn which ids user text must never become; once, before anything is encoded.

        Raises ValueError with the reason when the model cannot be used.
        """

    def encode(self, text: str, place: Place, *, safe: bool) -> list[int]:
        """Return the ids of a run of text; with `safe` none of them is protected."""

    def entries(self, *, raw: bool) -> list[str | bytes]:
        """Return what each id gives: text, bytes of a character, or nothing (an empty text).

        With `raw` pieces that are no text to read, such as control pieces, show as well.
        """
