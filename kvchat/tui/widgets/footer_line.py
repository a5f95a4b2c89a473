"""FooterLine: the keys that matter now, as many as fit; which ones, the registry says."""

from collections.abc import Sequence

from kvchat.tui.cells import Line, Span
from kvchat.tui.glyphs import plain
from kvchat.tui.widgets.line_widget import LineWidget


class FooterLine(LineWidget):
    """One row of keys and words."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pairs: Sequence[tuple[str, str]] = ()

    def show(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show other keys."""
        if pairs != self._pairs:
            self._pairs = pairs
            self.redraw()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the row; what does not fit is left out as a whole."""
        spans: list[Span] = []
        used = 0
        for key, word in self._pairs:
            cells = len(key) + len(word) + 3
            if used + cells > width:
                break
            used += cells
            spans += [(f" {key} ", "accent"), (f"{word} ", "dim")]
        return plain([tuple(spans)], self.app.glyphs)
