"""The one thread that hashes, writes and reads segment files; nobody else waits for their disk.

What is handed in is either saved or dropped: dropping costs prefill after a restart, never words. A
file is written and on disk before the manifest names it, and the manifest forgets it before it is
deleted. A file that is not proved good is forgotten, with a line in the log.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from kvchat.errors import KVChatError, ModelError, fault
from kvchat.kv.segments import FetchedBlocks, ManifestRow, Segment, SegmentLayout, encode
from kvchat.store.block_search import BlockSearch, SearchResult
from kvchat.store.database import Database
from kvchat.store.manifest import (
    drop_segments,
    drop_unused_segments,
    leave_segments,
    read_manifest,
    save_segments,
    share_segments,
    use_segments,
)
from kvchat.store.saved_blocks import SavedBlocks
from kvchat.store.segment_folder import SegmentFolder, installation_id, installation_secret
from kvchat.store.segment_reader import SegmentReader
from kvchat.store.segment_register import SegmentRegister

QUEUE_BYTES = 64 << 20
FOLDER_BYTES = 4 << 30
SECONDS_TO_GIVE_UP = 5.0
_PENDING = "pending "
"""Begins the names of files that are still to be written"""

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
Submit = Callable[[Callable[[Database], _T]], "Future[_T]"]


class SegmentThread:
    """Saves and brings back blocks; implements the engine's SegmentStore.

    submit        runs a job on the store thread, as `StoreThread.submit`
    folder        where the files are
    secret        what their checksums are keyed with
    folder_bytes  beyond so many bytes the files used longest ago go
    queue_bytes   beyond so many bytes waiting to be written, new ones are refused
    """

    def __init__(
        self,
        submit: Submit,  # type: ignore[type-arg]  # generic in each call, which no alias can say
        folder: SegmentFolder,
        secret: bytes,
        *,
        folder_bytes: int = FOLDER_BYTES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._submit = submit
        self._folder = folder
        self._secret = secret
        self._folder_bytes = folder_bytes
        self._queue_bytes = queue_bytes
        self._layout: SegmentLayout | None = None
        self._register = SegmentRegister()
        self._reader = SegmentReader(folder, secret)
        self._search = BlockSearch(self._register, self._reader)
        self._lock = Lock()  # around the next three
        self._queued_bytes = 0
        self._is_closed = False
        self._is_in_haste = False
        self._numbers = count(1)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._urgent: deque[Callable[[], None]] = deque()
        self._thread = Thread(target=self._run, name="kvchat-segments", daemon=True)

    # Any thread

    def open(self, layout: SegmentLayout) -> None:
        """Read the manifest, find what this model can use, and start; waits for the store.

        What was handed in before waits until now. Opened already, it goes on with the same layout
        for another engine; raises ModelError for another layout.
        """
        if self._thread.ident is not None:
            if layout != self._layout:
                raise ModelError(
                    "The model's files or its device have changed since the start; "
                    "quit and start kvchat again."
                )
            return
        rows, names = self._wait(read_manifest)
        self._layout = layout
        self._register.open(layout, rows, names)
        self._thread.start()
        self._put(self._sweep)

    @property
    def room_bytes(self) -> int:
        """Bytes that can be handed in now; the first of them may be more."""
        return self._queue_bytes - self._queued_bytes

    def other_sizes(self) -> list[int]:
        """Return sizes of blocks, other than the pool's, in which something is saved."""
        return self._register.other_sizes()

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which a block is saved or about to be."""
        return self._saved(None).groups(key)

    def find(self, key: bytes, token_ids: tuple[int, ...], block_size: int | None = None) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""
        return self._saved(block_size).find(key, token_ids)

    def find_tail(
        self, stem: bytes, token_ids: Sequence[int], block_size: int | None = None
    ) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the saved block most like these tokens."""
        return self._saved(block_size).find_tail(stem, token_ids)

    def save(
        self, owner: str, segments: Sequence[Segment], keys: Sequence[bytes]
    ) -> "Future[bool] | None":
        """Write segments of a session, whose blocks have these keys; None if there is no room now.

        `keys` are those of all blocks that the session has, from its first on. It then uses every
        file that holds one of them, and no longer an open tail in the place of one. Without keys
        it uses the new files besides those it uses. The future says whether all is on disk; it
        fails with nothing.
        """
        num_bytes = sum(segment.num_bytes for segment in segments)
        with self._lock:
            if self._is_closed or (num_bytes and self._queued_bytes >= self._queue_bytes):
                return None
            self._queued_bytes += num_bytes
        saved = self._saved(None)
        pending = []
        for segment in segments:
            pending.append(f"{_PENDING}{next(self._numbers)}")
            saved.add(pending[-1], segment.index)
        future: Future[bool] = Future()

        def job() -> None:
            is_saved = False
            try:
                is_saved = not self._is_in_haste and self._save(owner, segments, list(keys))
            finally:
                with self._lock:
                    self._queued_bytes -= num_bytes
                for name in pending:
                    saved.remove(name)
                future.set_result(is_saved)

        self._put(job)
        return future

    def fetch(
        self,
        owner: str,
        wanted: Sequence[tuple[bytes, int]],
        on_done: Callable[[FetchedBlocks], None],
        block_size: int | None = None,
    ) -> None:
        """Read blocks, given as (key, mask of layer groups), and hand over those proved good.

        `on_done` is called exactly once, on this thread unless it has ended. Comes before what
        waits to be written, unless some of that is wanted.
        """

        def job() -> None:
            layout, result = self._layout, SearchResult()
            assert layout is not None
            try:
                self._search.find(layout, wanted, block_size or layout.block_size, result)
            finally:
                on_done(result.fetched)
            # What only the next start needs is not waited for.
            if result.rejected:
                self._drop(result.rejected)
            names = result.names | self._register.names_of(owner)
            self._register.note_use(names)
            self._submit(lambda database: use_segments(database, names))

        places = self._saved(block_size).places
        is_written = all(
            any(not name.startswith(_PENDING) for name, _ in places(key, group))
            for key, groups in wanted
            for group in range(groups.bit_length())
            if groups >> group & 1
        )
        self._put(job, is_urgent=is_written)

    def share(self, parent: str, child: str) -> None:
        """Let a fork use the files of its parent."""

        def job() -> None:
            if self._register.names_of(parent):
                self._wait(lambda database: share_segments(database, parent, child))
                self._register.share(parent, child)

        self._put(job)

    def forget(self, owner: str) -> None:
        """Let a deleted session use no file; those nobody else uses are deleted."""

        def job() -> None:
            if self._register.leave(owner):
                self._remove(self._wait(lambda database: leave_segments(database, owner)))

        self._put(job)

    def explain(self, owner: str) -> None:
        """Say in the log why a session whose keys and values were saved cannot use them."""
        self._put(lambda: self._explain(owner))

    def flush(self) -> "Future[None]":
        """Return a future that is done when all handed in so far is saved or dropped."""
        future: Future[None] = Future()
        self._put(lambda: future.set_result(None))
        return future

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Save what was handed in so far, and end; say whether it was done in time.

        After `timeout_seconds`, 5 by default, what is not written yet is dropped.
        """
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._jobs.put(None)
        if self._thread.ident is None:
            return True
        self._thread.join(SECONDS_TO_GIVE_UP if timeout_seconds is None else timeout_seconds)
        if self._thread.is_alive():
            self._is_in_haste = True
            self._thread.join(SECONDS_TO_GIVE_UP)
        return not self._is_in_haste

    def _put(self, job: Callable[[], None], *, is_urgent: bool = False) -> None:
        """Do a job after those before it, or before those that are not urgent."""
        with self._lock:
            is_closed = self._is_closed
            if not is_closed and is_urgent:
                self._urgent.append(job)
                self._jobs.put(lambda: None)  # wakes the thread, which looks there first
            elif not is_closed:
                self._jobs.put(job)
        if is_closed:
            self._do(job)

    def _saved(self, block_size: int | None) -> SavedBlocks:
        assert self._layout is not None
        return self._register.saved(block_size or self._layout.block_size)

    # This thread only, from here on.

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                while self._urgent:
                    self._do(self._urgent.popleft())
                self._do(job)
        finally:
            self._reader.close()

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except KVChatError as error:
            _LOG.warning("saved keys and values were not used: %s", error.sentence)
        except Exception as error:
            # Whatever fails here costs prefill; the thread must go on for the other sessions.
            _LOG.error("saving keys and values failed: %s", type(error).__name__)

    def _wait(self, job: Callable[[Database], _T]) -> _T:
        result: _T = self._submit(job).result()
        return result

    def _sweep(self) -> None:
        """Forget what no session uses, delete files that no row names, forget rows without one."""
        started = time.monotonic()
        for name in self._wait(drop_unused_segments):
            self._register.forget(name)
        missing = self._folder.sweep(self._register.names())
        if missing:
            _LOG.info("%d saved files are gone; their tokens are computed again", len(missing))
            self._drop(missing)
        self._keep_within_limit(set())
        _LOG.debug("swept the saved files in %.3f s", time.monotonic() - started)

    def _save(self, owner: str, segments: Sequence[Segment], keys: list[bytes]) -> bool:
        layout, register, saved = self._layout, self._register, self._saved(None)
        assert layout is not None
        rows: list[ManifestRow] = []
        is_whole = True
        for segment in segments:
            try:
                row, content = encode(layout, segment, self._secret)
                if row.name not in register:
                    self._folder.write(row.name, content)
                    fault("segment.written")
                    rows.append(row)
                elif saved.is_damaged(row.name):
                    self._folder.write(row.name, content)
                    saved.add(row.name, row.index)
            except OSError as error:
                _LOG.warning("keys and values were not saved: %s", error.strerror or error)
                is_whole = False
        new = {row.name for row in rows}
        named = {name for name in saved.names(keys) if name in register} | new
        known = register.names_of(owner)
        unnamed = register.replaced(owner, len(keys)) - named
        if new or unnamed or not named <= known:
            try:
                unused = self._wait(
                    lambda database: save_segments(database, owner, rows, named, unnamed)
                )
            except KVChatError:
                self._folder.remove(new)
                raise
            for row in rows:
                register.add(row)
            register.use(owner, (known | named) - unnamed)
            self._remove(unused)
            self._keep_within_limit(register.names_of(owner))
        return is_whole

    def _explain(self, owner: str) -> None:
        assert self._layout is not None
        for name in sorted(self._register.names_of(owner)):
            if name in self._register and not self._layout.fits(self._register.row(name)):
                _LOG.info("saved keys and values ignored: made with another model or precision")
                return

    def _drop(self, names: Sequence[str]) -> None:
        """Forget files, whoever uses them, then delete them."""
        for name in names:
            self._register.hide(name)
        self._wait(lambda database: drop_segments(database, names))
        self._remove(names)

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._register.forget(name)
        self._folder.remove(names)

    def _keep_within_limit(self, spared: set[str]) -> None:
        victims = self._register.victims(self._folder_bytes, spared)
        if victims:
            _LOG.info("%d saved files used longest ago make room", len(victims))
            self._drop(victims)


def segment_thread(submit: Submit, data_dir: Path, cache_dir: Path | None) -> SegmentThread | None:  # type: ignore[type-arg]  # as above
    """Return the thread of a data directory, or None, with a line in the log, if there is no place.

    cache_dir  parent of the folder for the files; None puts them into the data directory
    """
    try:
        secret = installation_secret(data_dir)
        where = data_dir / "kv" if cache_dir is None else cache_dir / installation_id(secret)
        return SegmentThread(submit, SegmentFolder(where), secret)
    except (OSError, KVChatError) as error:
        reason = error.sentence if isinstance(error, KVChatError) else str(error.strerror)
        _LOG.warning("keys and values are not saved: %s", reason)
        return None
