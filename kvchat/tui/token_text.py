"""TokenText: the tokens of one message as lines, with a cursor on one of them.

A token is shown as it stands in the text; the parts of a character as `⟨E2⟩`. How sure the model
was is underlined and bold, so it is seen without colour. Knows no session and no widget.
"""

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING

from kvchat.clean_text import clean
from kvchat.tui.cells import Line, Span, cut, wrap_ranges
from kvchat.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from kvchat.session.alternatives import TokenPosition

DOUBT = 0.5
GREAT_DOUBT = 0.1


def probability(token: "TokenPosition") -> float | None:
    """Return how likely the model found a token, None where nobody knows."""
    return None if token.logprob is None else exp(token.logprob)


def is_doubtful(token: "TokenPosition") -> bool:
    """Whether the token was taken with less than one half."""
    known = probability(token)
    return known is not None and known < DOUBT


class TokenText:
    """Tokens with their styles; lines for a width, and in which of them the cursor stands."""

    def __init__(self, tokens: "Sequence[TokenPosition]", glyphs: Glyphs) -> None:
        self._tokens = tokens
        self._glyphs = glyphs
        self._texts = [clean(token.text.replace("\r\n", "\n")).expandtabs(4) for token in tokens]

    def text_of(self, index: int) -> str:
        """Return the cleaned text of a token."""
        return self._texts[index]

    def starts_word(self, index: int) -> bool:
        """Whether a word begins at a token: it has a blank in front, or follows a line break."""
        text = self._texts[index]
        return index == 0 or text[:1].isspace() or self._texts[index - 1].endswith("\n")

    def lines(self, width: int, cursor: int, *, heat: bool) -> tuple[list[Line], int]:
        """Return all lines at a width and the number of the line with the cursor."""
        spans: list[Span] = []
        start = end = 0
        length = 0
        for index, text in enumerate(self._texts):
            style = self._heat(self._tokens[index]) if heat else ""
            if index == cursor:
                left, right = self._glyphs.token_left, self._glyphs.token_right
                shown = text.replace("\n", self._glyphs.newline) or self._glyphs.nothing
                start = length
                spans += [(left, "accent"), (shown, f"{style} reverse".strip()), (right, "accent")]
                length += len(left) + len(shown) + len(right)
                end = length
                if "\n" in text:
                    spans.append(("\n", ""))
                    length += 1
            else:
                spans.append((text, style))
                length += len(text)
        lines: list[Line] = []
        cursor_line = 0
        offset = 0
        for source in "".join(part for part, _ in spans).split("\n"):
            for first, behind in wrap_ranges(source, width):
                if offset + first < end and start < offset + behind:
                    cursor_line = len(lines)
                lines.append(tuple(cut(spans, offset + first, offset + behind)))
            offset += len(source) + 1
        return lines, cursor_line

    def _heat(self, token: "TokenPosition") -> str:
        known = probability(token)
        if known is None or known >= DOUBT:
            return ""
        return "doubt" if known >= GREAT_DOUBT else "doubt bold"
