"""A database that was damaged in any way opens whole, or from a backup that is announced."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kvchat.errors import DatabaseDamaged, KVChatError
from kvchat.store import open_database as opening
from kvchat.store.database import Database
from kvchat.store.migrations import MIGRATIONS
from kvchat.store.open_database import open_database
from kvchat.store.rows import MessageRow, ReplyEnd, ReplyUpdate, SessionRow

Make = Callable[..., MessageRow]
NUM_TURNS = 30


def talk(database: Database, start: int, end: int) -> None:
    """Add turns to the session "s", with questions whose text follows from their number."""
    for turn in range(start, end):
        tip = database.session("s").tip_id
        question = MessageRow(f"u{turn}", "t", tip, "user", question_of(turn))
        database.add_message("s", question)
        reply = MessageRow(f"r{turn}", "t", question.id, "assistant", "", state="streaming")
        database.begin_reply("s", reply, prompt_token_ids=[1, 2, turn])
        answer = ReplyUpdate(reply.id, f"answer {turn} " * 30, (3,) * 40, ReplyEnd("done"))
        database.extend_replies([answer])


def question_of(turn: int) -> str:
    return f"question {turn} " * 25


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database of 30 turns, whose backup has the first 20."""
    directory = tmp_path_factory.mktemp("pristine")
    database = open_database(directory / "chats.db")
    database.create_session(SessionRow(id="s", tree_id="t", title="chat"))
    talk(database, 0, 20)
    while database.num_gaps:
        database.index_slice()
    database.back_up()
    talk(database, 20, NUM_TURNS)
    database.close()
    return directory


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A place in memory where there is one, since a disk takes most of the time of a case."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def directory(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "data")


def questions(database: Database) -> dict[str, str]:
    rows = database.read(
        lambda row: (str(row[0]), str(row[1])), "SELECT id, text FROM messages WHERE role = 'user'"
    )
    return dict(rows)


def test_a_sound_database_opens_without_a_word(directory: Path) -> None:
    database = open_database(directory / "chats.db")
    assert database.notices == ()
    assert len(questions(database)) == NUM_TURNS
    assert (directory / "chats.db-open").exists()
    database.close()
    assert not (directory / "chats.db-open").exists()


@pytest.mark.parametrize(
    "content", [b"", b"dear diary", b"SQLite format 3\0" + b"\0" * 200, None, "directory"]
)
def test_what_is_no_database_is_replaced_by_the_backup_and_kept(
    directory: Path, content: bytes | str | None
) -> None:
    path = directory / "chats.db"
    path.unlink()
    if content == "directory":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    database = open_database(path)
    (notice,) = database.notices
    assert len(questions(database)) == 20
    if content is None:
        assert notice.startswith("The chat database was missing; opened the backup of ")
    else:
        assert notice.startswith("The chat database was damaged; opened the backup of ")
        assert notice.endswith(f"The damaged file is kept as {path}.damaged-1.")
        assert (directory / "chats.db.damaged-1").exists()
    database.close()


def test_without_a_backup_a_damaged_database_is_refused_and_left_alone(directory: Path) -> None:
    (directory / "chats.db.backup-1").unlink()
    path = directory / "chats.db"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(DatabaseDamaged, match="is damaged and has no good backup; it was left"):
        open_database(path)
    assert path.read_bytes() == b"x" * 5000
    assert sorted(os.listdir(directory)) == ["chats.db"]


def test_the_newest_backup_that_is_good_is_taken(directory: Path) -> None:
    shutil.copy(directory / "chats.db.backup-1", directory / "chats.db.backup-2")
    (directory / "chats.db.backup-3").write_bytes(b"rubbish")
    (directory / "chats.db").write_bytes(b"rubbish")
    open_database(directory / "chats.db").close()
    (directory / "chats.db").write_bytes(b"rubbish again")
    open_database(directory / "chats.db").close()
    kept = {name: (directory / name).read_bytes() for name in os.listdir(directory)}
    assert kept["chats.db.damaged-1"] == b"rubbish"
    assert kept["chats.db.damaged-2"] == b"rubbish again"


def test_a_missing_database_whose_backups_are_all_damaged_is_not_begun_again(
    directory: Path,
) -> None:
    (directory / "chats.db").unlink()
    (directory / "chats.db.backup-1").write_bytes(b"rubbish")
    with pytest.raises(DatabaseDamaged, match="is missing and its backups are damaged"):
        open_database(directory / "chats.db")


def test_a_newer_schema_is_refused_though_there_is_a_backup(directory: Path) -> None:
    path = directory / "chats.db"
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'm999')")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged) as caught:
        open_database(path)
    assert caught.value.code == "db_newer"
    assert path.read_bytes() == before


def test_a_log_that_was_removed_after_a_crash_is_noticed(directory: Path, user: Make) -> None:
    path = directory / "chats.db"
    database = open_database(path)
    crashed = shutil.copytree(directory, directory.with_name("crashed"))
    database.close()
    (crashed / "chats.db-wal").unlink()
    (crashed / "chats.db-shm").unlink(missing_ok=True)
    again = open_database(crashed / "chats.db")
    assert again.notices == (
        "The last messages before the crash may be missing: the log file of the database is gone.",
    )
    again.close()
    once_more = open_database(crashed / "chats.db")
    assert once_more.notices == ()
    once_more.close()


def test_a_crash_whose_log_is_there_loses_nothing_and_says_nothing(directory: Path) -> None:
    database = open_database(directory / "chats.db")
    talk(database, NUM_TURNS, NUM_TURNS + 5)
    crashed = shutil.copytree(directory, directory.with_name("crashed"))
    database.close()
    again = open_database(crashed / "chats.db")
    assert again.notices == ()
    assert len(questions(again)) == NUM_TURNS + 5
    again.close()


def test_a_log_never_lies_beside_a_restored_backup(directory: Path) -> None:
    database = open_database(directory / "chats.db")
    talk(database, NUM_TURNS, NUM_TURNS + 5)
    crashed = shutil.copytree(directory, directory.with_name("crashed"))
    database.close()
    (crashed / "chats.db").write_bytes(b"rubbish")
    again = open_database(crashed / "chats.db")
    assert len(questions(again)) == 20
    assert (crashed / "chats.db.damaged-1-wal").exists()
    again.close()


def test_an_older_schema_is_copied_before_it_is_changed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def m999_later(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")

    for module in ("migrations", "database_file"):
        monkeypatch.setattr(f"kvchat.store.{module}.MIGRATIONS", (*MIGRATIONS, m999_later))
    open_database(directory / "chats.db").close()
    copy = sqlite3.connect(directory / "chats.db.backup-2")
    assert copy.execute("SELECT max(number) FROM migrations").fetchone() == (len(MIGRATIONS),)
    assert copy.execute("SELECT count(*) FROM messages").fetchone() == (2 * NUM_TURNS,)
    copy.close()


def test_on_a_network_file_system_there_is_no_log_and_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (opening, "kvchat.store.database_file"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.network_file_system", lambda path: "nfs4")
    path = tmp_path / "chats.db"
    database = open_database(path)
    assert "network file system (nfs4)" in database.notices[0]
    assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    database.create_session(SessionRow(id="s", tree_id="t"))
    talk(database, 0, 3)
    crashed = shutil.copytree(tmp_path, tmp_path.with_name("crashed"))
    database.close()
    again = open_database(crashed / "chats.db")
    assert len(questions(again)) == 3
    assert again.notices == database.notices
    again.close()


def test_what_only_a_close_look_finds_is_restored_at_the_next_start(directory: Path) -> None:
    path = directory / "chats.db"
    with sqlite3.connect(path) as connection:  # no page is damaged, but the tip is gone
        connection.execute("UPDATE messages SET id = 'gone' WHERE id = 'r29'")
    connection.close()
    database = open_database(path)
    assert database.notices == ()
    with pytest.raises(DatabaseDamaged):
        talk(database, NUM_TURNS, NUM_TURNS + 1)
    database.close()
    again = open_database(path)
    assert "opened the backup" in again.notices[0]
    talk(again, NUM_TURNS, NUM_TURNS + 1)
    again.close()
    once_more = open_database(path)
    assert once_more.notices == ()
    once_more.close()


def damage(directory: Path, seed: int) -> str:
    """Do one thing to the files of a database that a disk, a crash or a person may do."""
    dice = random.Random(seed)
    path = directory / "chats.db"
    content = bytearray(path.read_bytes())
    kind = dice.choice(
        ("flip", "flips", "cut", "zero page", "garbage page", "swap pages", "header", "empty",
         "text", "older", "grow", "no database")
    )  # fmt: skip
    pages = len(content) // 4096
    page = dice.randrange(pages) * 4096
    if kind == "flip":
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif kind == "flips":
        for _ in range(dice.randint(2, 200)):
            content[dice.randrange(len(content))] = dice.randrange(256)
    elif kind == "cut":
        del content[dice.randrange(len(content)) :]
    elif kind == "zero page":
        content[page : page + 4096] = bytes(4096)
    elif kind == "garbage page":
        content[page : page + 4096] = dice.randbytes(4096)
    elif kind == "swap pages":
        other = dice.randrange(pages) * 4096
        first, second = content[page : page + 4096], content[other : other + 4096]
        content[page : page + 4096], content[other : other + 4096] = second, first
    elif kind == "header":
        content[dice.randrange(100)] ^= dice.randrange(1, 256)
    elif kind == "empty":
        content.clear()
    elif kind == "text":
        content[:] = b"These are my notes.\n" * dice.randint(1, 1000)
    elif kind == "older":
        content[:] = (directory / "chats.db.backup-1").read_bytes()
    elif kind == "grow":
        content += dice.randbytes(dice.randint(1, 9000))
    if kind == "no database":
        path.unlink()
    else:
        path.write_bytes(content)
    return kind


def check_nothing_is_lost_silently(pristine: Path, directory: Path, seed: int) -> str:
    """Damage a copy, open it, and look for what it acknowledged; say what came of it."""
    shutil.copytree(pristine, directory)
    kind = damage(directory, seed)
    try:
        database = open_database(directory / "chats.db")
    except KVChatError as error:
        assert "Nothing was changed" in error.sentence or "left as it is" in error.sentence, kind
        return "refused"
    try:
        stored = questions(database)
        database.list_sessions()
        for turn in range(NUM_TURNS):
            database.load_path(f"r{turn}")
        database.search("question", 5)
        talk(database, 100, 102)
    except KVChatError:
        database.close()  # told in the moment it is met; the next start looks again
        return "told later"
    for turn in range(20):
        text = stored.get(f"u{turn}")
        # A flipped letter cannot be told from another letter; a message that is gone can.
        assert database.notices or kind in ("flip", "flips") or text == question_of(turn), kind
        assert database.notices or text is not None, kind
    if not database.notices and kind != "older":
        assert len(stored) == NUM_TURNS, kind
    database.close()
    return "restored" if database.notices else "whole"


@pytest.mark.parametrize("part", range(10))
def test_300_damaged_databases_lose_nothing_without_a_word(
    pristine: Path, quick_path: Path, part: int
) -> None:
    outcomes = [
        check_nothing_is_lost_silently(pristine, quick_path / str(seed), seed)
        for seed in range(part * 30, part * 30 + 30)
    ]
    assert {"restored", "whole"} <= set(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_damaged_databases_lose_nothing_without_a_word(
    pristine: Path, quick_path: Path, part: int
) -> None:
    for seed in range(1000 + part * 1000, 2000 + part * 1000):
        check_nothing_is_lost_silently(pristine, quick_path / "data", seed)
        shutil.rmtree(quick_path / "data")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_refused_and_no_backup_takes_its_place(directory: Path, is_there: bool) -> None:
    path = directory / "chats.db"
    path.rename(directory / ("real.db" if is_there else "unmounted.db"))
    path.symlink_to("real.db")
    before = sorted(os.listdir(directory))
    with pytest.raises(DatabaseDamaged, match="is a link; move the database here") as caught:
        open_database(path)
    assert caught.value.code == "db_link"
    assert path.is_symlink() and sorted(os.listdir(directory)) == before
