"""MarkdownLines: Markdown source -> styled lines, made for text that is still being written.

Each complete source line is parsed once, from the line and a small immutable state left by the
lines above it; only the unfinished last line, an open table and a possible table header are parsed
again. So a text streamed in any pieces ends in exactly the lines of the whole text. Source line
breaks are kept; HTML is shown, never interpreted. Knows no colours and no widgets.
"""

import re
from dataclasses import dataclass, replace

from rich.cells import cell_len

from kvchat.clean_text import clean
from kvchat.tui.cells import (
    Line,
    Span,
    cut,
    line_width,
    shorten,
    without_stray_joiners,
    wrap_ranges,
)
from kvchat.tui.code_colors import color_line, language_of
from kvchat.tui.glyphs import UNICODE, Glyphs
from kvchat.tui.inline_marks import inline_spans

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^`]*)$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$")
_RULE = re.compile(r"^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$")
_ITEM = re.compile(r"^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$")
_TASK = re.compile(r"^\[([ xX])\]\s+")
_QUOTE = re.compile(r"^ {0,3}((?:>\s?)+)(.*)$")
_DELIMITER = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_CELL_BREAK = re.compile(r"(?<!\\)\|")
MAX_INDENT = 24
MAX_BARS = 6
"""Bars that are drawn at most for quotes in quotes."""
MIN_FRAME_CELLS = 12
"""Code and tables that would have less room beside their indent begin at the left."""


@dataclass(frozen=True, slots=True)
class _Fence:
    marker: str
    indent: int
    language: str
    color_state: str = ""
    num_quotes: int = 0  # quotes around it


@dataclass(frozen=True, slots=True)
class _Row:
    """One logical line: how its first and its further lines begin, and its text."""

    kind: str  # text, code, code-top, code-end, rule, table, blank
    spans: tuple[Span, ...] = ()
    first: Line = ()
    rest: Line = ()
    cells: tuple[tuple[str, ...], ...] = ()
    aligns: tuple[str, ...] = ()  # of the columns of a table: left, center or right
    margin: int = 0  # cells before a table or code, so that it stands in its list item


@dataclass(frozen=True, slots=True)
class _State:
    """What the lines so far mean for the next one."""

    fence: _Fence | None = None
    header: str | None = None  # a line that becomes a table if a delimiter row follows
    table: tuple[tuple[str, ...], ...] = ()
    aligns: tuple[str, ...] = ()
    margin: int = 0  # of the table
    owes_blank: bool = False
    has_text: bool = False


_BLANK = _Row("blank")


class MarkdownLines:
    """The styled lines of one Markdown text that may still grow at its end."""

    def __init__(self, source: str = "", glyphs: Glyphs = UNICODE) -> None:
        self._glyphs = glyphs
        self._pieces: list[str] = []
        self._open = ""
        self._state = _State()
        self._rows: list[_Row] = []
        self._width = -1
        self._closed_lines: list[Line] = []
        self._num_wrapped_rows = 0
        if source:
            self.append(source)

    @property
    def source(self) -> str:
        """The text so far, exactly as it came."""
        return "".join(self._pieces)

    def append(self, piece: str) -> None:
        """Add text at the end; every line it completes is parsed once and for all."""
        self._pieces.append(piece)
        *complete, self._open = (self._open + piece).split("\n")
        for line in complete:
            self._state, rows = _advance(self._state, _prepared(line), self._glyphs)
            self._rows += rows

    def lines(self, width: int) -> list[Line]:
        """Return all lines, none wider than `width` cells (unless one cluster is wider)."""
        width = max(width, 1)
        if width != self._width:
            self._width = width
            self._closed_lines = []
            self._num_wrapped_rows = 0
        for row in self._rows[self._num_wrapped_rows :]:
            self._closed_lines += _wrap(row, width, self._glyphs)
        self._num_wrapped_rows = len(self._rows)
        tail: list[Line] = []
        for row in self._tail_rows():
            tail += _wrap(row, width, self._glyphs)
        return self._closed_lines + tail

    @property
    def num_closed_lines(self) -> int:
        """How many of the lines last returned can no longer change at this width."""
        return len(self._closed_lines)

    def code_blocks(self) -> list[str]:
        """Return the text of every fenced block, without its fences, exactly as written."""
        blocks: list[list[str]] = []
        state = _State()
        for line in self.source.split("\n"):
            fence = state.fence
            state, _ = _advance(state, _prepared(line), self._glyphs)
            if state.fence is None:
                continue
            inner = None if fence is None else _without_quotes(line, fence.num_quotes)
            if fence is None or inner is None:  # in another quote, or in none
                blocks.append([])
            else:
                blocks[-1].append(_without_indent(inner, fence.indent))
        return ["\n".join(block) for block in blocks]

    def _tail_rows(self) -> list[_Row]:
        state = self._state
        rows: list[_Row] = []
        if self._open:
            state, rows = _advance(state, _prepared(self._open), self._glyphs)
        return [*rows, *_open_rows(state, self._glyphs)]


def _prepared(line: str) -> str:
    return without_stray_joiners(clean(line.removesuffix("\r")).expandtabs(4))


def _advance(state: _State, line: str, glyphs: Glyphs) -> tuple[_State, list[_Row]]:
    """Take one complete line; return the new state and the rows that can no longer change."""
    if state.fence is not None:
        inner = _without_quotes(line, state.fence.num_quotes)
        if inner is not None:
            return _advance_in_fence(state, state.fence, inner, glyphs)
        rows = _open_rows(state, glyphs)  # the quote around the code has ended
        state, more = _advance(replace(state, fence=None), line, glyphs)
        return state, [*rows, *more]
    if state.table:
        if "|" in line and line.strip():
            return replace(state, table=(*state.table, _table_cells(line))), []
        closed = [_table_row(state)]
        state = replace(state, table=())
    elif state.header is not None:
        header = _table_cells(state.header)
        if _DELIMITER.match(line) and "-" in line and len(_table_cells(line)) == len(header):
            margin = min(len(state.header) - len(state.header.lstrip(" ")), MAX_INDENT)
            aligns = tuple(_align_of(cell) for cell in _table_cells(line))
            return replace(state, header=None, table=(header,), aligns=aligns, margin=margin), []
        closed = [_text_row(state.header, glyphs)]
        state = replace(state, header=None)
    else:
        closed = []
    if not line.strip():
        return replace(state, owes_blank=state.has_text), closed
    if state.owes_blank:
        closed.append(_BLANK)
    state = replace(state, owes_blank=False, has_text=True)
    quote = _QUOTE.match(line)
    num_quotes = quote[1].count(">") if quote is not None else 0
    fence = _FENCE.match(quote[2] if quote is not None else line)
    if fence is not None:
        language = language_of(fence[3].split(" ")[0])
        opened = _Fence(fence[2], len(fence[1]), language, num_quotes=num_quotes)
        label = (fence[3].strip(), "code-label")
        return replace(state, fence=opened), [*closed, _code_row("code-top", opened, glyphs, label)]
    if "|" in line and len(_table_cells(line)) > 1:
        return replace(state, header=line), closed
    return state, [*closed, _text_row(line, glyphs)]


def _advance_in_fence(
    state: _State, fence: _Fence, line: str, glyphs: Glyphs
) -> tuple[_State, list[_Row]]:
    stripped = line.strip()
    if len(stripped) >= len(fence.marker) and not stripped.strip(fence.marker[0]):
        return replace(state, fence=None), [_code_row("code-end", fence, glyphs)]
    spans, color_state = color_line(
        _without_indent(line, fence.indent), fence.language, fence.color_state
    )
    row = _code_row("code", fence, glyphs, *spans)
    return replace(state, fence=replace(fence, color_state=color_state)), [row]


def _open_rows(state: _State, glyphs: Glyphs) -> list[_Row]:
    if state.fence is not None:
        return [_code_row("code-end", state.fence, glyphs)]
    if state.table:
        return [_table_row(state)]
    if state.header is not None:
        return [_text_row(state.header, glyphs)]
    return []


def _table_row(state: _State) -> _Row:
    return _Row("table", cells=state.table, aligns=state.aligns, margin=state.margin)


def _align_of(cell: str) -> str:
    if cell.endswith(":"):
        return "center" if cell.startswith(":") else "right"
    return "left"


def _code_row(kind: str, fence: _Fence, glyphs: Glyphs, *spans: Span) -> _Row:
    bar = _quote_bar(fence.num_quotes, glyphs) if fence.num_quotes else ()
    return _Row(kind, spans, first=bar, margin=min(fence.indent, MAX_INDENT))


def _quote_bar(num_quotes: int, glyphs: Glyphs) -> Line:
    return ((f"{glyphs.quote} " * min(num_quotes, MAX_BARS), "quote-bar"),)


def _without_quotes(line: str, count: int) -> str | None:
    """Return what a line says inside of so many quotes; None if it is not in all of them."""
    if not count:
        return line
    match = re.match(rf"^ {{0,3}}(?:>\s?){{{count}}}", line)
    return line[match.end() :] if match is not None else None


def _without_indent(line: str, indent: int) -> str:
    blank = len(line) - len(line.lstrip(" "))
    return line[min(blank, indent) :]


def _table_cells(line: str) -> tuple[str, ...]:
    line = line.strip()
    line = line.removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return tuple(cell.strip().replace("\\|", "|") for cell in _CELL_BREAK.split(line))


def _text_row(line: str, glyphs: Glyphs, style: str = "") -> _Row:
    heading = _HEADING.match(line)
    if heading is not None:
        size = "heading" if len(heading[1]) < 3 else "subheading"
        return _Row("text", spans=tuple(inline_spans(heading[2], size)))
    if _RULE.match(line):
        return _Row("rule")
    item = _ITEM.match(line)
    if item is not None:
        indent = " " * min(len(item[1]), MAX_INDENT)
        mark = glyphs.bullet if len(item[2]) == 1 else item[2]
        text = item[3]
        task = _TASK.match(text)
        if task is not None:
            mark, text = f"[{task[1].lower()}]", text[task.end() :]
        rest = indent + " " * (cell_len(mark) + 1)
        first = ((indent, ""), (mark, "marker"), (" ", ""))
        return _Row("text", tuple(inline_spans(text, style)), first, ((rest, ""),))
    quote = _QUOTE.match(line)
    if quote is not None:
        bar = _quote_bar(quote[1].count(">"), glyphs)
        if _HEADING.match(quote[2]) or _ITEM.match(quote[2]):
            row = _text_row(quote[2], glyphs, "quote")
            return replace(row, first=(*bar, *row.first), rest=(*bar, *row.rest))
        return _Row("text", tuple(inline_spans(quote[2], "quote")), bar, bar)
    text = line.lstrip(" ")
    indent = " " * min(len(line) - len(text), MAX_INDENT)
    margin: Line = ((indent, ""),) if indent else ()
    return _Row("text", tuple(inline_spans(text.rstrip(" "))), margin, margin)


def _wrap(row: _Row, width: int, glyphs: Glyphs) -> list[Line]:
    if row.kind == "blank":
        return [()]
    if row.kind == "rule":
        return [((glyphs.horizontal * width, "frame"),)]
    if row.kind == "table" or row.kind.startswith("code"):
        wrap = _wrap_table if row.kind == "table" else _wrap_code
        margin: Line = (*row.first, (" " * row.margin, "")) if row.margin else row.first
        room = width - line_width(margin)
        if not margin or room < MIN_FRAME_CELLS:
            return wrap(row, width, glyphs)
        return [(*margin, *line) for line in wrap(row, room, glyphs)]
    first, rest = row.first, row.rest
    if line_width(first) > max(width // 2, width - 8):
        first = first[1:] if not first[0][0].strip() else ()  # the mark stays, its indent goes
        first = () if line_width(first) > width // 2 else first
        rest = ((" " * line_width(first), ""),) if first else ()
    text = "".join(part for part, _ in row.spans)
    room = width - max(line_width(first), line_width(rest))
    lines: list[Line] = []
    for start, end in wrap_ranges(text, room):
        lines.append((*(rest if lines else first), *cut(row.spans, start, end)))
    return lines


def _wrap_code(row: _Row, width: int, glyphs: Glyphs) -> list[Line]:
    inner = width - 4
    if inner < 8:  # no room for a frame
        if row.kind != "code":
            return []
        text = "".join(part for part, _ in row.spans)
        ranges = wrap_ranges(text, width, break_words=True)
        return [tuple((part, f"code {style}") for part, style in cut(row.spans, *range_))
                for range_ in ranges]  # fmt: skip
    if row.kind == "code-top":
        label = shorten(row.spans[0][0], inner - 1, glyphs.ellipsis)
        label = f" {label} " if label else ""
        rule = glyphs.horizontal * (width - 3 - cell_len(label))
        left = glyphs.top_left + glyphs.horizontal
        return [((left, "frame"), (label, "code-label"), (rule + glyphs.top_right, "frame"))]
    if row.kind == "code-end":
        rule = glyphs.horizontal * (width - 2)
        return [((glyphs.bottom_left + rule + glyphs.bottom_right, "frame"),)]
    text = "".join(part for part, _ in row.spans)
    ranges = wrap_ranges(text, inner, break_words=True)
    if len(ranges) > 1:
        ranges = wrap_ranges(text, inner - 2, break_words=True)
    lines: list[Line] = []
    for start, end in ranges:
        parts = [(part, f"code {style}") for part, style in cut(row.spans, start, end)]
        if lines:
            parts.insert(0, (glyphs.wrap + " ", "frame"))
        blank = " " * max(inner - line_width(parts), 0)
        left, right = glyphs.vertical + " ", " " + glyphs.vertical
        lines.append(((left, "frame"), *parts, (blank, "code"), (right, "frame")))
    return lines


def _wrap_table(row: _Row, width: int, glyphs: Glyphs) -> list[Line]:
    num_columns = len(row.cells[0])
    table = [[inline_spans(cell) for cell in (*cells, *[""] * num_columns)[:num_columns]]
             for cells in row.cells]  # fmt: skip
    room = width - 3 * (num_columns - 1)
    if room < 3 * num_columns:  # too narrow for columns: one cell below the other
        lines: list[Line] = []
        for cells in table:
            for cell in cells:
                text = "".join(part for part, _ in cell)
                lines += [tuple(cut(cell, *range_)) for range_ in wrap_ranges(text, width)]
        return lines
    widths = _column_widths(table, room)
    lines = []
    for index, cells in enumerate(table):
        style = "table-head" if index == 0 else ""
        lines += _wrap_table_row(cells, widths, row.aligns, style, glyphs)
        if index == 0:
            joint = f"{glyphs.horizontal}{glyphs.cross}{glyphs.horizontal}"
            lines.append(((joint.join(glyphs.horizontal * size for size in widths), "frame"),))
    return lines


def _column_widths(table: list[list[list[Span]]], room: int) -> list[int]:
    wanted = [max(max(line_width(row[column]) for row in table), 1) for column in
              range(len(table[0]))]  # fmt: skip
    while sum(wanted) > room:  # the widest column gives way, down to the next one
        widest = max(wanted)
        second = max((size for size in wanted if size < widest), default=1)
        columns = [index for index, size in enumerate(wanted) if size == widest]
        excess = sum(wanted) - room
        shrink = min(-(-excess // len(columns)), widest - second) or 1
        for index in columns:
            taken = min(shrink, sum(wanted) - room)
            wanted[index] = max(wanted[index] - taken, 1)
    return wanted


def _wrap_table_row(
    cells: list[list[Span]],
    widths: list[int],
    aligns: tuple[str, ...],
    style: str,
    glyphs: Glyphs,
) -> list[Line]:
    columns: list[list[list[Span]]] = []
    for cell, width in zip(cells, widths, strict=True):
        text = "".join(part for part, _ in cell)
        columns.append([cut(cell, *range_) for range_ in wrap_ranges(text, width)])
    lines: list[Line] = []
    for index in range(max(len(column) for column in columns)):
        parts: list[Span] = []
        for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
            if number:
                parts.append((f" {glyphs.vertical} ", "frame"))
            spans = column[index] if index < len(column) else []
            blank = max(width - line_width(spans), 0)
            before = {"right": blank, "center": blank // 2}.get(aligns[number], 0)
            parts.append((" " * before, ""))
            parts += [(part, f"{style} {own}".strip()) for part, own in spans]
            parts.append((" " * (blank - before), ""))
        lines.append(tuple(part for part in parts if part[0]))
    return lines
