"""What the commands of the token view do."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.errors import KVChatError
from kvchat.tui.branch_actions import with_message
from kvchat.tui.screens.alternatives import AlternativesScreen
from kvchat.tui.session_actions import shown_view

if TYPE_CHECKING:
    from kvchat.session.message import Message
    from kvchat.tui.command import Run
    from kvchat.tui.screens.chat import ChatScreen


def open_last(chat: "ChatScreen", _args: str) -> None:
    """Show the tokens of the last reply."""
    for message in reversed(shown_view(chat).session.messages):
        if message.role == "assistant":
            _open(chat, message)
            return
    raise KVChatError("There is no reply yet.")


def open_here(chat: "ChatScreen", _args: str) -> None:
    """Show the tokens of the message under the cursor."""
    with_message(chat, lambda message: _open(chat, message))


def _open(chat: "ChatScreen", message: "Message") -> None:
    chat.app.push_screen(AlternativesScreen(shown_view(chat), message))


def on_token(act: Callable[[AlternativesScreen], None]) -> "Run":
    """Return a command that does something in the open view."""

    def run(chat: "ChatScreen", _args: str) -> None:
        screen = chat.app.screen
        if isinstance(screen, AlternativesScreen):
            act(screen)

    return run


def choose_by_digit(chat: "ChatScreen", key: str) -> None:
    """Choose the alternative with the number of the key; 0 is the tenth."""
    screen = chat.app.screen
    if isinstance(screen, AlternativesScreen) and key.isdecimal():
        screen.choose((int(key) - 1) % 10)
