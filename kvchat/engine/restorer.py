"""Restorer: brings sequences back from disk, one after the other, while others stream.

Blocks are read by others, staged in slices between steps, and given to the sequence all at once.
Whatever goes wrong, or takes longer than computing would, leads to prefill with the same words.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from time import monotonic

from kvchat.engine.restore_costs import RestoreCosts
from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.errors import OutOfBlocks
from kvchat.kv.block_conversion import OpenTail, convert_blocks
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.segments import FetchedBlocks, FoundBlocks, SegmentLayout
from kvchat.kv.spec import VisibleSet
from kvchat.kv.staged_restore import StagedRestore
from kvchat.kv.stored_prefix import StoredPrefix, find_stored_prefix

SLICE_BYTES = 8 << 20
"""About so many bytes are copied between two steps, in either direction, while anyone streams"""
IDLE_SLICE_BYTES = 64 << 20
FETCH_BYTES = 64 << 20
"""A long sequence without windows is brought back in parts of so many bytes, others in between"""
DEADLINE_SECONDS = 5.0
"""A disk that has not answered then is not waited for"""
_ANY_TOKEN = -1
"""Stands for the token that is computed in any case"""

MakeRoom = Callable[[int, Sequence], bool]
"""Lets others give up blocks until so many are there for a sequence; says whether they are"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to ask the disk for, and how many tokens the sequence has then.

    `keys` are those of all blocks up to there, of `block_size` tokens each, where that is not the
    pool's size; None means blocks as the pool has them.
    """

    length: int
    wanted: tuple[tuple[bytes, int], ...]
    is_part: bool
    block_size: int | None = None
    keys: tuple[bytes, ...] = ()

    @property
    def num_blocks(self) -> int:
        """Blocks to be read, each layer group counted for itself."""
        return sum(groups.bit_count() for _, groups in self.wanted)


class _Restore:
    """One sequence on its way back: its blocks are read, then staged."""

    def __init__(self, sequence: Sequence, token_ids: list[int], plan: _Plan, now: float) -> None:
        self.sequence = sequence
        self.token_ids = token_ids
        self.plan = plan
        self.started = now
        self.is_late = False
        self.found: FoundBlocks | None = None
        self.tail: OpenTail | None = None
        self.prefix: StoredPrefix | None = None
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
        self._fetch_blocks = max(1, fetch_bytes // layout.block_bytes)
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
        token_ids = [*token_ids, _ANY_TOKEN]
        length = self._cache.length(sequence.cache_id)
        prefix = self._look(sequence, token_ids)
        if prefix is not None:
            length = prefix.length
        for block_size in self._store.other_sizes():
            prefix = self._look_elsewhere(sequence, token_ids, block_size)
            if prefix is not None:
                length = max(length, prefix.length)
        return length

    # Looking

    def _plan(self, sequence: Sequence, token_ids: Sequences[int]) -> _Plan | None:
        """Return what to read of a sequence, or None where computing is cheaper."""
        if self._num_late:
            return None  # it still owes the answer to an older question
        size, length = self._cache.block_size, self._cache.length(sequence.cache_id)
        prefix = self._look(sequence, token_ids)
        plan = None
        if prefix is not None:
            needed = prefix.needed
            is_part = self._has_no_window(sequence) and len(needed) > self._fetch_blocks
            if is_part:
                needed = needed[: self._fetch_blocks]
            end = (needed[-1].index + 1) * size if is_part else prefix.length
            plan = _Plan(end, tuple((each.key, each.groups) for each in needed), is_part)
        for block_size in self._store.other_sizes():
            other = self._look_elsewhere(sequence, token_ids, block_size)
            if other is not None and other.length > (length if prefix is None else prefix.length):
                plan, prefix = self._plan_elsewhere(sequence, token_ids, other, block_size), other
        if plan is None:
            return None
        if length % size and plan.length - length < size:
            return None  # its own open tail is there: a few tokens are computed sooner than read
        block_bytes = self._layout.block_bytes * (plan.block_size or size) // size
        num_bytes = plan.num_blocks * block_bytes // len(self._layout.groups)
        return plan if self.costs.prefers_disk(plan.length - length, num_bytes) else None

    def _look(
        self,
        sequence: Sequence,
        token_ids: Sequences[int],
        found: FoundBlocks | None = None,
        converted: OpenTail | None = None,
    ) -> StoredPrefix | None:
        """Return what pool and disk have beyond what the sequence has; or pool and `found`."""
        cache = self._cache
        state = cache.paged_sequence(sequence.cache_id)
        if state.token_ids is None:
            return None

        def resident(key: bytes, token_ids: tuple[int, ...]) -> int:
            return sum(
                1 << group
                for group, pool in enumerate(cache.pools)
                if pool.index.find(key, token_ids) is not None
            )

        def brought(key: bytes) -> int:
            assert found is not None
            return sum(1 << group for group in range(len(cache.pools)) if (key, group) in found)

        def find(key: bytes, token_ids: tuple[int, ...]) -> int:
            on_disk = self._store.find(key, token_ids) if found is None else brought(key)
            return on_disk | resident(key, token_ids)

        def find_tail(stem: bytes, token_ids: Sequences[int]) -> tuple[bytes, int, int] | None:
            if converted is not None and converted.stem == stem:
                common = 0
                for ours, theirs in zip(token_ids, converted.token_ids, strict=False):
                    if ours != theirs:
                        break
                    common += 1
                return converted.key, common, brought(converted.key)
            tail = self._store.find_tail(stem, token_ids)
            if tail is None or found is None:
                return tail
            return tail[0], tail[1], brought(tail[0])

        return find_stored_prefix(
            state,
            token_ids,
            cache.visible_sets_of(sequence.cache_id),
            cache.block_size,
            cache.salt,
            find,
            find_tail,
        )

    def _look_elsewhere(
        self, sequence: Sequence, token_ids: Sequences[int], block_size: int
    ) -> StoredPrefix | None:
        """Return what disk has of a sequence in blocks of another size, from position 0 on."""
        cache = self._cache
        state = cache.paged_sequence(sequence.cache_id)
        if state.token_ids is None:
            return None
        return find_stored_prefix(
            PagedSequence(state.visible, [], length=state.length),
            token_ids,
            cache.visible_sets_of(sequence.cache_id),
            block_size,
            cache.salt,
            lambda key, ids: self._store.find(key, ids, block_size),
            lambda stem, ids: self._store.find_tail(stem, ids, block_size),
        )

    def _plan_elsewhere(
        self,
        sequence: Sequence,
        token_ids: Sequences[int],
        prefix: StoredPrefix,
        block_size: int,
    ) -> _Plan:
        """Return what to read of blocks of another size, so that whole blocks come of it."""
        size = self._cache.block_size
        visible_sets = self._cache.visible_sets_of(sequence.cache_id)
        first = len(self._cache.paged_sequence(sequence.cache_id).keys) * size
        length = prefix.length
        most = first + self._fetch_blocks * size
        is_part = self._has_no_window(sequence) and length > most
        if is_part:
            length = most
        keys = [*prefix.keys]
        tail = prefix.needed[-1]
        if tail.index == len(keys):
            keys.append(tail.key)
        del keys[-(-length // block_size) :]
        wanted = []
        for index in range(first // block_size, len(keys)):
            begin, behind = index * block_size, (index + 1) * block_size
            blocks = range(begin // size, -(-min(behind, length) // size))
            groups = sum(
                1 << group
                for group, seen in enumerate(visible_sets)
                if any(block not in seen.hidden_blocks(length, size) for block in blocks)
            )
            if index < len(prefix.keys):
                groups &= self._store.find(keys[index], tuple(token_ids[begin:behind]), block_size)
            if groups:
                wanted.append((keys[index], groups))
        return _Plan(length, tuple(wanted), is_part, block_size, tuple(keys))

    def _has_no_window(self, sequence: Sequence) -> bool:
        visible_sets = self._cache.visible_sets_of(sequence.cache_id)
        return all(visible.window is None for visible in visible_sets)

    # Bringing

    def _start(self, sequence: Sequence, plan: _Plan, token_ids: Sequences[int]) -> None:
        restore = self._restore = _Restore(sequence, list(token_ids), plan, self._clock())
        ids = restore.token_ids[: plan.length]
        visible = self._cache.visible_set(sequence.cache_id)

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
                fetched, tail = self._converted(plan, fetched, ids, visible)
            self._post(lambda: take(fetched, tail))

        self._store.fetch(sequence.owner, plan.wanted, tell, plan.block_size)

    def _converted(
        self, plan: _Plan, fetched: FetchedBlocks, token_ids: list[int], visible: VisibleSet
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
                visible,
                self._cache.salt,
            )
        except MemoryError:
            log.warning("saved keys and values were not converted: out of memory")
            return FetchedBlocks({}), None
        return FetchedBlocks(converted.blocks, fetched.loss), converted.tail

    def _stage(self, restore: _Restore, make_room: MakeRoom, is_idle: bool) -> None:
        sequence = restore.sequence
        assert restore.found is not None
        try:
            if restore.staged is None:
                self._cache.adopt(sequence.cache_id, restore.token_ids)
                restore.prefix = self._look(
                    sequence, restore.token_ids, restore.found, restore.tail
                )
                if restore.prefix is None:
                    self._end(restore)
                    return
                need = StagedRestore.num_taken(self._cache, restore.prefix, restore.found)
                has_room = make_room(need, sequence)
                self.lacks_room = None if has_room or is_idle else sequence
                if self.lacks_room is not None:
                    return  # running sequences will give back blocks
                restore.staged = StagedRestore(
                    self._cache, sequence.cache_id, restore.prefix, restore.found
                )
            at_once = self._slice_bytes
            if is_idle and at_once == SLICE_BYTES:
                at_once = IDLE_SLICE_BYTES
            if restore.staged.stage(at_once):
                before = self._cache.length(sequence.cache_id)
                has_grown = restore.staged.publish(restore.token_ids) > before
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
