import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat import errors
from kvchat.errors import DatabaseDamaged, NotSaving, SessionClosed, SessionNotFound
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow, unpack_token_ids
from kvchat.store.store_thread import StoreThread

Make = Callable[..., MessageRow]
PATIENCE = 10.0  # seconds until a test that hangs is a failed test; nothing waits so long


class Notices:
    """What a store thread reported about saving, and an event to wait for each kind."""

    def __init__(self) -> None:
        self.sentences: list[str | None] = []
        self.refused = threading.Event()
        self.saved_again = threading.Event()

    def __call__(self, sentence: str | None) -> None:
        self.sentences.append(sentence)
        (self.saved_again if sentence is None else self.refused).set()


@pytest.fixture
def notices() -> Notices:
    return Notices()


@pytest.fixture
def open_store(
    path: Path, notices: Notices, session: SessionRow, user: Make, reply: Make
) -> Iterator[Callable[..., StoreThread]]:
    """Opens a store whose session "s" has two streaming replies, a and b, below one message."""
    opened: list[StoreThread] = []

    def fill(database: Database) -> None:
        database.create_session(session)
        database.add_message("s", user("u"))
        database.begin_reply("s", reply("a", "u"), prompt_token_ids=[1])
        database.begin_reply("s", reply("b", "u"))

    def make(**settings: Any) -> StoreThread:
        settings = {"tick_seconds": 3600.0, "retry_seconds": 3600.0} | settings
        store = StoreThread(path, on_not_saving=notices, **settings)
        opened.append(store)
        if len(opened) == 1:
            store.submit(fill).result(PATIENCE)
        return store

    yield make
    errors.fault_hook = None
    for store in opened:
        store.close(PATIENCE)


def stored(path: Path, name: str) -> MessageRow:
    """Read a message as it is in the file, past the thread that owns the database."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    query = "SELECT text, token_ids, state, num_cached_tokens FROM messages WHERE id = ?"
    text, token_ids, state, num_cached = connection.execute(query, (name,)).fetchone()
    connection.close()
    return MessageRow(
        name, "t", "u", "assistant", text, unpack_token_ids(token_ids), state,
        num_cached_tokens=num_cached,
    )  # fmt: skip


def count_commits() -> tuple[list[str], threading.Event]:
    commits: list[str] = []
    committed = threading.Event()

    def hook(point: str) -> None:
        if point == "db.committed":
            commits.append(point)
            committed.set()

    errors.fault_hook = hook
    return commits, committed


def test_jobs_run_in_order_and_give_their_results(open_store: Any) -> None:
    store = open_store()
    order: list[int] = []
    futures = [
        store.submit(lambda _, n=number: order.append(n) or n * 2)  # type: ignore[func-returns-value]
        for number in range(100)
    ]
    assert [future.result(PATIENCE) for future in futures] == [2 * n for n in range(100)]
    assert order == list(range(100))


def test_an_error_of_a_job_is_its_owners_and_the_next_job_runs(open_store: Any) -> None:
    store = open_store()
    with pytest.raises(SessionNotFound):
        store.submit(lambda database: database.session("none")).result(PATIENCE)

    def leave(_: Database) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        store.submit(leave).result(PATIENCE)
    assert store.submit(lambda database: database.session("s").id).result(PATIENCE) == "s"


def test_pieces_wait_for_the_tick_and_are_committed_before_a_later_job(
    open_store: Any, path: Path
) -> None:
    store = open_store()
    commits, _ = count_commits()
    for number in range(10):
        store.stream("a", f"{number} ", number)
        store.stream("b", "x", None)
    assert commits == []
    assert stored(path, "a").text == ""
    row = store.submit(lambda database: database.message("a")).result(PATIENCE)
    assert row.text == "0 1 2 3 4 5 6 7 8 9 "
    assert row.token_ids == tuple(range(10))
    assert (stored(path, "b").text, stored(path, "b").token_ids) == ("x" * 10, ())
    assert len(commits) == 1


def test_a_tick_commits_what_is_waiting_by_itself(open_store: Any, path: Path) -> None:
    store = open_store(tick_seconds=0.01)
    for number in range(20):
        _, committed = count_commits()
        store.stream("a", "x", number)
        assert committed.wait(PATIENCE)
    assert stored(path, "a").token_ids == tuple(range(20))


def test_pieces_wait_for_the_job_that_begins_their_reply(
    open_store: Any, path: Path, reply: Make
) -> None:
    store, held = open_store(), threading.Event()
    store.submit(lambda database: held.wait(PATIENCE))
    begun = store.submit(lambda database: database.begin_reply("s", reply("c", "u")))
    store.stream("c", "first", 7)
    store.finish("c", ReplyEnd("done", "stop"))
    held.set()
    begun.result(PATIENCE)
    store.close(PATIENCE)
    message = stored(path, "c")
    assert (message.text, message.token_ids, message.state) == ("first", (7,), "done")


def test_a_reply_with_many_pieces_does_not_wait_for_the_tick(open_store: Any, path: Path) -> None:
    store = open_store(tick_tokens=64)
    commits, committed = count_commits()
    for number in range(63):
        store.stream("a", "x", number)
        store.stream("b", "y", number)
    assert commits == []
    store.stream("a", "x", 63)
    assert committed.wait(PATIENCE)
    assert len(stored(path, "a").token_ids) == 64
    assert len(stored(path, "b").token_ids) >= 63


def test_an_end_is_committed_at_once_with_the_pieces_before_it(open_store: Any, path: Path) -> None:
    store = open_store()
    _, committed = count_commits()
    store.stream("a", "word", 5)
    store.finish("a", ReplyEnd("done", "stop", num_cached_tokens=3))
    assert committed.wait(PATIENCE)
    row = stored(path, "a")
    assert (row.text, row.token_ids, row.state, row.num_cached_tokens) == ("word", (5,), "done", 3)


def test_streaming_never_waits_for_a_job_that_hangs(open_store: Any, path: Path) -> None:
    store = open_store(tick_seconds=0.0, tick_tokens=2)
    release, started = threading.Event(), threading.Event()

    def hang(_: Database) -> None:
        started.set()
        assert release.wait(PATIENCE)

    store.submit(hang)
    assert started.wait(PATIENCE)
    for number in range(1000):
        store.stream("a", "x", number)
    store.finish("a", ReplyEnd("done"))
    assert stored(path, "a").text == ""
    release.set()
    store.flush().result(PATIENCE)
    assert stored(path, "a").text == "x" * 1000


def test_closing_drains_jobs_and_pieces(open_store: Any, path: Path) -> None:
    store = open_store()
    future = store.submit(lambda database: database.rename("s", "last"))
    store.stream("a", "end", 1)
    store.finish("b", ReplyEnd("done"))
    assert store.close(PATIENCE) is True
    assert future.done()
    assert store.close(PATIENCE) is True
    reopened = open_store()
    assert reopened.num_interrupted == 1
    assert reopened.submit(lambda d: d.session("s").title).result(PATIENCE) == "last"
    row = reopened.submit(lambda d: d.message("a")).result(PATIENCE)
    assert (row.text, row.state) == ("end", "interrupted")


def test_no_job_is_taken_after_closing(open_store: Any) -> None:
    store = open_store()
    store.close(PATIENCE)
    with pytest.raises(SessionClosed):
        store.submit(lambda database: None).result(PATIENCE)
    store.stream("a", "nobody hears this", 1)


def test_a_closed_store_leaves_no_thread_and_a_closed_file(open_store: Any, path: Path) -> None:
    store = open_store()
    store.close(PATIENCE)
    assert "kvchat-store" not in [thread.name for thread in threading.enumerate()]
    assert {each.name for each in path.parent.iterdir()} <= {"chats.db", "chats.db.backup-1"}


def test_what_opening_raises_is_raised_in_the_constructor(path: Path) -> None:
    path.write_bytes(b"dear diary")
    with pytest.raises(DatabaseDamaged):
        StoreThread(path)
    assert "kvchat-store" not in [thread.name for thread in threading.enumerate()]


def test_a_message_that_is_not_stored_is_reported_to_its_sender(
    open_store: Any, disk: Any, user: Make, notices: Notices
) -> None:
    store = open_store()
    disk.refuse()
    with pytest.raises(NotSaving, match="no space left"):
        store.submit(lambda database: database.add_message("s", user("u2", "a"))).result(PATIENCE)
    assert store.not_saving is not None
    disk.work()
    store.submit(lambda database: database.add_message("s", user("u2", "a"))).result(PATIENCE)
    assert store.flush().result(PATIENCE) is None
    assert store.not_saving is None
    assert [sentence is None for sentence in notices.sentences] == [False, True]


def test_pieces_of_an_outage_are_kept_and_stored_when_the_disk_works_again(
    open_store: Any, disk: Any, path: Path, notices: Notices
) -> None:
    store = open_store(retry_seconds=0.01, tick_seconds=0.01)
    disk.refuse()
    store.stream("a", "during ", 1)
    assert notices.refused.wait(PATIENCE)
    store.stream("a", "the outage", 2)
    store.finish("a", ReplyEnd("done"))
    with pytest.raises(NotSaving):
        store.flush().result(PATIENCE)
    assert stored(path, "a").text == ""
    disk.work()
    assert notices.saved_again.wait(PATIENCE)
    row = store.submit(lambda database: database.message("a")).result(PATIENCE)
    assert (row.text, row.token_ids, row.state) == ("during the outage", (1, 2), "done")
    assert [sentence is None for sentence in notices.sentences] == [False, True]


def test_an_outage_without_pieces_ends_by_itself(
    open_store: Any, disk: Any, notices: Notices
) -> None:
    store = open_store(retry_seconds=0.01)
    disk.refuse()
    with pytest.raises(NotSaving):
        store.submit(lambda database: database.rename("s", "x")).result(PATIENCE)
    disk.work()
    assert notices.saved_again.wait(PATIENCE)
    assert store.not_saving is None


def test_closing_during_an_outage_says_that_something_is_lost(open_store: Any, disk: Any) -> None:
    store = open_store()
    disk.refuse()
    store.stream("a", "lost", 1)
    assert store.close(PATIENCE) is False


def test_one_update_that_cannot_be_stored_holds_back_no_other(
    open_store: Any, path: Path, notices: Notices
) -> None:
    store = open_store()
    store.stream("a", "x", 2**40)
    store.stream("b", "y", 7)
    store.submit(lambda database: None).result(PATIENCE)
    assert (stored(path, "b").text, stored(path, "b").token_ids) == ("y", (7,))
    assert notices.refused.is_set()
    store.stream("a", "z", 8)
    assert store.submit(lambda database: database.message("a")).result(PATIENCE).text == "z"


def test_a_store_in_memory_works_the_same(session: SessionRow) -> None:
    store = StoreThread(None)
    store.submit(lambda database: database.create_session(session)).result(PATIENCE)
    assert store.submit(lambda database: len(database.list_sessions())).result(PATIENCE) == 1
    assert store.close(PATIENCE) is True


def test_pieces_of_many_replies_from_a_fast_engine_all_arrive_in_order(
    open_store: Any, path: Path, user: Make, reply: Make
) -> None:
    store = open_store(tick_seconds=0.001, tick_tokens=16)

    def begin(database: Database) -> None:
        for number in range(8):
            database.begin_reply("s", reply(f"r{number}", "u"))

    store.submit(begin).result(PATIENCE)
    for token_id in range(500):
        for number in range(8):
            store.stream(f"r{number}", f"{token_id},", token_id)
    for number in range(8):
        store.finish(f"r{number}", ReplyEnd("done"))
    store.flush().result(PATIENCE)
    for number in range(8):
        row = stored(path, f"r{number}")
        assert row.token_ids == tuple(range(500))
        assert row.text == "".join(f"{token_id}," for token_id in range(500))
        assert row.state == "done"


def test_drafts_are_stored_within_a_tick_and_the_last_one_wins(
    open_store: Callable[..., StoreThread],
) -> None:
    store = open_store(tick_seconds=0.01)
    before = store.submit(lambda database: database.num_commits).result(PATIENCE)
    commits, committed = count_commits()
    for number in range(100):
        store.keep_draft("s", f"draft {number}")
    assert committed.wait(PATIENCE)
    draft, after = store.submit(
        lambda database: (database.session("s").draft, database.num_commits)
    ).result(PATIENCE)
    assert draft == "draft 99"
    assert after - before < 100
    assert commits


def test_a_draft_handed_in_before_a_message_is_cleared_by_it(
    open_store: Callable[..., StoreThread], user: Make
) -> None:
    store = open_store()
    store.keep_draft("s", "hello")
    store.submit(lambda database: database.add_message("s", user("u2", "a"), clear_draft=True))
    assert store.submit(lambda database: database.session("s").draft).result(PATIENCE) == ""


def test_a_draft_waits_in_memory_while_the_disk_refuses(
    open_store: Callable[..., StoreThread], disk: Any, notices: Notices, path: Path
) -> None:
    store = open_store(tick_seconds=0.01, retry_seconds=0.01)
    disk.refuse()
    store.keep_draft("s", "hello")
    assert notices.refused.wait(PATIENCE)
    disk.work()
    assert notices.saved_again.wait(PATIENCE)
    assert store.submit(lambda database: database.session("s").draft).result(PATIENCE) == "hello"


def test_closing_stores_the_last_draft(open_store: Callable[..., StoreThread], path: Path) -> None:
    store = open_store()
    store.keep_draft("s", "last words")
    assert store.close(PATIENCE)
    database = Database(path)
    assert database.session("s").draft == "last words"
    database.close()


def test_messages_are_indexed_while_nobody_wants_anything(
    open_store: Callable[..., StoreThread], user: Make
) -> None:
    store = open_store()
    indexed = threading.Event()

    def hook(point: str) -> None:
        if point == "db.committed" and threading.current_thread().name == "kvchat-store":
            indexed.set()

    for number in range(70):
        store.submit(
            lambda database, name=f"x{number}": database.insert_message(user(name, "u"))  # type: ignore[misc]
        )
    store.submit(lambda database: None).result(PATIENCE)
    errors.fault_hook = hook
    gaps = store.submit(lambda database: database.num_gaps).result(PATIENCE)
    if gaps >= 64:
        assert indexed.wait(PATIENCE)
        gaps = store.submit(lambda database: database.num_gaps).result(PATIENCE)
    assert gaps < 64
