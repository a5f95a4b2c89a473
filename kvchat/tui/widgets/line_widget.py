"""LineWidget: a widget that is a list of styled lines and repaints only lines that changed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from kvchat.tui.cells import Line

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp


def strip_of(line: Line, width: int, base: Style, app: "KVChatApp") -> Strip:
    """Return one line as a strip of exactly `width` cells in the colours of the app's theme."""
    style = app.line_styles.style
    segments = [Segment(text, base + style(names)) for text, names in line if text]
    return Strip(segments).crop_extend(0, max(width, 0), base)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the lines of a widget lie on: a blank cell's style, and the edges beside each line."""

    style: Style
    background: Color
    left: Strip | None
    right: Strip | None


class LineWidget(Widget):
    """Base of the drawn widgets: subclasses return their lines, `redraw` finds what changed.

    Text must come cleaned (see `safe`), since lines reach the terminal as they are.
    """

    app: "KVChatApp"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._drawn_size = (-1, -1)
        self._ground: Ground | None = None
        self._painted: dict[int, tuple[Line, Strip]] = {}
        """The line in each row as it was painted last, and its strip, edges included."""

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the lines to draw in this size; missing ones are blank."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Ask for the lines again and repaint those that differ."""
        if not self.is_mounted:
            return
        size = self.content_size
        if (size.width, size.height) != self._drawn_size:
            self.refresh()
            return
        old, self._lines = self._lines, self.lines_for(size.width, size.height)
        gutter = self.gutter
        for y in range(min(max(len(old), len(self._lines)), size.height)):
            if self._line(old, y) != self._line(self._lines, y):
                self.refresh(Region(gutter.left, gutter.top + y, size.width, 1))

    def notify_style_update(self) -> None:
        """Forget the drawn lines when theme or style changed."""
        super().notify_style_update()
        self._drawn_size = (-1, -1)
        self._ground = None

    def on_show(self) -> None:
        """Draw what changed while it was hidden: nothing was repainted then."""
        self._drawn_size = (-1, -1)
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a region; a line that was painted before is only looked up."""
        gutter, outer = self.gutter, self.outer_size
        if gutter.top or gutter.bottom:
            return super().render_lines(crop)
        ground = self._colors()
        if (outer.width - gutter.width, outer.height) != self._drawn_size:
            self._painted.clear()
        rows = []
        for y in crop.line_range:
            line = self._line_at(y)
            found = self._painted.get(y)
            if found is None or found[0] != line:
                found = self._painted[y] = line, self._framed(self.render_line(y), ground)
            rows.append(found[1])
        if crop.column_span != (0, outer.width):
            rows = [strip.crop(*crop.column_span) for strip in rows]
        return rows

    def render_line(self, y: int) -> Strip:
        """Return one line in the colours of the theme."""
        line = self._line_at(y)
        return strip_of(line, self._drawn_size[0], self._colors().style, self.app)

    def _line_at(self, y: int) -> Line:
        size = self.content_size
        if (size.width, size.height) != self._drawn_size:
            self._drawn_size = (size.width, size.height)
            self._lines = self.lines_for(size.width, size.height)
        return self._line(self._lines, y)

    def _colors(self) -> Ground:
        """Return style and edges, worked out again when styles changed."""
        if self._ground is None:
            self._painted.clear()
            style, background, gutter = self.rich_style, self.background_colors[1], self.gutter
            self._ground = Ground(style, background, None, None)
            if gutter.left or gutter.right:  # Textual draws the edge of one row, for all of them
                (row,) = super().render_lines(Region(0, 0, self.outer_size.width, 1))
                left, right = row.crop(0, gutter.left), row.crop(row.cell_length - gutter.right)
                self._ground = Ground(style, background, left, right)
        return self._ground

    def _framed(self, strip: Strip, ground: Ground) -> Strip:
        for each in self.get_line_filters():
            strip = strip.apply_filter(each, ground.background)
        if ground.left is None or ground.right is None:
            return strip
        return Strip.join([ground.left, strip, ground.right])

    @staticmethod
    def _line(lines: list[Line], y: int) -> Line:
        return lines[y] if y < len(lines) else ()
