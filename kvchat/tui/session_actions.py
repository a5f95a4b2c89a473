"""What the commands do with sessions: open, switch, name, fork, delete, and set how they talk."""

from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import UNDO_DELETE_SECONDS, SessionView, title_of
from kvchat.tui.command import display_key
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.screens.confirm import ask_first

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.tui.screens.chat import ChatScreen


def started_runtime(chat: "ChatScreen") -> "ChatRuntime":
    """Return the runtime; raises KVChatError before it is there."""
    if chat.app.runtime is None:
        raise KVChatError("kvchat is still starting.")
    return chat.app.runtime


def shown_view(chat: "ChatScreen") -> SessionView:
    """Return the shown session; raises KVChatError before there is one."""
    if chat.view is None:
        raise KVChatError("kvchat is still starting.")
    return chat.view


def new_session(chat: "ChatScreen", args: str) -> None:
    """Open a new session; an empty one that is already there is used again."""
    view = chat.view
    if not args and view is not None and not view.session.num_messages:
        chat.notice("This chat is new already.")
        return
    chat.show_session(chat.view_of(started_runtime(chat).new_session(args or None)))


def go_to_session(chat: "ChatScreen", args: str) -> None:
    """Show the session with this number in the list."""
    listed = chat.state.listed
    if args.isdecimal() and 1 <= int(args) <= len(listed):
        chat.show_session(listed[int(args) - 1])
    else:
        chat.notice(f"There is no session {args}.")


def next_unread(chat: "ChatScreen", _args: str) -> None:
    """Show the next session with something unread."""
    view = chat.state.next_unread()
    if view is None:
        chat.notice("Nothing is unread.")
    else:
        chat.show_session(view)


def previous_session(chat: "ChatScreen", _args: str) -> None:
    """Show the session above in the list."""
    _neighbour(chat, -1)


def next_session(chat: "ChatScreen", _args: str) -> None:
    """Show the session below in the list."""
    _neighbour(chat, 1)


def _neighbour(chat: "ChatScreen", step: int) -> None:
    view = chat.state.neighbour(step)
    if view is not None and view is not chat.view:
        chat.show_session(view)


def rename(chat: "ChatScreen", args: str) -> None:
    """Give the session another title."""
    if not args:
        chat.prompt.set_exact_text(f"/rename {shown_view(chat).session.title}")
        return
    shown_view(chat).session.rename(args)
    chat.sync()


def fork(chat: "ChatScreen", args: str) -> None:
    """Make a session that goes on from here on its own."""
    source = shown_view(chat)
    forked = chat.view_of(source.session.fork(title=args or None))
    chat.show_session(forked)
    chat.notice(
        f"{forked.session.tag} shares every block with {source.session.tag}; nothing was copied."
    )


def clear(chat: "ChatScreen", _args: str) -> None:
    """Begin again from the root."""
    session = shown_view(chat).session
    if session.num_messages:
        session.rewind(to="")
        chat.sync()
        chat.drafts.take_back()
        undoing = undo_words(chat, bool(chat.prompt.text))
        chat.notice(f"Cleared; {undoing} brings the messages back.")


def delete(chat: "ChatScreen", _args: str) -> None:
    """Hide the session after asking, and delete it when nobody took it back in time."""
    view = shown_view(chat)
    count = view.session.num_messages
    title = shorten(title_of(view.session), 40)

    def answered(agreed: bool | None) -> None:
        if agreed:
            chat.trash.hide(view)
            undoing = undo_words(chat, bool(chat.prompt.text))
            chat.app.notify(
                f"Deleted “{title}”. {undoing} within {UNDO_DELETE_SECONDS:.0f} seconds brings"
                " it back.",
                timeout=UNDO_DELETE_SECONDS,
            )

    if not count:
        answered(True)
        return
    its = "its one message" if count == 1 else f"its {count} messages"
    question = f"Delete “{title}” with {its}?"
    ask_first(chat, question, "delete", answered)


def undo(chat: "ChatScreen", _args: str) -> None:
    """Take back the last delete, else the last move of the tip."""
    if chat.trash.restore():
        return
    if undo_move(chat, shown_view(chat)):
        chat.notice("Undone.")
    elif not chat.trash.restore(is_late=True):
        chat.notice("Nothing to undo.")


def undo_move(chat: "ChatScreen", view: SessionView) -> bool:
    """Take back the last move of a session's tip, and what it put into the prompt."""
    done = view.session.undo()
    if done and view is chat.view:
        chat.drafts.put_down()
    chat.sync()
    return done


def way_back(chat: "ChatScreen") -> str:
    """Say what undoes the last move."""
    return f"{undo_words(chat, bool(chat.prompt.text))} goes back"


def undo_words(chat: "ChatScreen", is_prompt_filled: bool) -> str:
    """Name what undoes: the key, since a typed command would go behind a text in the prompt.

    A text may also come into the prompt after this was said, with a prompt that waited in line.
    """
    keys = chat.app.registry["session.undo"].keys
    if keys:
        return display_key(keys[0])
    return "esc esc, then /undo" if is_prompt_filled else "/undo"


def window(chat: "ChatScreen", args: str) -> None:
    """Show how many tokens of this chat the model sees, or change it."""
    session = shown_view(chat).session
    if not args:
        size = session.window
        reach = f"the last {token_count(size)} tokens" if size else "everything"
        kept = f" and the first {token_count(session.num_sink_tokens)}" if size else ""
        chat.notice(f"The model sees {reach}{kept}.", seconds=8)
        return
    sinks = None
    size = None
    for word in args.split():
        name, has_value, value = word.rpartition("=")
        if has_value and name == "sinks" and value.isdecimal():
            sinks = int(value)
        elif word.isdecimal() and size is not None:
            raise InvalidArgument(
                f"A window is one number; write /window {size} sinks={word[:40]}."
            )
        elif word.isdecimal() and int(word):
            size = int(word)
        elif word != "off":
            raise InvalidArgument(f"{word[:40]} is no window; write /window 1024 or /window off.")
    plan = session.set_window(size, sinks)
    chat.draw_status()
    reach = "everything"
    if size:
        reach = f"the last {token_count(size)} tokens"
        reach = f"the first {token_count(session.num_sink_tokens)} and {reach}"
    said = f"From the next message on the model sees {reach}"
    chat.notice(f"{said}.", seconds=8, whole=True)

    async def tell() -> None:
        count = await chat.app.ask(lambda: plan.num_prefill_tokens)
        if count is not None:
            # The last token of a reply was never computed.
            again = f"it re-reads {count_of(count, 'token')}" if count > 1 else "all stays read"
            chat.notice(f"{said}; {again}.", seconds=8, whole=True)

    if session.num_messages:
        run_in_background(chat, tell)
