"""Residency: what of a sequence is in the pool or on disk; save, spill, restore.

After a turn its new blocks are copied out between steps and written by others; at the first turn of
a sequence that is not resident, blocks come back (`restorer.py`). The engine thread never waits for
a disk: a sequence that does stays in line while others stream, and whatever goes wrong leads to
prefill.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from concurrent.futures import Future
from time import monotonic

from kvchat.engine.evicted_blocks import EvictedBlocks
from kvchat.engine.restore_costs import RestoreCosts
from kvchat.engine.restorer import FETCH_BYTES, SLICE_BYTES, MakeRoom, Restorer
from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.engine.unsaved_blocks import UnsavedBlocks
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.segments import SegmentLayout

log = logging.getLogger(__name__)


class Residency:
    """Saves and restores the sequences of one engine; for its thread alone.

    post   runs a call on the engine's thread, soon; callable from any thread
    costs  what decides between restoring and computing; measured from here on by default
    clock  seconds, for deadlines and costs
    """

    def __init__(
        self,
        cache: PagedKVCache,
        store: SegmentStore,
        layout: SegmentLayout,
        post: Callable[[Callable[[], None]], object],
        *,
        slice_bytes: int = SLICE_BYTES,
        fetch_bytes: int = FETCH_BYTES,
        costs: RestoreCosts | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        cache.is_on_disk = lambda key, group: bool(store.groups(key) >> group & 1)
        self._store = store
        self._slice_bytes = slice_bytes
        self._unsaved_blocks = UnsavedBlocks(cache, store, layout, slice_bytes)
        self._unsaved: dict[Sequence, None] = {}
        self._evicted = EvictedBlocks(cache, store, layout)
        self._restorer = Restorer(
            cache,
            store,
            layout,
            post,
            slice_bytes=slice_bytes,
            fetch_bytes=fetch_bytes,
            costs=RestoreCosts() if costs is None else costs,
            clock=clock,
        )

    @property
    def costs(self) -> RestoreCosts:
        """What restoring and computing cost, as far as known."""
        return self._restorer.costs

    @property
    def has_work(self) -> bool:
        """Say whether `work` would do anything now; waiting for a disk is none."""
        return bool(self._unsaved or self._evicted) or self._restorer.has_work

    @property
    def seconds_to_wait(self) -> float | None:
        """Seconds after which there is work even if nothing else happens; None is never."""
        return self._restorer.seconds_to_wait

    def work(self, make_room: MakeRoom, *, is_idle: bool) -> None:
        """Do one slice of restoring or saving, between two steps.

        make_room  lets others give up blocks until so many are there; says whether they are
        is_idle    nothing runs that waits for this slice, or could give back blocks later
        """
        if self._evicted:
            self._evicted.hand_over()
        if not self._restorer.work(make_room, is_idle=is_idle) and self._unsaved:
            sequence = next(iter(self._unsaved))
            future, is_last = self._save_slice(sequence)
            if future is None or is_last:
                # Refused means dropped: the next turn tries again.
                del self._unsaved[sequence]

    # Saving

    def turn_ended(self, sequence: Sequence) -> None:
        """Save what is new of a sequence, soon."""
        self._restorer.turn_ended(sequence)
        self._unsaved.pop(sequence, None)
        self._unsaved[sequence] = None

    def save(self, sequence: Sequence) -> "Future[bool] | None":
        """Hand over everything of a sequence that is not saved; None if the queue has no room.

        The future says whether the last of it is on disk, and so is what was queued before.
        """
        self._unsaved.pop(sequence, None)
        while True:
            future, is_last = self._save_slice(sequence)
            if future is None or is_last:
                return future

    def spill(self, sequence: Sequence) -> None:
        """Save what a sequence has in the pool, before its blocks may go.

        Without room for that now, each block is saved when it goes, or dropped.
        """
        if self.save(sequence) is None:
            self._evicted.note(sequence)

    def will_cut(self, sequence: Sequence, length: int) -> None:
        """Know the blocks behind `length` tokens, which a sequence is about to let go of."""
        self._evicted.note(sequence, length)

    def save_cached(self) -> bool:
        """Hand over what no sequence holds any more and is not saved; say if all had room."""
        return self._evicted.save_cached()

    def closed(self, sequence: Sequence) -> None:
        """Forget a sequence for good, before it lets go of its blocks."""
        self._evicted.note(sequence)
        self.forget(sequence)
        self._unsaved.pop(sequence, None)

    def _save_slice(self, sequence: Sequence) -> "tuple[Future[bool] | None, bool]":
        """Hand over the next blocks; return the future, None if refused, and if that was all."""
        if self._store.room_bytes <= 0:
            return None, False
        try:
            segments, keys = self._unsaved_blocks.of(sequence, self._slice_bytes)
        except Exception as error:
            # Memory or a device: not saving costs prefill after a restart, and nothing else.
            log.warning("keys and values were not saved: %s", type(error).__name__)
            return None, True
        is_last = sum(each.num_bytes for each in segments) < self._slice_bytes
        return self._store.save(sequence.owner, segments, keys), is_last

    # Restoring

    @property
    def lacks_room(self) -> Sequence | None:
        """The sequence whose blocks have no room yet: nobody behind it is admitted."""
        return self._restorer.lacks_room

    def waits(self, sequence: Sequence) -> bool:
        """Say whether a sequence must not be admitted yet."""
        return self._restorer.waits(sequence)

    def begin(self, sequence: Sequence) -> bool:
        """Bring back what disk has of a sequence; return whether it has to wait for that."""
        return self._restorer.begin(sequence)

    def prefetch(self, sequence: Sequence) -> None:
        """Bring back an idle sequence before its next request is known."""
        self._restorer.prefetch(sequence)

    def asked(self, sequence: Sequence) -> None:
        """Go on bringing back what a new request begins with, and nothing else."""
        self._restorer.asked(sequence)

    def give_way(self) -> bool:
        """Give back room that a restore holds, since somebody needs it; say whether there was."""
        return self._restorer.give_way()

    def forget(self, sequence: Sequence) -> None:
        """Stop restoring a sequence whose request has ended, or that was closed or rewound."""
        self._restorer.forget(sequence)

    def num_restorable(self, sequence: Sequence, token_ids: Sequences[int]) -> int:
        """Return how many of these tokens a sequence could have without computing any."""
        return self._restorer.num_restorable(sequence, token_ids)
