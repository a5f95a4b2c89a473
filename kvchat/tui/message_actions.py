"""What the commands do with messages: rewind, retry, copy, fork there, and move the cursor."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import shorten
from kvchat.tui.clipboard import copy_text
from kvchat.tui.figures import count_of
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.picker import Choice
from kvchat.tui.screens.rewind_menu import RewindMenu
from kvchat.tui.session_actions import shown_view, undo_words, way_back
from kvchat.tui.typed_values import sampling_with

if TYPE_CHECKING:
    from kvchat.session.message import Message
    from kvchat.session.session import RewindPlan
    from kvchat.tui.screens.chat import ChatScreen


def rewind(chat: "ChatScreen", args: str) -> None:
    """Go back some turns, or choose the message to go back to."""
    session = shown_view(chat).session
    if args:
        if not args.isdecimal() or not int(args):
            raise InvalidArgument(f"{args[:40]} is no number of turns; write /rewind 1.")
        _rewound(chat, session.rewind(turns=int(args)))
        return
    choices = [
        Choice(shorten(safe_line(message.text[:300]), 200), message.id, style="")
        for message in reversed(session.messages)
        if message.role == "user"
    ]
    if not choices:
        chat.notice("There is nothing to rewind yet.")
        return

    def chosen(message_id: str | None) -> None:
        for message in session.messages:
            if message.id == message_id:
                rewind_to(chat, message)

    chat.app.push_screen(RewindMenu(choices, f"{undo_words(chat, True)} goes back"), chosen)


def rewind_to(chat: "ChatScreen", message: "Message") -> None:
    """Stand on a reply, or before a prompt with its text ready to be changed."""
    session = shown_view(chat).session
    if message.role == "assistant":
        plan = session.rewind(to=message.id)
    else:
        plan = session.rewind(to=message.parent_id or "")
        chat.drafts.take_up(message.text)
    chat.leave_cursor()
    _rewound(chat, plan)


def _rewound(chat: "ChatScreen", plan: "RewindPlan") -> None:
    chat.drafts.take_back()
    chat.sync()
    chat.notice(f"Rewound; {way_back(chat)}.")

    async def tell() -> None:
        figures = await chat.app.ask(lambda: (plan.num_disk_tokens, plan.num_prefill_tokens))
        if figures is not None:
            chat.notice(f"Rewound; {_cost_words(*figures)}. {way_back(chat)}.")

    run_in_background(chat, tell)


def _cost_words(num_disk_tokens: int, num_prefill_tokens: int) -> str:
    """Say where the tokens before the next message come from that are not in the pool."""
    again, on_disk = count_of(num_prefill_tokens, "token"), count_of(num_disk_tokens, "token")
    if num_disk_tokens and num_prefill_tokens:
        return f"next {on_disk} from disk, {again} re-read"
    if num_disk_tokens:
        return f"the next message takes {on_disk} from disk"
    if num_prefill_tokens:
        return f"the next message re-reads {again}"
    return "every token is still cached"


def retry(chat: "ChatScreen", args: str) -> None:
    """Make another reply beside the last one."""
    session = shown_view(chat).session
    if not session.messages:
        chat.notice("There is no message to answer yet.")
        return
    sampling = sampling_with(session.sampling, args) if args else None
    chat.feed.watch(session.regenerate(sampling))
    chat.sync()
    chat.transcript.follow()


def copy_reply(chat: "ChatScreen", args: str) -> None:
    """Copy the n-th last reply, or its last block of code."""
    words = args.split()
    numbers = [int(word) for word in words if word.isdecimal()]
    replies = [entry for entry in chat.transcript.entries if entry.role == "assistant"]
    number = numbers[0] if numbers else 1
    if not 1 <= number <= len(replies):
        chat.notice("There is no such reply.")
        return
    entry = replies[-number]
    if "code" in words:
        blocks = entry.code_blocks()
        if not blocks:
            chat.notice("That reply has no code block.")
            return
        copy_exact(chat, blocks[-1])
        return
    copy_exact(chat, entry.text)


def copy_exact(chat: "ChatScreen", text: str) -> None:
    """Copy a text, and say where it went."""

    async def copying() -> None:
        chat.notice(await copy_text(chat.app, text))

    run_in_background(chat, copying)


def start_cursor(chat: "ChatScreen", _args: str) -> None:
    """Put the message cursor on the last message."""
    if not chat.transcript.entries:
        chat.notice("There is no message yet.")
        return
    chat.transcript.focus()
    chat.transcript.move_cursor(0)
    chat.draw_footer()


def cursor_up(chat: "ChatScreen", _args: str) -> None:
    """Move the message cursor up."""
    chat.transcript.move_cursor(-1)


def cursor_down(chat: "ChatScreen", _args: str) -> None:
    """Move the message cursor down; past the last message it leaves."""
    entries = [entry for entry in chat.transcript.entries if entry.role != "waiting"]
    if entries and chat.transcript.cursor == entries[-1].message_id:
        chat.leave_cursor()
        chat.transcript.follow()
    else:
        chat.transcript.move_cursor(1)


def cursor_first(chat: "ChatScreen", _args: str) -> None:
    """Move the message cursor to the first message."""
    chat.transcript.move_cursor(-len(chat.transcript.entries))


def cursor_last(chat: "ChatScreen", _args: str) -> None:
    """Move the message cursor to the last message."""
    chat.transcript.move_cursor(len(chat.transcript.entries))


def _with_message(chat: "ChatScreen", do: Callable[["Message"], None]) -> None:
    for message in shown_view(chat).session.messages:
        if message.id == chat.transcript.cursor:
            do(message)
            return


def copy_message(chat: "ChatScreen", _args: str) -> None:
    """Copy the message under the cursor."""
    _with_message(chat, lambda message: copy_exact(chat, message.text))


def copy_code(chat: "ChatScreen", _args: str) -> None:
    """Copy the code blocks of the message under the cursor, one after the other."""
    for entry in chat.transcript.entries:
        if entry.message_id == chat.transcript.cursor:
            blocks = entry.code_blocks()
            if blocks:
                copy_exact(chat, blocks[chat.next_code_block(entry.message_id) % len(blocks)])
            else:
                chat.notice("That message has no code block.")


def fork_here(chat: "ChatScreen", _args: str) -> None:
    """Make a session at the message under the cursor."""

    def do(message: "Message") -> None:
        source = shown_view(chat)
        if message.role == "assistant":
            view = chat.view_of(source.session.fork(at=message.id))
        else:
            view = chat.view_of(source.session.fork())
            view.session.rewind(to=message.parent_id or "")
            view.draft = message.text
        chat.leave_cursor()
        chat.show_session(view)
        chat.notice(f"{view.session.tag} goes on from that message of {source.session.tag}.")

    _with_message(chat, do)


def light_blocks(chat: "ChatScreen", _args: str) -> None:
    """Light the blocks that hold the message under the cursor; without a panel, in lanes."""

    def do(message: "Message") -> None:
        view, feed = shown_view(chat), chat.blocks
        if feed.panel is None:
            feed.open("lanes")
        if not feed.light(view, message.id):
            raise KVChatError("The blocks of this message are not known yet.")
        lit = feed.state.lit
        if lit is not None and feed.screen is None:
            first, last = lit[1].start + 1, lit[1].stop
            which = f"#{first}" if first == last else f"#{first} to #{last}"
            chat.notice(f"Its blocks are lit: {view.session.tag} {which}; f3 shows them in lanes.")

    _with_message(chat, do)


def rewind_here(chat: "ChatScreen", _args: str) -> None:
    """Rewind to the message under the cursor."""
    _with_message(chat, lambda message: rewind_to(chat, message))


def retry_here(chat: "ChatScreen", _args: str) -> None:
    """Make another reply at the message under the cursor."""

    def do(message: "Message") -> None:
        session = shown_view(chat).session
        asked = message.id if message.role == "user" else message.parent_id
        if session.messages[-1].id != message.id:
            session.rewind(to=asked or "")
        chat.leave_cursor()
        retry(chat, "")

    _with_message(chat, do)


def previous_sibling(chat: "ChatScreen", _args: str) -> None:
    """Show the version before of the message under the cursor."""
    _sibling(chat, -1)


def next_sibling(chat: "ChatScreen", _args: str) -> None:
    """Show the version after of the message under the cursor."""
    _sibling(chat, 1)


def _sibling(chat: "ChatScreen", step: int) -> None:
    def do(message: "Message") -> None:
        view = shown_view(chat)
        siblings = view.session.siblings(message.id)
        if len(siblings) < 2:
            chat.notice("This message has one version.")
            return
        other = siblings[(siblings.index(message.id) + step) % len(siblings)]
        view.session.visit(other)
        chat.sync()
        chat.transcript.set_cursor(other)

    _with_message(chat, do)
