"""The chat database: message trees, and the sessions that point into them.

One transaction per method: when it returns, its change is on disk (WAL, `synchronous=FULL`); when
it raises, nothing has changed. Nodes are never edited, apart from a reply that is still streaming,
and only a purge erases any. A Database is used by the thread that opened it and by no other. It
knows nothing of models or of what a session is doing.

Every method that writes raises NotSaving when the disk refuses, and every method raises
DatabaseDamaged when the file turns out to be broken.
"""

import logging
from pathlib import Path

from kvchat.errors import KVChatError
from kvchat.store.alternative_rows import AlternativeRows
from kvchat.store.backups import (
    Backup,
    is_backup_due,
    list_backups,
    remove_older,
    write_backup,
)
from kvchat.store.branch_rows import BranchRows
from kvchat.store.database_file import damaged, open_connection, spoken_errors
from kvchat.store.imported_rows import ImportedRows
from kvchat.store.open_mark import OpenMark
from kvchat.store.prompt_rows import PromptRows
from kvchat.store.trash import Purged, TrashRows

FILE_NAME = "chats.db"
_LOG = logging.getLogger(__name__)


class Database(ImportedRows, BranchRows, AlternativeRows, PromptRows, TrashRows):
    """The one connection to a chat database, opened or made; None keeps everything in memory.

    Opening applies missing migrations, marks replies that were streaming when the last process
    ended as interrupted, and gives prompts that waited for them back to the drafts. The caller
    holds the lock of the data directory.

    Raises DatabaseDamaged for a file that is damaged, of another program or of a newer kvchat, and
    leaves it as it is; NotSaving when the file cannot be made or written.
    """

    num_interrupted: int
    """Replies that were found streaming, and are now marked interrupted."""
    notices: tuple[str, ...] = ()
    """Sentences for the user about the state in which it was found; see `open_database`."""
    mark: OpenMark | None = None
    """Removed when everything is in the file."""

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
        if self.mark is not None:
            mark, self.mark = self.mark, None
            try:
                self.cut_log()
                if self.needs_check:
                    mark.ask_for_check()
                else:
                    mark.remove()
            except (KVChatError, OSError):  # it stays, as after a crash, and so does the log
                _LOG.warning("the log of the database could not be moved into it")
        self._connection.close()

    def back_up_daily(self, now: float) -> None:
        """Copy the database if the newest copy is older than a day and there is anything to keep.

        A damaged database is not copied. Raises NotSaving, DatabaseDamaged.
        """
        if self.path is None or not is_backup_due(self.path, now):
            return
        if self.read(bool, "SELECT 1 FROM messages LIMIT 1"):
            if self.read(str, "PRAGMA quick_check(1)") != ["('ok',)"]:
                raise damaged(self.path)
            self.back_up()

    def back_up(self) -> Backup:
        """Copy the database now; raises NotSaving."""
        assert self.path is not None
        with spoken_errors(self.path):
            return write_backup(self._connection, self.path)

    def purge(self) -> Purged:
        """Erase deleted sessions, and the messages that no other session shares with them.

        The backups, which still have them, are replaced by one that is made now.
        """
        purged = super().purge()
        if self.path is not None and purged.num_sessions and list_backups(self.path):
            remove_older(self.path, self.back_up())
        return purged

    def probe_write(self) -> None:
        """Commit something that changes nothing; raises NotSaving while the disk refuses."""
        with self.transaction() as connection:
            connection.execute("PRAGMA user_version = 0")
