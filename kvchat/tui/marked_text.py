"""Where characters of a message's source stand in its drawn lines, to mark them there.

Markdown leaves signs out and wraps, but keeps the words in their order; so words are what source
and lines are compared by. Pure functions.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from kvchat.tui.cells import Line, Span, cut

_WORD = re.compile(r"\w+")


def marked_cells(
    lines: Sequence[Line], source: str, first: int, behind: int
) -> dict[int, tuple[int, int]]:
    """Return for each line with characters `first` .. `behind` - 1 of the source: from, to.

    The numbers count characters of the line. The header, which is the first line, never has any.
    """
    said = [match.span() for match in _WORD.finditer(source)]
    drawn: list[tuple[int, int, int]] = []
    words: list[str] = []
    for number, line in enumerate(lines):
        if number:
            text = "".join(part for part, _ in line)
            for match in _WORD.finditer(text):
                drawn.append((number, *match.span()))
                words.append(match.group())
    wanted = [place for place, (start, end) in enumerate(said) if start < behind and end > first]
    if not wanted:
        return {}
    found = _aligned([source[start:end] for start, end in said], words, wanted)
    cells: dict[int, tuple[int, int]] = {}
    for place in found:
        number, start, end = drawn[place]
        old = cells.get(number, (start, end))
        cells[number] = (min(old[0], start), max(old[1], end))
    return cells


def with_style(line: Line, first: int, behind: int, style: str) -> Line:
    """Return a line whose characters `first` .. `behind` - 1 have one more style."""
    spans: list[Span] = cut(line, 0, first)
    spans += [(text, f"{old} {style}".strip()) for text, old in cut(line, first, behind)]
    spans += cut(line, behind, sum(len(text) for text, _ in line))
    return tuple(spans)


def _aligned(said: list[str], drawn: list[str], wanted: Sequence[int]) -> list[int]:
    """Return which drawn words are the wanted ones of those that were said."""
    if said == drawn:
        return list(wanted)
    chosen = set(wanted)
    matcher = SequenceMatcher(None, said, drawn, autojunk=False)
    return [
        other + step
        for place, other, size in matcher.get_matching_blocks()
        for step in range(size)
        if place + step in chosen
    ]
