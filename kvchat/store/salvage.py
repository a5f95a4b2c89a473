"""salvage: what can still be read of a damaged database, brought into the backup that replaced it.

Damage is mostly a page or two, and a backup may be a day old. So messages that are newer than the
backup are read one by one from the file that was put aside, and sessions stand where it says. What
cannot be read, makes no sense, or hangs below something that cannot be read is left there. The
damaged file is only read.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from kvchat.store.migrations import schema_number
from kvchat.store.transactions import Transactions

_LOG = logging.getLogger(__name__)
_UNREADABLE = (sqlite3.Error, UnicodeError, OverflowError)
_Value = str | bytes | int | float | None
_Values = dict[str, _Value]
MAX_NUMBER = 10_000_000
"""No database has so many messages; a damaged one may say so."""


def salvage(damaged: Path, database: Transactions) -> int:
    """Bring newer messages of a damaged database into a sound one; return how many there were.

    All of it in one transaction. A damaged file of which nothing can be read gives 0. Raises
    NotSaving.
    """
    uri = f"{damaged.absolute().as_uri()}?mode=ro"
    try:
        source = sqlite3.connect(uri, uri=True, timeout=0.0)
    except _UNREADABLE:
        return 0
    with closing(source), database.transaction() as target:
        try:
            if schema_number(source) != schema_number(target):
                return 0
            last = min(_last_number(source), MAX_NUMBER)
        except _UNREADABLE as error:
            _LOG.info("nothing can be read of the damaged database: %s", type(error).__name__)
            return 0
        known = _last_number(target)
        columns = _columns(target, "messages")
        num_saved = sum(
            _save_message(target, values)
            for number in range(known + 1, last + 1)
            if (values := _row(source, "messages", columns, number)) is not None
        )
        _save_sessions(source, target)
        return num_saved


def _last_number(connection: sqlite3.Connection, table: str = "messages") -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row else 0


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]


def _row(source: sqlite3.Connection, table: str, columns: list[str], number: int) -> _Values | None:
    """Return one row by its number; None if there is none or it cannot be read."""
    try:
        found = source.execute(
            f"SELECT {', '.join(columns)} FROM {table} WHERE number = ?", (number,)
        ).fetchone()
    except _UNREADABLE:
        return None
    return None if found is None else dict(zip(columns, found, strict=True))


def _save_message(target: sqlite3.Connection, values: _Values) -> bool:
    ids, text = values["token_ids"], values["text"]
    if not isinstance(text, str) or not isinstance(ids, bytes):
        return False
    if len(ids) % 4:
        values["token_ids"] = b""
    if values["state"] == "streaming":
        values["state"] = "interrupted"
    if not _is_message(target, values["parent_id"], values["tree_id"]):
        return False
    if not _insert(target, "messages", values):
        return False
    target.execute("INSERT OR IGNORE INTO search_gaps VALUES (?)", (values["number"],))
    return True


def _is_message(target: sqlite3.Connection, message_id: _Value, tree_id: _Value) -> bool:
    """Say whether a message of a tree is there; None, the root, always is."""
    query = "SELECT 1 FROM messages WHERE id = ? AND tree_id = ?"
    return message_id is None or target.execute(query, (message_id, tree_id)).fetchone() is not None


def _insert(target: sqlite3.Connection, table: str, values: _Values) -> bool:
    marks = ", ".join("?" * len(values))
    try:
        target.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values())
        )
    except sqlite3.IntegrityError:  # a value that the schema refuses, or an id that is there
        return False
    return True


def _save_sessions(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Add newer sessions, and let known ones stand where the damaged file says."""
    try:
        last = min(_last_number(source, "sessions"), MAX_NUMBER)
    except _UNREADABLE:
        return
    columns = _columns(target, "sessions")
    for number in range(1, last + 1):
        values = _row(source, "sessions", columns, number)
        if values is None or not _is_message(target, values["tip_id"], values["tree_id"]):
            continue
        values |= {"undo_tips": "[]", "undo_changes": "[]"}  # they may name what was not saved
        known = target.execute(
            "SELECT id, tree_id FROM sessions WHERE number = ?", (number,)
        ).fetchone()
        if known is None:
            _insert(target, "sessions", values)
        elif known == (values["id"], values["tree_id"]):
            target.execute(
                "UPDATE sessions SET tip_id = ?, deleted_at = ?, undo_tips = '[]',"
                " undo_changes = '[]' WHERE number = ?",
                (values["tip_id"], values["deleted_at"], number),
            )
