"""KVCache: the interface every cache implements, so that a model is handed any of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from kvchat.kv.spec import KVCacheSpec
from kvchat.kv.spec import SequenceId as SequenceId  # what callers of a cache hold


class ReservedStep(Protocol):
    """What `reserve` returns: rows in packed order, then exactly one commit or rollback."""

    @property
    def positions(self) -> Sequence[int]:
        """Absolute position of each packed token, rows one after the other."""

    def commit(self) -> None:
        """Make the new tokens of all rows part of their sequences; cannot fail."""

    def rollback(self) -> None:
        """Forget the step; every sequence is as it was before `reserve`."""


class KVCache(ABC):
    """Keys and values of many sequences, one method of which a model calls: `attend`.

    A step is reserve, compute, commit: `reserve` names how many new tokens each sequence gets, the
    model's forward pass calls `attend` once per layer, and `commit` makes the tokens count. Not
    thread-safe: one thread owns a cache.
    """

    spec: KVCacheSpec

    @abstractmethod
    def open(
        self, *, window: int | None = None, sinks: int = 0, scheme_length: int = 0
    ) -> SequenceId:
        """Start an empty sequence; with `window=N, sinks=S` it sees S first and N last tokens.

        The sink and window rule is that of Xiao et al. 2023, "Efficient Streaming Language Models
        with Attention Sinks": positions count inside the cache once it slides.

        `scheme_length` is the least length for which its keys are rotated, in models where that
        depends on a length; see `VisibleSet`.
        """

    def rotary_lengths(self) -> list[int] | None:
        """Return for which length each packed token of the reserved step is rotated.

        None where no rotation of the model depends on that.
        """
        return None

    @abstractmethod
    def length(self, sequence: SequenceId) -> int:
        """Return the number of committed tokens."""

    @abstractmethod
    def reserve(self, rows: Sequence[tuple[SequenceId, int]]) -> ReservedStep:
        """Prepare a step in which each named sequence gets that many new tokens, or do nothing.

        Raises OutOfBlocks when a bounded cache has no room for all of them.
        """

    @abstractmethod
    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor | None) -> Tensor:
        """Store one layer's new keys and values, then attend to everything its sequences may see.

        query  [tokens, num_heads, key_dim], rotated to absolute positions, in the model's dtype
        key    [tokens, num_kv_heads, key_dim], same dtype and device
        value  [tokens, num_kv_heads, value_dim], or None for MLA, which reads the latent
        return [tokens, num_heads, value_dim]

        Rows are packed in the order of the reserved step, without which a call is a bug.
        """

    @abstractmethod
    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Rewind to the first `length` tokens; return how many the cache could keep.

        Fewer than `length` only where a window has released what the shorter sequence would see;
        the caller then brings those tokens again.
        """

    @abstractmethod
    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence and give back what it alone used."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all tensors this cache holds."""
