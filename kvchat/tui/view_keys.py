"""What keys mean in the views that lie over the chat, and how the chat comes to the front again.

A key of the view itself comes first; keys of the program work everywhere; a key that is for the
chat leads back there and works, or the view says why not. None is without an answer.
"""

from typing import TYPE_CHECKING, Protocol

from textual.screen import Screen

from kvchat.tui.command import Command, Where, display_key
from kvchat.tui.prompt_actions import run_command

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen

QUIT_SECONDS = 2.0
EVERYWHERE = frozenset(
    {"app.quit", "app.help", "view.redraw", "view.blocks", "view.mouse", "view.log"}
)
"""Commands of the chat that mean the same in every view."""
READING = frozenset(
    {
        "app.back", "app.next_area", "chat.page_up", "chat.page_down", "chat.top", "chat.bottom",
    }
)  # fmt: skip
"""Commands of the chat that move in it; a view has its own, or lets its prompt have the key."""


class View(Protocol):
    """A screen over the chat."""

    @property
    def place(self) -> Where:
        """Whose keys of the registry mean something now."""

    @property
    def is_writing(self) -> bool:
        """Whether letters are being written."""

    @property
    def is_kept(self) -> bool:
        """Whether leaving would lose what the user put together here."""

    def close_view(self) -> None:
        """Go back to what lies below."""

    def notice(self, sentence: str, style: str = "") -> None:
        """Say one sentence."""

    def interrupt(self) -> bool:
        """Clear or stop what is there; False when there is nothing."""


def press_in_view(chat: "ChatScreen", view: View, key: str) -> bool:
    """Run what a key means in a view; False lets the key go on to the widget."""
    for command in chat.app.registry.for_key(key):
        if command.id == "app.help_key":  # a letter, where letters are being written
            if view.is_writing:
                continue
            run_command(chat, command, "")
        elif command.id in EVERYWHERE:
            run_command(chat, command, "")
        elif command.where == view.place:
            if not command.applies(chat, key):
                continue
            run_command(chat, command, key)
        elif command.id == "app.interrupt":
            _interrupt(chat, view)
        elif command.where == "chat" and command.id not in READING:
            _go_and_run(chat, view, command, key)
        else:
            continue
        return True
    return False


def _interrupt(chat: "ChatScreen", view: View) -> None:
    if view.interrupt():
        return
    if chat.pressed_again("ctrl+c", QUIT_SECONDS):
        chat.app.leave()
    else:
        view.notice("^c again to quit")


def _go_and_run(chat: "ChatScreen", view: View, command: Command, key: str) -> None:
    if view.is_kept:
        view.notice(f"{display_key(key)} is for the chat; esc goes back there.")
        return
    come_back(chat)
    args = key.rpartition("+")[2] if command.id == "session.go" else ""
    run_command(chat, command, args)


def come_back(chat: "ChatScreen") -> None:
    """Close every view, so that the chat is in front."""
    close_above(chat, chat)


def close_above(chat: "ChatScreen", screen: "Screen[None]") -> None:
    """Close the views and pages that lie over a screen."""
    app = chat.app
    while app.screen is not screen and app.screen in app.screen_stack[1:]:
        top = app.screen
        close = getattr(top, "close_view", top.dismiss)  # pages and questions only go
        close()
        assert app.screen is not top, "what is on top can be closed"
