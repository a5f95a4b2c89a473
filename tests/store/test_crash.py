"""A process is killed at any point; what it acknowledged is there afterwards."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from kvchat import errors
from kvchat.kv.segments import FetchedBlocks
from kvchat.store.data_dir import DataDir
from kvchat.store.manifest import read_manifest
from kvchat.store.open_database import open_database
from kvchat.store.segment_folder import SegmentFolder, installation_secret
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.store.segment_workload import LAYOUT, make_segment  # needs the path

WORKLOAD = Path(__file__).with_name("crash_workload.py")
NEVER = 10**9
OUR_FILES = re.compile(
    r"lock|kv|segments\.key|chats\.db(-wal|-shm|-open|-journal|\.backup-[0-9]+)?"
)
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
                    with suppress(ProcessLookupError):  # it was quicker
                        os.kill(child, signal.SIGKILL)
                    kill_after_lines = NEVER
                if said and said[-1]["say"] == "end":
                    return said
            raise AssertionError("the workload has ended by itself")

        yield run
        sink.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory where there is one: SIGKILL does not ask what a disk has written."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


class Told:
    """What one run tried and what was acknowledged."""

    def __init__(self, said: Said) -> None:
        self.tips: dict[str, str | None] = {}
        self.tried_tips: dict[str, str | None] = {}
        self.deleted: set[str] = set()
        self.tried_deleted: set[str] = set()
        self.purged: set[str] = set()
        self.tried_purged: set[str] = set()
        self.num_tokens: dict[str, int] = {}
        self.finished: set[str] = set()
        self.texts: dict[str, str] = {}
        self.labels: set[str] = set()
        self.drafts: dict[str, str] = {}
        self.tried_drafts: dict[str, set[str]] = {}
        self.waiting: set[str] = set()
        self.being_sent: set[str] = set()
        """Prompts that either still wait or are messages now."""
        self.segments: list[int] = []
        for line in said:
            if line["say"] == "ack":
                self.note_acknowledged(line)
            else:
                self.note_tried(line)

    def note_tried(self, line: dict[str, Any]) -> None:
        if "session" in line:
            self.tried_tips[line["session"]] = line["tip"]
            self.drafts.pop(line["session"], None)  # sending may have emptied it
        self.tried_deleted |= {line["deleted"]} if "deleted" in line else set()
        self.tried_purged |= set(line.get("purged", ()))
        if line.get("sent"):
            self.waiting.discard(line["text"])
            self.being_sent.add(line["text"])
        if "draft" in line:
            self.drafts.pop(line["draft"], None)
        if "waiting" in line:
            self.drafts.clear()  # enqueuing empties the one of its session

    def note_acknowledged(self, line: dict[str, Any]) -> None:
        if "session" in line:
            self.tips[line["session"]] = line["tip"]
        if "message" in line:
            self.texts[line["message"]] = line["text"]
        if "deleted" in line:
            self.deleted.add(line["deleted"])
        self.purged |= set(line.get("purged", ()))
        if "num_tokens" in line:
            self.num_tokens[line["reply"]] = line["num_tokens"]
        if "finished" in line:
            self.finished.add(line["finished"])
        if "labeled" in line:
            self.labels.add(line["labeled"])
        if "draft" in line:
            self.drafts[line["draft"]] = line["text"]
        if "waiting" in line:
            self.waiting.add(line["waiting"])
        if "segment" in line:
            self.segments.append(line["segment"])


def check_what_is_left(directory: Path, said: Said) -> None:
    """Assert that everything acknowledged is stored, and nothing that was never tried."""
    told = Told(said)
    with DataDir(directory):
        assert [name for name in os.listdir(directory) if not OUR_FILES.fullmatch(name)] == []
        database = open_database(directory / "chats.db")
        assert database.notices == ()
        assert database._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database._connection.execute("PRAGMA foreign_key_check").fetchall() == []
        sessions = {row.id: row for row in database.list_sessions()}
        gone = {row.id for row in database.list_sessions(deleted=True)}
        assert told.deleted - told.tried_purged <= gone <= told.tried_deleted - told.purged
        assert told.tips.keys() - told.tried_deleted <= sessions.keys() <= told.tried_tips.keys()
        assert not sessions.keys() & told.deleted
        for name, row in sessions.items():
            known = {told.tips[name]} if name in told.tips else set()
            assert row.tip_id in known | {told.tried_tips[name]}
            assert len(database.load_path(row.tip_id)) == row.num_messages
            if name in told.drafts:
                assert row.draft.endswith(told.drafts[name])
        for name, text in told.texts.items():
            message = database.message(name)
            assert message is not None or told.tried_purged
            assert message is None or message.text == text
        for name, num_acknowledged in told.num_tokens.items():
            reply = database.message(name)
            if reply is None:
                assert told.tried_purged
                continue
            assert len(reply.token_ids) >= num_acknowledged
            assert reply.token_ids == tuple(range(len(reply.token_ids)))
            assert reply.text == "".join(f"{token_id} " for token_id in reply.token_ids)
            assert reply.state in ({"done"} if name in told.finished else {"done", "interrupted"})
        for name in told.labels:
            labeled = database.message(name)
            assert labeled is None or labeled.label == f"label {name}"
        if not told.tried_deleted:
            drafts = "\n".join(row.draft for row in sessions.values())
            assert all(text in drafts for text in told.waiting)
            sent = set(database.read(lambda row: str(row[0]), "SELECT text FROM messages"))
            assert all((text in drafts) != (text in sent) for text in told.being_sent)
        orphans = "SELECT 1 FROM messages WHERE tree_id NOT IN (SELECT tree_id FROM sessions)"
        assert database.read(bool, orphans) == []
        database.index_slice()
        database.search("question", 5)
        database.close()


def check_segments(directory: Path, said: Said) -> None:
    """Assert that files and rows belong to each other, and what is read is what was saved."""
    with DataDir(directory):
        store = StoreThread(directory / "chats.db")
        folder, secret = SegmentFolder(directory / "kv"), installation_secret(directory)
        segments = SegmentThread(store.submit, folder, secret)
        segments.open(LAYOUT)
        segments.flush().result(10)
        rows, _ = store.submit(read_manifest).result(10)
        assert sorted(row.name for row in rows) == sorted(os.listdir(directory / "kv"))
        for number in Told(said).segments:
            segment = make_segment(number)
            read: Future[FetchedBlocks] = Future()
            segments.fetch("x", [(key, 1) for key in segment.index.keys], read.set_result)
            for (key, _), (numbers,) in read.result(10).blocks.items():
                nth = segment.index.keys.index(key)
                assert bytes(numbers) == bytes(segment.arrays[0][0][64 * nth : 64 * nth + 64])
        segments.close()
        store.close()


def test_a_run_that_is_not_killed_stores_everything(run_workload: Run, place: Path) -> None:
    for seed in range(1, 6):
        directory = place / str(seed)
        said = run_workload(directory, seed, NEVER)
        assert said[-1]["status"] == 0
        check_what_is_left(directory, said)
        check_segments(directory, said)


@pytest.mark.parametrize("seed", range(1, 25))
def test_a_process_killed_at_any_fault_point_loses_nothing_acknowledged(
    run_workload: Run, place: Path, seed: int
) -> None:
    num_hits = run_workload(place / "whole", seed, NEVER)[-2]["num_hits"]
    dice = random.Random(seed)
    # The first points of all, where files are made, then points all over the run.
    points = {*range(seed, 60, 24), *dice.sample(range(1, num_hits), min(num_hits - 1, 25))}
    for kill_at in sorted(points):
        directory = place / str(kill_at)
        said = run_workload(directory, seed, kill_at)
        check_what_is_left(directory, said)
        if kill_at % 4 == 0:
            check_segments(directory, said)
        shutil.rmtree(directory)


@pytest.mark.parametrize("seed", range(8))
def test_a_process_killed_at_a_random_time_loses_nothing_acknowledged(
    run_workload: Run, place: Path, seed: int
) -> None:
    said = run_workload(place / "data", seed, NEVER, random.Random(seed).randint(1, 60))
    check_what_is_left(place / "data", said)
    check_segments(place / "data", said)


def test_a_process_killed_again_and_again_still_loses_nothing(
    run_workload: Run, place: Path
) -> None:
    directory = place / "data"
    texts: dict[str, list[str]] = {}
    for kill_at in range(1, 120, 3):
        run_workload(directory, kill_at, kill_at)  # ids begin with the seed
        with DataDir(directory):
            database = open_database(directory / "chats.db")
            assert database.notices == ()
            stored = {
                row.id: [message.text for message in database.load_path(row.tip_id)]
                for row in database.list_sessions()
            }
            assert stored.items() >= texts.items()
            texts = stored
            database.close()
    assert len(texts) > 10


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_processes_killed_anywhere_lose_nothing_acknowledged(
    run_workload: Run, place: Path, part: int
) -> None:
    for seed in range(1000 + part * 500, 1500 + part * 500):
        directory = place / str(seed)
        said = run_workload(directory, seed, random.Random(seed).randint(1, 300))
        check_what_is_left(directory, said)
        check_segments(directory, said)
        shutil.rmtree(directory)
