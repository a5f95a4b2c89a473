"""What the commands about the context do: the page of /context, and the way out when it is full."""

from typing import TYPE_CHECKING

from kvchat.errors import KVChatError
from kvchat.tui.message_actions import rewind
from kvchat.tui.model_reach import context_lines
from kvchat.tui.screens.help import Help
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.session_actions import shown_view, started_runtime

if TYPE_CHECKING:
    from kvchat.tui.chat_state import SessionView
    from kvchat.tui.screens.chat import ChatScreen


def show_context(chat: "ChatScreen", _args: str) -> None:
    """Show what is in the context of the shown session."""
    status = started_runtime(chat).status()
    lines = context_lines(shown_view(chat).session, status, chat.app.glyphs)
    chat.app.push_screen(Help("What the model sees", lines))


def choose_room(chat: "ChatScreen", view: "SessionView") -> None:
    """Let the user choose how a chat whose context is full goes on; nothing is cut silently."""
    session = view.session
    window = started_runtime(chat).status().context_tokens * 3 // 4
    choices = [
        Choice(f"See only the last {window} tokens from now on", "window", note="/window"),
        Choice("Go back to an earlier message", "rewind", note="/rewind"),
        Choice("Go on in a fork from an earlier message", "fork", note="f on a message"),
    ]

    def chosen(choice: str | None) -> None:
        try:
            if choice == "window":
                session.set_window(window)
                chat.feed.watch(session.regenerate())
                chat.sync()
            elif choice == "rewind":
                rewind(chat, "")
            elif choice == "fork":
                chat.run(chat.app.registry["chat.cursor"])
        except KVChatError as error:
            chat.notice(error.sentence, "error")

    chat.app.push_screen(Picker("The context is full", choices), chosen)
