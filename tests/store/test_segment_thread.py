"""Segments on disk: what is named is there, what is there is named, whatever happens between."""

import errno
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from kvchat import errors
from kvchat.errors import ModelError
from kvchat.kv.segments import FetchedBlocks, FoundBlocks, Segment
from kvchat.store.manifest import read_manifest
from kvchat.store.segment_folder import SegmentFolder, installation_id, installation_secret
from kvchat.store.segment_thread import SegmentThread, segment_thread
from kvchat.store.store_thread import StoreThread

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.store.segment_workload import LAYOUT, make_segment, open_threads  # needs the path

WORKLOAD = Path(__file__).with_name("segment_workload.py")


class Threads:
    """Both threads over one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open()

    def open(self, folder_bytes: int = 1 << 30, queue_bytes: int = 1 << 20) -> None:
        self.store, self.segments = open_threads(self.directory, folder_bytes, queue_bytes)

    def close(self) -> None:
        self.segments.close()
        self.store.close()

    def reopen(self, folder_bytes: int = 1 << 30) -> None:
        self.close()
        self.open(folder_bytes)
        self.segments.flush().result()

    def save(self, owner: str, *segments: Segment) -> bool:
        keys = [key for segment in segments for key in segment.index.keys]
        future = self.segments.save(owner, segments, keys)
        return future is not None and future.result()

    def fetch(self, segment: Segment) -> FoundBlocks:
        result: Future[FetchedBlocks] = Future()
        wanted = [(key, 1) for key in segment.index.keys]
        self.segments.fetch("a", wanted, result.set_result)
        return result.result().blocks

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "kv").iterdir())

    def rows(self) -> list[str]:
        rows, _ = self.store.submit(read_manifest).result()
        return sorted(row.name for row in rows)


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    threads = Threads(tmp_path)
    yield threads
    errors.fault_hook = None
    threads.close()


def content_of(segment: Segment) -> dict[tuple[bytes, int], bytes]:
    (numbers,) = segment.arrays[0]
    return {
        (key, 0): bytes(numbers[64 * nth : 64 * nth + 64])
        for nth, key in enumerate(segment.index.keys)
    }


def is_back(threads: Threads, segment: Segment) -> bool:
    found = {place: bytes(arrays[0]) for place, arrays in threads.fetch(segment).items()}
    assert found.items() <= content_of(segment).items()
    return found == content_of(segment)


def test_saved_blocks_come_back_now_and_after_a_restart(threads: Threads) -> None:
    segment = make_segment(1)
    assert threads.save("a", segment)
    assert is_back(threads, segment)
    threads.reopen()
    assert threads.segments.groups(segment.index.keys[0]) == 1
    assert threads.segments.find(segment.index.keys[0], segment.index.token_ids[0]) == 1
    assert threads.segments.find(segment.index.keys[0], (1, 2, 3, 4)) == 0
    assert is_back(threads, segment)


@pytest.mark.parametrize("is_wanted", [False, True])
def test_reading_comes_before_what_waits_to_be_written(threads: Threads, is_wanted: bool) -> None:
    first, second = make_segment(1), make_segment(2)
    threads.save("a", first)
    order: list[str] = []
    gate = Event()

    def wait() -> None:
        gate.wait()

    threads.segments._put(wait)
    saved = threads.segments.save("a", [second], second.index.keys)
    assert saved is not None
    saved.add_done_callback(lambda _: order.append("written"))
    keys = [*first.index.keys, *(second.index.keys if is_wanted else ())]
    result: Future[FetchedBlocks] = Future()
    result.add_done_callback(lambda _: order.append("read"))
    threads.segments.fetch("a", [(key, 1) for key in keys], result.set_result)
    gate.set()
    assert len(result.result().blocks) == len(keys)
    saved.result()
    threads.segments.flush().result()
    assert order == (["written", "read"] if is_wanted else ["read", "written"])


def damage_first_block(threads: Threads, name: str) -> None:
    path = threads.directory / "kv" / name
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little") + 5] ^= 1
    path.write_bytes(content)


def test_a_damaged_block_that_is_saved_again_is_good_again(threads: Threads) -> None:
    segment = make_segment(1, num_blocks=1)
    threads.save("a", segment)
    damage_first_block(threads, threads.names()[0])
    assert not threads.fetch(segment)
    assert threads.segments.groups(segment.index.keys[0]) == 0
    assert threads.save("a", segment) and len(threads.names()) == 1
    assert is_back(threads, segment)
    threads.reopen()
    assert is_back(threads, segment)


def test_a_damaged_block_is_read_from_another_file_that_has_it(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_segment(1)
    index = whole.index
    first = replace(
        index,
        keys=index.keys[:1],
        stems=index.stems[:1],
        token_ids=index.token_ids[:1],
        places=((0,),),
    )
    copy = Segment(first, ((whole.arrays[0][0][:64],),))
    threads.save("a", whole)
    damage_first_block(threads, threads.names()[0])
    threads.save("a", copy)
    result: Future[FetchedBlocks] = Future()
    threads.segments.fetch("a", [(key, 1) for key in index.keys], result.set_result)
    assert len(result.result().blocks) == 2 and result.result().loss is None
    assert is_back(threads, whole)
    assert any("damaged at block 0" in line for line in caplog.messages)


def test_files_and_secret_are_for_their_owner_alone(threads: Threads) -> None:
    threads.save("a", make_segment(1))
    for path in [*(threads.directory / "kv").iterdir(), threads.directory / "segments.key"]:
        assert path.stat().st_mode & 0o777 == 0o600
    assert (threads.directory / "kv").stat().st_mode & 0o777 == 0o700


def test_the_beginning_of_a_saved_block_is_found_by_what_it_continues(threads: Threads) -> None:
    segment = make_segment(1)
    threads.save("a", segment)
    index, find = segment.index, threads.segments.find_tail
    ids = index.token_ids[1]
    assert find(index.stems[1], ids[:3]) == (index.keys[1], 3, 1)
    assert find(index.stems[1], (*ids[:2], 999)) == (index.keys[1], 2, 1)
    assert find(index.stems[1], (999,)) is None
    assert find(b"?" * 16, ids) is None


def test_an_open_tail_gives_way_to_the_next_one(threads: Threads) -> None:
    full, tail = make_segment(1), make_segment(2, 2, 1, last=2)
    threads.save("a", full, tail)
    assert len(threads.names()) == 2
    longer = make_segment(3, 2, 1, last=3)
    future = threads.segments.save("a", [longer], [*full.index.keys, *longer.index.keys])
    assert future is not None and future.result()
    assert not is_back(threads, tail)
    assert is_back(threads, longer) and is_back(threads, full)
    assert threads.names() == threads.rows() and len(threads.names()) == 2


def test_a_tail_stays_while_a_fork_uses_it(threads: Threads) -> None:
    full, tail = make_segment(1), make_segment(2, 2, 1, last=2)
    threads.save("a", full, tail)
    threads.segments.share("a", "b")
    longer = make_segment(3, 2, 1, last=3)
    threads.segments.save("a", [longer], [*full.index.keys, *longer.index.keys])
    assert is_back(threads, tail)
    threads.segments.forget("a")
    threads.reopen()
    assert is_back(threads, tail) and is_back(threads, full)
    assert not is_back(threads, longer)
    threads.segments.forget("b")
    threads.segments.flush().result()
    assert threads.names() == threads.rows() == []


def test_a_deleted_session_uses_nothing_after_a_restart(threads: Threads) -> None:
    threads.save("a", make_segment(1))
    threads.store.submit(lambda database: database.delete_session("a", 1.0)).result()
    threads.reopen()
    assert threads.names() == threads.rows() == []


def test_nothing_is_kept_for_a_session_that_is_not_stored(threads: Threads) -> None:
    threads.save("nobody", make_segment(1))
    assert threads.names() == threads.rows() == []


def test_the_same_segment_is_written_once(threads: Threads) -> None:
    segment = make_segment(1)
    threads.save("a", segment)
    writes: list[str] = []
    errors.fault_hook = lambda point: writes.append(point) if point == "file.create" else None
    threads.save("b", segment)
    assert writes == []
    threads.segments.forget("a")
    assert is_back(threads, segment)


def test_files_nobody_names_go_at_the_start_and_others_stay(threads: Threads) -> None:
    threads.save("a", make_segment(1))
    folder = threads.directory / "kv"
    kept = threads.names()
    orphan = folder / f"{'0' * 32}-3-{'1' * 16}.safetensors"
    stump = folder / f".{kept[0]}.{'2' * 16}.tmp"
    for path in (orphan, stump):
        path.write_bytes(b"rubbish")
    (folder / "notes.txt").write_text("mine")
    victim = threads.directory / "victim"
    victim.write_text("mine")
    link = folder / f"{'3' * 32}-3-{'1' * 16}.safetensors"
    link.symlink_to(victim)
    threads.reopen()
    assert threads.names() == sorted([*kept, "notes.txt", link.name])
    assert victim.read_text() == "mine"


def test_a_row_without_a_file_goes_at_the_start(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    segment = make_segment(1)
    threads.save("a", segment)
    (threads.directory / "kv" / threads.names()[0]).unlink()
    threads.reopen()
    assert threads.rows() == []
    assert threads.segments.groups(segment.index.keys[0]) == 0
    assert any("are gone" in line for line in caplog.messages)


def test_a_row_that_makes_no_sense_is_left_out(threads: Threads) -> None:
    threads.save("a", make_segment(1))
    threads.save("b", make_segment(2))

    def damage(database: object) -> None:
        connection = database._connection  # type: ignore[attr-defined]
        connection.execute(
            "UPDATE segments SET keys = x'00' WHERE name = (SELECT min(name) FROM segments)"
        )

    threads.store.submit(damage).result()
    threads.reopen()
    assert is_back(threads, make_segment(1)) != is_back(threads, make_segment(2))
    assert threads.store.not_saving is None


def test_over_the_limit_what_was_used_longest_ago_goes(threads: Threads) -> None:
    old, used, new = make_segment(1), make_segment(2), make_segment(3)
    for segment in (old, used):
        threads.save("a" if segment is old else "b", segment)
    assert is_back(threads, used) and not threads.fetch(make_segment(9))
    size = sum(path.stat().st_size for path in (threads.directory / "kv").iterdir())
    threads.close()
    threads.open(folder_bytes=size + 10)
    # A fetch for session "a" counts for the files of that session as well.
    result: Future[FetchedBlocks] = Future()
    threads.segments.fetch("b", [(used.index.keys[0], 1)], result.set_result)
    assert result.result()
    threads.save("b", new)
    assert threads.segments.groups(old.index.keys[0]) == 0
    assert is_back(threads, used) and is_back(threads, new)
    assert threads.names() == threads.rows() and len(threads.names()) == 2


def test_ends_of_a_chat_go_before_its_beginning(threads: Threads) -> None:
    parts = [make_segment(number, 2 * number) for number in range(4)]
    threads.save("a", *parts)
    size = sum(path.stat().st_size for path in (threads.directory / "kv").iterdir())
    threads.reopen(folder_bytes=size // 2 + 10)
    assert [threads.segments.groups(part.index.keys[0]) for part in parts] == [1, 1, 0, 0]


def test_a_full_queue_refuses_and_says_how_much_room_there_is(tmp_path: Path) -> None:
    threads = Threads(tmp_path)
    threads.close()
    threads.open(queue_bytes=100)
    go_on, is_writing = Event(), Event()

    def wait(point: str) -> None:
        if point == "file.create":
            is_writing.set()
            go_on.wait(60)

    errors.fault_hook = wait
    segments, first, second = threads.segments, make_segment(1), make_segment(2)
    future = segments.save("a", [first], list(first.index.keys))
    assert is_writing.wait(60)
    assert segments.room_bytes <= 0
    assert segments.groups(first.index.keys[0]) == 1  # on its way counts
    assert segments.save("a", [second], list(second.index.keys)) is None
    assert segments.groups(second.index.keys[0]) == 0
    go_on.set()
    assert future is not None and future.result()
    errors.fault_hook = None
    assert segments.room_bytes == 100
    threads.close()


@pytest.mark.parametrize(
    "point",
    ["file.create", "file.write", "file.fsync", "file.rename", "file.fsync_directory"],
)
def test_a_refusing_disk_leaves_no_stump_and_no_row(threads: Threads, point: str) -> None:
    def hook(reached: str) -> None:
        if reached == point:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    errors.fault_hook = hook
    segment = make_segment(1)
    assert not threads.save("a", segment)
    assert threads.names() == threads.rows() == []
    assert threads.segments.groups(segment.index.keys[0]) == 0
    errors.fault_hook = None
    assert threads.save("a", segment)
    assert is_back(threads, segment)


def test_a_manifest_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    threads = Threads(tmp_path)

    def hook(reached: str) -> None:
        if reached == "segment.written":
            errors.fault_hook = refuse

    def refuse(reached: str) -> None:
        if reached == "db.commit":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    errors.fault_hook = hook
    segment = make_segment(1)
    assert not threads.save("a", segment)
    errors.fault_hook = None
    assert threads.names() == []
    assert threads.segments.groups(segment.index.keys[0]) == 0
    threads.close()


def test_after_closing_nothing_is_taken_and_nobody_waits(threads: Threads) -> None:
    segment = make_segment(1)
    threads.save("a", segment)
    threads.segments.close()
    assert threads.segments.save("a", [make_segment(2)], []) is None
    assert threads.fetch(segment) == {} or is_back(threads, segment)


def test_closing_before_anything_was_opened_ends_at_once(tmp_path: Path) -> None:
    store = StoreThread(tmp_path / "chats.db")
    segments = SegmentThread(store.submit, SegmentFolder(tmp_path / "kv"), bytes(32))
    segments.forget("a")
    assert segments.close()
    store.close()


def test_an_unusable_secret_is_replaced(tmp_path: Path) -> None:
    first = installation_secret(tmp_path)
    assert installation_secret(tmp_path) == first and len(first) == 32
    (tmp_path / "segments.key").write_bytes(b"short")
    second = installation_secret(tmp_path)
    assert len(second) == 32 and second != first
    assert installation_id(first) != installation_id(second)


def test_without_a_place_for_files_nothing_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = StoreThread(tmp_path / "chats.db")
    (tmp_path / "kv").write_text("a file in the way")
    assert segment_thread(store.submit, tmp_path, None) is None
    assert any("not saved" in line for line in caplog.messages)
    assert segment_thread(store.submit, tmp_path, tmp_path / "elsewhere") is not None
    store.close()


def killed_run(directory: Path, seed: int, hit: int) -> tuple[int, list[int]]:
    root = str(Path(errors.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, str(WORKLOAD), str(directory), str(seed), str(hit)],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    return result.returncode, [int(line) for line in result.stdout.split()]


def check_what_is_left(
    directory: Path, seed: int, acknowledged: list[int], *, is_over: bool
) -> None:
    """Assert that files and rows agree, and that what was acknowledged last is there."""
    threads = Threads(directory)
    threads.segments.flush().result()
    assert threads.names() == threads.rows()
    for name in threads.names():
        assert not name.startswith(".")
    for number in range(6):
        for segment in (
            make_segment(seed * 100 + number, 2 * number),
            make_segment(seed * 100 + 50 + number, 2 * number + 2, 1, last=2),
        ):
            is_known = threads.segments.groups(segment.index.keys[0]) == 1
            assert is_back(threads, segment) == is_known
    if acknowledged and not is_over:
        last = make_segment(seed * 100 + acknowledged[-1], 2 * acknowledged[-1])
        assert is_back(threads, last)
    threads.close()


@pytest.mark.parametrize("hit", [*range(8, 60, 3), *range(61, 160, 9)])
def test_a_process_killed_while_saving_leaves_files_and_rows_that_agree(
    tmp_path: Path, hit: int
) -> None:
    status, acknowledged = killed_run(tmp_path, hit, hit)
    assert status in (-signal.SIGKILL, 0)
    check_what_is_left(tmp_path, hit, acknowledged, is_over=len(acknowledged) == 6)


@pytest.mark.slow
@pytest.mark.parametrize("hit", range(1, 240))
def test_a_process_killed_at_every_point_leaves_files_and_rows_that_agree(
    tmp_path: Path, hit: int
) -> None:
    status, acknowledged = killed_run(tmp_path, hit, hit)
    assert status in (-signal.SIGKILL, 0)
    check_what_is_left(tmp_path, hit, acknowledged, is_over=len(acknowledged) == 6)


def test_another_engine_with_the_same_layout_goes_on_and_any_other_is_refused(
    threads: Threads,
) -> None:
    segment = make_segment(1)
    assert threads.save("a", segment)
    threads.segments.open(LAYOUT)
    assert is_back(threads, segment)
    with pytest.raises(ModelError, match="quit and start kvchat again"):
        threads.segments.open(replace(LAYOUT, model_digest="other"))
    assert is_back(threads, segment)
