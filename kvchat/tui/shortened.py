"""Long code and long pastes, drawn short: their first lines, and how many more there are."""

from collections.abc import Sequence

from kvchat.tui.cells import Line, shorten
from kvchat.tui.figures import count_of
from kvchat.tui.glyphs import Glyphs

MAX_LINES = 12
"""What has at most so many lines is never drawn short."""
KEPT_LINES = 4


def short_text(lines: Sequence[Line], width: int, glyphs: Glyphs) -> list[Line]:
    """Return the beginning of a long text; a short one as it is."""
    if len(lines) <= MAX_LINES:
        return list(lines)
    return [*lines[:KEPT_LINES], _more(len(lines) - KEPT_LINES, width, glyphs)]


def short_code(lines: Sequence[Line], width: int, glyphs: Glyphs) -> list[Line]:
    """Return Markdown lines in which every long frame of code is cut."""
    found: list[Line] = []
    at = 0
    while at < len(lines):
        margin = _margin_of_frame(lines[at], glyphs)
        end = at if margin is None else _end_of_frame(lines, at, glyphs)
        if margin is None or end - at - 1 <= MAX_LINES:
            found += lines[at : end + 1]
        else:
            found += lines[at : at + 1 + KEPT_LINES]
            bar: Line = (*margin, (glyphs.vertical + " ", "frame"))
            room = width - sum(len(text) for text, _ in bar)
            found.append((*bar, *_more(end - at - 1 - KEPT_LINES, room, glyphs)))
            found.append(lines[end])
        at = end + 1
    return found


def _margin_of_frame(line: Line, glyphs: Glyphs) -> Line | None:
    """Return what stands before a frame of code that begins in this line, None without one."""
    for number, (text, style) in enumerate(line):
        if style == "frame":
            return line[:number] if text == glyphs.top_left + glyphs.horizontal else None
    return None


def _end_of_frame(lines: Sequence[Line], top: int, glyphs: Glyphs) -> int:
    for at in range(top + 1, len(lines)):
        frames = [text for text, style in lines[at] if style == "frame"]
        if frames and frames[0].startswith(glyphs.bottom_left + glyphs.horizontal):
            return at
    return len(lines) - 1


def _more(count: int, width: int, glyphs: Glyphs) -> Line:
    text = f"{glyphs.ellipsis} {count_of(count, 'more line')}, ^o shows all"
    return ((shorten(text, max(width, 1), glyphs.ellipsis), "dim"),)
