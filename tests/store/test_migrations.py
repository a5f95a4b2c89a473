import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.errors import DatabaseDamaged
from kvchat.store import migrations
from kvchat.store.database import Database
from kvchat.store.migrations import MIGRATIONS, migrate, schema_number


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()
    errors.fault_hook = None


def test_an_empty_database_gets_every_step_once(connection: sqlite3.Connection) -> None:
    assert schema_number(connection) == 0
    migrate(connection)
    before = list(connection.iterdump())
    migrate(connection)
    assert list(connection.iterdump()) == before
    assert connection.execute("SELECT number, name FROM migrations").fetchall() == [
        (number, step.__name__) for number, step in enumerate(MIGRATIONS, start=1)
    ]


def test_steps_are_numbered_without_a_gap() -> None:
    assert [step.__name__[:5] for step in MIGRATIONS] == [
        f"m{number:03}_" for number in range(1, len(MIGRATIONS) + 1)
    ]


def test_only_missing_steps_run(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)

    def m999_add_a_table(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, m999_add_a_table))
    migrate(connection)
    assert schema_number(connection) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_a_step_that_fails_leaves_the_schema_before_it(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)
    before = list(connection.iterdump())

    def m999_fails(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")
        connection.execute("DROP TABLE sessions")

    def stop(point: str) -> None:
        raise KeyboardInterrupt(point)

    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, m999_fails))
    errors.fault_hook = stop
    with pytest.raises(KeyboardInterrupt, match=r"db\.migrate"):
        migrate(connection)
    assert list(connection.iterdump()) == before


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (9, 'm009_later')")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged) as caught:
        Database(path)
    assert caught.value.code == "db_newer"
    assert caught.value.sentence == (
        "This chat database was written by a newer kvchat (schema 9). Nothing was changed."
    )
    assert path.read_bytes() == before
