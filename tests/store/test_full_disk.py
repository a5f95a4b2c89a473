"""The disk is full at any write: nothing acknowledged is lost, nothing is left lying about."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kvchat import errors
from kvchat.errors import KVChatError, NotSaving
from kvchat.store.data_dir import DataDir
from kvchat.store.open_database import open_database
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow
from kvchat.store.store_thread import StoreThread

OUR_FILES = re.compile(r"lock|chats\.db(-wal|-shm|-open|-journal|\.backup-[0-9]+)?")

TALK = """
import json, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from tests.store.test_full_disk import talk
print(json.dumps(talk(Path(sys.argv[1]))), flush=True)
"""


def text_of(number: int) -> str:
    return f"question {number} " * 40


def talk(path: Path) -> list[str]:
    """Say things to a store until it is closed; return the messages that were acknowledged."""
    acknowledged: list[str] = []
    try:
        with DataDir(path) as directory:
            store = StoreThread(directory.database_path, retry_seconds=0.0)
            with suppress(NotSaving):
                store.submit(lambda d: d.create_session(SessionRow("s", "t"))).result(10)
                acknowledged.append("s")
            parent: str | None = None
            for number in range(30):
                row = MessageRow(f"m{number}", "t", parent, "user", text_of(number))
                reply = MessageRow(f"r{number}", "t", row.id, "assistant", "", state="streaming")
                try:
                    store.submit(lambda d, row=row: d.add_message("s", row)).result(10)  # type: ignore[misc]
                    acknowledged.append(row.id)
                    parent = row.id
                    store.submit(lambda d, row=reply: d.begin_reply("s", row)).result(10)  # type: ignore[misc]
                    parent = reply.id
                except KVChatError:
                    continue
                store.stream(reply.id, f"answer {number} " * 20, number)
                store.finish(reply.id, ReplyEnd("done"))
                with suppress(NotSaving):
                    store.flush().result(10)
                    acknowledged.append(reply.id)
                if number % 10 == 9:
                    with suppress(NotSaving):
                        store.submit(lambda d: d.back_up()).result(10)
            store.close(10)
    except NotSaving:
        pass
    return acknowledged


def check(path: Path, acknowledged: list[str]) -> None:
    """Open what is left with room on the disk: all of it is there, and more can be said."""
    with DataDir(path) as directory:
        assert [name for name in os.listdir(path) if not OUR_FILES.fullmatch(name)] == []
        database = open_database(directory.database_path)
        assert database.notices == ()
        assert database._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for name in acknowledged:
            if name == "s":
                assert database.session("s").id == "s"
                continue
            row = database.message(name)
            assert row is not None
            number = int(name[1:])
            is_reply = name.startswith("r")
            assert row.text == (f"answer {number} " * 20 if is_reply else text_of(number))
            assert row.state == "done"
        if "s" in acknowledged:
            database.add_message("s", MessageRow("more", "t", None, "user", "more"))
        database.close()


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)
    errors.fault_hook = None


@pytest.mark.parametrize("size", [0, 1, 512, 4096, *range(8192, 8192 + 16 * 16384, 16384)])
def test_a_file_that_may_grow_no_further_loses_nothing(place: Path, size: int) -> None:
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", TALK, str(place / "data"), str(size), root],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    check(place / "data", json.loads(ended.stdout))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_at_any_point_loses_nothing(place: Path, number: int) -> None:
    num_refused = 0
    for hit in range(1, 130, 3):
        num_hits = 0

        def refuse(point: str, hit: int = hit) -> None:
            nonlocal num_hits
            num_hits += 1
            if hit <= num_hits < hit + 5 and not point.endswith("committed"):
                raise OSError(number, os.strerror(number))

        errors.fault_hook = refuse
        acknowledged = talk(place / str(hit))
        errors.fault_hook = None
        num_refused += len(acknowledged) < 61
        check(place / str(hit), acknowledged)
    assert num_refused > 30


def test_with_room_everything_is_acknowledged(place: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    acknowledged = talk(place / "data")
    assert len(acknowledged) == 61
    check(place / "data", acknowledged)


def test_whatever_the_umask_no_file_is_for_others(place: Path) -> None:
    before = os.umask(0)
    try:
        talk(place / "data")
        with DataDir(place / "data") as directory:
            database = open_database(directory.database_path)
            modes = {path.name: path.stat().st_mode & 0o777 for path in directory.path.iterdir()}
            database.close()
            assert directory.path.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert {"chats.db", "chats.db-wal", "chats.db-open", "chats.db.backup-1", "lock"} <= set(modes)
    assert set(modes.values()) == {0o600}
