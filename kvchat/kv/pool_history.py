"""PoolHistory: who used the pool in the last minutes, at a low rate.

A sample is taken while blocks change and none where they rest, so whoever draws it keeps the last
one until the next. Plain Python, no tensors.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvchat.kv.block_pool import BlockPool
    from kvchat.kv.paged_sequence import PagedSequence

SAMPLE_SECONDS = 2.0
HISTORY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class PoolSample:
    """The first layer group at a moment: blocks by what they are, private ones by session.

    num_free + num_cached + num_shared + num_held + those of `owners` is the pool. `at` is in Unix
    seconds.
    """

    at: float
    num_free: int
    num_cached: int
    num_shared: int
    num_held: int
    owners: tuple[tuple[str, int], ...]


class PoolHistory:
    """Samples of the last five minutes, at most one every two seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._samples: deque[PoolSample] = deque(maxlen=int(HISTORY_SECONDS / SAMPLE_SECONDS) + 1)
        self._due = 0.0
        self.peak_used_blocks = 0

    def note(self, pool: "BlockPool", sequences: "Iterable[PagedSequence]") -> None:
        """Take a sample, unless the last one is too new; looks at each entry of each table."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + SAMPLE_SECONDS
        counts = pool.ref_counts
        owners = []
        for sequence in sequences:
            num_private = sum(
                counts[block] == 1 for block in sequence.tables[0].blocks if block >= 0
            )
            if num_private:
                owners.append((sequence.owner, num_private))
        self.peak_used_blocks = max(
            self.peak_used_blocks, pool.num_blocks - pool.num_free - pool.num_cached
        )
        self._samples.append(
            PoolSample(
                now,
                pool.num_free,
                pool.num_cached,
                pool.num_shared,
                len(pool.held),
                tuple(owners),
            )
        )

    def samples(self) -> tuple[PoolSample, ...]:
        """Return the samples, oldest first."""
        return tuple(self._samples)
