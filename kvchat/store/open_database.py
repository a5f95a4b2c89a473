"""open_database: the chat database of a data directory, in whatever state it was left.

It opens whole, or the newest good backup takes its place and a notice says so, or it is refused
with one sentence and stays as it is. A history never becomes empty without a word.
"""

import logging
import os
import sqlite3
from pathlib import Path

from kvchat.durable_files import network_file_system
from kvchat.errors import DatabaseDamaged, KVChatError
from kvchat.store.backups import list_backups, restore_newest
from kvchat.store.database import Database
from kvchat.store.database_file import check_database, spoken_errors
from kvchat.store.open_mark import OpenMark
from kvchat.store.salvage import salvage

_LOG = logging.getLogger(__name__)


def open_database(path: Path | None) -> Database:
    """Open a database, or make it; with `notices`, sentences about what was found.

    None keeps everything in memory. Raises DatabaseDamaged for a file of a newer kvchat, for one
    that is damaged and has no good backup, and for a link; NotSaving when the disk refuses.
    """
    if path is None:
        return Database(None)
    if path.is_symlink():  # a good database may be there, on a disk that is not mounted now
        raise DatabaseDamaged(
            f"{path} is a link; move the database here, or name its own directory with --data-dir."
            " Nothing was changed.",
            code="db_link",
        )
    notices: list[str] = []
    mark = OpenMark(path)
    if mark.log_is_missing and os.path.lexists(path):
        notices.append(
            "The last messages before the crash may be missing:"
            " the log file of the database is gone."
        )
    if not os.path.lexists(path) and list_backups(path):
        database, notice = _open_backup(path, None)
        notices.append(notice)
    else:
        try:
            if mark.asks_for_check:
                with spoken_errors(path):
                    check_database(path, thoroughly=True)
            database = Database(path)
        except DatabaseDamaged as error:
            if error.code != "db_bad":
                raise
            database, notice = _open_backup(path, error)
            notices.append(notice)
    if kind := network_file_system(path.parent):
        notices.append(
            f"The chats are on a network file system ({kind}), which may lose the last of them when"
            " it fails; --data-dir puts them on a disk of this machine."
        )
    for notice in notices:
        _LOG.warning("%s", notice)
    database.notices = tuple(notices)
    with spoken_errors(path):
        try:
            mark.make()
        except BaseException:
            database.close()
            raise
    database.mark = mark
    return database


def _open_backup(path: Path, why: DatabaseDamaged | None) -> tuple[Database, str]:
    """Open the newest backup that opens in a database's place; raises `why` if there is none."""
    with spoken_errors(path):
        restored = restore_newest(path, _is_good)
    if restored is None:
        if why is not None:
            raise DatabaseDamaged(
                f"The chat database {path} is damaged and has no good backup; it was left as it is."
                " Start kvchat with --data-dir or --no-save."
            ) from why
        raise DatabaseDamaged(
            f"The chat database {path} is missing and its backups are damaged. Move the backups"
            " away to begin a new one."
        )
    backup, kept = restored
    database = Database(path)
    if kept is None:
        return database, f"The chat database was missing; opened the backup of {backup.date}."
    try:
        num_saved = salvage(kept, database) if kept.is_file() else 0
    except KVChatError as error:  # the backup is whole without it
        _LOG.warning("newer messages could not be saved from the damaged file: %s", error.code)
        num_saved = 0
    newer = f" and {num_saved} newer messages" if num_saved else ""
    return database, (
        f"The chat database was damaged; opened the backup of {backup.date}{newer}."
        f" The damaged file is kept as {kept}."
    )


def _is_good(backup: Path) -> bool:
    try:
        check_database(backup)
    except (KVChatError, sqlite3.Error, OSError):
        return False
    return True
