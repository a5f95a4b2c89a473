"""What the commands do on the screen; verbs called with their argument's text.

Verbs over the prompt stand in `prompt_actions`, over sessions in `session_actions`, over messages
in `message_actions`. Nothing here waits: figures that the engine has to be asked for are asked from
a worker.
"""

from typing import TYPE_CHECKING

from kvchat.tui.background import run_in_background
from kvchat.tui.figures import stats_lines
from kvchat.tui.glyphs import plain_text
from kvchat.tui.message_actions import copy_exact, rewind, start_cursor
from kvchat.tui.prompt_actions import clear_prompt, run_command
from kvchat.tui.screens.help import Help, help_lines, topic_lines
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.session_actions import shown_view, started_runtime

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen

ESCAPE_SECONDS = 1.0
QUIT_SECONDS = 2.0

# -- leaving and stopping ------------------------------------------------------------------


def back(chat: "ChatScreen", _args: str) -> None:
    """Close what is open, else leave the messages, else stop the reply; twice: rewind."""
    chat.blocks.leave_block()
    if chat.hints.is_open:
        chat.hints.close()
    elif chat.transcript.cursor is not None:
        chat.leave_cursor()
    elif chat.cancel_edit():
        chat.notice("The message stays as it was.")
    elif chat.transcript.has_marks:
        chat.transcript.mark_text(())
    elif chat.view is not None and (chat.view.is_running or chat.view.waiting_prompts):
        stop(chat, "")
    elif chat.pressed_again("escape", ESCAPE_SECONDS):
        if chat.prompt.text:
            clear_prompt(chat)
            chat.notice("Cleared; up brings it back.")
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
    chat.drafts.store()  # what is typed stays behind the prompts that come back
    view.session.stop()
    chat.drafts.take_back()
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
        clear_prompt(chat)
        chat.notice("Cleared; up brings it back.")
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


def fold_long(chat: "ChatScreen", _args: str) -> None:
    """Show only the beginning of long code and pastes in this chat, or all of them again."""
    view = shown_view(chat)
    view.is_short = not view.is_short
    chat.sync()
    folded = "Long code and pastes show their beginning; ^o shows all of them."
    chat.notice(folded if view.is_short else "Everything is shown whole.")


def next_area(chat: "ChatScreen", _args: str) -> None:
    """Go from the prompt to the messages, the block panel and back."""
    panel = chat.blocks.panel
    if panel is not None and panel.has_focus:
        chat.leave_cursor()
    elif chat.transcript.cursor is None:
        start_cursor(chat, "")
    elif panel is not None:
        chat.transcript.set_cursor(None)
        panel.focus()
        chat.blocks.start()
        chat.blocks.moved()
        chat.draw_footer()
    else:
        chat.leave_cursor()


def toggle_sidebar(chat: "ChatScreen", _args: str) -> None:
    """Show or hide the sidebar."""
    chat.toggle_sidebar()


def open_palette(chat: "ChatScreen", _args: str) -> None:
    """Offer every command."""
    choices = []
    for command in chat.app.registry.palette():
        keys = command.key_text
        slash = f"/{command.slash}" if command.slash else ""
        choices.append(
            Choice(
                command.title,
                command.id,
                note=plain_text("  ".join(filter(None, (slash, keys))), chat.app.glyphs),
            )
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
    """Show every key and command, those of the view that is open first."""
    _show_page(chat, "Help", help_lines(chat.app.registry, chat.place, chat.app.glyphs))


def _show_page(chat: "ChatScreen", title: str, lines: list[str]) -> None:
    chat.app.push_screen(Help(title, [plain_text(line, chat.app.glyphs) for line in lines]))


def help_on(chat: "ChatScreen", args: str) -> None:
    """Show every key and command, or those of a topic."""
    if args:
        _show_page(chat, f"Help on {args[:40]}", topic_lines(chat.app.registry, args))
    else:
        show_help(chat, "")


def show_stats(chat: "ChatScreen", _args: str) -> None:
    """Show the figures of the session, the pool and the engine."""
    runtime, view = started_runtime(chat), shown_view(chat)

    async def tell() -> None:
        stats = await chat.app.ask(runtime.stats)
        # The engine answers only once the model is loaded; the rest of the page is known before.
        lines = stats_lines(runtime.status(), view.session, stats, runtime.pool_view())
        _show_page(chat, "Figures", lines)

    run_in_background(chat, tell)
