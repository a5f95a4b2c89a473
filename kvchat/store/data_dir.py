"""DataDir: the directory of one installation's chats, held by one process at a time."""

import logging
from pathlib import Path

from kvchat.durable_files import DataDirLock, private_dir, remove_stumps, tighten
from kvchat.errors import NotSaving
from kvchat.store.database import FILE_NAME

_LOG = logging.getLogger(__name__)


class DataDir:
    """Makes a directory if it is missing, takes its lock, and clears away what crashes left.

    Raises DataDirInUse when another process has it, NotSaving when it cannot be made or written.
    """

    path: Path
    database_path: Path
    notices: tuple[str, ...]
    """Sentences for the user about what was found."""

    def __init__(self, path: Path) -> None:
        self.path = private_dir(path)
        self.database_path = path / FILE_NAME
        self._lock = DataDirLock(path)
        try:
            remove_stumps(path)
            num_tightened = tighten(path)
        except OSError as error:
            self._lock.release()
            raise NotSaving(
                f"Cannot use {path}: {(error.strerror or str(error)).lower()}. Use --data-dir or"
                " --no-save."
            ) from error
        self.notices = ()
        if num_tightened:
            files = "1 file" if num_tightened == 1 else f"{num_tightened} files"
            self.notices = (
                f"Other users could read {files} in {path}; now only you can read them.",
            )
            _LOG.warning("%s", self.notices[0])

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        self._lock.release()

    def __enter__(self) -> "DataDir":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
