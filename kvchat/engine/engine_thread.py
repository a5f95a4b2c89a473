"""EngineThread: the command queue, and the one thread that touches tensors.

Commands run between two steps, in the order they came. The thread never waits for a reader or a
disk; while it has nothing to do it sleeps until the next command.
"""

import gc
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from kvchat.engine.sequence import SequenceState, SequenceStats
from kvchat.errors import EngineStopped, KVChatError
from kvchat.kv.pool_view import PoolView

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine

Result = TypeVar("Result")
VIEW_SECONDS = 0.2
VIEW_PART = 50
"""A view is made at most one part in so many of the time, however large the pool is."""

ABANDONED = "Generation stopped working, so this reply stopped; its text so far is saved."

log = logging.getLogger(__name__)


class EngineThread:
    """Builds an engine on its own thread, then alternates between commands and steps.

    `build` imports torch and loads weights there, so starting costs the caller nothing; commands
    wait in line meanwhile. `on_ready` and `on_ended` are called on the thread; `on_ended` gets the
    sentence of an error, or None after `close`. `restart` builds another engine after an error.
    """

    def __init__(
        self,
        build: Callable[[], "Engine"],
        *,
        on_ready: Callable[["Engine"], None],
        on_ended: Callable[[str | None], None],
    ) -> None:
        self._build = build
        self._on_ready = on_ready
        self._on_ended = on_ended
        self.failure: EngineStopped | None = None
        """Why the thread ended unasked; the error behind it is the cause."""
        self._commands: deque[Callable[[Engine | None], None]] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._restart_lock = threading.Lock()
        """Held while the last thread is waited for, so that two restarts make one engine."""
        self._is_closing = False
        self._has_ended = False
        self._view_due = 0.0
        self._wants_view = False
        self._view_group = 0
        self._viewed_steps = -1
        self.view_seconds = 0.0
        """What the last view cost this thread."""
        self.view: PoolView | None = None
        self.progress: dict[str, SequenceStats] = {}
        """Sequences that run or wait, as of the last step; replaced, never changed."""
        self._thread = self._new_thread()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def restart(self, note_loading: Callable[[], None] = lambda: None) -> bool:
        """Build a new engine after the last one ended unasked; say whether it was done.

        `note_loading` is called before the new thread does anything.
        False while an engine runs or loads, after `close`, and on the thread that is just ending.
        Waits until that one has told everybody of its end; call it from anywhere else.
        """
        if threading.current_thread() is self._thread:
            return False
        with self._restart_lock:
            with self._lock:
                if not self._has_ended or self._is_closing:
                    return False
            self._thread.join()
            with self._lock:
                if self._is_closing:
                    return False
                thread = self._new_thread()
                thread.start()  # where the system refuses, nothing has changed
                self._thread = thread
                self._has_ended = False
                note_loading()
        return True

    def call(self, command: Callable[["Engine"], Result]) -> "Future[Result]":
        """Queue a command and return a future of its result, which may hold EngineStopped."""
        future: Future[Result] = Future()

        def run(engine: "Engine | None") -> None:
            if not future.set_running_or_notify_cancel():
                return
            if engine is None:
                future.set_exception(self._stopped())
                return
            try:
                result = command(engine)
            except Exception as error:
                # Whoever asked gets the error; the engine goes on.
                if not isinstance(error, KVChatError):
                    log.error("a command failed: %s", type(error).__name__)
                future.set_exception(error)
            except BaseException:
                # This ends the thread. Whoever asked hears of it with the others in line, when the
                # reason is known and a restart is possible.
                with self._lock:
                    self._commands.appendleft(lambda _: future.set_exception(self._stopped()))
                raise
            else:
                future.set_result(result)

        with self._lock:
            has_ended = self._has_ended or self._is_closing
            if not has_ended:
                self._commands.append(run)
        if has_ended:
            run(None)
        self._wake.set()
        return future

    def want_view(self, wanted: bool, group_index: int = 0) -> None:
        """Start or stop publishing `view` of a layer group, at most five times a second."""
        self._wants_view = wanted
        self._view_group = group_index
        self._viewed_steps = -1
        self._wake.set()

    def close(self, timeout: float | None = None) -> bool:
        """Run what is queued, end the thread, and say whether it ended within `timeout` seconds.

        Generations that still run end as cancelled.
        """
        with self._lock:
            self._is_closing = True
        self._wake.set()
        if self._thread.ident is None:
            self._drop_commands()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="kvchat-engine", daemon=True)

    def _run(self) -> None:
        with self._lock:
            self.failure = self.view = None
            self.progress = {}
            self._viewed_steps = -1
        sentence: str | None = None
        engine: Engine | None = None
        try:
            engine = self._build()
            self._on_ready(engine)
            self._serve(engine)
        except KVChatError as error:
            sentence = error.sentence
            self.failure = EngineStopped(sentence)
            self.failure.__cause__ = error
            _clear_frames(error)
        except BaseException as error:
            # The last line of defence: text is in the store, and the user is told.
            log.exception("the engine thread ended")
            sentence = (
                f"Generation stopped working: {_cause(error)}. "
                "Your chats are saved; restart it with /restart."
            )
            self.failure = EngineStopped(sentence)
            _clear_frames(error)
        self._drop_commands()
        try:
            if engine is not None:
                engine.abandon(None if sentence is None else ABANDONED)
        finally:
            # Whoever keeps the error keeps its frames, this one too: not so model and pool.
            engine = None
            gc.collect()
            self._on_ended(sentence)

    def _drop_commands(self) -> None:
        with self._lock:
            self._has_ended = True
            dropped = list(self._commands)
            self._commands.clear()
        for command in dropped:
            command(None)

    def _serve(self, engine: "Engine") -> None:
        while True:
            self._wake.clear()
            num_commands = len(self._commands)
            for _ in range(num_commands):
                self._commands.popleft()(engine)
            if num_commands:
                self._viewed_steps = -1
            if self._is_closing and not self._commands:
                return
            if engine.has_work:
                engine.step()
            if num_commands or self.progress or engine.has_work:
                self.progress = {
                    stats.owner: stats
                    for stats in engine.stats()
                    if stats.state is not SequenceState.IDLE
                }
            self._publish_view(engine)
            if not engine.has_work and not self._commands and not self._is_closing:
                self._wake.wait(self._seconds_to_sleep(engine))

    def _seconds_to_sleep(self, engine: "Engine") -> float | None:
        """Return how long to wait for a command at most; None is for ever."""
        seconds = engine.seconds_to_wait
        if not self._is_view_stale(engine):
            return seconds
        return VIEW_SECONDS if seconds is None else min(VIEW_SECONDS, seconds)

    def _is_view_stale(self, engine: "Engine") -> bool:
        return self._wants_view and self._viewed_steps != engine.num_steps

    def _publish_view(self, engine: "Engine") -> None:
        now = monotonic()
        if self._is_view_stale(engine) and now >= self._view_due:
            self.view = engine.cache.pool_view(self._view_group)
            self.view_seconds = monotonic() - now
            self._viewed_steps = engine.num_steps
            self._view_due = now + max(VIEW_SECONDS, VIEW_PART * self.view_seconds)

    def _stopped(self) -> EngineStopped:
        if self.failure is None:
            return EngineStopped("The engine has stopped; all text is saved. Start kvchat again.")
        stopped = EngineStopped(self.failure.sentence)
        stopped.__cause__ = self.failure.__cause__
        return stopped


def _cause(error: BaseException) -> str:
    is_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return "memory ran out" if is_memory else type(error).__name__


def _clear_frames(error: BaseException | None) -> None:
    """Drop the local variables that the tracebacks behind an error hold."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
