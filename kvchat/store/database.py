"""The chat database: message trees, and the sessions that point into them.

One transaction per method: when it returns, its change is on disk (WAL, `synchronous=FULL`); when
it raises, nothing has changed. Nodes are never edited, apart from a reply that is still streaming,
and only a purge erases any. A Database is used by the thread that opened it and by no other. It
knows nothing of models or of what a session is doing.

Every method that writes raises NotSaving when the disk refuses, and every method raises
DatabaseDamaged when the file turns out to be broken.
"""

from pathlib import Path

from kvchat.store.database_file import open_connection
from kvchat.store.message_rows import MessageRows
from kvchat.store.prompt_rows import PromptRows
from kvchat.store.session_rows import SessionRows
from kvchat.store.trash import TrashRows

FILE_NAME = "chats.db"


class Database(SessionRows, MessageRows, PromptRows, TrashRows):
    """The one connection to a chat database, opened or made; None keeps everything in memory.

    Opening applies missing migrations, marks replies that were streaming when the last process
    ended as interrupted, and gives prompts that waited for them back to the drafts. The caller
    holds the lock of the data directory.

    Raises DatabaseDamaged for a file that is damaged, of another program or of a newer kvchat, and
    leaves it as it is; NotSaving when the file cannot be made or written.
    """

    num_interrupted: int
    """Replies that were found streaming, and are now marked interrupted."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, open_connection(path))
        try:
            self.num_interrupted = self.mark_interrupted()
            self.return_waiting_prompts()
            self.open_index()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; SQLite then moves its log into it. A second call does nothing."""
        self._connection.close()

    def probe_write(self) -> None:
        """Commit something that changes nothing; raises NotSaving while the disk refuses."""
        with self.transaction() as connection:
            connection.execute("PRAGMA user_version = 0")
