"""Request: one generation; TokenEvent: what it tells its readers; FinishReason: why it ended.

Knows token ids only. Text comes from a TextStream that the caller hands in, so that stop strings
work without the engine knowing what text is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Protocol

from kvchat.kv.window_schedule import WindowChange as WindowChange
from kvchat.sampling_params import SamplingParams

_request_ids = count(1)


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    """A stop token or a stop string."""
    LENGTH = "length"
    """`max_tokens` were generated."""
    CONTEXT = "context"
    """The model's context is full."""
    CANCELLED = "cancelled"
    """Somebody asked for it; the text so far is kept."""
    FAILED = "failed"
    """An error of this generation alone; `TokenEvent.error` says which."""


class TextStream(Protocol):
    """Turns token ids into text pieces, holding back what may still change."""

    def push(self, token_id: int) -> str:
        """Return the text that became final with this token."""

    def flush(self) -> str:
        """Return what was held back, at the end."""

    @property
    def has_stopped(self) -> bool:
        """Say whether a stop string was reached."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Tokens and seconds of a generation so far; cached tokens were not computed again."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token, or the end (token_id None), in the order they happened.

    `notice` is a sentence for the reader of this reply, on its first event at most: what was done
    for it that took longer than it should have, and changed no word. `code` is that of an error
    users can act on, `record` the packed TokenRecord of the token.
    """

    token_id: int | None
    text: str
    timing: Timing
    finish_reason: FinishReason | None = None
    error: str | None = None
    notice: str | None = None
    code: str | None = None
    record: bytes = b""


@dataclass(eq=False, slots=True)
class Request:
    """One generation for the sequence of `owner`.

    `token_ids` are all tokens the sequence is to have before the first new one, and `windows` under
    which windows each is read, in order of their positions; None leaves them. `on_event` is
    called on the engine thread and must only append somewhere. `is_cancelled` may be set by any
    thread; a running step then discards this row at its end.
    """

    owner: str
    token_ids: list[int]
    sampling: SamplingParams
    seed: int
    stop_ids: frozenset[int]
    on_event: Callable[[TokenEvent], None]
    text_stream: TextStream
    is_cancelled: bool = False
    windows: "Sequence[WindowChange] | None" = None
    id: int = field(default_factory=lambda: next(_request_ids))
