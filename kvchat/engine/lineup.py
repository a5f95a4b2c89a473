"""Lineup: the open sequences of an engine, those that wait in line, and those that run.

Integers and names only; who gives up blocks for whom is decided in `room.py`.
"""

from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.errors import SessionNotFound


class Lineup:
    """All sequences by owner; a sequence with a request is in exactly one of the two lists.

    `is_draining` is set by a preemption: nobody is admitted beside others until a sequence ends.
    """

    def __init__(self) -> None:
        self.by_owner: dict[str, Sequence] = {}
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.is_draining = False
        self._ticks = 0

    def tick(self) -> int:
        """Return the next number of the counter that arrivals and uses are ordered by."""
        self._ticks += 1
        return self._ticks

    def find(self, owner: str) -> Sequence:
        """Return the open sequence of this name; raises SessionNotFound."""
        sequence = self.by_owner.get(owner)
        if sequence is None:
            raise SessionNotFound(f"No sequence '{owner}' is open.")
        return sequence

    def with_request(self) -> list[Sequence]:
        """Return the sequences that run, then those that wait."""
        return [*self.running, *self.waiting]

    def wait(self, sequence: Sequence) -> None:
        """Put a sequence in line."""
        sequence.state = SequenceState.WAITING
        self.waiting.append(sequence)

    def start(self, sequence: Sequence) -> None:
        """Let a sequence that waits run."""
        self.waiting.remove(sequence)
        self.running.append(sequence)
        sequence.is_overtaken = False
        for other in self.waiting:
            other.is_overtaken |= other.arrival < sequence.arrival
        sequence.state = SequenceState.PREFILL

    def preempt(self, sequence: Sequence) -> None:
        """Put a running sequence back in line, at its place by arrival."""
        self.running.remove(sequence)
        self.wait(sequence)
        self.is_draining = True

    def end(self, sequence: Sequence) -> None:
        """Make a sequence idle."""
        if sequence in self.running:
            self.running.remove(sequence)
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        sequence.request = None
        sequence.is_overtaken = False
        sequence.state = SequenceState.IDLE
        self.is_draining = False
