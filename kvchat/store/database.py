"""The chat database: message trees, and the sessions that point into them.

One transaction per method: when it returns, its change is on disk (WAL, `synchronous=FULL`); when
it raises, nothing has changed. Nodes are never edited, apart from a reply that is still streaming,
and never deleted. A Database is used by the thread that opened it and by no other. It knows nothing
of prompts, models or of what a session is doing.

Every method that writes raises NotSaving when the disk refuses, and every method raises
DatabaseDamaged when the file turns out to be broken.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kvchat.clean_text import storable
from kvchat.errors import SessionNotFound, fault
from kvchat.store.database_file import damaged, open_connection, spoken_errors
from kvchat.store.rows import (
    MessageRow,
    ReplyEnd,
    ReplyUpdate,
    SessionRow,
    pack_token_ids,
    unpack_token_ids,
)

FILE_NAME = "chats.db"
MAX_UNDO_TIPS = 64

_LOG = logging.getLogger(__name__)

_MESSAGE_COLUMNS = (
    "id, tree_id, parent_id, role, text, token_ids, state, created_at, model_name, seed,"
    " finish_reason, error, num_cached_tokens, decode_tokens_per_second"
)
_SESSION_COLUMNS = (
    "id, tree_id, title, system, sampling, window, sinks, tip_id, origin_id, tag_index,"
    " created_at, template_date, draft, deleted_at"
)
_SELECT_SESSIONS = (
    f"SELECT {', '.join('s.' + name for name in _SESSION_COLUMNS.split(', '))},"
    " coalesce(m.depth, 0), s.use_order"
    " FROM sessions AS s LEFT JOIN messages AS m ON m.id = s.tip_id"
)
_T = TypeVar("_T")


class Database:
    """The one connection to a chat database, opened or made; None keeps everything in memory.

    Opening applies missing migrations and marks replies that were streaming when the last process
    ended as interrupted. The caller holds the lock of the data directory.

    Raises DatabaseDamaged for a file that is damaged, of another program or of a newer kvchat, and
    leaves it as it is; NotSaving when the file cannot be made or written.
    """

    path: Path | None
    num_interrupted: int
    """Replies that were found streaming, and are now marked interrupted."""
    num_commits: int
    """Transactions committed by this object."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.num_commits = 0
        self._connection = open_connection(path)
        self.num_interrupted = self._mark_interrupted()

    def close(self) -> None:
        """Close the file; SQLite then moves its log into it. A second call does nothing."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin, then commit, or roll back on any error; for the files of this folder."""
        connection = self._connection
        with spoken_errors(self.path):
            try:
                fault("db.begin")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                fault("db.commit")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self.num_commits += 1
        fault("db.committed")

    def read(
        self, make: Callable[[tuple[object, ...]], _T], query: str, values: Sequence[object] = ()
    ) -> list[_T]:
        """Return what `make` makes of each row that a query finds; for the files of this folder."""
        with spoken_errors(self.path):
            rows = self._connection.execute(query, values).fetchall()
        try:
            return [make(row) for row in rows]
        except (TypeError, ValueError) as error:  # a value that no version has ever written
            raise damaged(self.path) from error

    def probe_write(self) -> None:
        """Commit something that changes nothing; raises NotSaving while the disk refuses."""
        with self.transaction() as connection:
            connection.execute("PRAGMA user_version = 0")

    # Sessions

    def create_session(self, row: SessionRow) -> None:
        """Add a session. A fork is a row with the tree of its origin and the tip it starts from."""
        with self.transaction() as connection:
            connection.execute(
                f"INSERT INTO sessions ({_SESSION_COLUMNS}, use_order) VALUES"
                " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " (SELECT coalesce(max(use_order), 0) + 1 FROM sessions))",
                (
                    row.id,
                    row.tree_id,
                    storable(row.title),
                    None if row.system is None else storable(row.system),
                    json.dumps(dict(row.sampling)),
                    row.window,
                    row.sinks,
                    row.tip_id,
                    row.origin_id,
                    row.tag_index,
                    row.created_at,
                    row.template_date,
                    storable(row.draft),
                    row.deleted_at,
                ),
            )

    def list_sessions(self, *, deleted: bool = False) -> list[SessionRow]:
        """Return the sessions in the order they were created, or instead the deleted ones.

        Reads one message row for each, whatever the length of the conversations.
        """
        wanted = "NOT NULL" if deleted else "NULL"
        return self.read(
            _session_row, f"{_SELECT_SESSIONS} WHERE s.deleted_at IS {wanted} ORDER BY s.number"
        )

    def session(self, session_id: str) -> SessionRow:
        """Return one session, deleted or not; raises SessionNotFound."""
        rows = self.read(_session_row, f"{_SELECT_SESSIONS} WHERE s.id = ?", (session_id,))
        if not rows:
            raise SessionNotFound("There is no such session.")
        return rows[0]

    def rename(self, session_id: str, title: str) -> None:
        """Give a session another title."""
        self._set(session_id, "title = ?", storable(title))

    def set_sampling(self, session_id: str, sampling: dict[str, object]) -> None:
        """Replace the sampling settings of a session."""
        self._set(session_id, "sampling = ?", json.dumps(sampling))

    def set_window(self, session_id: str, window: int | None, sinks: int) -> None:
        """Replace the window and sinks of a session."""
        with self.transaction() as connection:
            _update_session(connection, session_id, "window = ?", window)
            _update_session(connection, session_id, "sinks = ?", sinks)

    def set_draft(self, session_id: str, draft: str) -> None:
        """Keep the text of a prompt that is not sent yet."""
        self._set(session_id, "draft = ?", storable(draft))

    def delete_session(self, session_id: str, at: float) -> None:
        """Put a session among the deleted ones; its messages stay. `at` is for display."""
        self._set(session_id, "deleted_at = ?", at)

    def undelete_session(self, session_id: str) -> None:
        """Take back `delete_session`."""
        self._set(session_id, "deleted_at = ?", None)

    def _set(self, session_id: str, assignment: str, value: object) -> None:
        with self.transaction() as connection:
            _update_session(connection, session_id, assignment, value)

    # Tips

    def move_tip(self, session_id: str, tip_id: str | None, *, push_undo: bool = False) -> None:
        """Let a session stand on another message; with `push_undo`, `undo` returns from there."""
        with self.transaction() as connection:
            if push_undo:
                _push_undo(connection, session_id)
            _update_session(connection, session_id, "tip_id = ?", tip_id)

    def undo(self, session_id: str) -> tuple[bool, str | None]:
        """Return to the tip before the last one pushed: (True, tip), or (False, tip) if none is."""
        with self.transaction() as connection:
            tip_id, tips = _undo_tips(connection, session_id)
            if not tips:
                return False, tip_id
            tip_id = tips.pop()
            _update_session(connection, session_id, "undo_tips = ?", json.dumps(tips))
            _update_session(connection, session_id, "tip_id = ?", tip_id)
            return True, tip_id

    # Messages

    def add_message(
        self,
        session_id: str,
        row: MessageRow,
        *,
        push_undo: bool = False,
        clear_draft: bool = False,
    ) -> None:
        """Add a node and move the session's tip to it.

        A user message is durable when this returns, so it can be computed. Its token ids may be
        empty until they are known (`set_token_ids`, `begin_reply`). With `clear_draft` the draft
        it was written from is emptied in the same transaction.
        """
        with self.transaction() as connection:
            if push_undo:
                _push_undo(connection, session_id)
            _insert_message(connection, row)
            _update_session(connection, session_id, "tip_id = ?", row.id)
            if clear_draft:
                _update_session(connection, session_id, "draft = ?", "")
            connection.execute(
                "UPDATE sessions SET use_order = (SELECT max(use_order) + 1 FROM sessions)"
                " WHERE id = ?",
                (session_id,),
            )

    def insert_message(self, row: MessageRow) -> None:
        """Add a node that no session stands on yet."""
        with self.transaction() as connection:
            _insert_message(connection, row)

    def set_token_ids(self, message_id: str, token_ids: Sequence[int]) -> None:
        """Record the token ids of a message that was stored before they were known."""
        with self.transaction() as connection:
            _set_token_ids(connection, message_id, token_ids)

    def begin_reply(
        self,
        session_id: str,
        reply: MessageRow,
        *,
        prompt_token_ids: Sequence[int] | None = None,
        push_undo: bool = False,
    ) -> None:
        """Add the row of a reply that is about to stream, and move the session's tip to it.

        `prompt_token_ids` are recorded as those of its parent, the user message, in the same
        transaction. The tip moves now, so that after a crash the session shows what was said.
        """
        assert reply.state == "streaming"
        with self.transaction() as connection:
            if prompt_token_ids is not None:
                assert reply.parent_id is not None
                _set_token_ids(connection, reply.parent_id, prompt_token_ids)
            if push_undo:
                _push_undo(connection, session_id)
            _insert_message(connection, reply)
            _update_session(connection, session_id, "tip_id = ?", reply.id)

    def extend_replies(self, updates: Sequence[ReplyUpdate]) -> None:
        """Append to streaming replies, and end those that have ended, in one transaction.

        An update of a reply that is not streaming is left out, with a line in the log.
        """
        with self.transaction() as connection:
            for update in updates:
                row = connection.execute(
                    "SELECT text, token_ids FROM messages WHERE id = ? AND state = 'streaming'",
                    (update.message_id,),
                ).fetchone()
                if row is None:
                    _LOG.error("reply %s is not streaming; update left out", update.message_id)
                    continue
                text, token_ids = row
                connection.execute(
                    "UPDATE messages SET text = ?, token_ids = ? WHERE id = ?",
                    (
                        text + storable(update.text),
                        token_ids + pack_token_ids(update.token_ids),
                        update.message_id,
                    ),
                )
                if update.end is not None:
                    _end_reply(connection, update.message_id, update.end)

    def finish_reply(self, message_id: str, end: ReplyEnd) -> None:
        """End one streaming reply."""
        self.extend_replies([ReplyUpdate(message_id, end=end)])

    def message(self, message_id: str) -> MessageRow | None:
        """Return one message, or None."""
        query = f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE id = ?"
        rows = self.read(_message_row, query, (message_id,))
        return rows[0] if rows else None

    def load_path(self, tip_id: str | None) -> list[MessageRow]:
        """Return the messages from the root down to a tip, the tip last; none for the root."""
        columns = ", ".join(f"m.{name}" for name in _MESSAGE_COLUMNS.split(", "))
        return self.read(
            _message_row,
            f"""
            WITH RECURSIVE path (id, parent_id) AS (
                SELECT id, parent_id FROM messages WHERE id = ?
                UNION ALL
                SELECT m.id, m.parent_id FROM messages AS m JOIN path ON m.id = path.parent_id
            )
            SELECT {columns} FROM path JOIN messages AS m ON m.id = path.id ORDER BY m.depth
            """,
            (tip_id,),
        )

    def children(self, tree_id: str, parent_id: str | None) -> list[MessageRow]:
        """Return the messages right below one, or below the root of a tree, oldest first."""
        return self.read(
            _message_row,
            f"SELECT {_MESSAGE_COLUMNS} FROM messages"
            " WHERE tree_id = ? AND parent_id IS ? ORDER BY number",
            (tree_id, parent_id),
        )

    def siblings(self, message_id: str) -> list[str]:
        """Return the ids of the messages with the same parent, itself included, oldest first."""
        return self.read(
            lambda row: str(row[0]),
            "SELECT other.id FROM messages AS self JOIN messages AS other"
            " ON other.tree_id = self.tree_id AND other.parent_id IS self.parent_id"
            " WHERE self.id = ? ORDER BY other.number",
            (message_id,),
        )

    def _mark_interrupted(self) -> int:
        if not self.read(bool, "SELECT 1 FROM messages WHERE state = 'streaming' LIMIT 1"):
            return 0
        with self.transaction() as connection:
            changed = connection.execute(
                "UPDATE messages SET state = 'interrupted' WHERE state = 'streaming'"
            )
            return changed.rowcount


def _update_session(
    connection: sqlite3.Connection, session_id: str, assignment: str, value: object
) -> None:
    changed = connection.execute(
        f"UPDATE sessions SET {assignment} WHERE id = ?", (value, session_id)
    )
    if changed.rowcount == 0:
        raise SessionNotFound("There is no such session.")


def _undo_tips(
    connection: sqlite3.Connection, session_id: str
) -> tuple[str | None, list[str | None]]:
    row = connection.execute(
        "SELECT tip_id, undo_tips FROM sessions WHERE id = ?", (session_id,)
    ).fetchone()
    if row is None:
        raise SessionNotFound("There is no such session.")
    return row[0], json.loads(row[1])


def _push_undo(connection: sqlite3.Connection, session_id: str) -> None:
    tip_id, tips = _undo_tips(connection, session_id)
    tips = [*tips, tip_id][-MAX_UNDO_TIPS:]
    _update_session(connection, session_id, "undo_tips = ?", json.dumps(tips))


def _insert_message(connection: sqlite3.Connection, row: MessageRow) -> None:
    connection.execute(
        f"INSERT INTO messages ({_MESSAGE_COLUMNS}, depth) VALUES"
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " 1 + coalesce((SELECT depth FROM messages WHERE id = ?), 0))",
        (
            row.id,
            row.tree_id,
            row.parent_id,
            row.role,
            storable(row.text),
            pack_token_ids(row.token_ids),
            row.state,
            row.created_at,
            row.model_name,
            None if row.seed is None else str(row.seed),  # up to 2**64 - 1
            row.finish_reason,
            row.error,
            row.num_cached_tokens,
            row.decode_tokens_per_second,
            row.parent_id,
        ),
    )


def _set_token_ids(
    connection: sqlite3.Connection, message_id: str, token_ids: Sequence[int]
) -> None:
    changed = connection.execute(
        "UPDATE messages SET token_ids = ? WHERE id = ?", (pack_token_ids(token_ids), message_id)
    )
    assert changed.rowcount == 1, "no such message"


def _end_reply(connection: sqlite3.Connection, message_id: str, end: ReplyEnd) -> None:
    connection.execute(
        "UPDATE messages SET state = ?, finish_reason = ?, error = ?, num_cached_tokens = ?,"
        " decode_tokens_per_second = ? WHERE id = ?",
        (
            end.state,
            end.finish_reason,
            None if end.error is None else storable(end.error),
            end.num_cached_tokens,
            end.decode_tokens_per_second,
            message_id,
        ),
    )


# SQLite's values have no static types; the schema's checks say what they are.
def _message_row(row: tuple[object, ...]) -> MessageRow:
    values = list(row)
    values[5] = unpack_token_ids(row[5])  # type: ignore[arg-type]
    values[9] = None if row[9] is None else int(str(row[9]))
    return MessageRow(*values)  # type: ignore[arg-type]


def _session_row(row: tuple[object, ...]) -> SessionRow:
    values = list(row)
    values[4] = json.loads(str(row[4]))
    return SessionRow(*values)  # type: ignore[arg-type]
