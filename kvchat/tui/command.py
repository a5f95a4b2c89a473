"""Command: one thing the user can do, its names, keys and places; and how keys are written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kvchat.tui.completion import Arguments

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen

Where = Literal["chat", "prompt", "message", "blocks", "ask", "ask prompt", "tree", "token"]
Run = Callable[["ChatScreen", str], None]
Applies = Callable[["ChatScreen", str], bool]

NEVER_BOUND = {
    "ctrl+h": "it is Backspace",
    "ctrl+i": "it is Tab",
    "ctrl+m": "it is Enter",
    "ctrl+left_square_bracket": "it is Esc",
    "ctrl+a": "it is the prefix of screen",
    "ctrl+b": "it is the prefix of tmux",
    "ctrl+z": "it is undo and suspend",
    "ctrl+backslash": "it is quit in terminals",
    "f10": "terminals take it",
    "f11": "terminals take it",
    "ctrl+pageup": "terminals take it",
    "ctrl+pagedown": "terminals take it",
    "ctrl+tab": "terminals take it",
    "alt+b": "it arrives as Ctrl+Left",
    "alt+f": "it arrives as Ctrl+Right",
}


def _always(_chat: "ChatScreen", _key: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Command:
    """One thing the user can do, and every way to do it."""

    id: str
    title: str
    run: Run
    help: str = ""
    keys: tuple[str, ...] = ()
    slash: str = ""
    aliases: tuple[str, ...] = ()
    args: str = ""
    where: Where = "chat"
    footer: str = ""
    """A short word for the footer; only there if there is room."""
    shown_keys: str = ""
    """How the keys are written where their names would not do."""
    applies: Applies = field(default=_always)
    """Whether the key means this command now; otherwise it goes on to the widget."""
    in_palette: bool = True
    complete: Arguments | None = None
    """What its argument could become, for Tab."""

    @property
    def key_text(self) -> str:
        """The keys as the help shows them."""
        return self.shown_keys or " ".join(display_key(key) for key in self.keys)


_DISPLAY = {
    "enter": "⏎", "escape": "esc", "question_mark": "?", "pageup": "pgup", "pagedown": "pgdn",
    "up": "↑", "down": "↓", "left": "←", "right": "→",
}  # fmt: skip


def display_key(key: str) -> str:
    """Return a key as people write it: `^n`, `alt+u`, `esc`."""
    *modifiers, name = key.split("+")
    name = _DISPLAY.get(name, name)
    if modifiers == ["ctrl"] and len(name) == 1:
        return f"^{name}"
    return "+".join([*modifiers, name]) if modifiers else name
