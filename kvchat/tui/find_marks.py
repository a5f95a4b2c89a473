"""Where a searched text stands in drawn lines: the lines that hold it, and the lines marked."""

import re
from collections.abc import Sequence
from itertools import pairwise

from kvchat.tui.cells import Line, Span


def pattern_of(wanted: str) -> re.Pattern[str] | None:
    """Return what finds a text in any case of letters; None for an empty one."""
    return re.compile(re.escape(wanted), re.IGNORECASE) if wanted.strip() else None


def hit_lines(lines: Sequence[Line], pattern: re.Pattern[str]) -> list[int]:
    """Return the number of the line of every hit; the header, line 0, holds none."""
    return [
        number
        for number, line in enumerate(lines)
        if number
        for _ in pattern.finditer("".join(text for text, _ in line))
    ]


def with_hits(line: Line, pattern: re.Pattern[str], style: str) -> Line:
    """Return a line with another style added to every hit."""
    places = [match.span() for match in pattern.finditer("".join(text for text, _ in line))]
    if not places:
        return line
    borders = {border for place in places for border in place}
    spans: list[Span] = []
    start = 0
    for text, names in line:
        end = start + len(text)
        cuts = sorted({start, end, *(border for border in borders if start < border < end)})
        for first, behind in pairwise(cuts):
            is_hit = any(low <= first < high for low, high in places)
            piece = text[first - start : behind - start]
            spans.append((piece, f"{names} {style}".strip() if is_hit else names))
        start = end
    return tuple(spans)
