"""ExportedChat: one conversation with its whole tree, as it goes into files and out of them."""

from dataclasses import dataclass

from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow


@dataclass(frozen=True, slots=True)
class ExportedChat:
    """A session and all messages of its tree, parents before children, oldest first.

    Messages that only deleted sessions of the tree show are not among them.
    """

    session: SessionRow
    messages: tuple[MessageRow, ...]

    @property
    def path(self) -> tuple[MessageRow, ...]:
        """The messages from the root to the tip."""
        by_id = {row.id: row for row in self.messages}
        path: list[MessageRow] = []
        tip_id = self.session.tip_id
        while tip_id is not None:
            path.append(by_id[tip_id])
            tip_id = path[-1].parent_id
        return tuple(reversed(path))


def read_chat(database: Database, session_id: str) -> ExportedChat:
    """Return a stored session as it is now; raises SessionNotFound."""
    session = database.session(session_id)
    return ExportedChat(session, tuple(database.exported_messages(session)))
