"""PasteGuard: keeps an escape character inside a bracketed paste from ending or splitting it.

Textual's parser looks for escape sequences inside a paste as well, and gives the characters of an
unknown one out again as keys: pasted text could press Enter. The guard sees the input first and
lets no ESC through between the two marks of a paste; `restored` puts them back into its text.
"""

START = "\x1b[200~"
END = "\x1b[201~"
# A lone surrogate: decoded input never holds one, so putting the ESC back is exact.
_STAND_IN = "\udc1b"


class PasteGuard:
    """The state of one input stream: inside a paste or not, and what a chunk border cut."""

    def __init__(self) -> None:
        self._is_pasting = False
        self._tail = ""
        """Outside: the last characters, already given out. Inside: held back, perhaps the end."""

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
                parts.append(joined[:place].replace("\x1b", _STAND_IN) + END)
                data = joined[place + len(END) :]
            else:
                length = place + len(START) - len(self._tail)
                parts.append(data[:length])
                data = data[length:]
            self._tail, self._is_pasting = "", not self._is_pasting
        return "".join(parts)

    def _without_mark(self, joined: str, data: str) -> str:
        if not self._is_pasting:
            self._tail = joined[1 - len(START) :]
            return data
        lengths = range(len(END) - 1, 0, -1)
        held = next((length for length in lengths if joined.endswith(END[:length])), 0)
        self._tail = joined[len(joined) - held :]
        return joined[: len(joined) - held].replace("\x1b", _STAND_IN)


def restored(text: str) -> str:
    """Return the text of a paste as it was typed."""
    return text.replace(_STAND_IN, "\x1b")
