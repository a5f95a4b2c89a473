"""OpenMark: an empty file that exists while a database is open, to notice that its log was lost.

SQLite takes a database without its log for one that was closed: what was committed since the last
checkpoint would be gone without a word. The mark is made when the log exists, and removed when the
log has been moved into the database; so a mark without a log means that somebody removed the log.
"""

from pathlib import Path

from kvchat.durable_files import write_durably


class OpenMark:
    """The mark of one database file; for the process that holds the lock of its directory."""

    def __init__(self, path: Path) -> None:
        self._mark = path.with_name(path.name + "-open")
        self._log = path.with_name(path.name + "-wal")

    @property
    def log_is_missing(self) -> bool:
        """Whether the last process did not close the database and its log is gone."""
        has_crashed = self._mark.exists() and not self.asks_for_check
        return has_crashed and not self._log.exists()

    def make(self) -> None:
        """Make the mark, once the log exists; raises OSError."""
        if self._log.exists():
            write_durably(self._mark, b"")

    @property
    def asks_for_check(self) -> bool:
        """Whether the last process found the database damaged while it was using it."""
        try:
            return self._mark.stat().st_size > 0
        except OSError:
            return False

    def ask_for_check(self) -> None:
        """Let the next process look closely at the database; raises OSError."""
        write_durably(self._mark, b"check\n")

    def remove(self) -> None:
        """Remove the mark, when the log is empty; harmless without one."""
        self._mark.unlink(missing_ok=True)
