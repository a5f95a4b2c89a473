"""AddedToken, and TokenCutter, which finds such tokens in text: leftmost first, then longest.

Knows neither the model's pieces nor what a token means.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

_WHITE_SPACE = re.compile(r"\s*")  # matches everywhere


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is cut out of text by its letters before anything else is encoded."""

    id: int
    content: str
    special: bool = False
    """Dropped from a reply's content, and never written by a user."""
    lstrip: bool = False
    rstrip: bool = False
    """Eats the white space before or after it."""
    single_word: bool = False
    """Counts only where no word character stands beside it."""


class Segment(NamedTuple):
    """A stretch of text: one token with the white space it eats, or text between tokens."""

    text: str
    token: AddedToken | None
    start: int
    end: int
    """Place in the text that was cut; for a token it covers the white space eaten."""


class TokenCutter:
    """Cuts text at the literal occurrences of some tokens; immutable, for any thread."""

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        self._tokens = {token.content: token for token in tokens if token.content}
        # Of the alternatives of a pattern the first that matches counts: longest first.
        literals = sorted(self._tokens, key=lambda literal: (-len(literal), literal))
        self._pattern = re.compile("|".join(map(re.escape, literals))) if literals else None

    def cut(self, text: str) -> list[Segment]:
        """Return the segments of `text` in order; none is empty, and two texts never meet."""
        segments: list[Segment] = []
        done = 0
        for match in self._pattern.finditer(text) if self._pattern is not None else ():
            start, end = match.span()
            if start < done:  # it begins with white space that the last token has eaten
                continue
            token = self._tokens[match.group()]
            if token.single_word and (_is_word(text, start - 1) or _is_word(text, end)):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip())
            if token.rstrip:
                end = _WHITE_SPACE.match(text, end).end()  # type: ignore[union-attr]
            if start > done:
                segments.append(Segment(text[done:start], None, done, start))
            segments.append(Segment(token.content, token, start, end))
            done = end
        if done < len(text):
            segments.append(Segment(text[done:], None, done, len(text)))
        return segments

    def replace(self, text: str, replacements: dict[str, str]) -> str:
        """Return `text` with every literal token replaced, whatever stands beside it."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: replacements[match.group()], text)


def _is_word(text: str, position: int) -> bool:
    return 0 <= position < len(text) and (text[position].isalnum() or text[position] == "_")
