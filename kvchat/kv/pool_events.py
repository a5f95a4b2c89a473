"""PoolEvents: the last things that happened to blocks, for a panel to show.

Evictions happen block by block while a step takes its room; they are counted here, and told as one
event when the step ends. Plain Python, no tensors.
"""

import time
from collections import deque

from kvchat.kv.pool_view import PoolEvent

NUM_EVENTS = 64


class PoolEvents:
    """The last events, oldest first; numbers go on counting when old ones fall out."""

    def __init__(self) -> None:
        self._events: deque[PoolEvent] = deque(maxlen=NUM_EVENTS)
        self._num_events = 0
        self._num_evicted = 0

    def add(self, kind: str, text: str, num_blocks: int) -> None:
        """Add an event; `text` is part of a sentence for people."""
        self._num_events += 1
        self._events.append(PoolEvent(self._num_events, kind, text, num_blocks, time.time()))

    def latest(self) -> tuple[PoolEvent, ...]:
        """Return the events that are kept."""
        return tuple(self._events)

    def count_eviction(self, block: int) -> None:
        """Count a cached block that gave way; `BlockPool.on_evicted` calls it."""
        self._num_evicted += 1

    def tell_evictions(self) -> None:
        """Add one event for all evictions counted since the last, if there were any."""
        if self._num_evicted:
            self.add("evict", "cached blocks nobody used gave way", self._num_evicted)
        self.forget_evictions()

    def forget_evictions(self) -> None:
        """Count from 0 again, where evictions were told in other words."""
        self._num_evicted = 0
