"""SessionRows: the sessions of the chat database, and the tips they stand on."""

import json
import sqlite3

from kvchat.clean_text import storable
from kvchat.errors import SessionNotFound
from kvchat.store.rows import SessionRow, Undone
from kvchat.store.transactions import Transactions

MAX_UNDO_TIPS = 64

_SESSION_COLUMNS = (
    "id, tree_id, title, system, sampling, window, sinks, tip_id, origin_id, tag_index,"
    " created_at, template_date, draft, deleted_at"
)
_SELECT_SESSIONS = (
    f"SELECT {', '.join('s.' + name for name in _SESSION_COLUMNS.split(', '))},"
    " coalesce(m.depth, 0), s.use_order"
    " FROM sessions AS s LEFT JOIN messages AS m ON m.id = s.tip_id"
)


class SessionRows(Transactions):
    """Reads and changes sessions; a part of Database, which says what every method raises."""

    def create_session(self, row: SessionRow) -> None:
        """Add a session. A fork is a row with the tree of its origin and the tip it starts from."""
        with self.transaction() as connection:
            self.insert_session(connection, row)

    def insert_session(self, connection: sqlite3.Connection, row: SessionRow) -> None:
        """Add a session inside a transaction; for the files of this folder."""
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
            update_session(connection, session_id, "window = ?", window)
            update_session(connection, session_id, "sinks = ?", sinks)

    def note_used(self, session_id: str) -> None:
        """Make a session the one used last; an unknown one is left out."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE sessions SET use_order = (SELECT max(use_order) + 1 FROM sessions)"
                " WHERE id = ? AND use_order < (SELECT max(use_order) FROM sessions)",
                (session_id,),
            )

    def delete_session(self, session_id: str, at: float) -> None:
        """Put a session among the deleted ones; its messages stay. `at` is for display."""
        self._set(session_id, "deleted_at = ?", at)

    def undelete_session(self, session_id: str) -> None:
        """Take back `delete_session`."""
        self._set(session_id, "deleted_at = ?", None)

    def _set(self, session_id: str, assignment: str, value: object) -> None:
        with self.transaction() as connection:
            update_session(connection, session_id, assignment, value)

    def move_tip(self, session_id: str, tip_id: str | None, *, push_undo: bool = False) -> None:
        """Let a session stand on another message; with `push_undo`, `undo` returns from there."""
        with self.transaction() as connection:
            if push_undo:
                push_undo_tip(connection, session_id)
            update_session(connection, session_id, "tip_id = ?", tip_id)

    def num_undo(self, session_id: str) -> int:
        """Return how many moves of a session can be taken back."""
        return len(_undo_stack(self._connection, session_id)[1])

    def undo(self, session_id: str) -> Undone | None:
        """Return to the tip before the last one pushed, or return None if none is.

        What was hidden or replaced together with that move comes back in the same transaction.
        """
        with self.transaction() as connection:
            tip_id, tips, changes = _undo_stack(connection, session_id)
            if not tips:
                return None
            before, change = tips.pop(), changes.pop() or {}
            _set_undo_stack(connection, session_id, tips, changes)
            note_visit(connection, session_id, tip_id)
            update_session(connection, session_id, "tip_id = ?", before)
            if "system" in change:
                update_session(connection, session_id, "system = ?", change["system"])
            if "shown" in change:
                connection.execute(
                    "UPDATE messages SET is_hidden = 0 WHERE id = ?", (change["shown"],)
                )
            (system,) = connection.execute(
                "SELECT system FROM sessions WHERE id = ?", (session_id,)
            ).fetchone()
            return Undone(before, system, change.get("shown"))


def update_session(
    connection: sqlite3.Connection, session_id: str, assignment: str, value: object
) -> None:
    """Assign to one column of a session, inside a transaction; raises SessionNotFound."""
    changed = connection.execute(
        f"UPDATE sessions SET {assignment} WHERE id = ?", (value, session_id)
    )
    if changed.rowcount == 0:
        raise SessionNotFound("There is no such session.")


_Change = dict[str, str | None]
"""What changed together with a move: "system" and the one before, or "shown" and what was hidden"""


def _undo_stack(
    connection: sqlite3.Connection, session_id: str
) -> tuple[str | None, list[str | None], list[_Change | None]]:
    row = connection.execute(
        "SELECT tip_id, undo_tips, undo_changes FROM sessions WHERE id = ?", (session_id,)
    ).fetchone()
    if row is None:
        raise SessionNotFound("There is no such session.")
    tips, changes = json.loads(row[1]), json.loads(row[2])
    # Tips that were pushed before changes were kept have none.
    return row[0], tips, [None] * (len(tips) - len(changes)) + changes


def _set_undo_stack(
    connection: sqlite3.Connection,
    session_id: str,
    tips: list[str | None],
    changes: list[_Change | None],
) -> None:
    update_session(connection, session_id, "undo_tips = ?", json.dumps(tips))
    update_session(connection, session_id, "undo_changes = ?", json.dumps(changes))


def push_undo_tip(
    connection: sqlite3.Connection, session_id: str, change: _Change | None = None
) -> None:
    """Remember where a session stands, inside a transaction, for `SessionRows.undo`.

    `change` is what the transaction changes besides: {"system": the one before} or {"shown": the
    message that is hidden now}.
    """
    tip_id, tips, changes = _undo_stack(connection, session_id)
    _set_undo_stack(
        connection,
        session_id,
        [*tips, tip_id][-MAX_UNDO_TIPS:],
        [*changes, change][-MAX_UNDO_TIPS:],
    )
    note_visit(connection, session_id, tip_id)


def note_visit(connection: sqlite3.Connection, session_id: str, tip_id: str | None) -> None:
    """Remember, inside a transaction, that a session stood on a tip that it leaves now."""
    if tip_id is not None:
        connection.execute(
            "INSERT OR REPLACE INTO visits SELECT ?, ?, coalesce(max(number), 0) + 1 FROM visits"
            " WHERE session_id = ?",
            (session_id, tip_id, session_id),
        )


# SQLite's values have no static types; the schema's checks say what they are.
def _session_row(row: tuple[object, ...]) -> SessionRow:
    values = list(row)
    values[4] = json.loads(str(row[4]))
    return SessionRow(*values)  # type: ignore[arg-type]
