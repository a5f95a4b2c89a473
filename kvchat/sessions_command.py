"""`kvchat sessions`: lists, deletes, exports and imports chats without opening the app.

Needs no model. The data directory belongs to one process at a time, so it works while no other
kvchat has it open.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import localtime, strftime, time

from kvchat import paths
from kvchat.clean_text import clean, storable
from kvchat.cli_options import Parser
from kvchat.durable_files import write_durably
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.log_output import log_to_stderr
from kvchat.print_mode import write
from kvchat.session.export import EXPORT_FORMS, export_chat
from kvchat.session.exported_chat import read_chat
from kvchat.session.import_text import MAX_BYTES, import_text
from kvchat.session_choice import find_session
from kvchat.store.data_dir import DataDir
from kvchat.store.database import Database
from kvchat.store.open_database import open_database
from kvchat.store.rows import SessionRow
from kvchat.untrusted import read_regular


def main(words: Sequence[str]) -> int:
    """Run `kvchat sessions ls`, `rm`, `export`, `import` or `purge` and return the exit status."""
    options = _parser().parse_args(words)
    with log_to_stderr("warning"), _database(options.data_dir or paths.data_dir()) as database:
        options.run(database, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="kvchat sessions", description="Stored chats, without opening the app.")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where chats are stored")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    listing = commands.add_parser("ls", help="list chats, the one used last first")
    listing.add_argument("--json", action="store_true", help="as one JSON list")
    listing.add_argument("--deleted", action="store_true", help="list the trash instead")
    listing.set_defaults(run=_list)
    removing = commands.add_parser("rm", help="put a chat into the trash")
    removing.add_argument("name", help="id, beginning of an id, or title")
    removing.set_defaults(run=_remove)
    exporting = commands.add_parser("export", help="write a chat as Markdown, JSON or HTML")
    exporting.add_argument("name", help="id, beginning of an id, or title")
    exporting.add_argument("file", nargs="?", default="-", help="a new file; - prints it")
    exporting.add_argument("--form", choices=EXPORT_FORMS, help="default: as the file's name ends")
    exporting.set_defaults(run=_export)
    importing = commands.add_parser("import", help="add a chat from kvchat JSON or Markdown")
    importing.add_argument("file", help="the file; - reads standard input")
    importing.add_argument("--title", help="a title for it")
    importing.set_defaults(run=_import)
    purging = commands.add_parser("purge", help="erase the trash for ever")
    purging.add_argument("--yes", action="store_true", help="do not ask")
    purging.set_defaults(run=_purge)
    for command in (listing, removing, exporting, importing, purging):
        # Here too, where most people write it; suppressed, or it would undo the one before.
        command.add_argument(
            "--data-dir",
            type=Path,
            metavar="DIR",
            default=argparse.SUPPRESS,
            help="where chats are stored",
        )
    return parser


@contextmanager
def _database(path: Path) -> Iterator[Database]:
    with DataDir(path) as directory:
        database = open_database(directory.database_path)
        try:
            yield database
        finally:
            database.close()


def _list(database: Database, options: argparse.Namespace) -> None:
    rows = database.list_sessions(deleted=options.deleted)
    rows.sort(key=lambda row: row.use_order, reverse=True)
    if options.json:
        documents = [
            {
                "id": row.id,
                "title": row.title,
                "num_messages": row.num_messages,
                "created_at": row.created_at,
                "deleted_at": row.deleted_at,
            }
            for row in rows
        ]
        write(json.dumps(documents, ensure_ascii=False) + "\n")
        return
    for row in rows:
        made = strftime("%Y-%m-%d", localtime(row.created_at))
        title = " ".join(clean(row.title).split()) or "New chat"
        write(f"{row.id[:8]}  {made}  {row.num_messages:5}  {title}\n")


def _find(database: Database, name: str) -> SessionRow:
    return find_session(database.list_sessions(), name)


def _remove(database: Database, options: argparse.Namespace) -> None:
    row = _find(database, options.name)
    database.delete_session(row.id, time())
    write(f"{row.id[:8]} is in the trash; kvchat sessions purge erases it.\n")


def _export(database: Database, options: argparse.Namespace) -> None:
    form = options.form
    if form is None:
        ending = Path(options.file).suffix.removeprefix(".").lower()
        form = {"markdown": "md", "htm": "html"}.get(ending, ending)
        if form not in EXPORT_FORMS:
            form = "md"
    text = export_chat(read_chat(database, _find(database, options.name).id), form)
    if options.file == "-":
        write(text)
        return
    path = Path(options.file)
    if path.exists():
        raise InvalidArgument(f"{path} is there already; name a new file.")
    try:
        write_durably(path, text.encode())
    except OSError as error:
        raise KVChatError(f"Cannot write {path}: {(error.strerror or str(error)).lower()}.") from (
            error
        )


def _import(database: Database, options: argparse.Namespace) -> None:
    if options.file == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InvalidArgument(f"Standard input is too large; at most {MAX_BYTES} bytes.")
    else:
        raw = read_regular(Path(options.file), MAX_BYTES)
    chat = import_text(raw.decode("utf-8", "replace"))
    tags = [
        row.tag_index
        for deleted in (False, True)
        for row in database.list_sessions(deleted=deleted)
    ]
    session = replace(
        chat.session,
        title=storable(options.title or chat.session.title),
        tag_index=max(tags, default=-1) + 1,
    )
    row = database.import_chat(session, chat.messages)
    messages = _counted(len(chat.messages), "message")
    write(f"{row.id[:8]}  {messages}  {clean(row.title) or 'New chat'}\n")


def _purge(database: Database, options: argparse.Namespace) -> None:
    rows = database.list_sessions(deleted=True)
    if rows and not options.yes:
        count = _counted(len(rows), "deleted chat")
        raise InvalidArgument(f"This erases {count} for ever; say kvchat sessions purge --yes.")
    purged = database.purge()
    messages = _counted(purged.num_messages, "message")
    write(f"Erased {_counted(purged.num_sessions, 'chat')} with {messages}.\n")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
