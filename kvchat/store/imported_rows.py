"""ImportedRows: chats that came out of files. Their token ids stand apart until they are proved.

Everything that computes reads `messages.token_ids`, which is empty for an imported message: its
text is encoded again. Ids of the file wait in `imported_token_ids`, so that an export has them, and
move into the message only by `accept_token_ids`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kvchat.store.message_rows import MessageRows
from kvchat.store.rows import (
    MessageRow,
    SessionRow,
    new_id,
    pack_token_ids,
    unpack_token_ids,
)
from kvchat.store.session_rows import SessionRows
from kvchat.store.tree_ways import TreeWays


class ImportedRows(SessionRows, MessageRows):
    """Stores and exports whole chats; a part of Database, which says what every method raises."""

    def import_chat(self, session: SessionRow, messages: Sequence[MessageRow]) -> SessionRow:
        """Store a session with the messages of its tree, parents first, and return it.

        Ids stay as they are, or are all made anew if one of them is known here already.
        """
        if self._knows_any(session, messages):
            session, messages = _with_new_ids(session, messages)
        with self.transaction() as connection:
            for row in messages:
                self.insert_row(connection, replace(row, token_ids=()))
                if row.token_ids:
                    connection.execute(
                        "INSERT INTO imported_token_ids SELECT number, ? FROM messages"
                        " WHERE id = ?",
                        (pack_token_ids(row.token_ids), row.id),
                    )
            self.insert_session(connection, session)
        self.num_gaps += len(messages)
        return self.session(session.id)

    def _knows_any(self, session: SessionRow, messages: Sequence[MessageRow]) -> bool:
        known = "SELECT 1 FROM sessions WHERE id = ? OR tree_id = ?"
        if self.read(bool, known, (session.id, session.tree_id)):
            return True
        if self.read(bool, "SELECT 1 FROM messages WHERE tree_id = ? LIMIT 1", (session.tree_id,)):
            return True
        return any(
            self.read(bool, "SELECT 1 FROM messages WHERE id = ?", (row.id,)) for row in messages
        )

    def exported_messages(self, session: SessionRow) -> list[MessageRow]:
        """Return the messages of a session's tree with all ids known of them, parents first.

        Left out is what only deleted sessions show, unless this session is one of them.
        """
        left = set() if session.deleted_at else TreeWays(self, session.tree_id).left_to_deleted()
        imported = self.imported_token_ids(session.tree_id)
        return [
            replace(row, token_ids=imported.get(row.id, row.token_ids))
            for row in self.read_messages("tree_id = ? ORDER BY number", (session.tree_id,))
            if row.id not in left
        ]

    def imported_token_ids(self, tree_id: str) -> dict[str, tuple[int, ...]]:
        """Return the token ids of a tree that are not proved, by message."""
        return dict(
            self.read(
                lambda row: (str(row[0]), unpack_token_ids(row[1])),  # type: ignore[arg-type]
                "SELECT m.id, i.token_ids FROM imported_token_ids AS i"
                " JOIN messages AS m ON m.number = i.number WHERE m.tree_id = ?",
                (tree_id,),
            )
        )

    def trees_to_prove(self, model_name: str) -> list[str]:
        """Return the trees with token ids of a model that are not proved yet."""
        return self.read(
            lambda row: str(row[0]),
            "SELECT DISTINCT m.tree_id FROM imported_token_ids AS i"
            " JOIN messages AS m ON m.number = i.number WHERE m.model_name = ?",
            (model_name,),
        )

    def to_prove(
        self, tree_id: str
    ) -> tuple[SessionRow, list[MessageRow], dict[str, tuple[int, ...]]]:
        """Return a session of a tree, its messages, parents first, and the ids to prove."""
        (session_id,) = self.read(
            lambda row: str(row[0]),
            "SELECT id FROM sessions WHERE tree_id = ? ORDER BY number LIMIT 1",
            (tree_id,),
        )
        rows = self.read_messages("tree_id = ? ORDER BY number", (tree_id,))
        return self.session(session_id), rows, self.imported_token_ids(tree_id)

    def accept_token_ids(self, verdicts: Mapping[str, bool]) -> None:
        """Take over the token ids of messages where they were proved, and forget the others."""
        with self.transaction() as connection:
            for message_id, is_proved in verdicts.items():
                if is_proved:
                    connection.execute(
                        "UPDATE messages SET token_ids = (SELECT i.token_ids FROM"
                        " imported_token_ids AS i WHERE i.number = messages.number)"
                        " WHERE id = ?",
                        (message_id,),
                    )
                connection.execute(
                    "DELETE FROM imported_token_ids WHERE number ="
                    " (SELECT number FROM messages WHERE id = ?)",
                    (message_id,),
                )


def _with_new_ids(
    session: SessionRow, messages: Sequence[MessageRow]
) -> tuple[SessionRow, list[MessageRow]]:
    names: dict[str | None, str | None] = {None: None} | {row.id: new_id() for row in messages}
    tree_id = new_id()
    renamed = [
        replace(row, id=str(names[row.id]), tree_id=tree_id, parent_id=names[row.parent_id])
        for row in messages
    ]
    return replace(session, id=new_id(), tree_id=tree_id, tip_id=names[session.tip_id]), renamed
