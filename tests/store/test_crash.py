"""A process is killed at any point; what it acknowledged is there afterwards."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat import errors
from kvchat.durable_files import DataDirLock, remove_stumps
from kvchat.store.open_database import open_database

WORKLOAD = Path(__file__).with_name("crash_workload.py")
NEVER = 10**9
Said = list[dict[str, Any]]
Run = Callable[..., Said]


@pytest.fixture(scope="module")
def run_workload() -> Iterator[Run]:
    """Runs the workload in a fresh child and returns what it said, its end last."""
    root = str(Path(errors.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, str(WORKLOAD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        source, sink = server.stdout, server.stdin

        def run(directory: Path, seed: int, kill_at: int, kill_after_lines: int = NEVER) -> Said:
            order = {"directory": str(directory), "seed": seed, "kill_at": kill_at}
            sink.write(json.dumps(order).encode() + b"\n")
            sink.flush()
            said: Said = []
            child = 0
            for line in source:
                said.append(json.loads(line))
                if said[-1]["say"] == "child":
                    child = said.pop()["pid"]
                if child and len(said) >= kill_after_lines:
                    os.kill(child, signal.SIGKILL)
                    kill_after_lines = NEVER
                if said and said[-1]["say"] == "end":
                    return said
            raise AssertionError("the workload has ended by itself")

        yield run
        sink.close()


def check_what_is_left(directory: Path, said: Said) -> None:
    """Assert that everything acknowledged is stored, and nothing that was never tried."""
    tips: dict[str, str | None] = {}
    tried: dict[str, str | None] = {}
    deleted: set[str] = set()
    tried_deleted: set[str] = set()
    num_tokens: dict[str, int] = {}
    finished: set[str] = set()
    texts: dict[str, str] = {}
    for line in said:
        is_acknowledged = line["say"] == "ack"
        if "session" in line:
            (tips if is_acknowledged else tried)[line["session"]] = line["tip"]
        elif "deleted" in line:
            (deleted if is_acknowledged else tried_deleted).add(line["deleted"])
        elif "num_tokens" in line:
            num_tokens[line["reply"]] = line["num_tokens"]
        elif "finished" in line:
            finished.add(line["finished"])
        elif "message" in line:
            texts[line["message"]] = line["text"]

    with DataDirLock(directory):
        remove_stumps(directory)
        database = open_database(directory / "chats.db")
        assert database._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert {each.name for each in directory.iterdir()} <= {
            "lock", "chats.db", "chats.db-wal", "chats.db-shm", "chats.db-open",
        }  # fmt: skip
        sessions = {row.id: row for row in database.list_sessions()}
        gone = {row.id for row in database.list_sessions(deleted=True)}
        assert deleted <= gone <= deleted | tried_deleted
        assert tips.keys() - gone <= sessions.keys() <= tried.keys()
        for name, row in sessions.items():
            assert row.tip_id in ({tips[name], tried[name]} if name in tips else {tried[name]})
            assert len(database.load_path(row.tip_id)) == row.num_messages
        for name, text in texts.items():
            message = database.message(name)
            assert message is not None
            assert message.text == text
        for name, num_acknowledged in num_tokens.items():
            reply = database.message(name)
            assert reply is not None
            assert len(reply.token_ids) >= num_acknowledged
            assert reply.token_ids == tuple(range(len(reply.token_ids)))
            assert reply.text == "".join(f"{token_id} " for token_id in reply.token_ids)
            assert reply.state in ({"done"} if name in finished else {"done", "interrupted"})
        database.close()


def test_a_run_that_is_not_killed_stores_everything(run_workload: Run, tmp_path: Path) -> None:
    said = run_workload(tmp_path, 1, NEVER)
    assert said[-1]["status"] == 0
    check_what_is_left(tmp_path, said)


@pytest.mark.parametrize("kill_at", [*range(1, 18), *range(18, 130, 5)])
def test_a_process_killed_at_a_fault_point_loses_nothing_acknowledged(
    run_workload: Run, tmp_path: Path, kill_at: int
) -> None:
    said = run_workload(tmp_path, kill_at, kill_at)
    assert said[-1]["status"] == signal.SIGKILL
    check_what_is_left(tmp_path, said)


@pytest.mark.parametrize("seed", range(8))
def test_a_process_killed_at_a_random_time_loses_nothing_acknowledged(
    run_workload: Run, tmp_path: Path, seed: int
) -> None:
    said = run_workload(tmp_path, seed, NEVER, random.Random(seed).randint(1, 60))
    check_what_is_left(tmp_path, said)


def test_a_process_killed_again_and_again_still_loses_nothing(
    run_workload: Run, tmp_path: Path
) -> None:
    for kill_at in range(1, 9):
        run_workload(tmp_path, 0, kill_at)
    (tmp_path / "chats.db").unlink(missing_ok=True)
    said = run_workload(tmp_path, 0, 60)
    check_what_is_left(tmp_path, said)
    check_what_is_left(tmp_path, said)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(600))
def test_many_processes_killed_anywhere_lose_nothing_acknowledged(
    run_workload: Run, tmp_path: Path, seed: int
) -> None:
    said = run_workload(tmp_path, seed, random.Random(seed).randint(1, 400))
    check_what_is_left(tmp_path, said)
