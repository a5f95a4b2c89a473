"""What a training run is made of: its settings, how long it lasts, and how far it is."""

import time
from dataclasses import dataclass

from kvchat.model.config import ModelConfig

MAX_POSITION = 2048


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """What decides the weights, together with the corpus; a checkpoint belongs to one of these."""

    vocab_size: int = 4096
    hidden_size: int = 256
    intermediate_size: int = 704
    num_layers: int = 8
    num_heads: int = 4
    num_kv_heads: int = 2
    row_tokens: int = 256
    micro_batch_tokens: int = 2048
    stage_one_micro_batches: int = 4  # per step
    stage_two_micro_batches: int = 2
    stage_one_share: float = 0.35
    num_drills: int = 120_000
    muon_learning_rate: float = 5e-3
    adam_learning_rate: float = 3e-3
    seed: int = 1
    bfloat16: bool = True

    def model(self) -> ModelConfig:
        """Return the shape of the model."""
        return ModelConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.hidden_size // self.num_heads,
            max_position=MAX_POSITION,
            tie_word_embeddings=True,
        )


SMOKE = TrainingConfig(
    vocab_size=512,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    row_tokens=32,
    micro_batch_tokens=64,
    stage_one_micro_batches=2,
    stage_two_micro_batches=2,
    num_drills=50,
    bfloat16=False,
)
"""A size for tests: a step takes milliseconds."""


@dataclass(slots=True)
class Budget:
    """How long to train: a number of steps, minutes, or until a moment; exactly one is set.

    Minutes may be those of the processor, which compares shapes fairly beside other programs.
    """

    steps: int | None = None
    minutes: float | None = None
    cpu_minutes: float | None = None
    until: float | None = None  # unix seconds

    def advance(self, progress: float, step: int, seconds: float) -> float:
        """Return the share that is spent after `step`, which took `seconds`.

        Until a moment, the time that is left is what the rest of the work gets, so a pause or a
        late resume makes the rest of the schedule shorter and never the end later.
        """
        if self.steps is not None:
            return step / self.steps
        minutes = self.cpu_minutes if self.minutes is None else self.minutes
        if minutes is not None:
            return min(1.0, progress + seconds / (60 * minutes))
        assert self.until is not None
        left = self.until - time.time()
        return 1.0 if left <= 0 else progress + (1 - progress) * seconds / (left + seconds)


@dataclass(slots=True)
class Progress:
    """Where a run stands; with the tensors it is all that a checkpoint holds."""

    share: float = 0.0
    step: int = 0
    stage: int = 0
    stage_step: int = 0
    tokens: int = 0
    targets: int = 0
    seconds: float = 0.0
    run: int = 0  # 0 for the first, which has both stages, then counts its extensions
    loss: float = 0.0  # mean over about the last 50 steps, nats per target
