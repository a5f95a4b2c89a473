"""Glyphs: every drawn character that is not text, once for Unicode terminals and once for ASCII.

No meaning stands in colour alone, so each mark is also a different character.
"""

from dataclasses import dataclass

from kvchat.tui.cells import Line


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters frames, marks and bars are drawn with; each is one cell wide."""

    streaming: str = "●"
    prefill: str = "◐"
    waiting: str = "○"
    unread: str = "▲"
    error: str = "!"
    done: str = "✓"
    star: str = "★"
    reply: str = "→"
    marked: str = "◆"
    token_left: str = "▐"
    token_right: str = "▌"
    newline: str = "↵"
    unseen: str = "┊"
    sink: str = "▪"
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
    tee: str = "├"
    nothing: str = "–"
    sparks: str = "▁▂▃▄▅▆▇█"
    """Bars from low to high."""


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
    done="v",
    star="*",
    reply=">",
    marked="*",
    token_left="[",
    token_right="]",
    newline="$",
    unseen=":",
    sink="+",
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
    tee="|",
    nothing="-",
    sparks="_.,-=+*#",
)
_TO_ASCII = str.maketrans(
    {
        "·": "-", "–": "-", "−": "-", "“": '"', "”": '"', "…": "~", "→": ">", "←": "<", "↑": "^",
        "↓": "v", "⏎": "enter", "×": "x",
    }
)  # fmt: skip


def plain(lines: list[Line], glyphs: Glyphs) -> list[Line]:
    """Return lines with the signs of our own sentences in ASCII, where that is wanted."""
    if glyphs is not ASCII:
        return lines
    return [tuple((text.translate(_TO_ASCII), style) for text, style in line) for line in lines]
