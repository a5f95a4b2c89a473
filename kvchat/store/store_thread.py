"""The one thread that talks to the chat database: jobs in order, streaming text once a tick.

Callers hand in jobs and may wait for them. The engine hands in pieces of replies with `stream`,
which never waits: the pieces of all replies are committed together, one second after the first of
them or when one reply has 64. Drafts go the same way. Pieces that were handed in before a job are
committed before it runs. When the disk refuses, nothing is dropped: pieces wait in memory and are
tried again.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from kvchat.errors import DatabaseDamaged, KVChatError, NotSaving, SessionClosed
from kvchat.store.database import Database
from kvchat.store.open_database import open_database
from kvchat.store.rows import ReplyEnd, ReplyUpdate

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_Job = Callable[[Database], None]


class _Wake(Enum):
    """What the thread is woken for, apart from a job."""

    LOOK = auto()
    """There are pieces now; they wait for their tick."""
    FLUSH = auto()
    RETRY = auto()
    STOP = auto()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of a streaming reply, or its end."""

    message_id: str
    text: str
    token_id: int | None
    record: bytes
    end: ReplyEnd | None


@dataclass(frozen=True, slots=True)
class _Draft:
    """The text of a prompt that is being typed."""

    session_id: str
    text: str


@dataclass(slots=True)
class _Unsaved:
    """What one reply has to be extended by."""

    pieces: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    end: ReplyEnd | None = None


class StoreThread:
    """Owns the database from opening to closing; made and closed by any one thread.

    path            the database file, or None to keep everything in memory
    on_not_saving   called on the store thread with a sentence when the disk begins to refuse, and
                    with None when a commit has succeeded again; it must not wait for a job
    tick_seconds    the longest time a piece waits for its commit
    tick_tokens     a reply with so many pieces waiting is committed at once
    retry_seconds   the time between two tries while the disk refuses

    Opening happens before the constructor returns, and raises what Database raises.
    """

    num_interrupted: int
    """Replies of the last process that were found streaming when the database was opened."""
    notices: tuple[str, ...]
    """Sentences about the state in which the database was found."""

    def __init__(
        self,
        path: Path | None,
        *,
        on_not_saving: Callable[[str | None], None] = lambda sentence: None,
        tick_seconds: float = 1.0,
        tick_tokens: int = 64,
        retry_seconds: float = 10.0,
    ) -> None:
        self._path = path
        self._on_not_saving = on_not_saving
        self._tick_seconds = tick_seconds
        self._tick_tokens = tick_tokens
        self._retry_seconds = retry_seconds
        self._jobs: SimpleQueue[_Job | _Wake] = SimpleQueue()
        self._pieces: deque[_Piece | _Draft | None] = deque()
        # None marks where a job was submitted: what came after it is committed after it, for it
        # may be what begins the reply.
        self._num_pieces: dict[str, int] = {}  # of each reply, since its last wake-up
        self._is_asleep = False
        self._unsaved: dict[str, _Unsaved] = {}
        self._unsaved_drafts: dict[str, str] = {}
        self._outage: str | None = None
        self._flush_at: float | None = None
        self._retry_at = 0.0
        self._look_for_backup_at = 0.0
        self._is_closed = False
        self._door = Lock()  # between submit and close
        opened: Future[tuple[int, tuple[str, ...]]] = Future()
        self._thread = Thread(target=self._run, args=(opened,), name="kvchat-store", daemon=True)
        self._thread.start()
        self.num_interrupted, self.notices = opened.result()

    @property
    def not_saving(self) -> str | None:
        """The sentence of the outage that goes on now, or None while commits succeed."""
        return self._outage

    def submit(self, job: Callable[[Database], _T]) -> Future[_T]:
        """Run a job on the store thread, after the jobs before it; returns at once, any thread.

        The future holds the job's result or what it raised: NotSaving when the disk refused, in
        which case nothing of the method that raised was stored; SessionClosed after `close`.
        """
        future: Future[_T] = Future()

        def run(database: Database) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job(database)
            except BaseException as error:  # the job's owner gets it; this thread goes on
                future.set_exception(error)
                if isinstance(error, NotSaving | DatabaseDamaged):
                    self._begin_outage(error)
            else:
                future.set_result(result)

        with self._door:
            if self._is_closed:
                future.set_exception(SessionClosed("This runtime was closed; start a new one."))
            else:
                self._pieces.append(None)
                self._jobs.put(run)
        return future

    def stream(
        self, message_id: str, text: str, token_id: int | None = None, record: bytes = b""
    ) -> None:
        """Append a piece to a reply begun with `Database.begin_reply`; in practice the engine's.

        Never waits and never fails; the pieces of one reply come from one thread at a time. Text
        and token may come apart: "" for a token that shows nothing yet, None for text that needs
        no token. `record` is what is kept of the token's alternatives; all tokens of a reply have
        one, or none has.
        """
        self._append(message_id, text, token_id, record, None)

    def finish(self, message_id: str, end: ReplyEnd) -> None:
        """End a reply, after its pieces; committed without waiting for the tick.

        Never waits; called where `stream` is.
        """
        self._append(message_id, "", None, b"", end)

    def keep_draft(self, session_id: str, text: str) -> None:
        """Store what stands in a session's prompt, within `tick_seconds`; never waits, any thread.

        Of many texts of one session the last is stored.
        """
        self._pieces.append(_Draft(session_id, text))
        self._wake()

    def _append(
        self,
        message_id: str,
        text: str,
        token_id: int | None,
        record: bytes,
        end: ReplyEnd | None,
    ) -> None:
        self._pieces.append(_Piece(message_id, text, token_id, record, end))
        num_pieces = self._num_pieces.get(message_id, 0) + 1
        if end is not None:
            self._num_pieces.pop(message_id, None)
        elif num_pieces < self._tick_tokens:
            self._num_pieces[message_id] = num_pieces
            self._wake()
            return
        else:
            self._num_pieces[message_id] = 0
        self._jobs.put(_Wake.FLUSH)

    def _wake(self) -> None:
        # The other thread sets the flag, then looks for pieces; this one does it in the other
        # order, so that one of them sees the other.
        if self._is_asleep:
            self._is_asleep = False
            self._jobs.put(_Wake.LOOK)

    def flush(self) -> Future[None]:
        """Commit all pieces handed in so far; the future fails with NotSaving if that fails."""
        return self.submit(self._flush_or_raise)

    def _flush_or_raise(self, database: Database) -> None:
        if self._unsaved or self._unsaved_drafts:  # the flush before every job has failed
            raise NotSaving(self._outage or "The last words are not saved.")

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Run the jobs and commit the pieces handed in so far, then close the database.

        Returns whether everything was stored: False when the disk refused to the end, or when
        `timeout_seconds` have passed and the thread is left to finish by itself.
        """
        with self._door:
            if not self._is_closed:
                self._is_closed = True
                self._jobs.put(_Wake.STOP)
        self._thread.join(timeout_seconds)
        is_saved = not self._unsaved and not self._unsaved_drafts
        return not self._thread.is_alive() and is_saved

    # Store thread only, from here on.

    def _run(self, opened: Future[tuple[int, tuple[str, ...]]]) -> None:
        try:
            database = open_database(self._path)
        except BaseException as error:  # raised in the constructor, where somebody can act on it
            opened.set_exception(error)
            return
        opened.set_result((database.num_interrupted, database.notices))
        try:
            while (job := self._next_job()) is not _Wake.STOP:
                num_commits = database.num_commits
                if not isinstance(job, _Wake):
                    self._flush_pieces(database)
                    self._pieces.popleft()  # the mark of this job
                    job(database)
                elif job is _Wake.RETRY:
                    self._flush_pieces(database)
                    self._probe(database)
                elif job is _Wake.FLUSH and self._outage is None:
                    self._flush_pieces(database)
                if self._outage is not None and database.num_commits > num_commits:
                    self._end_outage()
                self._keep_house(database)
            self._flush_pieces(database)
        finally:
            database.close()

    def _keep_house(self, database: Database) -> None:
        """While nobody wants anything, copy the database, and let the search index catch up."""
        try:
            if time.monotonic() >= self._look_for_backup_at and self._jobs.empty():
                self._look_for_backup_at = time.monotonic() + 3600.0
                database.back_up_daily(time.time())
        except (NotSaving, DatabaseDamaged) as error:
            _LOG.warning("the database was not copied: %s", error.code)
        while self._outage is None and self._jobs.empty() and database.wants_indexing:
            try:
                database.index_slice()
            except (NotSaving, DatabaseDamaged) as error:
                self._begin_outage(error)

    def _next_job(self) -> _Job | _Wake:
        """Wait for the next job, or until the tick or the time of the next try is over."""
        if self._outage is not None:
            return self._get_until(self._retry_at, _Wake.RETRY)
        self._is_asleep = True
        try:
            if not self._pieces:
                return self._jobs.get()
            self._is_asleep = False
            if self._flush_at is None:
                self._flush_at = time.monotonic() + self._tick_seconds
            return self._get_until(self._flush_at, _Wake.FLUSH)
        finally:
            self._is_asleep = False

    def _get_until(self, deadline: float, otherwise: _Wake) -> _Job | _Wake:
        try:
            return self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return otherwise

    def _flush_pieces(self, database: Database) -> None:
        """Commit the pieces up to the next job in one transaction.

        On failure they stay, and an outage begins.
        """
        self._flush_at = None
        while self._pieces and (piece := self._pieces[0]) is not None:
            self._pieces.popleft()
            if isinstance(piece, _Draft):
                self._unsaved_drafts[piece.session_id] = piece.text
                continue
            unsaved = self._unsaved.setdefault(piece.message_id, _Unsaved())
            unsaved.pieces.append(piece.text)
            if piece.token_id is not None:
                unsaved.token_ids.append(piece.token_id)
                unsaved.records.append(piece.record)
            unsaved.end = piece.end or unsaved.end
        self._save_drafts(database)
        if not self._unsaved:
            return
        updates = [
            ReplyUpdate(
                message_id,
                "".join(each.pieces),
                tuple(each.token_ids),
                each.end,
                b"".join(each.records),
            )
            for message_id, each in self._unsaved.items()
        ]
        try:
            database.extend_replies(updates)
        except (NotSaving, DatabaseDamaged) as error:
            self._begin_outage(error)
            return
        except Exception as error:  # a bug of ours in one update must not hold back the others
            _LOG.error("cannot store %d replies together: %s", len(updates), type(error).__name__)
            self._save_one_by_one(database, updates)
        else:
            self._unsaved.clear()

    def _save_drafts(self, database: Database) -> None:
        if not self._unsaved_drafts:
            return
        try:
            database.set_drafts(self._unsaved_drafts)
        except (NotSaving, DatabaseDamaged) as error:
            self._begin_outage(error)
        else:
            self._unsaved_drafts.clear()

    def _save_one_by_one(self, database: Database, updates: list[ReplyUpdate]) -> None:
        for update in updates:
            try:
                database.extend_replies([update])
            except (NotSaving, DatabaseDamaged) as error:
                self._begin_outage(error)
                return
            except Exception as error:  # as above
                _LOG.error("part of %s is not stored: %s", update.message_id, type(error).__name__)
                self._begin_outage(KVChatError("A part of a reply could not be saved."))
            del self._unsaved[update.message_id]

    def _probe(self, database: Database) -> None:
        """See whether the disk still refuses, when there was nothing to commit."""
        if self._unsaved or self._unsaved_drafts or self._outage is None:
            return
        try:
            database.probe_write()
        except (NotSaving, DatabaseDamaged) as error:
            self._begin_outage(error)

    def _begin_outage(self, error: KVChatError) -> None:
        is_new = self._outage is None
        self._outage = error.sentence
        self._retry_at = time.monotonic() + self._retry_seconds
        if is_new:
            _LOG.warning("not saving: %s", error.code)
            self._on_not_saving(error.sentence)

    def _end_outage(self) -> None:
        self._outage = None
        _LOG.info("saving again")
        self._on_not_saving(None)
