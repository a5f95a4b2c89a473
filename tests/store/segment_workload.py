"""A program that saves blocks and is killed: run by test_segment_thread.py.

Arguments: directory, seed, and the fault point at which it kills itself. Says on stdout which
segments were acknowledged.
"""

import os
import random
import signal
import sys
from pathlib import Path

from kvchat import errors
from kvchat.kv.segments import BlockArray, Segment, SegmentIndex, SegmentLayout
from kvchat.store.database import Database
from kvchat.store.rows import SessionRow
from kvchat.store.segment_folder import SegmentFolder, installation_secret
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

LAYOUT = SegmentLayout("digest", "scheme", 4, ((BlockArray("blocks", "I8", (2, 4, 8)),),))


def make_segment(number: int, first_block: int = 0, num_blocks: int = 2, last: int = 4) -> Segment:
    """Return blocks whose keys, tokens and bytes follow from a number."""
    rng = random.Random(number)
    counts = [4] * (num_blocks - 1) + [last]
    index = SegmentIndex(
        "",
        first_block,
        tuple(rng.randbytes(16) for _ in counts),
        tuple(rng.randbytes(16) for _ in counts),
        tuple(tuple(rng.randrange(100) for _ in range(count)) for count in counts),
        (tuple(range(num_blocks)),),
    )
    return Segment(index, ((rng.randbytes(64 * num_blocks),),))


def create_sessions(database: Database) -> None:
    """Store the sessions "a" and "b" the first time."""
    known = [*database.list_sessions(), *database.list_sessions(deleted=True)]
    for name in {"a", "b"} - {row.id for row in known}:
        database.create_session(SessionRow(id=name, tree_id="t"))


def open_threads(
    directory: Path, folder_bytes: int = 1 << 30, queue_bytes: int = 1 << 20
) -> tuple[StoreThread, SegmentThread]:
    """Open a store with the sessions "a" and "b", and the segments beside it."""
    store = StoreThread(directory / "chats.db")
    store.submit(create_sessions).result()
    segments = SegmentThread(
        store.submit,
        SegmentFolder(directory / "kv"),
        installation_secret(directory),
        folder_bytes=folder_bytes,
        queue_bytes=queue_bytes,
    )
    segments.open(LAYOUT)
    return store, segments


def kill_at(hit: int) -> None:
    num_hits = 0

    def hook(point: str) -> None:
        nonlocal num_hits
        num_hits += 1
        if num_hits == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    errors.fault_hook = hook


def main() -> None:
    directory, seed = Path(sys.argv[1]), int(sys.argv[2])
    kill_at(int(sys.argv[3]))
    store, segments = open_threads(directory, folder_bytes=3000)
    keys: list[bytes] = []
    for number in range(6):
        full = make_segment(seed * 100 + number, 2 * number)
        tail = make_segment(seed * 100 + 50 + number, 2 * number + 2, 1, last=2)
        keys += full.index.keys
        saved = segments.save("a", [full, tail], [*keys, *tail.index.keys])
        assert saved is not None
        if saved.result():
            os.write(1, b"%d\n" % number)
        segments.share("a", "b")
    segments.forget("a")
    segments.close()
    store.close()


if __name__ == "__main__":
    main()
