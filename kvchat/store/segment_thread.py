"""The one thread that hashes, writes and reads segment files; nobody else waits for their disk.

What is handed in is either saved or dropped: dropping costs prefill after a restart, never words. A
file is written and on disk before the manifest names it, and the manifest forgets it before it is
deleted. A file that is not proved good is forgotten, with a line in the log.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from kvchat.errors import KVChatError, SegmentRejected, fault
from kvchat.kv.segments import ManifestRow, Segment, SegmentFile, SegmentLayout, encode
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
from kvchat.untrusted import UntrustedFile

QUEUE_BYTES = 64 << 20
FOLDER_BYTES = 4 << 30
SECONDS_TO_GIVE_UP = 5.0

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
Submit = Callable[[Callable[[Database], _T]], "Future[_T]"]
Found = dict[tuple[bytes, int], tuple[memoryview, ...]]
"""Verified arrays of blocks, by key and layer group."""


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
        self._lock = Lock()  # around the next four, for plain lookups only
        self._saved = SavedBlocks()
        self._queued_bytes = 0
        self._is_closed = False
        self._is_in_haste = False
        self._rows: dict[str, ManifestRow] = {}
        self._names: dict[str, set[str]] = {}
        self._use_orders: dict[str, int] = {}
        self._num_uses = 0
        self._numbers = count(1)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="kvchat-segments", daemon=True)

    # Any thread

    def open(self, layout: SegmentLayout) -> None:
        """Read the manifest, find what this model can use, and start; waits for the store.

        What was handed in before waits until now.
        """
        rows, names = self._wait(read_manifest)
        self._layout = layout
        with self._lock:
            for row in rows:
                if _fits(row, layout):
                    self._saved.add(row.name, row.index)
        self._rows = {row.name: row for row in rows}
        self._use_orders = {row.name: row.use_order for row in rows}
        self._num_uses = max(self._use_orders.values(), default=0)
        self._names = names
        self._thread.start()
        self._put(self._sweep)

    @property
    def room_bytes(self) -> int:
        """Bytes that can be handed in now; the first of them may be more."""
        return self._queue_bytes - self._queued_bytes

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which a block is saved or about to be."""
        with self._lock:
            return self._saved.groups(key)

    def find(self, key: bytes, token_ids: tuple[int, ...]) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""
        with self._lock:
            return self._saved.find(key, token_ids)

    def find_tail(self, stem: bytes, token_ids: Sequence[int]) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the saved block most like these tokens."""
        with self._lock:
            return self._saved.find_tail(stem, token_ids)

    def save(
        self, owner: str, segments: Sequence[Segment], keys: Sequence[bytes]
    ) -> "Future[bool] | None":
        """Write segments of a session, whose blocks have these keys; None if there is no room now.

        `keys` are those of all blocks that the session has, from its first on. It then uses every
        file that holds one of them, and no longer an open tail in the place of one. The future says
        whether all is on disk; it fails with nothing.
        """
        num_bytes = sum(segment.num_bytes for segment in segments)
        with self._lock:
            if self._is_closed or (num_bytes and self._queued_bytes >= self._queue_bytes):
                return None
            self._queued_bytes += num_bytes
            pending = []
            for segment in segments:
                pending.append(f"pending {next(self._numbers)}")
                self._saved.add(pending[-1], segment.index)
        future: Future[bool] = Future()

        def job() -> None:
            is_saved = False
            try:
                is_saved = not self._is_in_haste and self._save(owner, segments, list(keys))
            finally:
                with self._lock:
                    self._queued_bytes -= num_bytes
                    for name in pending:
                        self._saved.remove(name)
                future.set_result(is_saved)

        self._put(job)
        return future

    def fetch(
        self,
        owner: str,
        wanted: Sequence[tuple[bytes, int]],
        on_done: Callable[[Mapping[tuple[bytes, int], tuple[memoryview, ...]]], None],
    ) -> None:
        """Read blocks, given as (key, mask of layer groups), and hand over those proved good.

        `on_done` is called exactly once, on this thread unless it has ended.
        """

        def job() -> None:
            found: Found = {}
            try:
                found = self._fetch(owner, wanted)
            finally:
                on_done(found)

        self._put(job)

    def share(self, parent: str, child: str) -> None:
        """Let a fork use the files of its parent."""

        def job() -> None:
            names = self._names.get(parent)
            if names:
                self._wait(lambda database: share_segments(database, parent, child))
                self._names.setdefault(child, set()).update(names)

        self._put(job)

    def forget(self, owner: str) -> None:
        """Let a deleted session use no file; those nobody else uses are deleted."""

        def job() -> None:
            if self._names.pop(owner, None):
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

    def _put(self, job: Callable[[], None]) -> None:
        with self._lock:
            is_closed = self._is_closed
            if not is_closed:
                self._jobs.put(job)
        if is_closed:
            self._do(job)

    # This thread only, from here on.

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)

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
            self._forget_row(name)
        missing = self._folder.sweep(self._rows)
        if missing:
            _LOG.info("%d saved files are gone; their tokens are computed again", len(missing))
            self._drop(missing)
        self._keep_within_limit(set())
        _LOG.debug("swept the saved files in %.3f s", time.monotonic() - started)

    def _save(self, owner: str, segments: Sequence[Segment], keys: list[bytes]) -> bool:
        layout = self._layout
        assert layout is not None
        rows: list[ManifestRow] = []
        is_whole = True
        for segment in segments:
            try:
                row, content = encode(layout, segment, self._secret)
                if row.name not in self._rows:
                    self._folder.write(row.name, content)
                    fault("segment.written")
                    rows.append(row)
            except OSError as error:
                _LOG.warning("keys and values were not saved: %s", error.strerror or error)
                is_whole = False
        new = {row.name for row in rows}
        with self._lock:
            named = {name for name in self._saved.names(keys) if name in self._rows} | new
        known = self._names.get(owner, set())
        unnamed = {
            name
            for name in known - named
            if name in self._rows and _is_open_tail(self._rows[name], len(keys))
        }
        if new or unnamed or not named <= known:
            try:
                unused = self._wait(
                    lambda database: save_segments(database, owner, rows, named, unnamed)
                )
            except KVChatError:
                self._folder.remove(new)
                raise
            with self._lock:
                for row in rows:
                    self._saved.add(row.name, row.index)
            for row in rows:
                self._rows[row.name] = row
            self._names[owner] = (known | named) - unnamed
            self._note_use(self._names[owner])
            self._remove(unused)
            self._keep_within_limit(self._names[owner])
        return is_whole

    def _fetch(self, owner: str, wanted: Sequence[tuple[bytes, int]]) -> Found:
        assert self._layout is not None
        by_file: dict[str, list[tuple[bytes, int, int]]] = {}
        for key, groups in wanted:
            for group in range(len(self._layout.groups)):
                if not groups >> group & 1:
                    continue
                with self._lock:
                    places = self._saved.places(key, group)
                for name, place in places:
                    if name in self._rows:
                        by_file.setdefault(name, []).append((key, group, place))
                        break
        found: Found = {}
        for name, blocks in by_file.items():
            self._read(name, blocks, found)
        names = self._names.get(owner, set()) | by_file.keys()
        self._note_use(names)
        self._submit(lambda database: use_segments(database, names))
        return found

    def _read(self, name: str, blocks: Iterable[tuple[bytes, int, int]], found: Found) -> None:
        row, layout = self._rows[name], self._layout
        assert layout is not None
        try:
            content = self._folder.read(name, row.num_bytes)
            file = SegmentFile(layout, row, content, self._secret)
            for key, group, place in blocks:
                found[key, group] = file.block(place, group)
        except SegmentRejected as error:
            _LOG.warning("saved keys and values ignored (%s): %s", name[:8], error)
        except (UntrustedFile, MemoryError) as error:
            reason = error.sentence if isinstance(error, UntrustedFile) else "out of memory"
            _LOG.warning("saved keys and values ignored (%s): %s", name[:8], reason)
        else:
            return
        self._drop([name])

    def _explain(self, owner: str) -> None:
        assert self._layout is not None
        for name in sorted(self._names.get(owner, ())):
            row = self._rows.get(name)
            if row is not None and not _fits(row, self._layout):
                _LOG.info("saved keys and values ignored: made with another model or block size")
                return

    def _drop(self, names: Sequence[str]) -> None:
        """Forget files, whoever uses them, then delete them."""
        with self._lock:
            for name in names:
                self._saved.remove(name)
        self._wait(lambda database: drop_segments(database, names))
        self._remove(names)

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._forget_row(name)
        self._folder.remove(names)

    def _forget_row(self, name: str) -> None:
        with self._lock:
            self._saved.remove(name)
        self._rows.pop(name, None)
        self._use_orders.pop(name, None)
        for of_session in self._names.values():
            of_session.discard(name)

    def _note_use(self, names: Iterable[str]) -> None:
        self._num_uses += 1
        for name in names:
            self._use_orders[name] = self._num_uses

    def _keep_within_limit(self, spared: set[str]) -> None:
        """Drop what was used longest ago, ends of chats before their beginnings."""
        num_bytes = sum(row.num_bytes for row in self._rows.values())
        if num_bytes <= self._folder_bytes:
            return
        victims = []
        for name, row in sorted(
            self._rows.items(),
            key=lambda item: (self._use_orders.get(item[0], 0), -item[1].index.first_block),
        ):
            if num_bytes <= self._folder_bytes:
                break
            if name not in spared:
                victims.append(name)
                num_bytes -= row.num_bytes
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


def _fits(row: ManifestRow, layout: SegmentLayout) -> bool:
    return (row.model_digest, row.scheme, row.block_size) == (
        layout.model_digest,
        layout.scheme,
        layout.block_size,
    )


def _is_open_tail(row: ManifestRow, num_blocks: int) -> bool:
    """Say whether a file holds an open block that one of a session's `num_blocks` replaces."""
    return len(row.index.token_ids[-1]) < row.block_size and row.index.first_block < num_blocks
