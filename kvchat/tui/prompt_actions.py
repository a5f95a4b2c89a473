"""What the commands do in the prompt: send, complete, walk the history, attach, edit elsewhere."""

from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.attachments import fenced, read_attachment
from kvchat.tui.background import run_in_background
from kvchat.tui.clipboard import read_text
from kvchat.tui.external_editor import edited
from kvchat.tui.screens.history_search import HistorySearch
from kvchat.tui.widgets.prompt import MAX_PASTE_CHARACTERS

if TYPE_CHECKING:
    from kvchat.tui.command import Command
    from kvchat.tui.screens.chat import ChatScreen

# -- when a key applies --------------------------------------------------------------------


def at_first_line(chat: "ChatScreen", _key: str) -> bool:
    """Whether Up has nothing left to do in the prompt."""
    chat.update_hints()
    return chat.hints.is_open or chat.prompt.cursor_at_first_line


def at_last_line(chat: "ChatScreen", _key: str) -> bool:
    """Whether Down has nothing left to do in the prompt."""
    chat.update_hints()
    return chat.hints.is_open or chat.prompt.cursor_at_last_line


def has_hints(chat: "ChatScreen", _key: str) -> bool:
    """Whether something to complete to is being offered."""
    chat.update_hints()
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


# -- sending -------------------------------------------------------------------------------


def send(chat: "ChatScreen", _args: str) -> None:
    """Send the prompt, or run it when it is a slash command."""
    if chat.prompt.take_back_backslash():
        return
    if chat.hints.was_moved:
        hint = chat.hints.chosen
        complete(chat, "")
        if hint is None or not (hint.runs and chat.prompt.text.rstrip() == hint.text.rstrip()):
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
        chat.notice(error.sentence, "error")
        return
    chat.state.history.remember(text)
    chat.forget_notice()  # it was about an earlier line
    chat.prompt.set_exact_text("")
    chat.drafts.store()  # the line is no draft any more: /export writes what it finds there
    if not run_command(chat, command, args) and not chat.prompt.text:
        chat.prompt.set_exact_text(text)


def run_command(chat: "ChatScreen", command: "Command", args: str) -> bool:
    """Run a command; what it refuses becomes one sentence in the status line and False."""
    try:
        command.run(chat, args)
    except KVChatError as error:
        chat.notice(error.sentence, "error")
        return False
    return True


# -- writing -------------------------------------------------------------------------------


def newline(chat: "ChatScreen", _args: str) -> None:
    """Break the line."""
    chat.prompt.insert_newline()


def complete(chat: "ChatScreen", _args: str) -> None:
    """Write the chosen hint; a file itself is put in as text."""
    hint, length = chat.hints.chosen, chat.hints.completion.length
    if hint is None:
        return
    if not hint.is_file:
        chat.prompt.insert_instead(hint.text, length)
        return
    try:
        _attach(chat, hint.text, length)
    except KVChatError as error:
        chat.notice(error.sentence, "error")


def attach(chat: "ChatScreen", args: str) -> None:
    """Put a text file into the prompt, as a chip."""
    _attach(chat, args.strip(), 0)


def _attach(chat: "ChatScreen", path: str, length: int) -> None:
    name, text = read_attachment(path)
    chat.forget_notice()  # of an earlier try
    chat.prompt.insert_chip(fenced(name, text), f"file {name}", length, counted=text)


def paste(chat: "ChatScreen", _args: str) -> None:
    """Put the clipboard's text into the prompt, as a chip."""

    async def read() -> None:
        try:
            chat.prompt.insert_chip(await read_text(MAX_PASTE_CHARACTERS), "paste")
        except KVChatError as error:
            chat.notice(error.sentence, "error")

    run_in_background(chat, read)


def expand_paste(chat: "ChatScreen", _args: str) -> None:
    """Show a pasted chip as text."""
    refusal = chat.prompt.expand_chips()
    if refusal:
        chat.notice(refusal)


def open_editor(chat: "ChatScreen", _args: str) -> None:
    """Change the prompt in the user's editor; replies go on being written."""
    before = chat.prompt.exact_text
    after = edited(chat.app, before)
    if after is None:
        chat.notice("The editor ended with an error; the prompt is as it was.", "error")
    elif after != before:
        chat.prompt.set_exact_text(after)


# -- what was written before ---------------------------------------------------------------


def clear_prompt(chat: "ChatScreen") -> None:
    """Empty the prompt; Up brings the text back, also after a restart."""
    text = chat.prompt.exact_text
    if chat.state.history.remember(text) and chat.app.runtime is not None:
        chat.remember_unsent(text)
    chat.prompt.set_exact_text("")


def history_older(chat: "ChatScreen", _args: str) -> None:
    """Show the prompt before, keeping what is written; or move in the hints."""
    if chat.hints.is_open:
        chat.hints.move(-1)
        return
    view = chat.view
    if view is not None and view.waiting_prompts and not chat.prompt.text:
        text = view.session.unqueue()
        if text is not None:  # it may just have been sent
            chat.prompt.set_exact_text(text)
        chat.sync()
        return
    _step_history(chat, -1)


def history_newer(chat: "ChatScreen", _args: str) -> None:
    """Show the prompt after; or move in the hints."""
    if chat.hints.is_open:
        chat.hints.move(1)
    else:
        _step_history(chat, 1)


def _step_history(chat: "ChatScreen", step: int) -> None:
    text = chat.state.history.step(step, chat.prompt.exact_text)
    if text is not None:
        chat.prompt.set_exact_text(text)


def search_history(chat: "ChatScreen", _args: str) -> None:
    """Choose among the prompts written before; typing narrows them, ^r goes to older ones."""
    prompts = chat.state.history.newest_first
    if not prompts:
        chat.notice("No prompt was written yet.")
        return

    def chosen(text: str | None) -> None:
        if text is not None:
            before = chat.prompt.exact_text
            chat.state.history.remember(before)
            chat.prompt.set_exact_text(text)

    chat.app.push_screen(HistorySearch(prompts), chosen)
