"""Contestant: one program that computes tokens of one model, as the race of `throughput` sees it.

Streams are sequences that are decoded together, greedily; a step gives each of them one token.
"""

from collections.abc import Sequence
from typing import Protocol


class Contestant(Protocol):
    """A program with a model loaded; not thread-safe."""

    @property
    def name(self) -> str:
        """Which program, and how it stores weights: 'kvchat int8'."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its weights in memory."""

    def set_threads(self, num_threads: int) -> None:
        """Compute with so many threads from now on."""

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute the prompts, all of one length, as streams; ends those there were."""

    def restart(self) -> None:
        """Put each stream behind its prompt and let it say its first token."""

    def step(self) -> None:
        """Let each stream say one more token."""

    def said(self) -> list[list[int]]:
        """Return what each stream said since it was last restarted."""

    def end(self) -> None:
        """Forget all streams."""

    def prefill(self, prompt: Sequence[int]) -> None:
        """Compute a prompt from nothing until its first token is known."""

    def logits(self, prompt: Sequence[int]) -> list[float]:
        """Return what follows a prompt, before sampling."""

    def close(self) -> None:
        """Free the model."""
