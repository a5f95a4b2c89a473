"""line_plot(): lines over two logarithmic axes as an SVG picture, without a library."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's, which color-blind readers tell apart."""


def line_plot(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
) -> str:
    """Return an SVG picture of lines through points, whose coordinates are above 0.

    Points stand at the x values there are; on the y axis 1, 2 and 5 times powers of ten are named.
    """
    points = [point for line in series.values() for point in line]
    x_low, x_high = _bounds([x for x, _ in points])
    y_low, y_high = _bounds([y for _, y in points])

    def x_of(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / math.log(x_high / x_low)

    def y_of(y: float) -> float:
        part = math.log(y / y_low) / math.log(y_high / y_low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 12}">{escape(x_label)}</text>',
        f'<text x="12" y="{TOP - 8}">{escape(y_label)}</text>',
    ]
    for x in sorted({x for x, _ in points}):
        at = x_of(x)
        lines.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        lines.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:g}</text>'
        )
    for y in _ticks(y_low, y_high):
        at = y_of(y)
        lines.append(_line(LEFT, at, WIDTH - RIGHT, at))
        lines.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>')
    for place, (name, line) in enumerate(series.items()):
        color = COLORS[place % len(COLORS)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        dashes = ' stroke-dasharray="5 3"' if place >= len(COLORS) else ""
        lines.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{dashes}/>'
        )
        at = TOP + 18 * place + 8
        left = WIDTH - RIGHT + 14
        lines.append(
            f'<line x1="{left}" y1="{at}" x2="{left + 20}" y2="{at}" stroke="{color}"'
            f' stroke-width="2"{dashes}/>'
        )
        lines.append(f'<text x="{left + 26}" y="{at + 4}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest, apart from each other."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low / 2, high * 2)


def _ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in every if low <= tick <= high]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"'
        ' stroke-width="1"/>'
    )
