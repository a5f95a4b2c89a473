"""AddedToken, and TokenCutter, which finds such tokens in text: leftmost first, then longest.

Knows neither the model's pieces nor what a token means.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
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
        # Thousands of literals in one pattern would be tried one by one at every place. Instead a
        # literal may begin at a few characters, and has one of a few lengths there, longest first.
        lengths: dict[str, set[int]] = {}
        for literal in self._tokens:
            lengths.setdefault(literal[0], set()).add(len(literal))
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}
        firsts = "".join(map(re.escape, self._lengths))
        self._first = re.compile(f"[{firsts}]") if firsts else None

    def cut(self, text: str) -> list[Segment]:
        """Return the segments of `text` in order; none is empty, and two texts never meet."""
        segments: list[Segment] = []
        done = 0
        for start, end in self._places(text):
            if start < done:  # it begins with white space that the last token has eaten
                continue
            token = self._tokens[text[start:end]]
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
        parts: list[str] = []
        done = 0
        for start, end in self._places(text):
            parts += (text[done:start], replacements[text[start:end]])
            done = end
        parts.append(text[done:])
        return "".join(parts)

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each literal in the text; none overlaps the one before."""
        if self._first is None:
            return
        position = 0
        while (found := self._first.search(text, position)) is not None:
            start = found.start()
            position = start + 1
            for length in self._lengths[found.group()]:
                literal = text[start : start + length]
                if len(literal) == length and literal in self._tokens:
                    position = start + length
                    yield start, position
                    break


def _is_word(text: str, position: int) -> bool:
    """Whether a word character stands there: a letter, mark, digit, joiner or underscore."""
    if not 0 <= position < len(text):
        return False
    character = text[position]
    category = unicodedata.category(character)
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or character in "\u200c\u200d"
