"""What the commands do: verbs over the chat screen, each called with the text of its argument.

Nothing here waits: figures that the engine has to be asked for are asked from a worker.
"""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import UNDO_DELETE_SECONDS, SessionView, mark_of, title_of
from kvchat.tui.clipboard import copy_text
from kvchat.tui.figures import stats_lines, token_count
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.confirm import Confirm
from kvchat.tui.screens.help import Help, help_lines
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.screens.rewind_menu import RewindMenu
from kvchat.tui.screens.switcher import Switcher
from kvchat.tui.themes import THEME_NAMES

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.session.message import Message
    from kvchat.session.session import RewindPlan
    from kvchat.tui.commands import Command
    from kvchat.tui.screens.chat import ChatScreen

ESCAPE_SECONDS = 1.0
QUIT_SECONDS = 2.0

# -- when a key applies --------------------------------------------------------------------


def at_first_line(chat: "ChatScreen", _key: str) -> bool:
    """Whether Up has nothing left to do in the prompt."""
    return chat.hints.is_open or chat.prompt.cursor_at_first_line


def at_last_line(chat: "ChatScreen", _key: str) -> bool:
    """Whether Down has nothing left to do in the prompt."""
    return chat.hints.is_open or chat.prompt.cursor_at_last_line


def has_hints(chat: "ChatScreen", _key: str) -> bool:
    """Whether slash commands are being offered."""
    return chat.hints.is_open


def has_chip(chat: "ChatScreen", _key: str) -> bool:
    """Whether a paste stands as a chip in the prompt."""
    return chat.prompt.has_chip


def is_prompt_empty(chat: "ChatScreen", _key: str) -> bool:
    """Whether nothing is written."""
    return not chat.prompt.text


def is_one_line(chat: "ChatScreen", _key: str) -> bool:
    """Whether Shift with Up or Down cannot select in the prompt."""
    return "\n" not in chat.prompt.text


def at_end_of_prompt(chat: "ChatScreen", _key: str) -> bool:
    """Whether End has nothing left to do in the prompt."""
    return chat.prompt.cursor_at_end_of_text


# -- the prompt ----------------------------------------------------------------------------


def send(chat: "ChatScreen", _args: str) -> None:
    """Send the prompt, or run it when it is a slash command."""
    if chat.prompt.take_back_backslash():
        return
    text = chat.prompt.exact_text
    if not text.strip():
        return
    if text.startswith("/") and not text.startswith("//"):
        run_slash(chat, text)
        return
    if chat.submit(text[1:] if text.startswith("//") else text):
        chat.prompt.set_exact_text("")


def run_slash(chat: "ChatScreen", text: str) -> None:
    """Run a line that begins with a slash; with an error, it stays in the prompt."""
    try:
        command, args = chat.app.registry.parse_slash(text)
    except InvalidArgument as error:
        if chat.hints.is_open and " " not in text:
            complete(chat, "")
        chat.notice(error.sentence, "error")
        return
    chat.state.remember(text)
    chat.prompt.set_exact_text("")
    run_command(chat, command, args)


def run_command(chat: "ChatScreen", command: "Command", args: str) -> None:
    """Run a command; what it refuses becomes one sentence in the status line."""
    try:
        command.run(chat, args)
    except KVChatError as error:
        chat.notice(error.sentence, "error")


def newline(chat: "ChatScreen", _args: str) -> None:
    """Break the line."""
    chat.prompt.insert_newline()


def history_older(chat: "ChatScreen", _args: str) -> None:
    """Show the prompt before, keeping what is written; or move in the hints."""
    if chat.hints.is_open:
        chat.hints.move(-1)
        return
    view = chat.view
    if view is not None and view.waiting_prompts and not chat.prompt.text:
        chat.prompt.set_exact_text(view.waiting_prompts.pop())
        chat.sync()
        return
    chat.step_history(-1)


def history_newer(chat: "ChatScreen", _args: str) -> None:
    """Show the prompt after; or move in the hints."""
    if chat.hints.is_open:
        chat.hints.move(1)
    else:
        chat.step_history(1)


def complete(chat: "ChatScreen", _args: str) -> None:
    """Put the chosen slash command into the prompt."""
    command = chat.hints.chosen
    if command is not None:
        chat.prompt.set_exact_text(f"/{command.slash} " if command.args else f"/{command.slash}")


def expand_paste(chat: "ChatScreen", _args: str) -> None:
    """Show a pasted chip as text."""
    refusal = chat.prompt.expand_chips()
    if refusal:
        chat.notice(refusal)


# -- leaving and stopping ------------------------------------------------------------------


def back(chat: "ChatScreen", _args: str) -> None:
    """Close what is open, else leave the messages, else stop the reply; twice: rewind."""
    if chat.hints.is_open:
        chat.hints.show([])
    elif chat.transcript.cursor is not None:
        chat.leave_cursor()
    elif chat.view is not None and (chat.view.is_running or chat.view.waiting_prompts):
        stop(chat, "")
    elif chat.pressed_again("escape", ESCAPE_SECONDS):
        if chat.prompt.text:
            chat.state.remember(chat.prompt.exact_text)
            chat.prompt.set_exact_text("")
        else:
            rewind(chat, "")
    else:
        what = "clear the prompt" if chat.prompt.text else "rewind"
        chat.notice(f"esc again to {what}", seconds=ESCAPE_SECONDS)


def stop(chat: "ChatScreen", _args: str) -> None:
    """Stop the reply, keep its text, and put waiting prompts back into the prompt."""
    view = chat.view
    if view is None:
        return
    was_running = view.is_running
    waiting = list(view.waiting_prompts)
    view.waiting_prompts.clear()
    view.session.stop()
    if waiting:
        parts = [*waiting, chat.prompt.exact_text]
        chat.prompt.set_exact_text("\n\n".join(part for part in parts if part))
    if was_running:
        chat.notice("Stopped; the text so far is kept.")
    chat.sync()


def interrupt(chat: "ChatScreen", _args: str) -> None:
    """Copy a selection, else clear the prompt, else stop, else quit at the second press."""
    selected = chat.prompt.selected_text or chat.get_selected_text() or ""
    if selected:
        _copy(chat, selected)
        chat.clear_selection()
    elif chat.prompt.text:
        chat.state.remember(chat.prompt.exact_text)
        chat.prompt.set_exact_text("")
    elif chat.view is not None and chat.view.is_running:
        stop(chat, "")
    elif chat.pressed_again("ctrl+c", QUIT_SECONDS):
        chat.app.leave()
    else:
        chat.notice("^c again to quit", seconds=QUIT_SECONDS)


def quit_app(chat: "ChatScreen", _args: str) -> None:
    """Leave the app; running replies are kept as interrupted."""
    chat.app.leave()


# -- sessions ------------------------------------------------------------------------------


def _runtime(chat: "ChatScreen") -> "ChatRuntime":
    if chat.app.runtime is None:
        raise KVChatError("kvchat is still starting.")
    return chat.app.runtime


def _view(chat: "ChatScreen") -> SessionView:
    if chat.view is None:
        raise KVChatError("kvchat is still starting.")
    return chat.view


def new_session(chat: "ChatScreen", args: str) -> None:
    """Open a new session; an empty one that is already there is used again."""
    view = chat.view
    if not args and view is not None and not view.session.num_messages:
        chat.notice("This chat is new already.")
        return
    chat.show_session(chat.view_of(_runtime(chat).new_session(args or None)))


def switch_session(chat: "ChatScreen", _args: str) -> None:
    """Open the switcher."""
    listed = chat.state.listed
    glyphs = chat.app.glyphs
    choices = []
    for view in chat.state.by_recency:
        session = view.session
        stats = session.stats()
        mark = mark_of(view, glyphs)[0]
        note = f"{token_count(stats.num_tokens)} tok"
        choices.append(
            Choice(
                title_of(session),
                session.id,
                note=f"{mark}  {note}" if mark else note,
                style=f"hue{session.hue_index % 12}",
                mark=f"{listed.index(view) + 1} {session.tag}",
                is_current=view is chat.view,
            )
        )

    def chosen(session_id: str | None) -> None:
        if session_id in chat.state.views:
            chat.show_session(chat.state.views[session_id])

    chat.app.push_screen(Switcher(choices), chosen)


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
        chat.prompt.set_exact_text(f"/rename {_view(chat).session.title}")
        return
    _view(chat).session.rename(args)
    chat.sync()


def fork(chat: "ChatScreen", args: str) -> None:
    """Make a session that goes on from here on its own."""
    source = _view(chat)
    forked = chat.view_of(source.session.fork(title=args or None))
    forked.last_tips.update(source.last_tips)
    chat.show_session(forked)
    chat.notice(
        f"{forked.session.tag} goes on from here; it shares every block with"
        f" {source.session.tag}, nothing was copied."
    )


def clear(chat: "ChatScreen", _args: str) -> None:
    """Begin again from the root."""
    session = _view(chat).session
    if session.num_messages:
        session.rewind(to="")
        chat.sync()
        chat.notice("Cleared; /undo brings the messages back.")


def delete(chat: "ChatScreen", _args: str) -> None:
    """Hide the session after asking, and delete it when nobody took it back in time."""
    view = _view(chat)
    count = view.session.num_messages
    title = shorten(title_of(view.session), 40)

    def answered(agreed: bool | None) -> None:
        if agreed:
            chat.hide_deleted(view)
            chat.app.notify(
                f"Deleted “{title}”. /undo within {UNDO_DELETE_SECONDS:.0f} seconds brings"
                " it back.",
                timeout=UNDO_DELETE_SECONDS,
            )

    if not count:
        answered(True)
        return
    question = f"Delete “{title}” with its {count} messages?"
    chat.app.push_screen(Confirm(question, "delete"), answered)


def undo(chat: "ChatScreen", _args: str) -> None:
    """Take back the last delete, else the last move of the tip."""
    if chat.restore_deleted():
        return
    if _view(chat).session.undo():
        chat.sync()
        chat.notice("Undone.")
    else:
        chat.notice("Nothing to undo.")


def set_sampling(chat: "ChatScreen", args: str) -> None:
    """Change or show how the next tokens of this session are chosen."""
    session = _view(chat).session
    if not args:
        values = session.sampling.to_dict().items()
        words = [f"{name} {value}" for name, value in values if value not in (None, [])]
        chat.notice(", ".join(words), seconds=12)
        return
    name, _, value = args.replace("=", " ", 1).partition(" ")
    session.set_sampling(session.sampling.with_values({name: parse_value(value.strip())}))
    chat.notice(f"{name} is {value.strip()} from the next reply on.")


def parse_value(text: str) -> object:
    """Return what the user typed as a number, a tuple for stop strings, or nothing."""
    if text.lower() in ("", "none", "off", "auto"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return (text.strip("\"'"),)


def system_prompt(chat: "ChatScreen", args: str) -> None:
    """Show the system prompt, or open a session with another one."""
    if args:
        chat.show_session(chat.view_of(_runtime(chat).new_session(system=args)))
        chat.notice("A new chat with this system prompt.")
        return
    system = _view(chat).session.system
    lines = safe_line(system) if system else "This session has no system prompt."
    chat.app.push_screen(Help("System prompt", [lines]))


def window(chat: "ChatScreen", args: str) -> None:
    """Show how many tokens the model looks back, or open a session with another number."""
    session = _view(chat).session
    if not args:
        size = session.window
        reach = f"the last {token_count(size)} tokens" if size else "everything"
        kept = f" and the first {session.sinks}" if size and session.sinks else ""
        chat.notice(f"The model sees {reach}{kept}.", seconds=8)
        return
    sinks = None
    size = None
    for word in args.split():
        name, has_value, value = word.rpartition("=")
        if has_value and name == "sinks" and value.isdecimal():
            sinks = int(value)
        elif word.isdecimal() and int(word):
            size = int(word)
        elif word != "off":
            raise InvalidArgument(f"{word[:40]} is no window; write /window 1024 or /window off.")
    view = chat.view_of(_runtime(chat).new_session(window=size, sinks=sinks))
    chat.show_session(view)
    reach = f"the last {token_count(size)} tokens" if size else "everything"
    chat.notice(f"A new chat in which the model sees {reach}.")


# -- messages ------------------------------------------------------------------------------


def rewind(chat: "ChatScreen", args: str) -> None:
    """Go back some turns, or choose the message to go back to."""
    session = _view(chat).session
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

    chat.app.push_screen(RewindMenu(choices), chosen)


def rewind_to(chat: "ChatScreen", message: "Message") -> None:
    """Stand on a reply, or before a prompt with its text ready to be changed."""
    session = _view(chat).session
    if message.role == "assistant":
        plan = session.rewind(to=message.id)
    else:
        plan = session.rewind(to=message.parent_id or "")
        chat.state.remember(chat.prompt.exact_text)
        chat.prompt.set_exact_text(message.text)
    chat.leave_cursor()
    _rewound(chat, plan)


def _rewound(chat: "ChatScreen", plan: "RewindPlan") -> None:
    chat.sync()
    chat.notice("Rewound; /undo goes back.")

    async def tell() -> None:
        count = await chat.app.ask(lambda: plan.num_prefill_tokens)
        if count:
            chat.notice(f"Rewound; the next message re-reads {token_count(count)} tokens.")
        elif count == 0:
            chat.notice("Rewound; every token is still cached. /undo goes back.")

    chat.run_worker(tell())


def retry(chat: "ChatScreen", args: str) -> None:
    """Make another reply beside the last one."""
    session = _view(chat).session
    if not session.messages:
        chat.notice("There is no message to answer yet.")
        return
    sampling = None
    if args:
        values: dict[str, object] = {}
        for word in shlex.split(args):
            name, _, value = word.partition("=")
            values[name] = parse_value(value)
        sampling = session.sampling.with_values(values)
    chat.watch_reply(session.regenerate(sampling))
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
        _copy(chat, blocks[-1])
        return
    _copy(chat, entry.text)


def _copy(chat: "ChatScreen", text: str) -> None:
    async def copying() -> None:
        chat.notice(await copy_text(chat.app, text))

    chat.run_worker(copying())


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
    for message in _view(chat).session.messages:
        if message.id == chat.transcript.cursor:
            do(message)
            return


def copy_message(chat: "ChatScreen", _args: str) -> None:
    """Copy the message under the cursor."""
    _with_message(chat, lambda message: _copy(chat, message.text))


def copy_code(chat: "ChatScreen", _args: str) -> None:
    """Copy the code blocks of the message under the cursor, one after the other."""
    for entry in chat.transcript.entries:
        if entry.message_id == chat.transcript.cursor:
            blocks = entry.code_blocks()
            if blocks:
                _copy(chat, blocks[chat.next_code_block(entry.message_id) % len(blocks)])
            else:
                chat.notice("That message has no code block.")


def fork_here(chat: "ChatScreen", _args: str) -> None:
    """Make a session at the message under the cursor."""

    def do(message: "Message") -> None:
        source = _view(chat)
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


def rewind_here(chat: "ChatScreen", _args: str) -> None:
    """Rewind to the message under the cursor."""
    _with_message(chat, lambda message: rewind_to(chat, message))


def retry_here(chat: "ChatScreen", _args: str) -> None:
    """Make another reply at the message under the cursor."""

    def do(message: "Message") -> None:
        session = _view(chat).session
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
        view = _view(chat)
        siblings = view.session.siblings(message.id)
        if len(siblings) < 2:
            chat.notice("This message has one version.")
            return
        other = siblings[(siblings.index(message.id) + step) % len(siblings)]
        view.session.show_sibling(view.last_tips.get(other, other))
        chat.sync()
        chat.transcript.set_cursor(other)

    _with_message(chat, do)


# -- scrolling and views -------------------------------------------------------------------


def page_up(chat: "ChatScreen", _args: str) -> None:
    """Scroll a page up, keeping one line."""
    chat.transcript.scroll_lines(1 - chat.transcript.size.height)


def page_down(chat: "ChatScreen", _args: str) -> None:
    """Scroll a page down, keeping one line."""
    chat.transcript.scroll_lines(chat.transcript.size.height - 1)


def line_up(chat: "ChatScreen", _args: str) -> None:
    """Scroll a line up."""
    chat.transcript.scroll_lines(-1)


def line_down(chat: "ChatScreen", _args: str) -> None:
    """Scroll a line down."""
    chat.transcript.scroll_lines(1)


def scroll_top(chat: "ChatScreen", _args: str) -> None:
    """Scroll to the first message."""
    chat.transcript.scroll_to(y=0, animate=False, force=True)


def follow(chat: "ChatScreen", _args: str) -> None:
    """Scroll to the end and stay there."""
    chat.transcript.follow()


def next_area(chat: "ChatScreen", _args: str) -> None:
    """Go between the prompt and the messages."""
    if chat.transcript.cursor is None:
        start_cursor(chat, "")
    else:
        chat.leave_cursor()


def toggle_blocks(chat: "ChatScreen", _args: str) -> None:
    """Show or hide the block panel."""
    chat.toggle_blocks()


def toggle_sidebar(chat: "ChatScreen", _args: str) -> None:
    """Show or hide the sidebar."""
    chat.toggle_sidebar()


def switch_theme(chat: "ChatScreen", args: str) -> None:
    """Take the named theme, else the other one."""
    names = list(THEME_NAMES.values())
    if args and args not in (*THEME_NAMES, *names):
        raise InvalidArgument(f"{args[:40]} is no theme; there are {', '.join(THEME_NAMES)}.")
    other = names[(names.index(chat.app.theme) + 1) % len(names)]
    chat.app.theme = THEME_NAMES.get(args, args) or other


def redraw(chat: "ChatScreen", _args: str) -> None:
    """Draw everything again."""
    chat.refresh(layout=True)


def open_palette(chat: "ChatScreen", _args: str) -> None:
    """Offer every command."""
    choices = []
    for command in chat.app.registry.palette():
        keys = command.key_text
        slash = f"/{command.slash}" if command.slash else ""
        choices.append(
            Choice(command.title, command.id, note="  ".join(filter(None, (slash, keys))))
        )

    def chosen(command_id: str | None) -> None:
        if command_id is None:
            return
        command = chat.app.registry[command_id]
        if command.args and not command.args.startswith("["):
            chat.prompt.set_exact_text(f"/{command.slash} ")
        else:
            run_command(chat, command, "")

    chat.app.push_screen(Picker("Commands", choices), chosen)


def show_help(chat: "ChatScreen", _args: str) -> None:
    """Show every key and command."""
    chat.app.push_screen(Help("Help", help_lines(chat.app.registry)))


def show_stats(chat: "ChatScreen", _args: str) -> None:
    """Show the figures of the session, the pool and the engine."""
    runtime, view = _runtime(chat), _view(chat)

    async def tell() -> None:
        stats = await chat.app.ask(runtime.stats)
        # The engine answers only once the model is loaded; the rest of the page is known before.
        lines = stats_lines(runtime.status(), view.session, stats, runtime.pool_view())
        chat.app.push_screen(Help("Figures", lines))

    chat.run_worker(tell())
