"""What the commands of the branch tree do."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.tui.ask_actions import ask_these
from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import SessionView
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.text_question import TextQuestion
from kvchat.tui.screens.tree import TreeScreen
from kvchat.tui.session_actions import shown_view, undo_move, way_back

if TYPE_CHECKING:
    from kvchat.session.message import Message
    from kvchat.tui.command import Run
    from kvchat.tui.screens.chat import ChatScreen


def open_tree(chat: "ChatScreen", _args: str) -> None:
    """Show all messages of this chat and of its forks."""
    view = shown_view(chat)
    if not view.session.num_messages and not view.session.tree().nodes:
        chat.notice("There is no message yet.")
        return
    chat.app.push_screen(TreeScreen(view))


def on_tree(act: Callable[[TreeScreen], None]) -> "Run":
    """Return a command that does something in the open tree."""

    def run(chat: "ChatScreen", _args: str) -> None:
        screen = chat.app.screen
        if isinstance(screen, TreeScreen):
            act(screen)

    return run


def go_there(screen: TreeScreen) -> None:
    """Stand on a reply, or before a prompt with its text ready; a chat that is there is shown."""
    chat, message = screen.app.chat, screen.chosen
    others = [view for view in screen.sessions_at(message.id) if view is not screen.view]
    screen.dismiss()
    if others and message.id not in screen.path:
        chat.show_session(others[0])
        return
    stand_on(chat, screen.view, message)


def stand_on(chat: "ChatScreen", view: SessionView, message: "Message") -> None:
    """Move the tip of a session to a reply, or to before a user message."""
    session = view.session
    target = message.id if message.role == "assistant" else message.parent_id
    session.stop()
    if target is None:
        session.rewind(to="")
    elif not session.messages or session.messages[-1].id != target:
        session.show_sibling(target)
    if message.role == "user":
        chat.drafts.take_up(message.text)
    chat.sync()
    chat.notice(f"The next message goes on from here; {way_back(chat)}.")


def fork_there(screen: TreeScreen) -> None:
    """Make a session at this message, and show it."""
    chat, message = screen.app.chat, screen.chosen
    screen.dismiss()
    view = fork_at(chat, screen.view, message)
    chat.show_session(view)
    chat.notice(f"{view.session.tag} goes on from that message of {screen.view.session.tag}.")


def fork_at(chat: "ChatScreen", source: SessionView, message: "Message") -> SessionView:
    """Return a new session that stands on any message of the family, or before a prompt."""
    title = message.label or shorten(safe_line(message.text[:80]), 40) or None
    fork = source.session.fork(title=title)
    view = chat.view_of(fork)
    target = message.id if message.role == "assistant" else message.parent_id
    if target is None:
        fork.rewind(to="")
    elif not fork.messages or fork.messages[-1].id != target:
        fork.show_sibling(target)
    if message.role == "user":
        view.draft = message.text
    return view


def ask_marked(screen: TreeScreen) -> None:
    """Ask the marked messages one question: chats that stand there, else new forks."""
    chat = screen.app.chat
    if not screen.marked:
        screen.notice("Mark messages with space first.")
        return
    nodes = screen.view.session.tree().nodes
    views: list[SessionView] = []
    for message_id in screen.marked:
        there = [view for view in screen.sessions_at(message_id) if view not in views]
        views.append(there[0] if there else fork_at(chat, screen.view, nodes[message_id].message))
    screen.dismiss()
    text = chat.prompt.exact_text
    chat.prompt.set_exact_text("")
    ask_these(chat, views, text)


def name_place(screen: TreeScreen) -> None:
    """Ask for a name of this message; an empty one takes it away."""
    message = screen.chosen

    def answered(name: str | None) -> None:
        if name is not None:
            screen.view.session.label(name or None, message.id)
            screen.read_again()

    screen.app.push_screen(TextQuestion("Name this place", message.label or ""), answered)


def hide_there(screen: TreeScreen) -> None:
    """Hide this message and all below it."""
    message = screen.chosen
    screen.view.session.hide(message.id)
    screen.read_again()
    screen.app.chat.sync()
    screen.notice("Hidden, with all below it; u brings it back.")


def undo_there(screen: TreeScreen) -> None:
    """Take back the last hiding or move."""
    done = undo_move(screen.app.chat, screen.view)
    screen.read_again()
    screen.notice("Undone." if done else "Nothing to undo.")
