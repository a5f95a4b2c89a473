"""TrashRows: purging deleted sessions, the one way in which anything stored is ever erased."""

from dataclasses import dataclass

from kvchat.store.search import SearchRows
from kvchat.store.tree_ways import TreeWays


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge erased."""

    num_sessions: int
    num_messages: int


class TrashRows(SearchRows):
    """Erases deleted sessions; a part of Database, which says what every method raises."""

    def purge(self) -> Purged:
        """Erase deleted sessions, and the messages that no other session shares with them.

        Prompts that were remembered without being sent go too: nobody knows from which chat.
        SQLite overwrites what is freed; the search index is made anew, since it remembers what was
        taken out of it; and the log of the database, where older pages stand, is cut to nothing.
        """
        sessions = self.read(
            lambda row: (str(row[0]), str(row[1])),
            "SELECT id, tree_id FROM sessions WHERE deleted_at IS NOT NULL",
        )
        if not sessions:
            return Purged(0, 0)
        going: list[str] = []
        for tree_id in {tree_id for _, tree_id in sessions}:
            going += TreeWays(self, tree_id).left_to_deleted()
        with self.transaction() as connection:
            # A parent and its child go in either order.
            connection.execute("PRAGMA defer_foreign_keys = ON")
            for table in ("session_segments", "waiting_prompts"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE session_id = ?", [(name,) for name, _ in sessions]
                )
            connection.executemany(
                "DELETE FROM sessions WHERE id = ?", [(name,) for name, _ in sessions]
            )
            connection.executemany("DELETE FROM messages WHERE id = ?", [(name,) for name in going])
            connection.execute("DELETE FROM prompt_history WHERE text IS NOT NULL")
            self.void_index(connection)
        self.cut_log()
        return Purged(len(sessions), len(going))
