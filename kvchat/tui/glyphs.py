"""Glyphs: every drawn character that is not text, once for Unicode terminals and once for ASCII.

No meaning stands in colour alone, so each mark is also a different character.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters frames, marks and bars are drawn with; each is one cell wide."""

    streaming: str = "●"
    prefill: str = "◐"
    waiting: str = "○"
    unread: str = "▲"
    error: str = "!"
    bar: str = "▌"
    chosen: str = "▸"
    cursor: str = "▍"
    prompt: str = "›"
    ellipsis: str = "…"
    dot: str = "·"
    bullet: str = "•"
    quote: str = "▎"
    wrap: str = "↪"
    horizontal: str = "─"
    vertical: str = "│"
    cross: str = "┼"
    top_left: str = "┌"
    top_right: str = "┐"
    bottom_left: str = "└"
    bottom_right: str = "┘"
    down: str = "↓"
    branch: str = "←"
    left: str = "‹"
    right: str = "›"
    cached: str = "░"
    free: str = "·"
    held: str = "#"
    meter_full: str = "▓"
    meter_empty: str = "░"
    minus: str = "−"


UNICODE = Glyphs()
ASCII = Glyphs(
    streaming="#",
    prefill="~",
    waiting="o",
    unread="^",
    bar="|",
    chosen=">",
    cursor="_",
    prompt=">",
    ellipsis="~",
    dot="-",
    bullet="*",
    quote="|",
    wrap="\\",
    horizontal="-",
    vertical="|",
    cross="+",
    top_left="+",
    top_right="+",
    bottom_left="+",
    bottom_right="+",
    down="v",
    branch="<",
    left="<",
    right=">",
    cached=":",
    free=".",
    meter_full="#",
    meter_empty="-",
    minus="-",
)
