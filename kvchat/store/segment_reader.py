"""SegmentReader: files with saved blocks are read and proved good, by several threads at once.

The caller's thread reads and checks headers while others compute the checksums of blocks: a keyed
BLAKE2b runs at about the speed of one core's memory and lets go of the interpreter lock. Knows one
file at a time, and nothing of the manifest.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from kvchat.errors import SegmentRejected
from kvchat.kv.segments import FoundBlocks, ManifestRow, SegmentFile, SegmentLayout
from kvchat.store.segment_folder import SegmentFolder
from kvchat.untrusted import FileMissing, UntrustedFile

MAX_THREADS = 4
TASK_BYTES = 1 << 20
"""About so many bytes are checked at a time by one thread"""

WantedBlock = tuple[bytes, int, int]
"""Key, layer group, and place in the file"""


@dataclass
class ReadFile:
    """What came of reading a file: its good blocks, and what was wrong with the others.

    reason   why nothing of it can be used, for the log; None where it could
    loss     the same for people
    damaged  its blocks whose checksums are wrong
    """

    blocks: dict[tuple[bytes, int], tuple[memoryview, ...]] = field(default_factory=dict)
    reason: str | None = None
    loss: str | None = None
    damaged: list[WantedBlock] = field(default_factory=list)


class SegmentReader:
    """Reads files of one folder; `close` ends its threads, which start when they are needed."""

    def __init__(self, folder: SegmentFolder, secret: bytes) -> None:
        self._folder = folder
        self._secret = secret
        self._threads = ThreadPoolExecutor(
            max(1, min(MAX_THREADS, os.cpu_count() or 1)), thread_name_prefix="kvchat-checksums"
        )

    def close(self) -> None:
        """End the threads; one that hangs in a computation does not exist."""
        self._threads.shutdown()

    def read(
        self,
        layout: SegmentLayout,
        wanted: Sequence[tuple[ManifestRow, Sequence[WantedBlock]]],
    ) -> list[ReadFile]:
        """Return what these blocks of these files are; raises nothing but what is our own bug."""
        files = []
        for row, blocks in wanted:
            file = ReadFile()
            files.append((file, self._begin(layout.with_block_size(row.block_size), row, blocks,
                                            file)))  # fmt: skip
        for file, tasks in files:
            for task in tasks:
                found, damaged = task.result()
                file.blocks.update(found)
                file.damaged += damaged
        return [file for file, _ in files]

    def _begin(
        self,
        layout: SegmentLayout,
        row: ManifestRow,
        blocks: Sequence[WantedBlock],
        file: ReadFile,
    ) -> "list[Future[tuple[FoundBlocks, list[WantedBlock]]]]":
        """Read a file, and let others check its blocks."""
        try:
            content = self._folder.read(row.name, row.num_bytes)
            opened = SegmentFile(layout, row, content, self._secret)
        except SegmentRejected as error:
            file.reason, file.loss = str(error), "cache file damaged"
        except FileMissing as error:
            file.reason, file.loss = error.sentence, "cache file missing"
        except UntrustedFile as error:
            file.reason, file.loss = error.sentence, "cache file unreadable"
        except MemoryError:
            file.reason, file.loss = "out of memory", "cache file not read"
        if file.reason is not None:
            return []
        at_once = max(1, TASK_BYTES // max(1, layout.block_bytes))
        return [
            self._threads.submit(_check, opened, blocks[first : first + at_once])
            for first in range(0, len(blocks), at_once)
        ]


def _check(
    file: SegmentFile, blocks: Sequence[WantedBlock]
) -> tuple[FoundBlocks, list[WantedBlock]]:
    """Return the good ones of some blocks, and the others."""
    found: dict[tuple[bytes, int], tuple[memoryview, ...]] = {}
    damaged: list[WantedBlock] = []
    for block in blocks:
        key, group, place = block
        try:
            found[key, group] = file.block(place, group)
        except SegmentRejected:
            damaged.append(block)
    return found, damaged
