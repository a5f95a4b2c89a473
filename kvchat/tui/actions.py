"""What the commands do in the prompt and on the screen; verbs called with their argument's text.

Verbs over sessions stand in `session_actions`, verbs over messages in `message_actions`. Nothing
here waits: figures that the engine has to be asked for are asked from a worker.
"""

from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.figures import stats_lines
from kvchat.tui.message_actions import copy_exact, rewind, start_cursor
from kvchat.tui.screens.help import Help, help_lines
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.session_actions import shown_view, started_runtime
from kvchat.tui.themes import THEME_NAMES

if TYPE_CHECKING:
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
        copy_exact(chat, selected)
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
    runtime, view = started_runtime(chat), shown_view(chat)

    async def tell() -> None:
        stats = await chat.app.ask(runtime.stats)
        # The engine answers only once the model is loaded; the rest of the page is known before.
        lines = stats_lines(runtime.status(), view.session, stats, runtime.pool_view())
        chat.app.push_screen(Help("Figures", lines))

    chat.run_worker(tell())
