"""safe(): the one way for text we did not write to reach a widget.

Cleaned of everything a terminal would obey, and as Content, so that no bracket is ever markup.
"""

from textual.content import Content

from kvchat.clean_text import clean
from kvchat.tui.cells import without_stray_joiners

_ONE_LINE = str.maketrans({"\n": " ", "\t": " "})


def safe(text: str) -> Content:
    """Return cleaned text as Content without markup."""
    return Content(clean(text))


def safe_line(text: str) -> str:
    """Return cleaned text on one line, for drawing cell by cell: titles, labels, sentences."""
    return without_stray_joiners(clean(text).translate(_ONE_LINE))
