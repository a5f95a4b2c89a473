import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.store.backups import NUM_KEPT, SECONDS_BETWEEN, is_backup_due, list_backups
from kvchat.store.database import Database
from kvchat.store.database_file import check_database
from kvchat.store.rows import MessageRow, SessionRow

Make = Callable[..., MessageRow]


@pytest.fixture
def chat(database: Database, session: SessionRow, user: Make) -> Database:
    database.create_session(session)
    database.add_message("s", user("u1", text="secret-one"))
    return database


def test_a_backup_is_a_whole_private_database(chat: Database, path: Path) -> None:
    backup = chat.back_up()
    assert backup.path.name == "chats.db.backup-1"
    assert backup.path.stat().st_mode & 0o777 == 0o600
    check_database(backup.path)
    copy = Database(backup.path)
    assert [row.text for row in copy.load_path("u1")] == ["secret-one"]
    assert copy.search("secret", 5).hits
    copy.close()


def test_the_newest_three_are_kept(chat: Database, path: Path) -> None:
    for _ in range(5):
        chat.back_up()
    assert [each.number for each in list_backups(path)] == [5, 4, 3]
    assert len(list_backups(path)) == NUM_KEPT


def test_a_backup_is_made_once_a_day_whatever_the_clock_does(chat: Database, path: Path) -> None:
    chat.back_up_daily(0.0)
    (first,) = list_backups(path)
    assert not is_backup_due(path, first.made_at + SECONDS_BETWEEN - 1)
    assert is_backup_due(path, first.made_at + SECONDS_BETWEEN)
    assert is_backup_due(path, first.made_at - 10 * SECONDS_BETWEEN)  # the clock went back
    chat.back_up_daily(first.made_at + 1)
    assert len(list_backups(path)) == 1


def test_an_empty_or_unsaved_database_needs_no_backup(database: Database, path: Path) -> None:
    database.back_up_daily(0.0)
    assert list_backups(path) == []
    unsaved = Database(None)
    unsaved.back_up_daily(0.0)
    unsaved.close()


@pytest.mark.parametrize("point", ["backup.copy", "file.fsync", "file.rename"])
def test_a_backup_that_fails_leaves_nothing_behind(
    chat: Database, path: Path, disk: object, point: str
) -> None:
    before = sorted(os.listdir(path.parent))
    disk.refuse(point)  # type: ignore[attr-defined]
    with pytest.raises(errors.NotSaving):
        chat.back_up()
    assert sorted(os.listdir(path.parent)) == before
    assert chat.load_path("u1")


def test_a_purge_leaves_no_backup_with_what_it_erased(chat: Database, path: Path) -> None:
    chat.back_up()
    chat.back_up()
    chat.delete_session("s", 1.0)
    chat.purge()
    assert [each.number for each in list_backups(path)] == [3]
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"secret-one" not in left


def test_other_files_are_no_backups(chat: Database, path: Path) -> None:
    for name in ("chats.db.backup-x", "chats.db.backup-1.old", "other.db.backup-1"):
        (path.parent / name).write_bytes(b"")
    (path.parent / "chats.db.backup-7").symlink_to(path)
    assert list_backups(path) == []
