"""Text we did not write, made fit for a screen and for storage.

`clean` is the one way to any screen: what a terminal would obey, or a reader would not see, becomes
a visible mark. `storable` is used once, when text enters: SQLite and SentencePiece refuse lone
surrogates, and SQLite's `length` stops at NUL; anything else is stored exactly as it came.
"""

import re
import unicodedata

MAX_MARKS = 8
"""Combining marks, joiners and variation selectors shown behind one base character."""

_BIDI_NAMES = {
    "\u061c": "ALM", "\u200e": "LRM", "\u200f": "RLM", "\u202a": "LRE", "\u202b": "RLE",
    "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI",
    "\u2068": "FSI", "\u2069": "PDI", "\u2028": "LS", "\u2029": "PS",
}  # fmt: skip

# Format characters and fillers that take no place on a screen, tag characters among them. Joiners
# (U+200C, U+200D) and variation selectors stay: scripts and emoji are spelled with them.
_HIDDEN = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
# No combining mark is a word character, so this finds every run of too many; the rest is sorted out
# by category, since symbols come in such runs as well.
_LONG_RUN = re.compile(rf"[^\w\s!-~]{{{MAX_MARKS + 1},}}")
_UNSAFE = re.compile(f"[{_CONTROL}]|[{_HIDDEN}]+")
_SUSPECT = re.compile(f"{_UNSAFE.pattern}|{_LONG_RUN.pattern}")


def clean(text: str) -> str:
    """Return text that shows itself and can do nothing: the same text if it is plain.

    Newline and tab stay. Other control characters become symbols (`␛`, `␀`, `⟨9B⟩`), bidi controls
    and line separators their names (`⟨RLO⟩`), runs of invisible characters `⟨12 hidden⟩`; of the
    marks on one base character eight are shown, then `⟨992 marks⟩`. Cleaning twice changes nothing.
    """
    if _SUSPECT.search(text) is None:
        return text
    return _LONG_RUN.sub(_limit_marks, _UNSAFE.sub(_visible, text))


def _visible(match: re.Match[str]) -> str:
    characters = match.group()
    first = characters[0]
    code = ord(first)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code < 0xA0:
        return f"⟨{code:02X}⟩"
    if first in _BIDI_NAMES:
        return f"⟨{_BIDI_NAMES[first]}⟩"
    if 0xD800 <= code < 0xE000:
        return f"⟨{code:04X}⟩"
    return f"⟨{len(characters)} hidden⟩"


def _limit_marks(match: re.Match[str]) -> str:
    pieces: list[str] = []
    num_marks = 0
    for character in match.group():
        if unicodedata.category(character)[0] == "M" or character in "\u200c\u200d":
            num_marks += 1
            if num_marks <= MAX_MARKS:
                pieces.append(character)
            continue
        if num_marks > MAX_MARKS:
            pieces.append(f"⟨{num_marks - MAX_MARKS} marks⟩")
        num_marks = 0
        pieces.append(character)
    if num_marks > MAX_MARKS:
        pieces.append(f"⟨{num_marks - MAX_MARKS} marks⟩")
    return "".join(pieces)


def storable(text: str) -> str:
    """Return text that can be stored and tokenized: NUL becomes `␀`, a lone surrogate `�`.

    The two halves of one character that arrive as a pair of surrogates are put together.
    """
    if text.isascii():
        return text.replace("\0", "␀") if "\0" in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "␀")
