"""Room: how many blocks sequences will need, and who gives up blocks for whom.

Nothing is pinned but the step in progress: cached blocks go first, then what idle sequences hold,
then what waiting ones hold, and last the newest running sequence is preempted.
"""

from typing import TYPE_CHECKING

from kvchat.engine.lineup import Lineup
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.paged_cache import PagedKVCache

if TYPE_CHECKING:
    from kvchat.engine.residency import Residency


class Room:
    """The blocks of one cache, shared out among the sequences of a lineup.

    `residency`, where keys and values are kept on disk, saves what is given up.
    """

    def __init__(self, cache: PagedKVCache, lineup: Lineup) -> None:
        self.residency: Residency | None = None
        self.num_preemptions = 0
        self._cache = cache
        self._lineup = lineup

    def remaining(self, sequence: Sequence) -> int:
        """Return how many tokens of a sequence are to be computed."""
        return len(sequence.token_ids) - self._cache.length(sequence.cache_id)

    def blocks_to_finish(self, sequence: Sequence) -> BlockCounts:
        """Return the blocks until the prompt is computed, and one of each group to grow."""
        return self._cache.blocks_to_hold(sequence.cache_id, self.remaining(sequence)) + 1

    def make_room(self, need: BlockCounts, keep: Sequence | None = None) -> bool:
        """Let sequences that do not run give up blocks until `need` of each group are there.

        Idle ones first, least recently used first; then waiting ones, newest first, whose cached
        prefix is found again or prefilled when their turn comes.
        """
        if need.fits(self._cache.available):
            return True
        holders = sorted(
            (sequence for sequence in self._resting() if sequence is not keep),
            key=lambda sequence: (
                sequence.state is SequenceState.WAITING,
                sequence.last_used if sequence.state is SequenceState.IDLE else -sequence.arrival,
            ),
        )
        for sequence in holders:
            if self.residency is not None:
                self.residency.spill(sequence)
            self._cache.shrink(sequence.cache_id, need)
            if need.fits(self._cache.available):
                return True
        return False

    def make_room_to_restore(self, need: BlockCounts, sequence: Sequence) -> bool:
        """Make room beside what running sequences may soon want."""
        return self.make_room(need + len(self._lineup.running), keep=sequence)

    def num_resting_tokens(self) -> int:
        """Return how many tokens sequences that do not run have in the cache."""
        return sum(self._cache.length(sequence.cache_id) for sequence in self._resting())

    def preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks; it rejoins at its place by arrival."""
        self.num_preemptions += 1
        if self.residency is not None:
            self.residency.spill(sequence)
            self.residency.forget(sequence)
        self._cache.shrink(sequence.cache_id, self._cache.num_blocks)
        self._lineup.preempt(sequence)

    def _resting(self) -> list[Sequence]:
        """Return sequences that hold blocks and do not run."""
        return [
            sequence
            for sequence in self._lineup.by_owner.values()
            if sequence.state in (SequenceState.IDLE, SequenceState.WAITING)
            and self._cache.length(sequence.cache_id)
        ]
