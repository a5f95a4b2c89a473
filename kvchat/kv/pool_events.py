"""PoolEvents: the last things that happened to blocks, for a panel to show.

Evictions happen block by block while a step takes its room; they are counted here, and told as one
event when the step ends. Blocks that were copied or evicted are remembered for a second, so that a
map can point at them. Plain Python, no tensors.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from kvchat.kv.pool_view import PoolEvent

NUM_EVENTS = 64
NUM_MARKS = 512
MARK_SECONDS = 1.0

Mark = Literal["copied", "evicted"]


class PoolEvents:
    """The last events, oldest first; numbers go on counting when old ones fall out."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._events: deque[PoolEvent] = deque(maxlen=NUM_EVENTS)
        self._marks: deque[tuple[float, Mark, int, int]] = deque(maxlen=NUM_MARKS)
        self._num_events = 0
        self._num_evicted = 0
        self._totals: Counter[str] = Counter()
        self._num_pauses = 0

    def add(self, kind: str, text: str, num_blocks: int) -> None:
        """Add an event; `text` is part of a sentence for people. Nothing while paused."""
        if self._num_pauses:
            return
        self._num_events += 1
        self._totals[kind] += num_blocks
        self._events.append(PoolEvent(self._num_events, kind, text, num_blocks, self._clock()))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Add no event inside: something is tried that leaves everything as it was."""
        self._num_pauses += 1
        try:
            yield
        finally:
            self._num_pauses -= 1

    def latest(self) -> tuple[PoolEvent, ...]:
        """Return the events that are kept."""
        return tuple(self._events)

    def num_blocks_by_kind(self) -> tuple[tuple[str, int], ...]:
        """Return how many blocks the events of each kind touched since the start."""
        return tuple(self._totals.items())

    def mark(self, mark: Mark, group_index: int, blocks: Iterable[int]) -> None:
        """Point at blocks of a layer group for a second."""
        now = self._clock()
        self._marks.extend((now, mark, group_index, block) for block in blocks)

    def marked(self, mark: Mark, group_index: int) -> tuple[int, ...]:
        """Return the blocks of a layer group that are pointed at."""
        since = self._clock() - MARK_SECONDS
        return tuple(
            block
            for at, kind, group, block in self._marks
            if at >= since and kind == mark and group == group_index
        )

    def count_eviction(self, block: int, group_index: int = 0) -> None:
        """Count a cached block that gave way, and point at it."""
        self._num_evicted += 1
        self.mark("evicted", group_index, (block,))

    def tell_evictions(self) -> None:
        """Add one event for all evictions counted since the last, if there were any."""
        if self._num_evicted:
            self.add(
                "evict", "cached blocks nobody used gave way; all text stays", self._num_evicted
            )
        self.forget_evictions()

    def forget_evictions(self) -> None:
        """Count from 0 again, where evictions were told in other words."""
        self._num_evicted = 0
