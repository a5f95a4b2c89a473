"""Restorer: brings sequences back from disk, one after the other, while others stream.

Blocks are read by others, staged in slices between steps, and given to the sequence all at once.
Whatever goes wrong, or takes longer than computing would, leads to prefill with the same words.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from time import monotonic

from kvchat.engine.restore_costs import RestoreCosts
from kvchat.engine.restore_plan import RestorePlan, RestorePlanner
from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.errors import OutOfBlocks
from kvchat.kv.block_conversion import OpenTail, convert_blocks
from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.segments import FetchedBlocks, FoundBlocks, SegmentLayout
from kvchat.kv.staged_restore import StagedRestore
from kvchat.kv.window_schedule import WindowSchedule

SLICE_BYTES = 8 << 20
"""About so many bytes are copied between two steps, in either direction, while anyone streams"""
IDLE_SLICES = 8
"""So many of them are copied at once while nobody does"""
FETCH_BYTES = 64 << 20
"""A long sequence without windows is brought back in parts of so many bytes, others in between"""
DEADLINE_SECONDS = 5.0
"""A disk that has not answered then is not waited for"""
_ANY_TOKEN = -1
"""Stands for the token that is computed in any case"""

MakeRoom = Callable[[BlockCounts, Sequence], bool]
"""Lets others give up blocks until so many are there for a sequence; says whether they are"""

log = logging.getLogger(__name__)


class _Restore:
    """One sequence on its way back: its blocks are read, then staged."""

    def __init__(
        self, sequence: Sequence, token_ids: list[int], plan: RestorePlan, now: float
    ) -> None:
        self.sequence = sequence
        self.token_ids = token_ids
        self.plan = plan
        self.started = now
        self.is_late = False
        self.was_alone = True
        self.found: FoundBlocks | None = None
        self.tail: OpenTail | None = None
        self.staged: StagedRestore | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes that were read."""
        return sum(len(array) for arrays in (self.found or {}).values() for array in arrays)


class Restorer:
    """Restores the sequences of one engine; for its thread alone.

    post   runs a call on the engine's thread, soon; callable from any thread
    clock  seconds, for the deadline and for what restoring costs
    """

    def __init__(
        self,
        cache: PagedKVCache,
        store: SegmentStore,
        layout: SegmentLayout,
        post: Callable[[Callable[[], None]], object],
        *,
        slice_bytes: int,
        fetch_bytes: int,
        costs: RestoreCosts,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._cache = cache
        self._store = store
        self._layout = layout
        self._post = post
        self._slice_bytes = slice_bytes
        self._planner = RestorePlanner(
            cache, store, layout, max(1, fetch_bytes // layout.block_bytes)
        )
        self.costs = costs
        self._clock = clock
        self._restore: _Restore | None = None
        self._in_line: set[Sequence] = set()
        self._turns: set[Sequence] = set()  # those before whom nobody gets his next part
        self._wishes: dict[Sequence, None] = {}
        self._is_tried: set[Sequence] = set()
        self._num_late = 0
        self.lacks_room: Sequence | None = None
        """The sequence whose blocks were read and have no room yet: nobody behind it is admitted"""

    @property
    def has_work(self) -> bool:
        """Say whether `work` would do anything now; waiting for a disk is none."""
        restore = self._restore
        if restore is None:
            return bool(self._wishes)
        return restore.found is not None or self._is_overdue(restore)

    @property
    def seconds_to_wait(self) -> float | None:
        """Seconds after which a disk that is waited for is given up; None where none is."""
        restore = self._restore
        if restore is None or restore.found is not None:
            return None
        return max(0.0, restore.started + DEADLINE_SECONDS - self._clock())

    def work(self, make_room: MakeRoom, *, is_idle: bool) -> bool:
        """Do one slice of restoring, between two steps; return False if there was nothing to do.

        is_idle  nothing runs that waits for this slice, or could give back blocks later
        """
        restore = self._restore
        if restore is None:
            if not self._wishes:
                return False
            sequence = next(iter(self._wishes))
            del self._wishes[sequence]
            self.prefetch(sequence)
        elif restore.found is not None:
            self._stage(restore, make_room, is_idle)
        elif self._is_overdue(restore):
            log.warning("a chat was not brought back: the disk did not answer")
            self._num_late += 1
            restore.is_late = True
            self._end(restore)
            _explain_loss(restore.sequence, "the disk did not answer in time")
        else:
            return False
        return True

    def waits(self, sequence: Sequence) -> bool:
        """Say whether a sequence must not be admitted yet."""
        restore = self._restore
        if restore is not None:
            return restore.sequence is sequence or sequence in self._in_line
        return bool(self._turns) and sequence in self._in_line and sequence not in self._turns

    def begin(self, sequence: Sequence) -> bool:
        """Bring back what disk has of a sequence; return whether it has to wait for that.

        One sequence after the other, so that of ten forks the first brings back what all share.
        """
        if sequence in self._is_tried:
            return False
        if self._restore is None and self._turns and sequence not in self._turns:
            self._in_line.add(sequence)
            return True
        plan = self._plan(sequence, sequence.token_ids)
        if plan is None:
            self._turns.discard(sequence)
            self._is_tried.add(sequence)
            if not self._cache.length(sequence.cache_id):
                self._store.explain(sequence.owner)
            return False
        if self._restore is not None:
            self._in_line.add(sequence)
            return True
        self._turns.discard(sequence)
        self._start(sequence, plan, sequence.token_ids)
        return True

    def prefetch(self, sequence: Sequence) -> None:
        """Bring back an idle sequence before its next request is known; harmless at any time."""
        if self._restore is not None:
            if self._restore.sequence is not sequence:
                self._wishes[sequence] = None
            return
        token_ids = [*sequence.token_ids, _ANY_TOKEN]
        plan = self._plan(sequence, token_ids)
        if plan is not None:
            self._start(sequence, plan, token_ids)

    def asked(self, sequence: Sequence) -> None:
        """Go on bringing back what a new request begins with, and nothing else."""
        self._wishes.pop(sequence, None)
        restore = self._restore
        if restore is None or restore.sequence is not sequence:
            return
        length, new = restore.plan.length, sequence.token_ids
        if length >= len(new) or restore.token_ids[:length] != new[:length]:
            self.forget(sequence)

    def give_way(self) -> bool:
        """Give back room that a restore holds, since somebody needs it; say whether there was."""
        restore = self._restore
        if restore is None or restore.staged is None:
            return False
        self._end(restore)
        return True

    def forget(self, sequence: Sequence) -> None:
        """Stop restoring a sequence whose request has ended, or that was closed or rewound."""
        self._wishes.pop(sequence, None)
        self._in_line.discard(sequence)
        self._turns.discard(sequence)
        if self._restore is not None and self._restore.sequence is sequence:
            self._end(self._restore)
        self._is_tried.discard(sequence)

    def turn_ended(self, sequence: Sequence) -> None:
        """Try again at the next request of a sequence."""
        self._is_tried.discard(sequence)

    def num_restorable(self, sequence: Sequence, token_ids: Sequences[int]) -> int:
        """Return how many of these tokens a sequence could have without computing any."""
        return self._planner.num_restorable(sequence, [*token_ids, _ANY_TOKEN])

    # Bringing

    def _plan(self, sequence: Sequence, token_ids: Sequences[int]) -> RestorePlan | None:
        """Return what to read of a sequence, or None where computing is cheaper."""
        if self._num_late:
            return None  # the disk still owes the answer to an older question
        plan = self._planner.plan(sequence, token_ids)
        if plan is None:
            return None
        num_tokens = plan.length - self._cache.length(sequence.cache_id)
        return plan if self.costs.prefers_disk(num_tokens, plan.num_bytes) else None

    def _start(self, sequence: Sequence, plan: RestorePlan, token_ids: Sequences[int]) -> None:
        restore = self._restore = _Restore(sequence, list(token_ids), plan, self._clock())
        ids = restore.token_ids[: plan.length]
        schedule = self._cache.schedule(sequence.cache_id)

        def take(fetched: FetchedBlocks, tail: OpenTail | None) -> None:
            if self._restore is restore:
                restore.found, restore.tail = fetched.blocks, tail
                if fetched.loss is not None:
                    _explain_loss(sequence, fetched.loss)
            elif restore.is_late:
                self._num_late -= 1

        def tell(fetched: FetchedBlocks) -> None:
            tail = None
            if plan.block_size is not None:
                fetched, tail = self._converted(plan, fetched, ids, schedule)
            self._post(lambda: take(fetched, tail))

        self._store.fetch(sequence.owner, plan.wanted, tell, plan.block_size)

    def _converted(
        self,
        plan: RestorePlan,
        fetched: FetchedBlocks,
        token_ids: list[int],
        schedule: WindowSchedule,
    ) -> tuple[FetchedBlocks, OpenTail | None]:
        """Return blocks of the pool's size; not on the engine's thread."""
        assert plan.block_size is not None
        source = self._layout.with_block_size(plan.block_size)
        try:
            converted = convert_blocks(
                source,
                self._layout,
                plan.keys,
                fetched.blocks,
                token_ids,
                schedule,
                self._cache.salt,
            )
        except MemoryError:
            log.warning("saved keys and values were not converted: out of memory")
            return FetchedBlocks({}), None
        return FetchedBlocks(converted.blocks, fetched.loss), converted.tail

    def _stage(self, restore: _Restore, make_room: MakeRoom, is_idle: bool) -> None:
        sequence = restore.sequence
        assert restore.found is not None
        restore.was_alone &= is_idle
        try:
            if restore.staged is None:
                self._cache.adopt(sequence.cache_id, restore.token_ids)
                prefix = self._planner.look(
                    sequence, restore.token_ids, restore.found, restore.tail
                )
                if prefix is None:
                    self._end(restore)
                    return
                need = StagedRestore.num_taken(self._cache, prefix, restore.found)
                has_room = make_room(need, sequence)
                if not has_room and not is_idle and sequence.request is None:
                    self._end(restore)  # nobody may wait for what nobody has asked for yet
                    return
                self.lacks_room = None if has_room or is_idle else sequence
                if self.lacks_room is not None:
                    return  # running sequences will give back blocks
                restore.staged = StagedRestore(
                    self._cache, sequence.cache_id, prefix, restore.found
                )
            if restore.staged.stage(self._slice_bytes * (IDLE_SLICES if is_idle else 1)):
                before = self._cache.length(sequence.cache_id)
                has_grown = restore.staged.publish(restore.token_ids) > before
                if restore.was_alone:  # else it took longer for others' sake
                    self.costs.learn_restore(self._clock() - restore.started, restore.num_bytes)
                self._end(restore, is_part=restore.plan.is_part and has_grown)
        except OutOfBlocks:
            self._end(restore)
        except Exception as error:
            # Memory or a device: nothing was published, and the tokens can be computed instead.
            log.warning("a chat was not brought back from disk: %s", type(error).__name__)
            self._end(restore)

    def _is_overdue(self, restore: _Restore) -> bool:
        return restore.found is None and self._clock() >= restore.started + DEADLINE_SECONDS

    def _end(self, restore: _Restore, *, is_part: bool = False) -> None:
        """End a restore; after a part of one, those in line come before the next part."""
        if restore.staged is not None:
            restore.staged.abandon()
        self._restore = self.lacks_room = None
        self._turns.clear()
        if is_part:
            self._turns |= self._in_line
            if restore.sequence.request is None:
                self._wishes[restore.sequence] = None
        elif restore.sequence.request is not None:
            self._is_tried.add(restore.sequence)
        self._in_line.clear()


def _explain_loss(sequence: Sequence, loss: str) -> None:
    sequence.notice = f"Rebuilt this chat's memory from its text ({loss})."
