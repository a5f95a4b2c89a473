"""LineWidget: a widget that is a list of styled lines and repaints only lines that changed."""

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
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


class LineWidget(Widget):
    """Base of the drawn widgets: subclasses return their lines, `redraw` finds what changed.

    Text must come cleaned (see `safe`), since lines reach the terminal as they are.
    """

    app: "KVChatApp"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._drawn_size = (-1, -1)
        self._base = Style()

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

    def on_show(self) -> None:
        """Draw what changed while it was hidden: nothing was repainted then."""
        self._drawn_size = (-1, -1)
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a region; the base style is worked out once for all of them."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return one line in the colours of the theme."""
        size = self.content_size
        if (size.width, size.height) != self._drawn_size:
            self._drawn_size = (size.width, size.height)
            self._lines = self.lines_for(size.width, size.height)
        return strip_of(self._line(self._lines, y), size.width, self._base, self.app)

    @staticmethod
    def _line(lines: list[Line], y: int) -> Line:
        return lines[y] if y < len(lines) else ()
