"""Backups of the chat database, beside it: at most one a day, three kept, the newest good one used.

A backup is a whole database in one file, complete under its name or not there at all. A database
that cannot be used is never deleted: it is put aside as `chats.db.damaged-1`, `-2`, ....
"""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kvchat.durable_files import adopt_durably, copy_durably, private_file, temporary_name
from kvchat.errors import fault

_LOG = logging.getLogger(__name__)

NUM_KEPT = 3
SECONDS_BETWEEN = 24 * 3600.0
_LOGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup: its file, its number, and when it was made, in Unix seconds."""

    path: Path
    number: int
    made_at: float

    @property
    def date(self) -> str:
        """When it was made, for people."""
        made = time.localtime(self.made_at)
        return f"{made.tm_mday} {time.strftime('%b %H:%M', made)}"


def list_backups(path: Path) -> list[Backup]:
    """Return the backups of a database, the newest first, good or not."""
    name = re.compile(re.escape(path.name) + r"\.backup-([0-9]{1,9})")
    found = []
    with os.scandir(path.parent) as entries:
        for entry in entries:
            match = name.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                made_at = entry.stat(follow_symlinks=False).st_mtime
                found.append(Backup(Path(entry.path), int(match[1]), made_at))
    return sorted(found, key=lambda each: each.number, reverse=True)


def is_backup_due(path: Path, now: float) -> bool:
    """Say whether the newest backup is older than a day, or there is none."""
    backups = list_backups(path)
    return not backups or abs(now - backups[0].made_at) >= SECONDS_BETWEEN


def write_backup(connection: sqlite3.Connection, path: Path) -> Backup:
    """Copy a database that was found good, and keep the newest three copies.

    The connection is in no transaction. Raises OSError, sqlite3.Error.
    """
    backups = list_backups(path)
    number = backups[0].number + 1 if backups else 1
    target = path.with_name(f"{path.name}.backup-{number}")
    temporary = temporary_name(target)
    try:
        private_file(temporary)
        fault("backup.copy")
        with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
            # What a crash leaves has a name that the next start deletes.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            connection.backup(copy)
        adopt_durably(temporary, target)
    except BaseException:
        for suffix in ("", *_LOGS):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
        raise
    _remove(backups[NUM_KEPT - 1 :])
    return Backup(target, number, target.stat().st_mtime)


def remove_older(path: Path, newest: Backup) -> None:
    """Delete all backups but one, since the others hold what was purged."""
    _remove([each for each in list_backups(path) if each.number != newest.number])


def _remove(backups: list[Backup]) -> None:
    for each in backups:
        try:
            fault("backup.remove")
            each.path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("an old backup cannot be deleted: %s", error.strerror)


def restore_newest(
    path: Path, is_good: Callable[[Path], bool]
) -> tuple[Backup, Path | None] | None:
    """Put the newest good backup in a database's place.

    Returns it with the place where what stood there is kept, None if there was nothing; or None,
    with nothing changed, when no backup is good. Raises OSError.
    """
    backup = next((each for each in list_backups(path) if is_good(each.path)), None)
    if backup is None:
        return None
    kept = _put_aside(path)
    copy_durably(backup.path, path)
    return backup, kept


def _put_aside(path: Path) -> Path | None:
    number = 1
    while os.path.lexists(kept := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    # Its logs first: they must never lie beside another database of this name.
    for suffix in _LOGS:
        log = path.with_name(path.name + suffix)
        if os.path.lexists(log):
            fault("file.rename")
            os.rename(log, kept.with_name(kept.name + suffix))
    if not os.path.lexists(path):
        return None
    fault("file.rename")
    os.rename(path, kept)
    return kept
