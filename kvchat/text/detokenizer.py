"""StreamDetokenizer: token ids in, text pieces out, with nothing shown too early.

A character whose bytes are not complete waits, and so does text that may be the start of a stop
string. The joined pieces plus `flush()` are the text of `decode_all` for the same ids, cut before
the first stop string. Knows only the table of a tokenizer, which says what each id stands for.
"""

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def _one_mark_per_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


# Like SentencePiece: one U+FFFD for each invalid byte, where Python gives one for each sequence.
ONE_MARK_PER_BYTE = "kvchat.one-mark-per-byte"
codecs.register_error(ONE_MARK_PER_BYTE, _one_mark_per_byte)


@dataclass(frozen=True, slots=True)
class TokenTable:
    """What each token id gives: text, bytes of a character, or nothing (an empty text)."""

    entries: tuple[str | bytes, ...]
    drops_blank: bytes
    """One flag per id: as the first that gives text, it loses one leading blank."""
    error_handler: str = ONE_MARK_PER_BYTE
    """How bytes that are no UTF-8 are shown, as `bytes.decode` takes it."""

    def entry(self, token_id: int) -> str | bytes:
        """Return what an id gives; an id that names no token gives nothing."""
        return self.entries[token_id] if 0 <= token_id < len(self.entries) else ""


def decode_all(table: TokenTable, ids: Iterable[int]) -> str:
    """Return the text of a whole list of ids at once."""
    errors = table.error_handler
    parts: list[str] = []
    run = bytearray()
    at_start = True
    for token_id in ids:
        entry = table.entry(token_id)
        if not entry:
            continue
        if isinstance(entry, bytes):
            run += entry
            at_start = False
        else:
            if run:
                parts.append(run.decode("utf-8", errors))
                run.clear()
            if at_start and table.drops_blank[token_id]:
                entry = entry.removeprefix(" ")
            parts.append(entry)
            at_start = False
    parts.append(run.decode("utf-8", errors))
    return "".join(parts)


class StreamDetokenizer:
    """Turns the ids of one reply into text as they come; not for several threads at once.

    `stop` holds strings that end the text: it is cut before the one that is complete first (of
    several that end together, the longest), however the text was split into tokens. After that
    `has_stopped` is True and everything pushed is dropped.
    """

    __slots__ = ("_at_start", "_held", "_longest", "_pending", "_stop", "_table", "stop_string")

    def __init__(self, table: TokenTable, stop: Sequence[str] = ()) -> None:
        self._table = table
        self._stop = tuple(stop)
        self._longest = max(map(len, self._stop), default=0)
        self._pending = b""  # at most 3 bytes of a character that is not complete
        self._held = ""  # the start of a stop string, perhaps
        self._at_start = True
        self.stop_string: str | None = None
        """The stop string that ended the text, or None."""

    @property
    def has_stopped(self) -> bool:
        """Whether a stop string ended the text."""
        return self.stop_string is not None

    def push(self, token_id: int) -> str:
        """Take the next id and return the text that is now certain, often empty."""
        entry = self._table.entry(token_id)
        if not entry:
            return ""
        if isinstance(entry, bytes):
            self._at_start = False
            text, used = codecs.utf_8_decode(
                self._pending + entry, self._table.error_handler, False
            )
            self._pending = (self._pending + entry)[used:]
        else:
            if self._at_start and self._table.drops_blank[token_id]:
                entry = entry.removeprefix(" ")
            self._at_start = False
            text = self._take_pending() + entry
        return self._release(text) if text else ""

    def flush(self) -> str:
        """End the text and return what was still held back."""
        text = self._release(self._take_pending()) + self._held
        self._held = ""
        return text

    def copy(self) -> "StreamDetokenizer":
        """Return an independent copy in the same state, for a branch of the reply."""
        twin = StreamDetokenizer(self._table, self._stop)
        twin._pending = self._pending
        twin._held = self._held
        twin._at_start = self._at_start
        twin.stop_string = self.stop_string
        return twin

    def _take_pending(self) -> str:
        if not self._pending:
            return ""
        text = self._pending.decode("utf-8", self._table.error_handler)
        self._pending = b""
        return text

    def _release(self, text: str) -> str:
        if not self._stop:
            return text
        if self.stop_string is not None:
            return ""
        text = self._held + text
        ends = [
            (start + len(string), start, string)
            for string in self._stop
            if (start := text.find(string)) >= 0
        ]
        if ends:
            _, start, self.stop_string = min(ends)
            self._held = ""
            return text[:start]
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            tail = text[-length:]
            if any(string.startswith(tail) for string in self._stop):
                self._held = tail
                return text[:-length]
        self._held = ""
        return text
