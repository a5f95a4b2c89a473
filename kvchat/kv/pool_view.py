"""PoolView: an immutable copy of who owns which block, read by any thread without a lock.

The engine thread makes one after a commit while somebody watches; readers only ever see whole
views. Knows no tensors and no text.
"""

from dataclasses import dataclass
from enum import IntEnum


class BlockState(IntEnum):
    """What a block is right now; every block is in exactly one state."""

    FREE = 0
    CACHED = 1
    PRIVATE = 2
    SHARED = 3
    HELD = 4


@dataclass(frozen=True, slots=True)
class SequenceView:
    """The block table of one sequence; -1 marks a block that its window released."""

    session_id: str
    table: tuple[int, ...]
    length: int
    num_runs: int


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One thing that happened to blocks, in words a person can read."""

    number: int
    kind: str
    text: str
    num_blocks: int
    at: float


@dataclass(frozen=True, slots=True)
class PoolView:
    """State of every block of one layer group at one moment.

    `ref_counts` and `states` hold one byte per block (counts saturate at 255); `owners` holds the
    index into `sequences` of the oldest owner, or -1. free + cached + private + shared + held is
    num_blocks.
    """

    version: int
    block_size: int
    block_bytes: int
    num_blocks: int
    ref_counts: bytes
    states: bytes
    owners: tuple[int, ...]
    sequences: tuple[SequenceView, ...]
    events: tuple[PoolEvent, ...]
    num_free: int
    num_cached: int
    num_private: int
    num_shared: int
    num_held: int
