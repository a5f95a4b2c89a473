"""PlainBar: how a scroll bar is drawn where only ASCII may be: without block characters."""

from typing import ClassVar

from textual.scrollbar import ScrollBarRender


class PlainBar(ScrollBarRender):
    """A scroll bar of colored cells alone."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
