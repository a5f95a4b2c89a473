"""A database file, rows for it, and a place where the disk can be made to refuse."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(path)
    yield opened
    opened.close()


@pytest.fixture
def user() -> Callable[..., MessageRow]:
    """A user message of the tree "t"."""

    def make(name: str, parent_id: str | None = None, **values: object) -> MessageRow:
        fields = {"tree_id": "t", "role": "user", "text": f"text of {name}"} | values
        return MessageRow(id=name, parent_id=parent_id, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def reply() -> Callable[..., MessageRow]:
    """An empty streaming reply of the tree "t"."""

    def make(name: str, parent_id: str, **values: object) -> MessageRow:
        fields = {"tree_id": "t", "role": "assistant", "text": "", "state": "streaming"} | values
        return MessageRow(id=name, parent_id=parent_id, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def session() -> SessionRow:
    return SessionRow(id="s", tree_id="t", title="first")


class Disk:
    """Makes fault points fail with an error of the system until told otherwise."""

    def refuse(self, point: str = "db.commit", number: int = errno.ENOSPC) -> None:
        def hook(reached: str) -> None:
            if reached == point:
                raise OSError(number, os.strerror(number))

        errors.fault_hook = hook

    def work(self) -> None:
        errors.fault_hook = None


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.work()
