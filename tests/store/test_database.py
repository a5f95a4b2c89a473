import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvchat.errors import DatabaseDamaged, NotSaving, SessionNotFound
from kvchat.store.database import Database
from kvchat.store.rows import (
    MessageRow,
    ReplyEnd,
    ReplyUpdate,
    SessionRow,
    TokenRecords,
    Undone,
    new_id,
    pack_token_ids,
    unpack_token_ids,
)
from kvchat.store.session_rows import MAX_UNDO_TIPS

Make = Callable[..., MessageRow]


@pytest.fixture
def chat(database: Database, session: SessionRow, user: Make, reply: Make) -> Database:
    """The session "s" with the messages u1, r1, u2, r2, all finished."""
    database.create_session(session)
    parent = None
    for number in (1, 2):
        database.add_message("s", user(f"u{number}", parent))
        database.begin_reply("s", reply(f"r{number}", f"u{number}"), prompt_token_ids=[1, number])
        database.extend_replies(
            [ReplyUpdate(f"r{number}", f"answer {number}", (7, number), ReplyEnd("done", "stop"))]
        )
        parent = f"r{number}"
    return database


def ids(rows: list[MessageRow]) -> list[str]:
    return [row.id for row in rows]


def everything_in(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """The rows of all tables; `iterdump` does not know the search index."""
    read = database._connection.execute
    tables = [name for (name,) in read("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables.remove("search_index")
    return {name: read(f"SELECT * FROM {name}").fetchall() for name in tables}


def reopened(database: Database) -> Database:
    database.close()
    return Database(database.path)


def test_what_is_stored_is_there_after_a_restart(chat: Database) -> None:
    before = chat.load_path("r2")
    again = reopened(chat)
    assert again.load_path("r2") == before
    assert ids(before) == ["u1", "r1", "u2", "r2"]
    assert [row.token_ids for row in before] == [(1, 1), (7, 1), (1, 2), (7, 2)]
    assert before[3].text == "answer 2"
    assert (before[3].state, before[3].finish_reason) == ("done", "stop")
    again.close()


def test_every_field_of_a_message_and_a_session_is_kept(database: Database) -> None:
    session = SessionRow(
        id=new_id(), tree_id="t", title="ü", system="sys",
        sampling={"temperature": 0.5, "stop": []},
        window=4096, sinks=64, origin_id="other", tag_index=27, created_at=1.5,
        template_date="2024-05-01", draft="dra\nft", deleted_at=2.5, use_order=1,
    )  # fmt: skip
    database.create_session(session)
    assert database.session(session.id) == session
    message = MessageRow(
        id=new_id(), tree_id="t", parent_id=None, role="assistant", text="x",
        token_ids=(0, 2**31 - 1),
        state="failed", created_at=3.5, model_name="m", seed=2**64 - 1, finish_reason="failed",
        error="why", num_cached_tokens=5, decode_tokens_per_second=41.5,
    )  # fmt: skip
    database.add_message(session.id, message)
    assert database.message(message.id) == message
    assert database.message("none") is None


def test_sessions_are_listed_in_order_with_the_length_of_their_path(
    chat: Database, session: SessionRow
) -> None:
    chat.create_session(replace(session, id="fork", tip_id="u2", origin_id="s"))
    chat.create_session(SessionRow(id="empty", tree_id="other"))
    assert [(row.id, row.num_messages) for row in chat.list_sessions()] == [
        ("s", 4), ("fork", 3), ("empty", 0),
    ]  # fmt: skip


def test_the_session_that_spoke_last_has_the_highest_use_order(chat: Database, user: Make) -> None:
    chat.create_session(SessionRow(id="other", tree_id="o"))
    assert chat.session("other").use_order > chat.session("s").use_order
    chat.add_message("s", user("u3", "r2"))
    assert chat.session("s").use_order > chat.session("other").use_order


def test_a_fork_shares_messages_and_adds_its_own(
    chat: Database, session: SessionRow, user: Make
) -> None:
    chat.create_session(replace(session, id="fork", tip_id="r1"))
    chat.add_message("fork", user("u2b", "r1"))
    assert ids(chat.load_path("u2b")) == ["u1", "r1", "u2b"]
    assert chat.session("s").tip_id == "r2"
    assert chat.siblings("u2") == chat.siblings("u2b") == ["u2", "u2b"]
    assert ids(chat.children("t", "r1")) == ["u2", "u2b"]


def test_first_messages_are_siblings_only_inside_their_tree(chat: Database, user: Make) -> None:
    chat.create_session(SessionRow(id="o", tree_id="other"))
    chat.add_message("o", user("x1", tree_id="other"))
    chat.add_message("s", user("u1b"))
    assert chat.siblings("u1") == ["u1", "u1b"]
    assert ids(chat.children("other", None)) == ["x1"]
    assert chat.load_path(None) == []


def test_a_rewind_moves_the_tip_and_undo_brings_it_back(chat: Database) -> None:
    chat.move_tip("s", "r1", push_undo=True)
    chat.move_tip("s", None, push_undo=True)
    assert chat.session("s").tip_id is None
    assert chat.undo("s") == Undone("r1", None)
    again = reopened(chat)
    assert again.undo("s") == Undone("r2", None)
    assert again.undo("s") is None
    assert again.session("s").tip_id == "r2"
    assert ids(again.load_path("r2")) == ["u1", "r1", "u2", "r2"]
    again.close()


def test_a_regenerated_reply_can_be_undone(chat: Database, reply: Make) -> None:
    chat.move_tip("s", "u2", push_undo=True)
    chat.begin_reply("s", reply("r2b", "u2"))
    assert chat.session("s").tip_id == "r2b"
    assert chat.undo("s") == Undone("r2", None)
    assert chat.siblings("r2") == ["r2", "r2b"]


def test_a_reply_moves_no_tip_that_has_gone_elsewhere(chat: Database, reply: Make) -> None:
    chat.begin_reply("s", reply("r1b", "u1"))
    chat.move_tip("s", "u2")
    chat.begin_reply("s", reply("r2b", "u2"), is_tip=False)
    assert chat.session("s").tip_id == "u2"
    assert chat.siblings("r1") == ["r1", "r1b"]


def test_a_hidden_message_is_no_sibling_until_undo_shows_it(chat: Database, reply: Make) -> None:
    chat.move_tip("s", "u2")
    chat.begin_reply("s", reply("r2b", "u2"))
    chat.hide_message("s", "r2b", "u2")
    assert chat.siblings("r2") == ["r2"] and chat.session("s").tip_id == "u2"
    assert chat.siblings("r2b") == ["r2", "r2b"]
    again = reopened(chat)
    assert again.undo("s") == Undone("r2b", None, "r2b")
    assert again.siblings("r2") == ["r2", "r2b"]
    again.close()


def test_undo_brings_back_a_system_prompt_with_the_tip(chat: Database) -> None:
    chat.set_system("s", "Be brief.")
    chat.move_tip("s", "r1", push_undo=True)
    assert chat.undo("s") == Undone("r2", "Be brief.")
    again = reopened(chat)
    assert again.undo("s") == Undone("r2", None)
    assert again.session("s").system is None
    again.close()


def test_an_undo_step_of_an_older_version_has_no_change(chat: Database) -> None:
    with chat.transaction() as connection:
        connection.execute("UPDATE sessions SET undo_tips = '[\"r1\"]', undo_changes = '[]'")
    chat.set_system("s", "Be brief.")
    assert chat.undo("s") == Undone("r2", None)
    assert chat.undo("s") == Undone("r1", None)


def test_a_visit_returns_to_the_last_tip_below_else_to_the_newest_leaf(
    chat: Database, user: Make, reply: Make
) -> None:
    chat.add_message("s", user("u2b", "r1"), push_undo=True)
    chat.begin_reply("s", reply("r2b", "u2b"))
    (r1,) = (row for row in chat.load_path("r2") if row.id == "r1")
    assert chat.last_tip_below("s", r1) == "r2"
    chat.create_session(SessionRow(id="new", tree_id=r1.tree_id))
    assert chat.last_tip_below("new", r1) == "r2b"
    chat.hide_message("new", "u2b", None)
    assert chat.last_tip_below("new", r1) == "r2"


def test_a_label_stays_until_it_is_taken_away(chat: Database) -> None:
    chat.set_label("r1", "start")
    again = reopened(chat)
    assert [row.label for row in again.load_path("r2")] == [None, "start", None, None]
    again.set_label("r1", None)
    assert [row.label for row in again.load_tree("t")] == [None] * 4
    again.close()


def test_records_of_tokens_come_back_in_order_with_their_places(
    chat: Database, reply: Make
) -> None:
    begun = replace(reply("r3", "r2"), token_ids=(5, 6))
    chat.begin_reply("s", begun, records=[TokenRecords(1, b"b")])
    chat.extend_replies([ReplyUpdate("r3", "x", (7,), records=b"c")])
    chat.extend_replies([ReplyUpdate("r3", "y", (8, 9), ReplyEnd("done"), b"de")])
    again = reopened(chat)
    assert again.token_records("r3") == [
        TokenRecords(1, b"b"),
        TokenRecords(2, b"c"),
        TokenRecords(3, b"de"),
    ]
    again.add_token_records("r3", [TokenRecords(0, b"a")])
    assert again.token_records("r3")[0] == TokenRecords(0, b"a")
    assert again.token_records("r1") == []
    again.close()


def test_the_list_of_undo_steps_is_bounded(chat: Database) -> None:
    for _ in range(MAX_UNDO_TIPS + 10):
        chat.move_tip("s", "r1", push_undo=True)
    undone = 0
    while chat.undo("s") is not None:
        undone += 1
    assert undone == MAX_UNDO_TIPS


def test_a_deleted_session_is_hidden_until_it_is_undeleted(chat: Database) -> None:
    chat.delete_session("s", 12.5)
    assert chat.list_sessions() == []
    assert [row.deleted_at for row in chat.list_sessions(deleted=True)] == [12.5]
    assert len(chat.load_path("r2")) == 4
    chat.undelete_session("s")
    assert [row.id for row in chat.list_sessions()] == ["s"]


def test_title_sampling_and_draft_can_be_changed(chat: Database) -> None:
    chat.rename("s", "better")
    chat.set_sampling("s", {"temperature": 0.0})
    chat.set_drafts({"s": "not yet"})
    row = chat.session("s")
    assert (row.title, row.sampling, row.draft) == ("better", {"temperature": 0.0}, "not yet")


def test_sending_can_empty_the_draft_it_was_written_in(chat: Database, user: Make) -> None:
    chat.set_drafts({"s": "hello"})
    chat.add_message("s", user("u3", "r2"))
    assert chat.session("s").draft == "hello"
    chat.add_message("s", user("u4", "u3"), clear_draft=True)
    assert chat.session("s").draft == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.session("x"),
        lambda d: d.rename("x", "t"),
        lambda d: d.undo("x"),
        lambda d: d.move_tip("x", None, push_undo=True),
        lambda d: d.delete_session("x", 0.0),
    ],
)
def test_an_unknown_session_is_an_error(database: Database, call: Callable[[Any], Any]) -> None:
    with pytest.raises(SessionNotFound):
        call(database)


def test_replies_grow_together_and_end_apart(chat: Database, user: Make, reply: Make) -> None:
    chat.add_message("s", user("u3", "r2"))
    chat.begin_reply("s", reply("a", "u3"))
    chat.begin_reply("s", reply("b", "u3"))
    chat.extend_replies([ReplyUpdate("a", "1", (1,)), ReplyUpdate("b", "x", (8, 9))])
    end = ReplyEnd("failed", "failed", "out of memory", 64, 12.5)
    chat.extend_replies([ReplyUpdate("a", "2", (2,)), ReplyUpdate("b", "y", (), end)])
    rows = {name: chat.message(name) for name in "ab"}
    assert rows["a"] == reply("a", "u3", text="12", token_ids=(1, 2))
    assert rows["b"] == reply(
        "b", "u3", text="xy", token_ids=(8, 9), state="failed", finish_reason="failed",
        error="out of memory", num_cached_tokens=64, decode_tokens_per_second=12.5,
    )  # fmt: skip


def test_a_finished_reply_never_changes(chat: Database) -> None:
    before = chat.message("r2")
    chat.extend_replies([ReplyUpdate("r2", "more", (1,), ReplyEnd("failed"))])
    chat.finish_reply("none", ReplyEnd("done"))
    assert chat.message("r2") == before


def test_opening_marks_streaming_replies_as_interrupted(
    chat: Database, user: Make, reply: Make
) -> None:
    chat.add_message("s", user("u3", "r2"))
    chat.begin_reply("s", reply("r3", "u3"))
    chat.extend_replies([ReplyUpdate("r3", "half", (1, 2))])
    again = reopened(chat)
    assert again.num_interrupted == 1
    row = again.load_path(again.session("s").tip_id)[-1]
    assert (row.id, row.state, row.text, row.token_ids) == ("r3", "interrupted", "half", (1, 2))
    last = reopened(again)
    assert last.num_interrupted == 0
    last.close()


def test_a_database_in_memory_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: SessionRow, user: Make
) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database(None)
    database.create_session(session)
    database.add_message("s", user("u1"))
    assert ids(database.load_path("u1")) == ["u1"]
    database.close()
    assert list(tmp_path.iterdir()) == []


HOSTILE = ["\0", "a\0b", "\ud800", "x\udfff\0", "\x1b[2J", "'; DROP TABLE messages; --", "\u202e",
           "[/]", "%s%n{}", "é\u0301" * 5000, "", "\r\n"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_hostile_text_is_kept_but_for_nul_and_lone_surrogates(
    database: Database, session: SessionRow, user: Make, reply: Make, text: str
) -> None:
    kept = text.replace("\0", "␀").replace("\ud800", "�").replace("\udfff", "�")
    database.create_session(replace(session, title=text, system=text, sampling={"stop": [text]}))
    database.set_drafts({"s": text})
    database.add_message("s", user("u", text=text))
    database.begin_reply("s", reply("r", "u"))
    database.extend_replies([ReplyUpdate("r", text, (), ReplyEnd("failed", error=text))])
    row, answer = database.session("s"), database.message("r")
    assert (row.title, row.system, row.draft, row.sampling) == (kept, kept, kept, {"stop": [text]})
    assert answer is not None
    assert (answer.text, answer.error) == (kept, kept)
    assert [row.text for row in database.load_path("u")] == [kept]


def test_a_path_of_ten_thousand_messages_is_loaded(database: Database, session: SessionRow) -> None:
    rows = [
        (f"m{n}", "t", f"m{n - 1}" if n else None, n + 1, "user", f"text {n}", pack_token_ids([n]))
        for n in range(10_000)
    ]
    with database.transaction() as connection:  # ten thousand transactions would take a minute
        connection.executemany(
            "INSERT INTO messages (id, tree_id, parent_id, depth, role, text, token_ids, state,"
            " created_at, num_cached_tokens, decode_tokens_per_second)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'done', 0, 0, 0)",
            rows,
        )
    path = database.load_path("m9999")
    assert ids(path) == [f"m{n}" for n in range(10_000)]
    assert path[-1].token_ids == (9999,)
    database.create_session(replace(session, tip_id="m9999"))
    assert database.list_sessions()[0].num_messages == 10_000


def test_token_ids_are_stored_as_little_endian_int32() -> None:
    assert pack_token_ids([1, 256, 2**31 - 1]) == b"\1\0\0\0\0\1\0\0\xff\xff\xff\x7f"
    assert unpack_token_ids(pack_token_ids(range(1000))) == tuple(range(1000))
    with pytest.raises(OverflowError):
        pack_token_ids([2**31])


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_the_file_and_its_log_are_private(
    open_umask: None, path: Path, session: SessionRow
) -> None:
    database = Database(path)
    database.create_session(session)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == {"chats.db": 0o600, "chats.db-wal": 0o600, "chats.db-shm": 0o600}
    database.close()
    path.chmod(0o666)
    Database(path).close()
    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {
        "chats.db": 0o600
    }


def test_deleted_content_is_overwritten_and_commits_are_synchronous(database: Database) -> None:
    read = database._connection.execute
    assert read("PRAGMA secure_delete").fetchone() == (1,)
    assert read("PRAGMA synchronous").fetchone() == (2,)
    assert read("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "call",
    [
        lambda d, u, r: d.create_session(SessionRow(id="new", tree_id="t")),
        lambda d, u, r: d.rename("s", "other"),
        lambda d, u, r: d.move_tip("s", "r1", push_undo=True),
        lambda d, u, r: d.add_message("s", u("u3", "r2"), push_undo=True, clear_draft=True),
        lambda d, u, r: d.begin_reply("s", r("r9", "u2"), prompt_token_ids=[1]),
        lambda d, u, r: d.undo("s"),
        lambda d, u, r: d.set_token_ids("u1", [9, 9]),
        lambda d, u, r: d.extend_replies([ReplyUpdate("r3", "x"), ReplyUpdate("r4", "y")]),
    ],
)
@pytest.mark.parametrize("point", ["db.begin", "db.commit"])
def test_a_full_disk_changes_nothing_and_says_so(
    chat: Database,
    user: Make,
    reply: Make,
    disk: Any,
    call: Callable[[Database, Make, Make], object],
    point: str,
) -> None:
    chat.move_tip("s", "r1", push_undo=True)
    chat.begin_reply("s", reply("r3", "u2"))
    chat.begin_reply("s", reply("r4", "u2"))
    chat._connection.commit()
    before = everything_in(chat)
    disk.refuse(point)
    with pytest.raises(NotSaving, match="no space left on device"):
        call(chat, user, reply)
    disk.work()
    assert everything_in(chat) == before
    call(chat, user, reply)
    assert everything_in(chat) != before


def test_a_disk_that_is_really_full_is_named_and_keeps_what_was_stored(
    chat: Database, user: Make
) -> None:
    (pages,) = chat._connection.execute("PRAGMA page_count").fetchone()
    chat._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NotSaving, match=r"^Disk full: .*--no-save"):
        chat.add_message("s", user("u3", "r2", text="long " * 10_000))
    assert chat.session("s").tip_id == "r2"
    chat.rename("s", "small things still fit")


def test_an_error_of_ours_is_not_called_a_full_disk(chat: Database, user: Make) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        chat.add_message("s", user("u1"))
    with pytest.raises(sqlite3.IntegrityError):
        chat.add_message("s", user("u9", "no such parent"))
    assert chat.session("s").tip_id == "r2"


def test_a_missing_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotSaving, match=r"^Cannot write .*no such file"):
        Database(tmp_path / "none" / "chats.db")


def test_a_database_that_cannot_be_made_leaves_no_stump(path: Path, disk: Any) -> None:
    for point in ("file.touch", "db.migrate", "file.fsync", "file.rename"):
        disk.refuse(point)
        with pytest.raises(NotSaving):
            Database(path)
        assert list(path.parent.iterdir()) == []


def whole(path: Path, number: int = 20) -> bytes:
    """Make a database with some content, close it and return its bytes."""
    database = Database(path)
    database.create_session(SessionRow(id="s", tree_id="t", title="first"))
    parent = None
    for index in range(number):
        row = MessageRow(f"m{index}", "t", parent, "user", f"text {index} " * 50)
        database.add_message("s", row)
        parent = row.id
    database.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a chat database"),
        (b"dear diary\n" * 1000, "damaged"),
        (b"SQLite format 3\0", "damaged"),
        (bytes(8192), "damaged"),
    ],
    ids=["empty", "text", "stump", "zeros"],
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    path: Path, content: bytes, sentence: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=sentence):
        Database(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE messages (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged, match="not a chat database of kvchat"):
        Database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling link"])
def test_what_is_no_regular_file_is_refused_without_waiting(path: Path, kind: str) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        if kind == "link":
            whole(path.with_name("real.db"))
        path.symlink_to("real.db")
    with pytest.raises(DatabaseDamaged, match="not a regular file"):
        Database(path)


def test_a_cut_or_overwritten_database_never_opens_as_an_empty_one(path: Path) -> None:
    content = whole(path)
    for place in range(0, len(content), 1024):
        for mutated in (
            content[:place],
            content[:place] + b"\xff" * 512 + content[place + 512 :],
            content[:place] + bytes(1024) + content[place + 1024 :],
        ):
            path.write_bytes(mutated)
            try:
                database = Database(path)
            except DatabaseDamaged:
                assert path.read_bytes() == mutated
                continue
            try:
                assert [row.id for row in database.list_sessions()] == ["s"]
                database.load_path("m19")
            except DatabaseDamaged:
                pass
            finally:
                database.close()


def test_a_damaged_page_anywhere_is_found_when_the_file_is_opened(path: Path) -> None:
    content = whole(path)
    for place in range(4096, len(content), 4096):
        path.write_bytes(content[:place] + b"\xff" * 4096 + content[place + 4096 :])
        with pytest.raises(DatabaseDamaged):
            Database(path)


def test_a_damaged_file_with_a_log_beside_it_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    content = whole(path)
    database = Database(path)
    database.rename("s", "in the log")
    log = path.with_name("chats.db-wal").read_bytes()
    database.close()
    damaged = content[:4096] + b"\xff" * 4096 + content[8192:]
    path.write_bytes(damaged)
    path.with_name("chats.db-wal").write_bytes(log)
    with pytest.raises(DatabaseDamaged):
        Database(path)
    assert path.read_bytes() == damaged
    assert path.with_name("chats.db-wal").read_bytes() == log


def test_a_refused_database_leaves_no_descriptor_open(path: Path) -> None:
    path.write_bytes(b"dear diary\n" * 1000)
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with pytest.raises(DatabaseDamaged):
            Database(path)
    assert len(os.listdir("/dev/fd")) == before
