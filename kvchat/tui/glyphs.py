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
    open_quote: str = "“"
    close_quote: str = "”"
    tee: str = "├"
    nothing: str = "–"
    sparks: str = "▁▂▃▄▅▆▇█"
    """Bars from low to high."""

    def quoted(self, text: str) -> str:
        """Return a text of others between quotation marks."""
        return f"{self.open_quote}{text}{self.close_quote}"


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
    open_quote='"',
    close_quote='"',
    tee="|",
    nothing="-",
    sparks="_.,-=+*#",
)
_TO_ASCII = str.maketrans(
    {
        "·": "-", "–": "-", "−": "-", "“": '"', "”": '"', "…": "~", "→": ">", "←": "<", "↑": "^",
        "↓": "v", "⏎": "enter", "×": "x", "░": ":", "★": "*", "▸": ">",
    }
)  # fmt: skip


def plain_text(text: str, glyphs: Glyphs) -> str:
    """Return our own text with its signs in ASCII, where that is wanted."""
    return text.translate(_TO_ASCII) if glyphs is ASCII else text


def plain(lines: list[Line], glyphs: Glyphs) -> list[Line]:
    """Return lines with the signs of our own sentences in ASCII, where that is wanted."""
    if glyphs is not ASCII:
        return lines
    return [tuple((plain_text(text, glyphs), style) for text, style in line) for line in lines]
