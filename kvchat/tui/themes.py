"""Themes: two calm palettes, and the styles that lines are drawn with.

Widgets that draw lines name styles (`"dim"`, `"code keyword"`, `"hue3"`); LineStyles turns the
names into colours of the current theme, once each. Twelve hues tell sessions apart; they differ
in lightness as well, and a letter always stands beside them.
"""

from dataclasses import dataclass

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

NUM_HUES = 12


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, as hex strings."""

    theme: Theme
    text: str
    dim: str
    faint: str
    accent: str
    user: str
    good: str
    warning: str
    error: str
    code_back: str
    chosen_back: str
    string: str
    keyword: str
    number: str
    call: str
    hues: tuple[str, ...]
    on_hue: str


DARK = Palette(
    Theme(
        name="kvchat-dark",
        primary="#7fa7d6",
        secondary="#a99bd0",
        warning="#d9ad6a",
        error="#e0848a",
        success="#8fbf8f",
        accent="#d9ad6a",
        foreground="#d5dae2",
        background="#11151a",
        surface="#151a20",
        panel="#1b2129",
        dark=True,
    ),
    text="#d5dae2",
    dim="#8590a0",
    faint="#4b5563",
    accent="#d9ad6a",
    user="#8fb4dc",
    good="#8fbf8f",
    warning="#d9ad6a",
    error="#e0848a",
    code_back="#171d25",
    chosen_back="#202a36",
    string="#a9c48f",
    keyword="#8fb4dc",
    number="#d9ad6a",
    call="#c9b5e0",
    hues=(
        "#6fa8dc", "#e0b15c", "#7cc4a4", "#d98aa8", "#a99be0", "#c8cf6a",
        "#5fc3d6", "#e5926a", "#9fb7c9", "#c58be0", "#8fbf6f", "#d6c3a0",
    ),
    on_hue="#11151a",
)  # fmt: skip
LIGHT = Palette(
    Theme(
        name="kvchat-light",
        primary="#2f6296",
        secondary="#6a55a0",
        warning="#8a5f10",
        error="#a8323c",
        success="#2f7040",
        accent="#8a5f10",
        foreground="#23272e",
        background="#faf8f4",
        surface="#f4f1ea",
        panel="#ebe7de",
        dark=False,
    ),
    text="#23272e",
    dim="#6a6f78",
    faint="#b3b0a8",
    accent="#8a5f10",
    user="#2f6296",
    good="#2f7040",
    warning="#8a5f10",
    error="#a8323c",
    code_back="#f1ede4",
    chosen_back="#e4ebf3",
    string="#3f6b2c",
    keyword="#2f6296",
    number="#8a5f10",
    call="#6a55a0",
    hues=(
        "#1f5f9e", "#9a6508", "#1f7a58", "#a83d68", "#5a48a8", "#6a7010",
        "#0f7488", "#a84e1c", "#4a6478", "#8438a8", "#44761c", "#7a6234",
    ),
    on_hue="#ffffff",
)  # fmt: skip
PALETTES = {palette.theme.name: palette for palette in (DARK, LIGHT)}
THEME_NAMES = {"dark": "kvchat-dark", "light": "kvchat-light"}


def palette_named(name: str | None) -> Palette:
    """Return the palette of a theme name, long or short; the dark one for any other name."""
    return PALETTES.get(THEME_NAMES.get(name or "", name or ""), DARK)


def _rich(
    color: str | None = None,
    back: str | None = None,
    *,
    bold: bool | None = None,
    italic: bool | None = None,
    underline: bool | None = None,
) -> Style:
    return Style(
        color=Color.parse(color) if color else None,
        bgcolor=Color.parse(back) if back else None,
        bold=bold,
        italic=italic,
        underline=underline,
    )


class LineStyles:
    """Names of styles -> Rich styles, for one palette."""

    def __init__(self, palette: Palette) -> None:
        self.palette = palette
        self._joined: dict[str, Style] = {"": Style()}
        p = palette
        self._named: dict[str, Style] = {
            "text": _rich(p.text),
            "dim": _rich(p.dim),
            "faint": _rich(p.faint),
            "frame": _rich(p.faint),
            "accent": _rich(p.accent),
            "good": _rich(p.good),
            "warning": _rich(p.warning),
            "error": _rich(p.error),
            "bold": Style(bold=True),
            "italic": Style(italic=True),
            "strike": Style(strike=True),
            "reverse": Style(reverse=True),
            "doubt": _rich(p.warning, underline=True),
            "user": _rich(p.user, bold=True),
            "heading": _rich(p.accent, bold=True),
            "subheading": Style(bold=True),
            "marker": _rich(p.accent),
            "quote": _rich(p.dim, italic=True),
            "quote-bar": _rich(p.faint),
            "inline-code": _rich(p.string, p.code_back),
            "link": _rich(p.user, underline=True),
            "target": _rich(p.dim),
            "table-head": Style(bold=True),
            "code": _rich(None, p.code_back),
            "code-label": _rich(p.dim),
            "comment": _rich(p.dim, italic=True),
            "str": _rich(p.string),
            "keyword": _rich(p.keyword, bold=True),
            "number": _rich(p.number),
            "call": _rich(p.call),
            "chosen": _rich(None, p.chosen_back),
            "cached0": _rich(p.faint),
            "cached1": _rich(p.dim),
            "cached2": _rich(p.text),
            "free": _rich(p.faint),
            "recent": _rich(p.accent, bold=True),
            "written": Style(bold=True, underline=True),
            # These turn colours around, so that they stand out without any.
            "marked": Style(reverse=True),
            "lit": Style(bold=True, underline=True, reverse=True),
            "at": Style(
                color=Color.parse(p.accent),
                bgcolor=Color.parse(p.on_hue),
                bold=True,
                reverse=True,
                underline=False,
            ),
        }
        for index, hue in enumerate(p.hues):
            self._named[f"hue{index}"] = _rich(hue)
            self._named[f"cell{index}"] = _rich(p.on_hue, hue)

    def style(self, names: str) -> Style:
        """Return the style of one or several names separated by spaces; later ones win."""
        found = self._joined.get(names)
        if found is None:
            found = Style.combine([self._named[name] for name in names.split()])
            self._joined[names] = found
        return found
