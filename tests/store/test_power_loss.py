"""The power goes at any moment: what was not synced is there, gone, cut, zeros or rubbish.

A workload saves blocks and messages. At every fault point the folders are remembered as they are
then, with what has been synced of each file and of each folder's names. Of each such moment random
states are built that a file system may show after the power comes back: every name that was made,
renamed or deleted since its folder was synced is old or new by itself, and a file that was not
synced holds anything. The database is as SQLite promises: every commit that returned is in it.
"""

import os
import random
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kvchat import errors
from kvchat.kv.segments import FetchedBlocks, Segment
from kvchat.store.data_dir import DataDir
from kvchat.store.manifest import read_manifest
from kvchat.store.rows import MessageRow, SessionRow
from kvchat.store.segment_folder import SegmentFolder, installation_secret
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.store.segment_workload import LAYOUT, make_segment  # needs the path

DATABASE = ("chats.db", "chats.db-wal", "chats.db-shm")
NUM_TURNS = 3
Names = dict[str, tuple[int, bytes]]
"""What a folder holds: inode and content by name."""


@dataclass(frozen=True)
class Moment:
    """Both folders at one fault point, and how many messages had been acknowledged by then."""

    point: str
    current: dict[Path, Names]
    durable: dict[Path, Names]
    synced: dict[int, bytes]
    num_acknowledged: int


class Recorder:
    """Remembers every moment of a workload in a folder; `os.fsync` is told to it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders = (root, root / "kv")
        self.moments: list[Moment] = []
        self.num_acknowledged = 0
        self._durable: dict[Path, Names] = {folder: {} for folder in self.folders}
        self._synced: dict[int, bytes] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.note_sync)
        monkeypatch.setattr(errors, "fault_hook", self.note_moment)

    def note_sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        status = os.fstat(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if not stat.S_ISDIR(status.st_mode):
            self._synced[status.st_ino] = path.read_bytes()
        elif path in self._durable:
            self._durable[path] = names_in(path)

    def note_moment(self, point: str) -> None:
        current = {folder: names_in(folder) for folder in self.folders}
        durable = {folder: dict(names) for folder, names in self._durable.items()}
        self.moments.append(
            Moment(point, current, durable, dict(self._synced), self.num_acknowledged)
        )


def names_in(folder: Path) -> Names:
    if not folder.is_dir():
        return {}
    return {
        path.name: (path.stat().st_ino, path.read_bytes())
        for path in folder.iterdir()
        if path.is_file()
    }


def texts_of(number: int) -> str:
    return f"message {number} " * 20


def segments_of(seed: int) -> list[Segment]:
    """The blocks of each turn, and an open tail that the next turn replaces."""
    segments = []
    for turn in range(NUM_TURNS):
        segments.append(make_segment(seed * 100 + turn, 2 * turn))
        segments.append(make_segment(seed * 100 + 50 + turn, 2 * turn + 2, 1, last=2))
    return segments


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name).resolve()


def record(root: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Moment]:
    """Talk and save blocks, and return the moments at which the power may go."""
    root.mkdir(mode=0o700)
    with monkeypatch.context() as patch, DataDir(root):
        recorder = Recorder(root, patch)
        store = StoreThread(root / "chats.db", tick_seconds=3600.0)
        segments = SegmentThread(
            store.submit, SegmentFolder(root / "kv"), installation_secret(root), folder_bytes=2000
        )
        segments.open(LAYOUT)
        for name in ("a", "b"):
            row = SessionRow(name, "t")
            store.submit(lambda database, row=row: database.create_session(row)).result(10)  # type: ignore[misc]
        keys: list[bytes] = []
        spoken = segments_of(seed)
        for turn in range(NUM_TURNS):
            parent = f"m{turn - 1}" if turn else None
            message = MessageRow(f"m{turn}", "t", parent, "user", texts_of(turn))
            store.submit(lambda database, row=message: database.add_message("a", row)).result(10)  # type: ignore[misc]
            recorder.num_acknowledged += 1
            full, tail = spoken[2 * turn : 2 * turn + 2]
            keys += full.index.keys
            saved = segments.save("a", [full, tail], [*keys, *tail.index.keys])
            assert saved is not None
            saved.result(10)
            segments.share("a", "b")
            segments.flush().result(10)
        segments.forget("a")
        segments.forget("b")
        segments.close()
        store.close()
    return recorder.moments


def damaged(content: bytes, dice: random.Random) -> bytes:
    """Return what a file may hold that was not synced."""
    kind = dice.randrange(5)
    cut = dice.randrange(0, len(content) + 1, 512) if content else 0
    return (
        content,
        b"",
        content[:cut],
        bytes(len(content)),
        content[:cut] + dice.randbytes(len(content) - cut),
    )[kind]


def build_state(moment: Moment, root: Path, seed: int) -> None:
    """Make the folders as a file system may show them after the power was lost at a moment."""
    dice = random.Random(seed)
    for number, (folder, current) in enumerate(moment.current.items()):
        target = root / "kv" if number else root
        target.mkdir(mode=0o700)
        durable = moment.durable[folder]
        for name in sorted(current.keys() | durable.keys()):
            if name in DATABASE:
                if name in current:
                    (target / name).write_bytes(current[name][1])
                continue
            new, old = current.get(name), durable.get(name)
            is_settled = new is not None and old is not None and new[0] == old[0]
            chosen = new if is_settled else dice.choice((new, old))
            if chosen is None:
                continue
            inode, content = chosen
            if moment.synced.get(inode) != content:
                content = damaged(content, dice)
            (target / name).write_bytes(content)
            (target / name).chmod(0o600)
    for path in root.glob("chats.db*"):
        path.chmod(0o600)


def check_state(moment: Moment, root: Path, spoken: list[Segment]) -> None:
    """Open what is left: all that was acknowledged is there, and every row has its whole file."""
    with DataDir(root):
        store = StoreThread(root / "chats.db")
        assert store.notices == ()
        folder, secret = SegmentFolder(root / "kv"), installation_secret(root)
        before = {row.name for row in store.submit(read_manifest).result(10)[0]}
        assert before <= set(os.listdir(root / "kv")), "a row without its file"
        segments = SegmentThread(store.submit, folder, secret)
        segments.open(LAYOUT)
        segments.flush().result(10)
        rows, _ = store.submit(read_manifest).result(10)
        # Where the secret was lost the files prove nothing, and all of them go.
        assert {row.name for row in rows} == set(os.listdir(root / "kv"))
        bytes_of = {
            key: bytes(segment.arrays[0][0][64 * nth : 64 * nth + 64])
            for segment in spoken
            for nth, key in enumerate(segment.index.keys)
        }
        wanted = [(key, 1) for row in rows for key in row.index.keys]
        read: Future[FetchedBlocks] = Future()
        segments.fetch("b", wanted, read.set_result)
        blocks = read.result(10).blocks
        assert {key for key, _ in blocks} == {key for key, _ in wanted}, "a row with a bad file"
        assert all(bytes(arrays[0]) == bytes_of[key] for (key, _), arrays in blocks.items())
        messages = store.submit(lambda database: database.load_path(_tip(moment))).result(10)
        assert [row.text for row in messages] == [
            texts_of(number) for number in range(moment.num_acknowledged)
        ]
        segments.close()
        store.close()
        assert not [name for name in os.listdir(root) if name.endswith(".tmp")]


def _tip(moment: Moment) -> str | None:
    return f"m{moment.num_acknowledged - 1}" if moment.num_acknowledged else None


def check_states(
    place: Path, seed: int, states_of_each: int, monkeypatch: pytest.MonkeyPatch
) -> int:
    moments = record(place / "talk", seed, monkeypatch)
    num_states = 0
    for number, moment in enumerate(moments):
        for state in range(states_of_each):
            root = place / f"{number}-{state}"
            build_state(moment, root, seed * 10**6 + number * 1000 + state)
            check_state(moment, root, segments_of(seed))
            num_states += 1
            for path in sorted(root.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            root.rmdir()
    return num_states


def test_the_moments_have_every_kind_of_file_that_power_loss_leaves(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = record(place / "talk", 1, monkeypatch)
    kv = place / "talk" / "kv"
    unsynced = [
        name
        for moment in moments
        for name, (inode, content) in moment.current[kv].items()
        if moment.synced.get(inode) != content
    ]
    unsettled = [name for m in moments for name in m.current[kv].keys() - m.durable[kv].keys()]
    deleted = [name for m in moments for name in m.durable[kv].keys() - m.current[kv].keys()]
    assert all(name.endswith(".tmp") for name in unsynced)
    assert any(name.endswith(".tmp") for name in unsettled)
    assert any(name.endswith(".safetensors") for name in unsettled)
    assert any(name.endswith(".safetensors") for name in deleted)
    assert unsynced


@pytest.mark.parametrize("seed", range(1, 11))
def test_no_state_after_power_loss_loses_a_message_or_names_a_bad_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert check_states(place, seed, 4, monkeypatch) >= 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_states_after_power_loss_lose_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    check_states(place, seed, 64, monkeypatch)
