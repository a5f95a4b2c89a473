"""What a runtime says about itself: RuntimeStatus in words, RuntimeStats in figures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine
    from kvchat.engine.sequence import ResumeCost
    from kvchat.kv.memory_report import MemoryReport


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What the runtime can do now, for people: one sentence and the choices it made."""

    state: Literal["loading", "ready", "failed"]
    sentence: str
    model_name: str
    device: str
    weights: str
    context_tokens: int
    default_window: int | None
    saving: bool
    kernel: str = "torch"
    """What computes on a CPU: "native" for compiled kernels, else "torch"."""
    notice: str = ""
    """What happens or happened about a choice that takes time, or could not be kept."""
    loaded_part: float = 0.0
    """How much of the weights is read, 0 to 1, while they are being loaded."""


@dataclass(frozen=True, slots=True)
class RuntimeStats:
    """Figures of the engine between two steps."""

    memory: "MemoryReport"
    num_blocks: int
    block_size: int
    num_steps: int
    num_preemptions: int
    num_copied_blocks: int
    resume_costs: "tuple[ResumeCost, ...]"
    """For every chat with blocks: tokens in the pool, only on disk, and to be computed again."""
    step_p50_seconds: float = 0.0
    """What half of the last steps took at most; 0.0 before the first."""
    step_p95_seconds: float = 0.0
    """What 95 of a hundred of the last steps took at most."""

    @classmethod
    def of(cls, engine: "Engine") -> "RuntimeStats":
        """Return the figures of an engine, on its thread."""
        cache = engine.cache
        return cls(
            cache.memory(),
            cache.num_blocks,
            cache.block_size,
            engine.num_steps,
            engine.num_preemptions,
            cache.num_copied_blocks,
            tuple(engine.resume_costs()),
            engine.step_times.quantile(0.5),
            engine.step_times.quantile(0.95),
        )
