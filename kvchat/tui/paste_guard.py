"""PasteGuard: takes the text of bracketed pastes out of the input before Textual's parser sees it.

The parser looks for escape sequences inside a paste as well, and gives the characters of an unknown
one out again as keys: pasted text could press Enter. It also reads letter by letter, most of a
second for a megabyte, during which no key is echoed. So it only sees that something was pasted.
"""

from collections import deque

START = "\x1b[200~"
END = "\x1b[201~"
MAX_CHARACTERS = 6 * 1024 * 1024
"""More than a prompt takes; what comes behind is not even kept, so nobody can fill the memory."""
# What the parser sees instead of the text, since it does not report an empty paste.
_STAND_IN = "p"


class PasteGuard:
    """The state of one input stream: inside a paste or not, and what a chunk border cut."""

    def __init__(self) -> None:
        self._is_pasting = False
        self._tail = ""
        """Outside: the last characters, already given out. Inside: held back, perhaps the end."""
        self._body: list[str] = []
        self._num_characters = 0
        self._finished: deque[str] = deque()

    def guarded(self, data: str) -> str:
        """Return what the parser may read of the next chunk; some may be held until the next."""
        parts: list[str] = []
        while data:
            joined = self._tail + data
            place = joined.find(END if self._is_pasting else START)
            if place < 0:
                parts.append(self._without_mark(joined, data))
                break
            if self._is_pasting:
                self._gather(joined[:place])
                self._finished.append("".join(self._body))
                self._body, self._num_characters = [], 0
                parts.append(_STAND_IN + END)
                data = joined[place + len(END) :]
            else:
                length = place + len(START) - len(self._tail)
                parts.append(data[:length])
                data = data[length:]
            self._tail, self._is_pasting = "", not self._is_pasting
        return "".join(parts)

    def taken(self) -> str:
        """Return the text of the next paste that the parser has reported."""
        return self._finished.popleft()

    def _gather(self, text: str) -> None:
        room = MAX_CHARACTERS - self._num_characters
        self._body.append(text[:room])
        self._num_characters += min(len(text), room)

    def _without_mark(self, joined: str, data: str) -> str:
        if not self._is_pasting:
            self._tail = joined[1 - len(START) :]
            return data
        lengths = range(len(END) - 1, 0, -1)
        held = next((length for length in lengths if joined.endswith(END[:length])), 0)
        self._tail = joined[len(joined) - held :]
        self._gather(joined[: len(joined) - held])
        return ""
