"""A part of the screen as SVG, written by us: no version of Rich or of a terminal changes it.

One `rect` and one `tspan` per run of cells that look alike, one class per look; a cell is 8 x 17.
"""

from html import escape
from itertools import groupby

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from textual.geometry import Region

from kvchat.tui.app import KVChatApp

CELL_WIDTH, CELL_HEIGHT, BASELINE = 8, 17, 13
INK, PAPER = "#e0e0e0", "#121212"
"""Where a cell names no color."""


def svg_of(app: KVChatApp, region: Region) -> str:
    """Return the SVG of what stands in a region of the screen now."""
    classes: dict[str, str] = {}

    def class_of(look: str) -> str:
        return classes.setdefault(look, f"l{len(classes)}")

    papers: list[str] = []
    texts: list[str] = []
    for y, strip in enumerate(app.screen._compositor.render_strips()[region.y : region.bottom]):
        cells = [
            (character, *_looks(segment.style or Style()))
            for segment in strip.crop(region.x, region.right)
            for character in segment.text
        ]
        x = 0
        for paper, group in groupby(cells, key=lambda cell: cell[2]):
            width = cell_len("".join(character for character, *_ in group))
            if paper != PAPER:
                papers.append(
                    f'<rect x="{x * CELL_WIDTH}" y="{y * CELL_HEIGHT}" width="{width * CELL_WIDTH}"'
                    f' height="{CELL_HEIGHT}" class="{class_of(f"fill:{paper}")}"/>'
                )
            x += width
        x = 0
        spans: list[str] = []
        for ink, group in groupby(cells, key=lambda cell: cell[1]):
            text = "".join(character for character, *_ in group)
            shown = text.strip(" ")
            if shown:
                start = (x + len(text) - len(text.lstrip(" "))) * CELL_WIDTH
                spans.append(f'<tspan x="{start}" class="{class_of(ink)}">{escape(shown)}</tspan>')
            x += cell_len(text)
        if spans:
            texts.append(f'<text y="{y * CELL_HEIGHT + BASELINE}">{"".join(spans)}</text>')
    width, height = region.width * CELL_WIDTH, region.height * CELL_HEIGHT
    styles = "".join(f".{name}{{{look}}}" for look, name in classes.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            ' xml:space="preserve" font-family="monospace" font-size="13.3">',
            f"<style>{styles}</style>",
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
            *papers,
            *texts,
            "</svg>\n",
        ]
    )


def _looks(style: Style) -> tuple[str, str]:
    """Return how the text of a style is drawn, and the color behind it."""
    ink, paper = _hex(style.color, INK), _hex(style.bgcolor, PAPER)
    if style.reverse:
        ink, paper = paper, ink
    look = f"fill:{ink}"
    if style.bold:
        look += ";font-weight:bold"
    if style.italic:
        look += ";font-style:italic"
    lines = [
        name
        for name, is_drawn in (("underline", style.underline), ("line-through", style.strike))
        if is_drawn
    ]
    if lines:
        look += f";text-decoration:{' '.join(lines)}"
    return look, paper


def _hex(color: Color | None, otherwise: str) -> str:
    if color is None or color.is_default:
        return otherwise
    return str(color.get_truecolor().hex)
