"""FooterLine: the keys that matter now, as many as fit; which ones, the registry says."""

from collections.abc import Sequence

from rich.cells import cell_len

from kvchat.tui.cells import Line, Span
from kvchat.tui.glyphs import Glyphs, plain_text
from kvchat.tui.widgets.line_widget import LineWidget


def fitting_hints(
    pairs: Sequence[tuple[str, str]], width: int, glyphs: Glyphs
) -> list[tuple[str, str]]:
    """Return the first keys and words that fit in `width` cells, as they are written there.

    A sign may be a word in ASCII, so they are written first and measured then.
    """
    fitting = []
    for key, word in pairs:
        key, word = plain_text(key, glyphs), plain_text(word, glyphs)
        width -= cell_len(key) + cell_len(word) + 3
        if width < 0:
            break
        fitting.append((key, word))
    return fitting


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
        for key, word in fitting_hints(self._pairs, width, self.app.glyphs):
            spans += [(f" {key} ", "accent"), (f"{word} ", "dim")]
        return [tuple(spans)]
