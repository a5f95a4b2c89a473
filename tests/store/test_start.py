"""Starting reads what is listed, and nothing that grows with the length of the chats."""

import sqlite3
from pathlib import Path

import pytest

from kvchat.runtime import ChatRuntime
from kvchat.store import database as database_file
from kvchat.store.database import Database
from kvchat.store.database_file import open_connection
from kvchat.store.rows import MessageRow, SessionRow

STEPS = 50


class Counted:
    """Counts statements and steps of SQLite's machine on every connection that is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.num_statements = 0
        self.num_steps = 0
        monkeypatch.setattr(database_file, "open_connection", self.open)

    def open(self, path: Path | None) -> sqlite3.Connection:
        connection = open_connection(path)
        connection.set_trace_callback(self.note_statement)
        connection.set_progress_handler(self.note_steps, STEPS)
        return connection

    def note_statement(self, statement: str) -> None:
        self.num_statements += 1

    def note_steps(self) -> int:
        self.num_steps += STEPS
        return 0


def make_chats(path: Path, num_sessions: int, num_messages: int) -> None:
    database = Database(path)
    for number in range(num_sessions):
        messages: list[MessageRow] = []
        for place in range(num_messages):
            parent_id = messages[-1].id if messages else None
            messages.append(
                MessageRow(f"m{number}-{place}", f"t{number}", parent_id, "user", f"text {place}")
            )
        session = SessionRow(f"s{number}", f"t{number}", f"chat {number}", tip_id=messages[-1].id)
        database.import_chat(session, messages)
    while database.num_gaps:
        database.index_slice()
    database.close()


def steps_of_start(path: Path, counted: Counted) -> tuple[int, int]:
    """Open a database, list its sessions, and return (statements, steps)."""
    counted.num_statements = counted.num_steps = 0
    database = Database(path)
    database.list_sessions()
    result = counted.num_statements, counted.num_steps
    database.close()
    return result


def test_a_start_reads_as_much_for_long_chats_as_for_short_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_chats(tmp_path / "short.db", 40, 2)
    make_chats(tmp_path / "long.db", 40, 60)
    counted = Counted(monkeypatch)
    short = steps_of_start(tmp_path / "short.db", counted)
    long = steps_of_start(tmp_path / "long.db", counted)
    assert long[0] == short[0]
    assert long[1] <= 1.3 * short[1] + 2 * STEPS


def test_a_start_takes_as_many_statements_for_many_chats_as_for_few(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for num_sessions in (2, 50):
        directory = tmp_path / str(num_sessions)
        directory.mkdir(mode=0o700)
        make_chats(directory / "chats.db", num_sessions, 3)
        counted = Counted(monkeypatch)
        with ChatRuntime(tiny_model, data_dir=directory, threads=1, pool_bytes=4 << 20) as runtime:
            assert len(runtime.sessions()) == num_sessions
            assert len(runtime.sessions()[-1].messages) == 3
            runtime.host.save(lambda database: None).result(60)
            counts.append(counted.num_statements)
        monkeypatch.undo()
    assert counts[1] < counts[0] + 40  # other threads may be a little further
