"""Text measured in terminal cells: fitting, cutting and wrapping that never split a cluster.

A cluster is what a terminal draws as one character: a base with its combining marks, an emoji
with its joiners. Widths are those Textual itself uses, so lines made here are exact.
"""

import re
from collections.abc import Sequence

from rich.cells import cell_len, split_graphemes

Span = tuple[str, str]
"""A piece of text and the names of its styles, separated by spaces."""

Line = tuple[Span, ...]
"""One line of the screen, before colours."""

_STRAY_JOINER = re.compile("^\u200d+|\u200d+(?=[\u0000-\u007f]|$)")


def without_stray_joiners(text: str) -> str:
    """Return `text` without zero-width joiners that have nothing to join.

    Such a joiner would swallow the width of the space or frame that comes next.
    """
    return _STRAY_JOINER.sub("", text) if "\u200d" in text else text


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """Return `text` in exactly `width` cells: padded, or cut and ended by `ellipsis`."""
    if width <= 0:
        return ""
    text = without_stray_joiners(text)
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    room = width - cell_len(ellipsis)
    if room < 0:
        ellipsis, room = "", width
    used = 0
    end = 0
    for _, cluster_end, cells in split_graphemes(text)[0]:
        if used + cells > room:
            break
        used += cells
        end = cluster_end
    return text[:end] + ellipsis + " " * (room - used)


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Return `text` in at most `width` cells, cut and ended by `ellipsis` when it is longer."""
    text = without_stray_joiners(text)
    return text if cell_len(text) <= width else fit(text, width, ellipsis).rstrip(" ")


def line_width(line: Sequence[Span]) -> int:
    """Return the number of cells the spans take."""
    return sum(cell_len(text) for text, _ in line)


def cut(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """Return the spans of characters `start` to `end` of the joined text."""
    parts: list[Span] = []
    offset = 0
    for text, style in spans:
        left = max(start - offset, 0)
        right = min(end - offset, len(text))
        if left < right:
            parts.append((text[left:right], style))
        offset += len(text)
        if offset >= end:
            break
    return parts


def wrap_ranges(text: str, width: int, break_words: bool = False) -> list[tuple[int, int]]:
    """Return where the lines of `text` begin and end, as character offsets.

    Lines break at spaces (which are left out), between wide characters, or inside a word longer
    than a line; with `break_words` always exactly at the width, and nothing is left out. A
    cluster wider than the line stands alone and is cut when it is drawn.
    """
    width = max(width, 1)
    if not text:
        return [(0, 0)]
    if text.isascii():
        if len(text) <= width:
            return [(0, len(text))]
        if break_words:
            return [(at, min(at + width, len(text))) for at in range(0, len(text), width)]
        return _wrap_ascii(text, width)
    return _wrap_clusters(text, width, break_words)


def _wrap_ascii(text: str, width: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    start = 0
    length = len(text)
    while length - start > width:
        space = text.rfind(" ", start, start + width + 1)
        if space <= start or not text[start:space].strip(" "):
            end = after = start + width
        else:
            end = space
            while end > start and text[end - 1] == " ":
                end -= 1
            after = space + 1
        while after < length and text[after] == " ":
            after += 1
        ranges.append((start, end))
        start = after
    if start < length or not ranges:
        ranges.append((start, length))
    return ranges


def _wrap_clusters(text: str, width: int, break_words: bool) -> list[tuple[int, int]]:
    clusters, _ = split_graphemes(text)
    ranges: list[tuple[int, int]] = []
    first = 0  # index of the cluster that begins the line
    while first < len(clusters):
        used = 0
        index = first
        fold = 0  # index of the cluster that would begin the next line
        while index < len(clusters):
            begin, end, cells = clusters[index]
            is_space = text[begin:end] == " "
            if used + cells > width and not (is_space and not break_words):
                break
            if index > first and not break_words:
                previous = clusters[index - 1]
                after_space = text[previous[0] : previous[1]] == " "
                if not is_space and (after_space or cells == 2 or previous[2] == 2):
                    fold = index
            used += cells
            index += 1
        if index >= len(clusters):
            start, end = clusters[first][0], len(text)
            if used > width:  # only by spaces at the end
                end = start + len(text[start:].rstrip(" "))
            ranges.append((start, end))
            break
        if index == first:
            index += 1  # one cluster wider than the line
            if index == len(clusters):
                ranges.append((clusters[first][0], len(text)))
                break
        begins_word = index > first and text[clusters[index - 1][0]] == " "
        is_wide = clusters[index][2] == 2 or clusters[index - 1][2] == 2
        if not break_words and not begins_word and not is_wide and fold > first:
            head = text[clusters[first][0] : clusters[fold][0]]
            if head.strip(" "):
                index = fold
        start, end = clusters[first][0], clusters[index][0]
        if not break_words:
            trimmed = start + len(text[start:end].rstrip(" "))
            end = trimmed if trimmed > start else min(end, start + width)
        ranges.append((start, end))
        first = index
    return ranges
