"""Transactions: the open database, one change at a time; what its parts are built on."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kvchat.errors import fault
from kvchat.store.database_file import damaged, is_consistent, spoken_errors

_T = TypeVar("_T")


class Transactions:
    """A connection on which every change is a transaction; used by the thread that made it."""

    path: Path | None
    num_commits: int
    """Transactions committed by this object."""
    needs_check: bool = False
    """Whether the file was found damaged in a way that a check of its pages does not see."""

    def __init__(self, path: Path | None, connection: sqlite3.Connection) -> None:
        self.path = path
        self.num_commits = 0
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin, then commit, or roll back on any error; for the files of this folder."""
        connection = self._connection
        with spoken_errors(self.path):
            try:
                fault("db.begin")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                fault("db.commit")
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError) and not is_consistent(connection):
                    self.needs_check = True
                    raise damaged(self.path) from error
                raise
        self.num_commits += 1
        fault("db.committed")

    def read(
        self, make: Callable[[tuple[object, ...]], _T], query: str, values: Sequence[object] = ()
    ) -> list[_T]:
        """Return what `make` makes of each row that a query finds; for the files of this folder."""
        with spoken_errors(self.path):
            rows = self._connection.execute(query, values).fetchall()
        try:
            return [make(row) for row in rows]
        except (TypeError, ValueError) as error:  # a value that no version has ever written
            raise damaged(self.path) from error

    def cut_log(self) -> None:
        """Move SQLite's log into the file and cut it to nothing."""
        with spoken_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
