"""MessageRows: the nodes of the message trees, and the replies that are streaming."""

import logging
import sqlite3
from collections.abc import Sequence

from kvchat.clean_text import storable
from kvchat.store.alternative_rows import insert_token_records
from kvchat.store.prompt_rows import note_sent, remove_first_waiting
from kvchat.store.rows import (
    MessageRow,
    ReplyEnd,
    ReplyUpdate,
    TokenRecords,
    pack_token_ids,
    unpack_token_ids,
)
from kvchat.store.search import SearchRows
from kvchat.store.session_rows import push_undo_tip, update_session

_LOG = logging.getLogger(__name__)

_MESSAGE_COLUMNS = (
    "id, tree_id, parent_id, role, text, token_ids, state, created_at, model_name, seed,"
    " finish_reason, error, num_cached_tokens, decode_tokens_per_second, is_edited, label, notice,"
    " system_key, is_hidden, window, sinks"
)


class MessageRows(SearchRows):
    """Reads and adds messages; a part of Database, which says what every method raises."""

    def add_message(
        self,
        session_id: str,
        row: MessageRow,
        *,
        push_undo: bool = False,
        clear_draft: bool = False,
        take_waiting: bool = False,
    ) -> None:
        """Add a node and move the session's tip to it.

        A user message is durable when this returns, so it can be computed. Its token ids may be
        empty until they are known (`set_token_ids`, `begin_reply`). With `clear_draft` the draft
        it was written from is emptied in the same transaction, and with `take_waiting` the prompt
        that waited first is taken off the line.
        """
        with self.transaction() as connection:
            if push_undo:
                push_undo_tip(connection, session_id)
            _insert_message(connection, row)
            update_session(connection, session_id, "tip_id = ?", row.id)
            if clear_draft:
                update_session(connection, session_id, "draft = ?", "")
            if take_waiting:
                remove_first_waiting(connection, session_id)
            if row.role == "user":
                note_sent(connection, row.id)
            connection.execute(
                "UPDATE sessions SET use_order = (SELECT max(use_order) + 1 FROM sessions)"
                " WHERE id = ?",
                (session_id,),
            )
        self.num_gaps += 1

    def insert_message(self, row: MessageRow, records: Sequence[TokenRecords] = ()) -> None:
        """Add a node that no session stands on yet."""
        with self.transaction() as connection:
            _insert_message(connection, row)
            insert_token_records(connection, row.id, records)
        self.num_gaps += 1

    def insert_row(self, connection: sqlite3.Connection, row: MessageRow) -> None:
        """Add a node inside a transaction; for the files of this folder."""
        _insert_message(connection, row)

    def read_messages(self, condition: str, values: Sequence[object]) -> list[MessageRow]:
        """Return the messages for which SQL says so; for the files of this folder."""
        query = f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE {condition}"
        return self.read(_message_row, query, values)

    def set_token_ids(self, message_id: str, token_ids: Sequence[int]) -> None:
        """Record the token ids of a message that was stored before they were known."""
        with self.transaction() as connection:
            _set_token_ids(connection, message_id, token_ids)

    def set_message_window(self, message_id: str, window: int | None, sinks: int) -> None:
        """Record under which window a message is read that was never read under another one."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE messages SET window = ?, sinks = ? WHERE id = ?",
                (window, sinks, message_id),
            )

    def was_read(self, message_id: str) -> bool:
        """Say whether a model read a message: whether it generated anything below it."""
        return bool(
            self.read(
                bool,
                """
                WITH RECURSIVE below (id) AS (
                    SELECT ?
                    UNION ALL
                    SELECT m.id FROM messages AS m JOIN below ON m.parent_id = below.id
                )
                SELECT 1 FROM messages WHERE id IN (SELECT id FROM below) AND role = 'assistant'
                AND (length(token_ids) > 0 OR state = 'streaming') LIMIT 1
                """,
                (message_id,),
            )
        )

    def begin_reply(
        self,
        session_id: str,
        reply: MessageRow,
        *,
        prompt_token_ids: Sequence[int] | None = None,
        prompt_system_key: str | None = None,
        records: Sequence[TokenRecords] = (),
        is_tip: bool = True,
    ) -> None:
        """Add the row of a reply that is about to stream, and move the session's tip to it.

        `prompt_token_ids` are recorded as those of its parent, the user message, in the same
        transaction, with the model and the system prompt they were made for; `records` are those of
        tokens the reply begins with. The tip moves now, so that after a crash the session shows
        what was said; it stays where the session stands elsewhere by now, or without `is_tip`.
        """
        assert reply.state == "streaming"
        with self.transaction() as connection:
            if prompt_token_ids is not None:
                assert reply.parent_id is not None
                _set_token_ids(connection, reply.parent_id, prompt_token_ids)
                connection.execute(
                    "UPDATE messages SET model_name = ?, system_key = ? WHERE id = ?",
                    (reply.model_name, prompt_system_key, reply.parent_id),
                )
            _insert_message(connection, reply)
            insert_token_records(connection, reply.id, records)
            if is_tip:
                connection.execute(
                    "UPDATE sessions SET tip_id = ? WHERE id = ? AND tip_id IS ?",
                    (reply.id, session_id, reply.parent_id),
                )

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
                before = TokenRecords(len(unpack_token_ids(token_ids)), update.records)
                insert_token_records(connection, update.message_id, [before])
                if update.end is not None:
                    _end_reply(connection, update.message_id, update.end)
        self.num_gaps += sum(update.end is not None for update in updates)

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

    def load_tree(self, tree_id: str) -> list[MessageRow]:
        """Return all messages of a tree, hidden ones too, oldest first."""
        return self.read(
            _message_row,
            f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE tree_id = ? ORDER BY number",
            (tree_id,),
        )

    def siblings(self, message_id: str) -> list[str]:
        """Return the ids of the messages with the same parent, itself included, oldest first.

        Hidden ones are left out, apart from the message itself.
        """
        return self.read(
            lambda row: str(row[0]),
            "SELECT other.id FROM messages AS self JOIN messages AS other"
            " ON other.tree_id = self.tree_id AND other.parent_id IS self.parent_id"
            " WHERE self.id = ? AND (NOT other.is_hidden OR other.id = self.id)"
            " ORDER BY other.number",
            (message_id,),
        )

    def mark_interrupted(self) -> int:
        """Mark the replies that a process left streaming; return how many there were."""
        if not self.read(bool, "SELECT 1 FROM messages WHERE state = 'streaming' LIMIT 1"):
            return 0
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO search_gaps"
                " SELECT number FROM messages WHERE state = 'streaming'"
            )
            changed = connection.execute(
                "UPDATE messages SET state = 'interrupted' WHERE state = 'streaming'"
            )
            return changed.rowcount


def _insert_message(connection: sqlite3.Connection, row: MessageRow) -> None:
    connection.execute(
        f"INSERT INTO messages ({_MESSAGE_COLUMNS}, depth) VALUES"
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
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
            row.is_edited,
            row.label,
            row.notice,
            row.system_key,
            row.is_hidden,
            row.window,
            row.sinks,
            row.parent_id,
        ),
    )
    if row.state != "streaming":
        _note_gap(connection, row.id)


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
        " decode_tokens_per_second = ?, notice = ? WHERE id = ?",
        (
            end.state,
            end.finish_reason,
            None if end.error is None else storable(end.error),
            end.num_cached_tokens,
            end.decode_tokens_per_second,
            end.notice,
            message_id,
        ),
    )
    _note_gap(connection, message_id)


def _note_gap(connection: sqlite3.Connection, message_id: str) -> None:
    """Let a message be searched from now on; see `search.py`."""
    connection.execute(
        "INSERT OR IGNORE INTO search_gaps SELECT number FROM messages WHERE id = ?", (message_id,)
    )


# SQLite's values have no static types; the schema's checks say what they are.
def _message_row(row: tuple[object, ...]) -> MessageRow:
    values = list(row)
    values[5] = unpack_token_ids(row[5])  # type: ignore[arg-type]
    values[9] = None if row[9] is None else int(str(row[9]))
    values[14], values[18] = bool(row[14]), bool(row[18])
    return MessageRow(*values)  # type: ignore[arg-type]
