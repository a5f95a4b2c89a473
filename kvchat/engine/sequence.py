"""Sequence: one conversation's tokens in the engine, and how far they are computed.

SequenceStats and ResumeCost say of it what a panel shows. Plain Python, no tensors.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from kvchat.engine.request import Request, Timing

if TYPE_CHECKING:
    from kvchat.kv.cache import SequenceId


class SequenceState(Enum):
    """What the engine does with a sequence."""

    IDLE = "idle"
    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(eq=False, slots=True)
class Sequence:
    """Token ids, the cache sequence that holds their keys and values, and the running request.

    `token_ids` may run ahead of the cache: the tokens behind the cache's length are to be computed.
    `last_used` is a counter, never a clock. `notice` goes to the reader of the request, once.
    """

    owner: str
    cache_id: "SequenceId"
    token_ids: list[int] = field(default_factory=list)
    state: SequenceState = SequenceState.IDLE
    request: Request | None = None
    arrival: int = 0
    last_used: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    notice: str | None = None
    is_overtaken: bool = False
    """Whether the focused prompt went first although this one had come before it."""
    looked_at: tuple[int, int] | None = None
    """Publications of the cache, and own length, when it last looked for its prompt there."""

    def take_notice(self) -> str | None:
        """Return the notice that nobody was told yet, and forget it."""
        notice, self.notice = self.notice, None
        return notice

    def timing(self) -> Timing:
        """Return counts and seconds of the running request."""
        return Timing(
            self.num_prompt_tokens,
            self.num_cached_tokens,
            self.num_generated_tokens,
            self.prefill_seconds,
            self.decode_seconds,
        )


@dataclass(frozen=True, slots=True)
class SequenceStats:
    """One sequence for a panel: tokens, how many are in the cache, and where it waits."""

    owner: str
    state: SequenceState
    num_tokens: int
    num_computed_tokens: int
    num_prompt_tokens: int
    queue_place: int
    queue_length: int


@dataclass(frozen=True, slots=True)
class ResumeCost:
    """Where the tokens of a sequence are: in the pool, only on disk, or to be computed again."""

    owner: str
    num_resident_tokens: int
    num_disk_tokens: int
    num_prefill_tokens: int
