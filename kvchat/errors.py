"""The errors a caller can meet, and the named points where tests make things fail.

    KVChatError                          one sentence: what happened, what is safe, what to do
    ├── InvalidArgument                  also a ValueError; raised before anything is reserved
    ├── ModelError                       a model folder that cannot be loaded, and why
    ├── ContextTooLong, PoolTooSmall     what is needed, what is there, the setting to change
    ├── ReplyFailed                      this reply stopped; its text so far is saved
    ├── SessionNotFound, SessionBusy, SessionClosed
    └── DataDirInUse, DatabaseDamaged, NotSaving, EngineStopped

`code` is stable, for tests and exit statuses. `OutOfBlocks`, `SegmentRejected` and `StepStopped`
never leave the engine: the first makes it evict, preempt or wait, the second makes it prefill, the
third ends a step that nobody waits for any more.
"""

from collections.abc import Callable


class KVChatError(Exception):
    """Something a user can read and act on: one clear sentence."""

    code: str = "internal"
    exit_status: int = 70

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        if code is not None:
            self.code = code


class InvalidArgument(KVChatError, ValueError):
    """An argument is outside its range; raised before anything is reserved."""

    code = "usage"
    exit_status = 2


class ModelError(KVChatError):
    """A model folder cannot be loaded: the file, field or tensor, the value found, what to do."""

    code = "model_bad"
    exit_status = 65


class ContextTooLong(KVChatError):
    """A prompt does not fit the context of the model."""

    code = "context_full"
    exit_status = 1


class PoolTooSmall(KVChatError):
    """A prompt needs more blocks than the whole pool has."""

    code = "pool_too_small"
    exit_status = 1


class ReplyFailed(KVChatError):
    """This reply stopped with an error; its text so far is saved and the session can go on."""

    code = "turn_failed"
    exit_status = 1


class SessionNotFound(KVChatError):
    """No session has this id or name."""

    code = "session_not_found"
    exit_status = 66


class SessionBusy(KVChatError):
    """A reply of this session is still running."""

    code = "session_busy"
    exit_status = 75


class SessionClosed(KVChatError):
    """The session, or its runtime, was closed."""

    code = "session_closed"


class DataDirInUse(KVChatError):
    """Another process has this data directory open."""

    code = "in_use"
    exit_status = 75


class DatabaseDamaged(KVChatError):
    """The chat database cannot be opened; it was left untouched or kept under another name."""

    code = "db_bad"
    exit_status = 65


class NotSaving(KVChatError):
    """Nothing can be written now; nothing was computed."""

    code = "not_saving"
    exit_status = 74


class EngineStopped(KVChatError):
    """The engine thread has ended; all text is saved, a new runtime can go on."""

    code = "engine_stopped"


class OutOfBlocks(Exception):
    """A reservation needs more blocks than are free and evictable. Never leaves the engine."""


class StepStopped(Exception):
    """Every row of a step was cancelled while it was computed. Never leaves the engine."""


class SegmentRejected(Exception):
    """A KV file is not proved good, so its tokens are prefilled. Never leaves the engine."""


fault_hook: Callable[[str], None] | None = None
"""Set by tests only: called with the name of each fault point that is reached."""


def fault(point: str) -> None:
    """Mark a named place where tests can make an allocation, copy, commit or file fail.

    Does nothing unless a test has set `fault_hook`; then whatever the hook raises is raised here.
    """
    if fault_hook is not None:
        fault_hook(point)
