import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat.store.database import Database
from kvchat.store.open_database import open_database
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow
from kvchat.store.salvage import salvage

NUM_OLD, NUM_NEW = 10, 60


def say(database: Database, session: str, start: int, end: int) -> None:
    for number in range(start, end):
        tip = database.session(session).tip_id
        row = MessageRow(f"m{number}", "t", tip, "user", f"words of {number} " * 40, (1, number))
        database.add_message(session, row)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A database of 60 messages and a later fork, and its backup after the first 10."""
    whole, old = tmp_path / "whole.db", tmp_path / "old.db"
    database = Database(whole)
    database.create_session(SessionRow("s", "t", "chat"))
    say(database, "s", 0, NUM_OLD)
    shutil.copy(database.back_up().path, old)
    say(database, "s", NUM_OLD, NUM_NEW)
    database.create_session(SessionRow("fork", "t", "fork", tip_id="m50"))
    reply = MessageRow("r", "t", "m50", "assistant", "half a", state="streaming")
    database.begin_reply("fork", reply)
    database.close()
    return whole, old


def stored(database: Database) -> list[str]:
    return database.read(lambda row: str(row[0]), "SELECT id FROM messages ORDER BY number")


def test_everything_newer_is_saved_from_a_file_that_can_be_read(files: tuple[Path, Path]) -> None:
    whole, old = files
    before = whole.read_bytes()
    database = Database(old)
    assert salvage(whole, database) == NUM_NEW - NUM_OLD + 1
    assert stored(database) == [*(f"m{number}" for number in range(NUM_NEW)), "r"]
    assert [row.tip_id for row in database.list_sessions()] == ["m59", "r"]
    assert database.load_path("m59")[-1].text == "words of 59 " * 40
    assert database.load_path("m59")[-1].token_ids == (1, 59)
    reply = database.message("r")
    assert reply is not None and reply.state == "interrupted"
    assert [hit.message_id for hit in database.search("words of 59", 9).hits] == ["m59"]
    assert salvage(whole, database) == 0
    say(database, "s", 100, 102)
    database.finish_reply("r", ReplyEnd("done"))
    database.close()
    assert whole.read_bytes() == before


def test_a_session_deleted_since_stays_deleted(files: tuple[Path, Path]) -> None:
    whole, old = files
    database = Database(whole)
    database.delete_session("s", 5.0)
    database.close()
    restored = Database(old)
    salvage(whole, restored)
    assert [row.id for row in restored.list_sessions()] == ["fork"]
    restored.close()


def test_what_hangs_below_something_lost_is_left_and_sessions_stay_where_they_were(
    files: tuple[Path, Path],
) -> None:
    whole, old = files
    with sqlite3.connect(whole) as connection:
        connection.execute("UPDATE messages SET text = x'ff' WHERE id = 'm30'")
    connection.close()
    database = Database(old)
    assert salvage(whole, database) == 20
    assert stored(database) == [f"m{number}" for number in range(30)]
    assert [row.tip_id for row in database.list_sessions()] == ["m9"]
    assert database._connection.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"rubbish"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100] + bytes(9000)),
        lambda path: path.unlink(),
    ],
)
def test_of_rubbish_nothing_is_saved(
    files: tuple[Path, Path], change: Callable[[Path], object]
) -> None:
    whole, old = files
    change(whole)
    database = Database(old)
    assert salvage(whole, database) == 0
    assert len(stored(database)) == NUM_OLD
    database.close()


@pytest.mark.parametrize("seed", range(40))
def test_of_a_damaged_page_the_rest_is_saved_and_the_result_is_sound(
    files: tuple[Path, Path], seed: int
) -> None:
    whole, old = files
    dice = random.Random(seed)
    content = bytearray(whole.read_bytes())
    page = dice.randrange(1, len(content) // 4096) * 4096
    content[page : page + 4096] = dice.choice([bytes(4096), dice.randbytes(4096)])
    whole.write_bytes(content)
    database = Database(old)
    num_saved = salvage(whole, database)
    assert 0 <= num_saved <= NUM_NEW - NUM_OLD + 1
    assert len(stored(database)) == NUM_OLD + num_saved
    assert database._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert database._connection.execute("PRAGMA foreign_key_check").fetchall() == []
    for row in database.list_sessions():
        assert len(database.load_path(row.tip_id)) == row.num_messages
    say(database, "s", 100, 101)
    database.close()


def test_a_start_says_how_many_messages_were_saved(files: tuple[Path, Path]) -> None:
    whole, old = files
    directory = whole.parent / "data"
    directory.mkdir()
    content = bytearray(whole.read_bytes())
    at = content.index(b"words of 59 ")
    page = at - at % 4096
    content[page : page + 4096] = bytes(4096)
    (directory / "chats.db").write_bytes(content)
    shutil.copy(old, directory / "chats.db.backup-1")
    database = open_database(directory / "chats.db")
    num_saved = len(stored(database)) - NUM_OLD
    assert num_saved > 10
    assert f" and {num_saved} newer messages. The damaged file is kept as " in database.notices[0]
    database.close()
