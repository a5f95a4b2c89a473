"""BlockTime: who used the pool in the last five minutes, stacked, with a letter for each event.

Shared blocks lie at the bottom, then the private ones of each session, then what the step held,
then what was cached. Pure functions of the view; no widget.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kvchat.tui.block_marks import joined
from kvchat.tui.block_rows import SessionRow
from kvchat.tui.block_words import LETTERS, sample_at, sampled_blocks
from kvchat.tui.cells import Line, Span, fit
from kvchat.tui.glyphs import Glyphs

if TYPE_CHECKING:
    from kvchat.kv.pool_history import PoolSample
    from kvchat.kv.pool_view import PoolView

SPAN_SECONDS = 300.0
LEFT_CELLS = 7
NUM_MARKS_OF_TIME = 5


def time_lines(
    view: "PoolView",
    rows: Mapping[str, SessionRow],
    width: int,
    height: int,
    glyphs: Glyphs,
    now: float,
    *,
    zoom: int = 0,
    column: int | None = None,
    kind: str = "",
) -> list[Line]:
    """Return the picture, its axis and the line of events, `height` lines in all.

    `zoom` halves the time shown once for each; `column` is where a cursor stands.
    """
    cells = max(width - LEFT_CELLS - 1, 1)
    bars = max(height - 3, 1)
    span = seconds_shown(zoom)
    samples = [
        sample_at(view.history, now - span * (cells - 1 - at) / max(cells - 1, 1))
        for at in range(cells)
    ]
    total = sampled_blocks(view)
    stacks = [_stack(sample, rows, total, bars, glyphs) for sample in samples]
    used = 0
    if samples[-1] is not None:
        used = total - samples[-1].num_free - samples[-1].num_cached
    used_row = bars - 1 - min(bars * used // max(total, 1), bars - 1)
    lines: list[Line] = []
    for row in range(bars):
        label = ""
        if row == used_row:
            label = f"{100 * used // max(total, 1)}%"
        elif row == 0:
            label = "100%"
        elif row == bars - 1:
            label = "0%"
        drawn: list[Span] = [stack[bars - 1 - row] for stack in stacks]
        if column is not None and 0 <= column < cells:
            mark, style = drawn[column]
            drawn[column] = (mark, f"{style} at".strip())
        lines.append(((f"{label:>5} ", "dim"), (glyphs.vertical, "frame"), *joined(drawn)))
    lines += [
        _axis(cells, span, glyphs),
        _times(cells, span),
        _events(view, cells, span, now, kind),
    ]
    return lines


def seconds_shown(zoom: int) -> float:
    """Return the time that is shown: five minutes, or its half, quarter …"""
    return SPAN_SECONDS / (1 << max(zoom, 0))


def cells_shown(width: int) -> int:
    """Return the columns of the picture in so many cells."""
    return max(width - LEFT_CELLS - 1, 1)


def _stack(
    sample: "PoolSample | None",
    rows: Mapping[str, SessionRow],
    total: int,
    height: int,
    glyphs: Glyphs,
) -> list[Span]:
    """Return a column from bottom to top."""
    blank: Span = (" ", "")
    if sample is None:
        return [blank] * height
    parts: list[tuple[int, Span]] = [(sample.num_shared, ("2", "bold"))]
    for owner, count in sample.owners:
        row = rows.get(owner)
        if row is None:
            parts.append((count, (glyphs.held, "dim")))
        else:
            parts.append((count, (row.owner.tag.lower(), f"cell{row.owner.hue}")))
    parts.append((sample.num_held, (glyphs.held, "dim")))
    parts.append((sample.num_cached, (glyphs.cached, "cached1")))
    column: list[Span] = []
    behind = 0
    for count, span in parts:
        behind += count
        # Rounded sums keep the height of the whole right, whatever the parts are.
        top = round(height * behind / max(total, 1))
        if count and top == len(column) and behind == count:
            top += 1  # what there is first always shows
        column += [span] * (top - len(column))
    column = column[:height]
    return column + [blank] * (height - len(column))


def _marks(cells: int, span: float) -> list[tuple[int, int]]:
    """Return the columns with a mark and how many seconds ago they are."""
    seconds = [round(span * part / NUM_MARKS_OF_TIME) for part in range(NUM_MARKS_OF_TIME + 1)]
    return [(round((cells - 1) * (1 - each / span)), each) for each in seconds]


def _axis(cells: int, span: float, glyphs: Glyphs) -> Line:
    bar = [glyphs.horizontal] * cells
    for place, _ in _marks(cells, span):
        bar[place] = glyphs.cross
    return ((" " * (LEFT_CELLS - 1) + glyphs.bottom_left + "".join(bar), "frame"),)


def _times(cells: int, span: float) -> Line:
    text = [" "] * cells
    for place, seconds in reversed(_marks(cells, span)):
        label = f"-{seconds}s" if seconds else "now"
        if seconds >= 60:
            rest = f"{seconds % 60:02}" if seconds % 60 else ""
            label = f"-{seconds // 60}m{rest}"
        first = min(max(place - len(label) // 2, 0), cells - len(label))
        if first >= 0:
            text[first : first + len(label)] = label
    return ((" " * LEFT_CELLS + "".join(text[:cells]), "dim"),)


def _events(view: "PoolView", cells: int, span: float, now: float, kind: str) -> Line:
    letters = [" "] * cells
    for event in view.events:
        place = round((cells - 1) * (1 - (now - event.at) / span))
        if 0 <= place < cells and (not kind or event.kind == kind):
            letters[place] = LETTERS.get(event.kind, "?")
    return ((fit(" what", LEFT_CELLS), "dim"), ("".join(letters), "accent"))
