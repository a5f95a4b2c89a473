"""BranchRows: what a tree of messages knows beside its messages: labels, what is hidden, visits."""

from kvchat.store.rows import MessageRow
from kvchat.store.session_rows import push_undo_tip, update_session
from kvchat.store.transactions import Transactions

_BELOW = """
    WITH RECURSIVE below (id) AS (
        SELECT ?
        UNION ALL
        SELECT m.id FROM messages AS m JOIN below ON m.parent_id = below.id
        WHERE m.tree_id = ? AND NOT m.is_hidden
    )"""


class BranchRows(Transactions):
    """Marks messages of a tree; a part of Database, which says what every method raises."""

    def set_label(self, message_id: str, label: str | None) -> None:
        """Name a place in the tree, or take its name away."""
        with self.transaction() as connection:
            connection.execute("UPDATE messages SET label = ? WHERE id = ?", (label, message_id))

    def hide_message(
        self, session_id: str, message_id: str, tip_id: str | None, *, moves_tip: bool = True
    ) -> None:
        """Hide a message and all below it; see `undo`.

        The session stands on `tip_id` from then on, or with `moves_tip` False where it stood.
        """
        with self.transaction() as connection:
            push_undo_tip(connection, session_id, {"shown": message_id})
            connection.execute("UPDATE messages SET is_hidden = 1 WHERE id = ?", (message_id,))
            if moves_tip:
                update_session(connection, session_id, "tip_id = ?", tip_id)

    def set_system(self, session_id: str, system: str | None) -> None:
        """Replace the system prompt of a session; `undo` brings the old one back."""
        with self.transaction() as connection:
            (old,) = connection.execute(
                "SELECT system FROM sessions WHERE id = ?", (session_id,)
            ).fetchone()
            push_undo_tip(connection, session_id, {"system": old})
            update_session(connection, session_id, "system = ?", system)

    def last_tip_below(self, session_id: str, row: MessageRow) -> str:
        """Return the tip below a message that a session stood on last, else the newest leaf there.

        Hidden messages and what is below them do not count; the message itself is the last choice.
        """
        below = (row.id, row.tree_id)
        visited = self.read(
            lambda found: str(found[0]),
            f"{_BELOW} SELECT below.id FROM below JOIN visits ON visits.message_id = below.id"
            " WHERE visits.session_id = ? ORDER BY visits.number DESC LIMIT 1",
            (*below, session_id),
        )
        if visited:
            return visited[0]
        (newest,) = self.read(
            lambda found: str(found[0]),
            f"{_BELOW} SELECT m.id FROM below JOIN messages AS m ON m.id = below.id"
            " WHERE NOT EXISTS (SELECT 1 FROM messages AS child WHERE child.tree_id = m.tree_id"
            " AND child.parent_id = m.id AND NOT child.is_hidden)"
            " ORDER BY m.number DESC LIMIT 1",
            below,
        )
        return newest
