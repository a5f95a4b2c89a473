"""Opening the file of the chat database, or refusing it, and saying what is wrong with it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvchat.durable_files import (
    adopt_durably,
    network_file_system,
    private_file,
    temporary_name,
)
from kvchat.errors import DatabaseDamaged, NotSaving
from kvchat.store.backups import write_backup
from kvchat.store.migrations import APPLICATION_ID, MIGRATIONS, migrate, schema_number

# SQLITE_ERROR is a missing table or column, which only a foreign or broken file can have.
_DAMAGED = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
)


def open_connection(path: Path | None) -> sqlite3.Connection:
    """Open a chat database, make it if it is missing, and bring it to this program's schema.

    None gives one in memory. Before an older schema is changed the database is copied. Raises
    DatabaseDamaged for a file that is not a whole chat database this program knows, before anything
    is written to it; NotSaving when the disk refuses.
    """
    if path is None:
        connection = _connect(":memory:", "MEMORY")
        migrate(connection)
        return connection
    with spoken_errors(path):
        if not os.path.lexists(path):
            _make(path)
        try:
            private_file(path)
        except OSError as error:
            if path.is_symlink() or not path.is_file():
                raise DatabaseDamaged(f"{path} is not a regular file. Nothing was changed.") from (
                    error
                )
            raise
        check_database(path)
        connection = _connect(str(path), _journal_mode(path))
        try:
            if 0 < schema_number(connection) < len(MIGRATIONS):
                write_backup(connection, path)
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _journal_mode(path: Path) -> str:
    """Return how SQLite shall keep transactions whole: its log needs memory shared by mapping."""
    return "DELETE" if network_file_system(path.parent) else "WAL"


def _connect(name: str, journal_mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, isolation_level=None, timeout=0.0)
    try:
        # Memory for temporary tables: no file outside the data directory, not even a short one.
        for pragma in (
            "temp_store = MEMORY",
            f"journal_mode = {journal_mode}",
            "synchronous = FULL",
            "secure_delete = ON",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            f"journal_size_limit = {16 << 20}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make an empty database that appears whole, so that an empty file is always a damaged one."""
    temporary = temporary_name(path)
    try:
        private_file(temporary)
        connection = _connect(str(temporary), "DELETE")
        try:
            migrate(connection)
        finally:
            connection.close()
        adopt_durably(temporary, path)
    except BaseException:
        for suffix in ("", "-wal", "-shm", "-journal"):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
        raise


def check_database(path: Path, *, thoroughly: bool = False) -> None:
    """Refuse what is not a whole chat database of ours, without writing to it.

    Looks at every page; `thoroughly` also compares indexes with their tables, which takes three
    times as long.

    The connection is read-only, since SQLite moves its log into the file when the last one that
    may write is closed.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != APPLICATION_ID:
            raise DatabaseDamaged(f"{path} is not a chat database of kvchat. Nothing was changed.")
        number = schema_number(connection)
        if number > len(MIGRATIONS):
            raise DatabaseDamaged(
                "This chat database was written by a newer kvchat"
                f" (schema {number}). Nothing was changed.",
                code="db_newer",
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok" or (thoroughly and not is_consistent(connection)):
            raise damaged(path)
    finally:
        connection.close()


def is_consistent(connection: sqlite3.Connection) -> bool:
    """Say whether indexes agree with their tables, and every row that is named is there."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return verdict == "ok" and connection.execute("PRAGMA foreign_key_check").fetchone() is None


def damaged(path: Path | None) -> DatabaseDamaged:
    """Return the error that says that the database is broken."""
    return DatabaseDamaged(f"The chat database is damaged and was left as it is: {path}.")


@contextmanager
def spoken_errors(path: Path | None) -> Iterator[None]:
    """Turn what SQLite and the system raise about the file into errors a user can read."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # our bug, not the file's
    except sqlite3.DatabaseError as error:
        number = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if number in _DAMAGED:
            raise damaged(path) from error
        if number == sqlite3.SQLITE_FULL:
            raise NotSaving(
                "Disk full: this was not saved. Free space, or start kvchat with --no-save."
            ) from error
        raise _not_saving(path, str(error)) from error
    except UnicodeDecodeError as error:  # a name in the file, which SQLite's message quotes
        raise damaged(path) from error
    except OSError as error:
        raise _not_saving(path, (error.strerror or str(error)).lower()) from error


def _not_saving(path: Path | None, reason: str) -> NotSaving:
    return NotSaving(
        f"Cannot write {path}: {reason}. This was not saved; start kvchat with --no-save to go on."
    )
