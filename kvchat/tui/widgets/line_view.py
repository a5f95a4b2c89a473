"""LineView: a scroll view of finished lines, painted without Textual's layer of borders and tints.

Textual builds every painted line anew: padding, border, outline, tint and opacity are asked for
each, and each character gets its place for the mouse. A conversation has none of these, and its
lines move up all the time; so here a line that was painted before is only looked up. Where the
mouse is, is worked out when it asks.
"""

from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from textual.color import Color
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from kvchat.tui.widgets.plain_bar import PlainBar

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp


class LineView(ScrollView, can_focus=True):
    """Paints the lines its subclass returns. It must have no border, padding, tint or opacity."""

    ALLOW_SELECT: ClassVar[bool] = True

    app: "KVChatApp"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ground: tuple[Style, Color] | None = None
        """Style of a blank cell, and its color; worked out again when styles change."""

    def on_mount(self) -> None:
        """Take a scroll bar without block characters where only ASCII is drawn."""
        super().on_mount()  # type: ignore[no-untyped-call]  # textual leaves it untyped
        if self.app.settings.ascii:
            self.vertical_scrollbar.renderer = PlainBar  # type: ignore[misc]  # only this one

    def strips(self, first: int, count: int, width: int, base: Style) -> list[Strip]:
        """Return `count` lines of the content from `first` on, each exactly `width` cells.

        The same strip for the same line, as long as it is the same: Textual keeps with a strip
        what it made of it. `base` is the style of a blank cell.
        """
        raise NotImplementedError

    def forget_strips(self) -> None:
        """Draw every line again when it is next painted: theme, colors or marks changed."""
        raise NotImplementedError

    def last_row(self, strip: Strip, width: int, base: Style) -> Strip:
        """Return what stands in the last row of the view instead of a line."""
        return strip

    # -- painting --------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows of a region of the view."""
        base, background = self._colors()
        width, height = self.size
        filters = self.get_line_filters()
        rows = []
        for strip in self._rows(crop.y, crop.height, width, height, base):
            for each in filters:
                strip = strip.apply_filter(each, background)
            rows.append(strip)
        if crop.column_span != (0, width):
            rows = [strip.crop(*crop.column_span) for strip in rows]
        return rows

    def render_line(self, y: int) -> Strip:
        """Return one row of the view, each character with its place, for the mouse."""
        width, height = self.size
        (strip,) = self._rows(y, 1, width, height, self._colors()[0])
        return strip.apply_offsets(0, self.scroll_offset.y + y)

    def _rows(self, first: int, count: int, width: int, height: int, base: Style) -> list[Strip]:
        top = self.scroll_offset.y
        rows = self.strips(top + first, count, width, base)
        selection = self.text_selection
        if selection is not None:
            rows = [
                self._selected(strip, selection, top + y) for y, strip in enumerate(rows, first)
            ]
        if rows and first + count == height:
            rows[-1] = self.last_row(rows[-1], width, base)
        return rows

    def _colors(self) -> tuple[Style, Color]:
        if self._ground is None:
            self._ground = self.rich_style, self.background_colors[1]
        return self._ground

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Repaint lines of the content that are in view."""
        first = max(y_start - self.scroll_offset.y, 0)
        last = min(y_start + line_count - self.scroll_offset.y, self.size.height)
        if first < last:
            self.refresh(Region(0, first, self.size.width, last - first))

    # -- styles ----------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        """Forget drawn strips when theme or colors changed."""
        super().notify_style_update()
        self._ground = None
        self.forget_strips()

    def update_node_styles(self, animate: bool = True) -> None:
        """Do nothing: no style of ours depends on focus or hovering."""

    def restyle(self) -> None:
        """Take the colors of a new theme."""
        super().update_node_styles(animate=False)
        self.notify_style_update()
        self.refresh()

    # -- selected text ---------------------------------------------------------------------

    def _selected(self, strip: Strip, selection: Selection, line_y: int) -> Strip:
        span = selection.get_span(line_y)
        if span is None:
            return strip
        start, end = span
        left = strip.index_to_cell_position(start)
        right = strip.cell_length if end == -1 else strip.index_to_cell_position(end)
        style = self.screen.get_component_rich_style("screen--selection")
        segments = strip.crop(left, right)
        chosen = Strip(
            [type(s)(s.text, (s.style or Style()) + style) for s in segments], right - left
        )
        return Strip.join([strip.crop(0, left), chosen, strip.crop(right, strip.cell_length)])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text of the selected lines, as shown but without padding."""
        num_lines = self.virtual_size.height
        start = selection.start.y if selection.start else 0
        end = selection.end.y if selection.end else num_lines - 1
        count = max(min(end, num_lines - 1) - start + 1, 0)
        texts: list[str] = []
        drawn = self.strips(start, count, self.size.width, self._colors()[0])
        for line_y, strip in enumerate(drawn, start):
            span = selection.get_span(line_y) or (0, -1)
            texts.append(strip.text[span[0] : None if span[1] == -1 else span[1]].rstrip())
        return "\n".join(texts), "\n"
