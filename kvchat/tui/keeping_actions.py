"""What the commands do to keep chats: write them to files, read them back, save, erase."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, get_args

from kvchat.durable_files import write_durably
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.session.export import ExportForm
from kvchat.tui.attachments import read_named
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import shorten
from kvchat.tui.chat_state import title_of
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.confirm import ask_first
from kvchat.tui.screens.text_question import TextQuestion
from kvchat.tui.session_actions import shown_view, started_runtime, undo_words

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen

Answer = TypeVar("Answer")
FORMS: tuple[ExportForm, ...] = get_args(ExportForm)
OTHER_FORMS = {
    "csv", "doc", "docx", "epub", "htm", "jsonl", "markdown", "odt", "pdf", "png", "ps", "rtf",
    "svg", "tex", "text", "txt", "xml", "yaml", "yml", "zip",
}  # fmt: skip
"""What people call forms that there are not; as the only word it is no name of a file."""
MAX_IMPORT_BYTES = 64 << 20
NAME_LETTERS = 40


def export(chat: "ChatScreen", args: str) -> None:
    """Write the session to a file: `[md|json|html] [path]`; asks before one is replaced."""
    session = shown_view(chat).session
    form, path = export_target(args, session.title)
    _write_asking(chat, path, lambda: session.export(form))


def export_from_here(chat: "ChatScreen", _args: str) -> None:
    """Ask for a path, and write the message under the cursor and all below it as Markdown."""
    session, first = shown_view(chat).session, chat.transcript.cursor
    proposed = str(export_target("md", session.title)[1])

    def answered(typed: str | None) -> None:
        if not typed or first is None:
            return
        try:
            form, path = export_target(typed, session.title)
        except InvalidArgument as error:
            chat.notice(error.sentence, "error")
            return
        _write_asking(chat, path, lambda: session.export(form, first=first))

    chat.app.push_screen(TextQuestion("Write from here on to", proposed), answered)


def _write_asking(chat: "ChatScreen", path: Path, text: Callable[[], str]) -> None:
    async def write() -> None:
        if await _done(chat, lambda: _write(path, text())) is not None:
            chat.notice(f"Wrote {safe_line(str(path))}.", seconds=8)

    def answered(agreed: bool | None) -> None:
        if agreed:
            run_in_background(chat, write)

    if path.exists():
        question = f"Replace {safe_line(path.name)}? It is in {safe_line(str(path.parent))}."
        ask_first(chat, question, "replace", answered)
    else:
        answered(True)


def export_target(args: str, title: str) -> tuple[ExportForm, Path]:
    """Return the form and the file that `/export ARGS` means; raises InvalidArgument.

    The form is the first word, else the ending of the path, else Markdown; without a path, or with
    a folder, the file is named like the chat.
    """
    first, _, rest = args.strip().partition(" ")
    first = first.lower()
    is_form = first in FORMS
    typed = rest.strip() if is_form else args.strip()
    path = Path(os.path.expanduser(typed or "."))
    ending = path.suffix[1:].lower()
    if not is_form and typed.removeprefix(".").lower() in OTHER_FORMS:
        ending = typed.removeprefix(".").lower()
    form = first if is_form else ending if ending in FORMS else "md"
    if not is_form and ending and ending not in FORMS and not path.is_dir():
        raise InvalidArgument(f".{ending[:20]} is no form; write /export md, json or html, and it.")
    if path.is_dir():
        name = re.sub(r"[^\w.-]+", "-", title)[:NAME_LETTERS].strip("-.") or "chat"
        path = path / f"{name}.{form}"
    return cast(ExportForm, form), path


def _write(path: Path, text: str) -> bool:
    try:
        write_durably(path, text.encode())
    except OSError as error:
        raise KVChatError(f"{path} cannot be written: {error.strerror}.") from error
    return True


def import_file(chat: "ChatScreen", args: str) -> None:
    """Make a session of a file that /export wrote, or of Markdown."""
    runtime = started_runtime(chat)
    if not args:
        raise InvalidArgument("Name the file: /import chat.json.")

    def read() -> str:
        path, content = read_named(args, MAX_IMPORT_BYTES)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"{path.name} is not UTF-8 text.") from error

    async def take() -> None:
        session = await _done(chat, lambda: runtime.import_session(read()))
        if session is not None:
            view = chat.view_of(session)
            chat.show_session(view)
            chat.notice(f"Imported “{shorten(title_of(session), 40)}”.")

    run_in_background(chat, take)


def save(chat: "ChatScreen", _args: str) -> None:
    """Write what the model computed for this session to disk now."""
    session = shown_view(chat).session

    def write() -> bool:
        session.save()
        return True

    async def wait() -> None:
        if await _done(chat, write):
            chat.notice("Saved; after a restart this chat goes on without being read again.")

    run_in_background(chat, wait)


def unload(chat: "ChatScreen", _args: str) -> None:
    """Save this session and give its blocks to others."""
    session = shown_view(chat).session

    def give() -> bool:
        session.unload()
        return True

    async def wait() -> None:
        if await _done(chat, give):
            chat.notice("Unloaded: others may take its blocks; the next message brings them back.")

    run_in_background(chat, wait)


def load(chat: "ChatScreen", _args: str) -> None:
    """Bring back what disk has of this session, before its next message needs it."""
    shown_view(chat).session.load()
    chat.notice("Coming back from disk; the block panel shows it.")


def close(chat: "ChatScreen", _args: str) -> None:
    """Put the session aside until the next start; its text stays, and /undo brings it back."""
    view = shown_view(chat)
    title = shorten(title_of(view.session), 24)
    chat.trash.put_aside(view)
    undoing = undo_words(chat, bool(chat.prompt.text))
    chat.notice(f"Closed “{title}” until the next start; {undoing} brings it back.", seconds=8)


def purge(chat: "ChatScreen", _args: str) -> None:
    """Erase the sessions in the trash, after asking."""
    runtime = started_runtime(chat)

    async def erase() -> None:
        count = await _done(chat, runtime.purge)
        if count is not None:
            chat.notice(f"Erased {count} chat{'' if count == 1 else 's'}.")

    def answered(agreed: bool | None) -> None:
        if agreed:
            run_in_background(chat, erase)

    async def ask() -> None:
        deleted = await _done(chat, runtime.deleted_sessions)
        if deleted is None:
            return
        if not deleted:
            chat.notice("The trash is empty.")
            return
        count = len(deleted)
        what = "the chat" if count == 1 else f"{count} chats"
        titles = ", ".join(shorten(safe_line(each.title) or "new chat", 24) for each in deleted[:3])
        more = ", …" if count > 3 else ""
        question = f"Erase {what} in the trash for ever ({titles}{more})? This cannot be undone."
        ask_first(chat, question, "erase", answered)

    run_in_background(chat, ask)


async def _done(chat: "ChatScreen", job: Callable[[], Answer]) -> Answer | None:
    """Return what a job returns that may wait for the disk; None when it refused, which is said."""
    try:
        return await asyncio.to_thread(job)
    except KVChatError as error:
        chat.notice(error.sentence, "error")
        return None
