"""What a session does right now, and its figures."""

from dataclasses import dataclass
from enum import StrEnum


class SessionState(StrEnum):
    """What a session does right now."""

    IDLE = "idle"
    LOADING = "loading"
    """The model is not loaded yet; the message is saved and waits."""
    WAITING = "waiting"
    """Others use the pool; see `queue_place`."""
    PREFILL = "prefill"
    STREAMING = "streaming"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Figures of one session; speeds in tokens per second are those of its last reply."""

    num_tokens: int
    num_cached_tokens: int
    num_prefilled_tokens: int
    num_generated_tokens: int
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    num_blocks: int
    num_shared_blocks: int
    num_seen_tokens: int
    """Tokens inside window and sinks: what the model still sees."""
