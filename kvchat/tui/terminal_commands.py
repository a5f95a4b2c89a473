"""Commands for the terminal itself; the verbs are `terminal_actions`."""

from kvchat.tui import terminal_actions as terminal
from kvchat.tui.command import Command

TERMINAL_COMMANDS: tuple[Command, ...] = (
    Command("view.redraw", "Draw everything again", terminal.redraw, keys=("ctrl+l",)),
    Command("view.mouse", "Mouse off, for the terminal's own selection; or on again",
            terminal.toggle_mouse, keys=("f9",)),
    Command("view.log", "Log; it never holds chat text", terminal.show_log, keys=("f12",),
            slash="log"),
)  # fmt: skip
