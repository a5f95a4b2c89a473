"""BlocksView: the pool on the whole screen as map, lanes or time, with inspector and events.

Draws a BlocksState and tells it where the mouse is. The keys come from the command registry.
"""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.message import Message

from kvchat.tui.block_inspector import inspector_lines
from kvchat.tui.block_marks import CACHED_AGES
from kvchat.tui.block_place import BlockPlace, place_in_lane, place_of_block
from kvchat.tui.block_words import event_lines, forecast, used_bars
from kvchat.tui.blocks_state import BlocksState, PoolPicture
from kvchat.tui.cells import Line, Span, fit, line_width, shorten
from kvchat.tui.glyphs import plain
from kvchat.tui.pool_figures import PoolFigures, byte_size, pool_figures
from kvchat.tui.pool_table import table_lines
from kvchat.tui.widgets.block_lanes import (
    Lane,
    LaneGrid,
    lane_grid,
    lane_lines,
    lane_place,
    lanes_of,
)
from kvchat.tui.widgets.block_map import MapGrid, map_lines
from kvchat.tui.widgets.block_time import cells_shown, seconds_shown, time_lines
from kvchat.tui.widgets.footer_line import fitting_hints
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.screens.blocks import BlocksScreen

WIDE_CELLS = 100
TABLE_CELLS = 46
HEAD_ROWS = 2

LEGEND = (
    ("a…z", "a block of one session, in its colour; A…Z: being written"),
    ("2…9 +", "used by so many sessions, in the colour of the oldest"),
    ("{cached}", "cached: nobody uses it, the darker, the sooner it gives way"),
    ("{free}", "free"),
    ("* x", "just copied before a write; just gave way to others"),
    ("_", "let go of by its window; the text stays"),
    ("= ?", "only on disk; to be computed from the text"),
    ("", "rows − shared = used; used + cached + free = the whole pool"),
)


class BlocksView(LineWidget, can_focus=True):
    """The views of the pool; `state` is whose picture it draws."""

    class Moved(Message):
        """The cursor is on another block."""

    class Jumped(Message):
        """A block was double clicked: its text is wanted."""

    def __init__(self, state: BlocksState) -> None:
        super().__init__(id="blocks")
        self.state = state
        self.is_pinned = False
        """Whether a click keeps the cursor where it is, whatever the mouse moves over."""
        self.map_grid: MapGrid | None = None
        self.lane_grid: LaneGrid | None = None
        self.lanes: list[Lane] = []
        self.num_columns = 1
        self._body_rows = 1

    # -- drawing ---------------------------------------------------------------------------

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the whole screen."""
        picture = self.state.picture
        if width < 4 or height < 2:
            return []
        if picture is None:
            text = " blocks: shown when the model is loaded"
            return plain([((shorten(text, width), "dim"),)], self.app.glyphs)
        below = self._below(picture, width, height)
        body_rows = max(height - HEAD_ROWS - 1 - len(below), 1)
        self._body_rows = body_rows
        figures = pool_figures(picture.view)
        draw = {"map": self._map, "lanes": self._lanes, "time": self._time}[self.state.mode]
        body = draw(picture, figures, width, body_rows)[:body_rows]
        body += [()] * (body_rows - len(body))
        lines = [self._head(picture, figures, width), self._rule(width), *body, *below]
        lines.append(self._footer(width))
        return plain(lines, self.app.glyphs)

    def _head(self, picture: PoolPicture, figures: PoolFigures, width: int) -> Line:
        state, view, dot = self.state, picture.view, self.app.glyphs.dot
        parts: list[str] = [state.mode]
        if len(view.groups) > 1:
            parts.append(f"layer group {view.group_index + 1}/{len(view.groups)}")
        if state.kind:
            parts.append(f"only {state.kind}")
        if state.is_frozen:
            parts.append("frozen")
        if state.mode == "time":
            parts.append(f"last {_span(seconds_shown(state.zoom))}")
        elif width >= 60:
            grid = self.map_grid if state.mode == "map" else self.lane_grid
            size = grid.size if grid is not None else 1
            tokens = f" = {size * view.block_size} tokens" if width >= WIDE_CELLS else ""
            parts.append(f"1 cell = {size} block{'s' if size > 1 else ''}{tokens}")
        left = f" {dot} ".join(["blocks", *parts] if width >= 60 else parts)
        if state.mode == "time":
            evicted = sum(count for kind, count in view.num_blocks_by_kind if kind == "evict")
            peak = 100 * view.peak_used_blocks // max(figures.num_total, 1)
            right = f"{figures.used_percent}% + {figures.cached_percent}% cached"
            right += f" {dot} peak {peak}% {dot} evicted {evicted}"
        else:
            right = (
                f"{figures.num_used} used + {figures.num_cached} cached + {figures.num_free} free"
                f" = {figures.num_total}"
            )
            if width < 60:
                right = f"{figures.num_used} + {figures.num_cached} + {figures.num_free}"
                right += f" = {figures.num_total}"
            if width >= WIDE_CELLS:
                right += f" blocks = {byte_size(figures.total_bytes)}"
        if cell_len(left) + cell_len(right) + 3 > width:
            room = width - cell_len(right) - 3
            left = shorten(left, room) if room >= 8 else ""
        gap = max(width - cell_len(left) - cell_len(right) - 2, 0)
        return ((f" {left}", "bold"), (" " * gap, ""), (right, "dim" if left else "bold"))

    def _rule(self, width: int) -> Line:
        return ((self.app.glyphs.horizontal * width, "frame"),)

    def _map(
        self, picture: PoolPicture, figures: PoolFigures, width: int, height: int
    ) -> list[Line]:
        state, glyphs = self.state, self.app.glyphs
        side = TABLE_CELLS if width >= WIDE_CELLS else 0
        cursor = state.place.block if state.place is not None else -1
        map_width = width - 2 - side
        self.map_grid = grid = MapGrid.fit(
            picture.view.num_blocks, map_width, height, zoom=state.zoom, block=cursor
        )
        owners = {key: row.owner for key, row in picture.rows.items()}
        drawn = map_lines(
            picture.view,
            owners,
            grid,
            glyphs,
            cursor=cursor,
            lit=self._lit_blocks(picture),
            with_recent=picture.has_recent,
        )
        if not side:
            return [((" ", ""), *line) for line in drawn]
        table = table_lines(picture, figures, side - 2, height, glyphs)
        lines: list[Line] = []
        for number in range(height):
            line: Line = drawn[number] if number < len(drawn) else ()
            right = table[number] if number < len(table) else ()
            gap = " " * (map_width - line_width(line) + 1)
            lines.append(((" ", ""), *line, (gap + glyphs.vertical, "frame"), *right))
        return lines

    def _lit_blocks(self, picture: PoolPicture) -> set[int]:
        if self.state.lit is None:
            return set()
        session_id, indexes = self.state.lit
        for sequence in picture.view.sequences:
            if sequence.session_id == session_id:
                return {block for block in sequence.table[indexes.start : indexes.stop]} - {-1}
        return set()

    def _lanes(
        self, picture: PoolPicture, _figures: PoolFigures, width: int, height: int
    ) -> list[Line]:
        state, glyphs = self.state, self.app.glyphs
        self.lanes = lanes_of(picture.view, picture.rows, glyphs, list(picture.rows))
        self.lane_grid = grid = lane_grid(
            self.lanes, width, height, zoom=state.zoom, place=state.place
        )
        lines = lane_lines(
            picture.view,
            self.lanes,
            picture.rows,
            grid,
            width,
            glyphs,
            place=state.place,
            lit=state.lit,
            with_recent=picture.has_recent,
        )
        hidden = len(self.lanes) - grid.first_lane - grid.height
        if hidden > 0:
            lines[-1] = ((f"  {glyphs.down} {hidden + 1} more sessions below", "dim"),)
        if not self.lanes:
            lines.append(((" no session has tokens yet", "dim"),))
        return lines

    def _time(
        self, picture: PoolPicture, figures: PoolFigures, width: int, height: int
    ) -> list[Line]:
        state, glyphs = self.state, self.app.glyphs
        side = TABLE_CELLS if width >= WIDE_CELLS else 0
        self.num_columns = cells_shown(width - side)
        drawn = time_lines(
            picture.view,
            picture.rows,
            width - side,
            height,
            glyphs,
            picture.now,
            zoom=state.zoom,
            column=state.column,
            kind=state.kind,
        )
        if not side:
            return drawn
        table = table_lines(picture, figures, side - 2, height, glyphs)
        table += [(), *(((f" {speed}", ""),) for speed in picture.speeds)]
        lines: list[Line] = []
        for number, line in enumerate(drawn):
            right = table[number] if number < len(table) else ()
            gap = " " * max(width - side - line_width(line), 0)
            lines.append((*line, (gap + glyphs.vertical, "frame"), *right))
        return lines

    # -- below the picture -----------------------------------------------------------------

    def _below(self, picture: PoolPicture, width: int, height: int) -> list[Line]:
        if height < 10:
            return []
        glyphs, state = self.app.glyphs, self.state
        rule = self._rule(width)
        if state.has_legend:
            return [rule, *self._legend(width)[: max(height - 8, 1)]]
        if height < 18:
            return [rule, *inspector_lines(state, width, glyphs)[: 1 if height < 14 else 3]]
        if width < WIDE_CELLS:
            shown = 6 if height >= 24 else 3
            if state.mode == "time":
                return [rule, *self._events(picture, width)[:4]]
            lines = inspector_lines(state, width, glyphs)[:shown]
            lines += [()] * (shown - len(lines))
            return [rule, *lines, rule, *self._events(picture, width)[:3]]
        return [rule, *self._wide_below(picture, width), rule, self._forecast(picture, width)]

    def _wide_below(self, picture: PoolPicture, width: int) -> list[Line]:
        glyphs = self.app.glyphs
        left_width = width * 4 // 7
        left = inspector_lines(self.state, left_width, glyphs)
        right = self._events(picture, width - left_width - 3)
        lines: list[Line] = []
        for number in range(6):
            one: Line = left[number] if number < len(left) else ()
            other = right[number] if number < len(right) else ()
            gap = " " * max(left_width - line_width(one), 0)
            lines.append((*one, (f"{gap} {glyphs.vertical} ", "frame"), *other))
        return lines

    def _events(self, picture: PoolPicture, width: int) -> list[Line]:
        view = picture.view
        lines = event_lines(
            view.events, self.state.kind, view.block_bytes, width - 1, self.app.glyphs
        )
        return [((" ", ""), *line) for line in lines] or [((" nothing happened yet", "dim"),)]

    def _forecast(self, picture: PoolPicture, width: int) -> Line:
        glyphs, view = self.app.glyphs, picture.view
        bars = used_bars(view, 24, glyphs, picture.now)
        used = pool_figures(view).used_percent
        words = forecast(view, picture.rows, picture.now)
        rest = shorten(f"  {used}%   {words}", width - 15 - len(bars), glyphs.ellipsis)
        return ((" used, 5 min  ", "dim"), (bars, "accent"), (rest, ""))

    def _legend(self, width: int) -> list[Line]:
        glyphs = self.app.glyphs
        lines: list[Line] = []
        for mark, meaning in LEGEND:
            drawn = mark.format(cached=glyphs.cached, free=glyphs.free)
            spans: list[Span] = [(f" {fit(drawn, 6)}", "bold"), (shorten(meaning, width - 8), "")]
            lines.append(tuple(spans))
        ages = [(glyphs.cached * 2, style) for style in CACHED_AGES]
        lines[2] = (*lines[2], (" ", ""), *ages) if width > 96 else lines[2]
        return lines

    def _footer(self, width: int) -> Line:
        told = self.state.notice
        if told is not None:
            return ((shorten(f" {told[0]}", width, self.app.glyphs.ellipsis), told[1] or "accent"),)
        spans: list[Span] = []
        for key, word in fitting_hints(self._keys(), width, self.app.glyphs):
            spans += [(f" {key}", "accent"), (f" {word} ", "dim")]
        return tuple(spans)

    def _keys(self) -> list[tuple[str, str]]:
        """Return the keys for the footer, those without which nobody finds the others first."""
        keys = {word: key for key, word in self.app.registry.view_footer("blocks")}
        views = " ".join(keys.pop(word) for word in ("map", "lanes", "time") if word in keys)
        first: tuple[str, ...] = ("back", "legend")
        pairs = [(keys.pop(word), word) for word in first if word in keys]
        pairs += [(views, "view")] if views else []
        return pairs + [(key, word) for word, key in keys.items()]

    # -- the mouse -------------------------------------------------------------------------

    def place_at(self, x: int, y: int) -> BlockPlace | None:
        """Return the block at a cell of the widget, None where there is none."""
        picture, state = self.state.picture, self.state
        row = y - HEAD_ROWS
        if picture is None or not 0 <= row < self._body_rows:
            return None
        if state.mode == "map" and self.map_grid is not None:
            block = self.map_grid.block_at(x - 1, row)
            prefer = state.place.session_id if state.place is not None else ""
            return None if block is None else place_of_block(picture.view, block, prefer)
        if state.mode == "lanes" and self.lane_grid is not None:
            found = lane_place(self.lanes, self.lane_grid, x, row - 1)
            if found is not None:
                return place_in_lane(picture.view, found[0].session_id, found[1])
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Move the cursor to the cell under the mouse, unless a click pinned it."""
        if not self.is_pinned:
            self._point(event.x, event.y)

    def on_click(self, event: events.Click) -> None:
        """Pin the cursor on a cell, or let it go again; a double click goes to the text."""
        place = self.place_at(event.x, event.y)
        if place is None:
            self.is_pinned = False
            return
        self.is_pinned = event.chain > 1 or not (self.is_pinned and place == self.state.place)
        self._point(event.x, event.y)
        if event.chain > 1:
            self.post_message(self.Jumped())

    def _point(self, x: int, y: int) -> None:
        place = self.place_at(x, y)
        if place is not None and place != self.state.place:
            self.state.go_to(place)
            self.post_message(self.Moved())

    # -- the keys --------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        screen: BlocksScreen = self.screen  # type: ignore[assignment]  # it is on no other screen
        if screen.press(event.key):
            event.stop()
            event.prevent_default()


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
