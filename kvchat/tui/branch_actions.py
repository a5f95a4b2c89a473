"""What the commands do with one message and its versions: edit, go on, name, hide, fold, tell."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.figures import token_count
from kvchat.tui.glyphs import plain_text
from kvchat.tui.prompt_actions import run_command
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.help import Help
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.screens.text_question import TextQuestion
from kvchat.tui.session_actions import shown_view
from kvchat.tui.typed_values import sampling_with

if TYPE_CHECKING:
    from kvchat.session.message import Message
    from kvchat.tui.screens.chat import ChatScreen

SETTINGS_HINT = "temperature=0.9 top_p=0.95 seed=7"


def with_message(chat: "ChatScreen", do: Callable[["Message"], None]) -> None:
    """Do something with the message under the cursor, if there is one."""
    for message in shown_view(chat).session.messages:
        if message.id == chat.transcript.cursor:
            do(message)
            return


def _last(chat: "ChatScreen", role: str) -> "Message":
    for message in reversed(shown_view(chat).session.messages):
        if message.role == role:
            return message
    raise KVChatError("There is no message yet.")


def menu(chat: "ChatScreen", _args: str) -> None:
    """Offer everything that can be done with the message under the cursor."""
    commands = [
        command
        for command in chat.app.registry.commands
        if command.where == "message" and command.id not in _MOVES and command.keys
    ]
    glyphs = chat.app.glyphs
    choices = [
        Choice(each.title, each.id, note=plain_text(each.key_text, glyphs)) for each in commands
    ]

    def chosen(command_id: str | None) -> None:
        if command_id is not None:
            run_command(chat, chat.app.registry[command_id], "")

    chat.app.push_screen(Picker("This message", choices), chosen)


_MOVES = ("message.up", "message.down", "message.first", "message.last", "message.menu")


def edit_here(chat: "ChatScreen", _args: str) -> None:
    """Put the message under the cursor into the prompt, to be changed."""
    with_message(chat, lambda message: _edit(chat, message))


def edit_last(chat: "ChatScreen", _args: str) -> None:
    """Put the last message of the user into the prompt, to be changed."""
    _edit(chat, _last(chat, "user"))


def _edit(chat: "ChatScreen", message: "Message") -> None:
    chat.leave_cursor()
    chat.begin_edit(message.id, message.text)
    end = "makes a version and answers it" if message.role == "user" else "makes a version of it"
    chat.notice(f"Change it; enter {end}, esc leaves it as it was.", seconds=30)


def finish_edit(chat: "ChatScreen", message_id: str, text: str) -> None:
    """Make a version of a message with another text; a question is answered again."""
    reply = shown_view(chat).session.edit(message_id, text)
    if reply is not None:
        chat.feed.watch(reply)
        chat.transcript.follow()
    chat.sync()
    if reply is None:
        chat.notice("Your words are a version of this reply now; /continue writes on from them.")


def go_on(chat: "ChatScreen", _args: str) -> None:
    """Let the last reply go on at its end."""
    chat.feed.watch(shown_view(chat).session.continue_reply())
    chat.leave_cursor()
    chat.sync()
    chat.transcript.follow()


def go_on_here(chat: "ChatScreen", _args: str) -> None:
    """Let the reply under the cursor go on at its end, as a version beside it."""

    def do(message: "Message") -> None:
        session = shown_view(chat).session
        if message.role != "assistant":
            raise InvalidArgument("Only a reply can go on; r answers a question again.")
        if session.messages[-1].id != message.id:
            session.show_sibling(message.id)
        go_on(chat, "")

    with_message(chat, do)


def retry_with(chat: "ChatScreen", _args: str) -> None:
    """Ask for settings, and make another reply at the message under the cursor."""

    def do(message: "Message") -> None:
        def answered(words: str | None) -> None:
            if words is None:
                return
            session = shown_view(chat).session
            try:
                params = sampling_with(session.sampling, words) if words else None
                reply = session.regenerate(params, message_id=message.id)
            except KVChatError as error:
                chat.notice(error.sentence, "error")
                return
            chat.leave_cursor()
            chat.feed.watch(reply)
            chat.sync()
            chat.transcript.follow()

        question = TextQuestion("Answer again with", placeholder=SETTINGS_HINT)
        chat.app.push_screen(question, answered)

    with_message(chat, do)


def label_here(chat: "ChatScreen", _args: str) -> None:
    """Ask for a name of the message under the cursor; an empty one takes it away."""

    def do(message: "Message") -> None:
        def answered(name: str | None) -> None:
            if name is not None:
                _name(chat, name, message.id)

        chat.app.push_screen(TextQuestion("Name this place", message.label or ""), answered)

    with_message(chat, do)


def label(chat: "ChatScreen", args: str) -> None:
    """Name the place where this session stands; without a name it is taken away."""
    messages = shown_view(chat).session.messages
    if not messages:
        raise KVChatError("There is no message to name yet.")
    _name(chat, args, messages[-1].id)


def _name(chat: "ChatScreen", name: str, message_id: str) -> None:
    shown_view(chat).session.label(name or None, message_id)
    chat.sync()
    chat.notice(f"This place is called {safe_line(name)}." if name else "The name is gone.")


def hide_here(chat: "ChatScreen", _args: str) -> None:
    """Hide the message under the cursor and all below it."""

    def do(message: "Message") -> None:
        session = shown_view(chat).session
        before = len(session.messages)
        session.hide(message.id)
        chat.sync()
        count = before - len(session.messages)
        chat.notice(f"Hidden, {count} message{'s' if count != 1 else ''}; u brings back.")

    with_message(chat, do)


def fold_here(chat: "ChatScreen", _args: str) -> None:
    """Fold the message under the cursor to one line, or unfold it."""
    for entry in chat.transcript.entries:
        if entry.message_id == chat.transcript.cursor:
            entry.fold(not entry.is_folded)
            chat.transcript.redraw_entries()


def tell_about(chat: "ChatScreen", _args: str) -> None:
    """Show what is known of the message under the cursor."""

    def do(message: "Message") -> None:
        chat.app.push_screen(Help("This message", info_lines(chat, message)))

    with_message(chat, do)


def info_lines(chat: "ChatScreen", message: "Message") -> list[str]:
    """Return the page about one message."""
    session = shown_view(chat).session
    siblings = session.siblings(message.id)
    place = siblings.index(message.id) + 1 if message.id in siblings else 1
    said = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(message.created_at))
    rows = [
        (
            "said by",
            "you" if message.role == "user" else safe_line(message.model_name or "?"),
        ),
        ("at", said),
        ("state", message.state.value + (", edited by you" if message.is_edited else "")),
        ("version", f"{place} of {len(siblings)}"),
        ("tokens", token_count(message.num_tokens)),
        ("characters", token_count(len(message.text))),
    ]
    positions = session.token_ranges().get(message.id)
    if positions:
        rows.append(("positions", f"{positions.start} to {positions.stop - 1} of this chat"))
    if message.role == "assistant":
        rows += [
            ("seed", str(message.seed)),
            ("reused", f"{token_count(message.num_cached_tokens)} tokens of the prompt"),
            ("speed", f"{message.decode_tokens_per_second:.1f} tokens per second"),
        ]
    if message.label:
        rows.append(("name", safe_line(message.label)))
    if message.notice:
        rows.append(("note", safe_line(message.notice)))
    return [f"  {name:<12}{value}" for name, value in rows]
