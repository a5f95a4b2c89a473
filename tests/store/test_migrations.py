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


def old_database(path: Path, number: int) -> None:
    """Make a database as the first steps alone made it, with a chat of two messages."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT)")
    for place, step in enumerate(MIGRATIONS[:number], start=1):
        step(connection)
        connection.execute("INSERT INTO migrations VALUES (?, ?)", (place, step.__name__))
    messages = (
        "INSERT INTO messages (id, tree_id, parent_id, depth, role, text, token_ids, state,"
        " created_at, num_cached_tokens, decode_tokens_per_second)"
        " VALUES (?, 't', ?, ?, ?, ?, x'01000000', ?, 1.0, 0, 0.0)"
    )
    connection.execute(messages, ("u", None, 1, "user", "old question", "done"))
    connection.execute(messages, ("r", "u", 2, "assistant", "old answer", "streaming"))
    connection.execute(
        "INSERT INTO sessions (id, tree_id, title, system, sampling, sinks, tip_id, tag_index,"
        " created_at, draft, use_order)"
        " VALUES ('s', 't', 'old', 'Be kind.', '{}', -1, 'r', 0, 1.0, '', 1)"
    )
    connection.close()


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
def test_a_database_of_every_schema_opens_with_all_it_had(tmp_path: Path, number: int) -> None:
    path = tmp_path / "chats.db"
    old_database(path, number)
    database = Database(path)
    assert schema_number(database._connection) == len(MIGRATIONS)
    assert [row.text for row in database.load_path("r")] == ["old question", "old answer"]
    assert [hit.message_id for hit in database.search("old", 5).hits] == ["r", "u"]
    assert database.session("s").system == "Be kind."
    if number < 3:  # before prompts were recorded when they are sent
        assert database.recent_prompts(5) == ["old question"]
    database.close()
    backups = [each.name for each in tmp_path.iterdir() if ".backup-" in each.name]
    assert backups == ([] if number == len(MIGRATIONS) else ["chats.db.backup-1"])


def test_messages_of_an_older_schema_have_the_window_their_sessions_had(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    old_database(path, 5)
    with sqlite3.connect(path) as connection:
        messages = (
            "INSERT INTO messages (id, tree_id, parent_id, depth, role, text, token_ids, state,"
            " created_at, num_cached_tokens, decode_tokens_per_second)"
            " VALUES (?, 't', ?, 3, 'user', '', x'', 'done', 1.0, 0, 0.0)"
        )
        connection.execute(messages, ("of s", "r"))
        connection.execute(messages, ("of fork", "r"))
        connection.execute(messages, ("of nobody", "r"))
        connection.execute("UPDATE sessions SET tip_id = 'of s', window = 64, sinks = 7")
        connection.executemany(
            "INSERT INTO sessions (id, tree_id, title, sampling, window, sinks, tip_id, tag_index,"
            " created_at, draft, use_order, deleted_at) VALUES (?, ?, '', '{}', ?, -1, ?, 0, 1.0,"
            " '', ?, ?)",
            [
                ("fork", "t", 96, "of fork", 2, None),
                ("deleted", "t", 32, "r", 3, 1.0),
                ("empty", "t2", 5, None, 4, None),
            ],
        )
    connection.close()
    database = Database(path)
    found = {row.id: (row.window, row.sinks) for row in database.load_tree("t")}
    database.close()
    # Of what sessions share, the one that was used last decides; a deleted one does not.
    assert found == {
        "u": (96, -1),
        "r": (96, -1),
        "of s": (64, 7),
        "of fork": (96, -1),
        "of nobody": (96, -1),
    }


def test_messages_without_a_window_have_no_sinks_to_be_read_with(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    old_database(path, 5)
    database = Database(path)
    assert {(row.window, row.sinks) for row in database.load_tree("t")} == {(None, 0)}
    database.close()


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
@pytest.mark.parametrize("failing", range(len(MIGRATIONS)))
def test_a_crash_between_any_two_steps_leaves_a_schema_that_opens(
    tmp_path: Path, number: int, failing: int
) -> None:
    path = tmp_path / "chats.db"
    old_database(path, number)
    num_steps = 0

    def stop(point: str) -> None:
        nonlocal num_steps
        if point == "db.migrate":
            num_steps += 1
            if num_steps > failing:
                raise KeyboardInterrupt

    errors.fault_hook = stop
    try:
        Database(path).close()
    except KeyboardInterrupt:
        read = sqlite3.connect(path)
        assert schema_number(read) == number + failing
        read.close()
    finally:
        errors.fault_hook = None
    database = Database(path)
    assert [row.text for row in database.load_path("r")] == ["old question", "old answer"]
    database.close()
