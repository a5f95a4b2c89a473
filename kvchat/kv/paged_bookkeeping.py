"""PagedBookkeeping: which sequences there are, which blocks they hold, and who gets room.

Every operation here changes tables, counts and keys only; no tensor is touched or known. What
becomes of the slots is the business of `paged_cache.py`, which reserves steps over these sequences.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from kvchat.errors import InvalidArgument
from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.block_pool import HEADROOM_TOKENS, BlockPool, evict_saved
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.pool_events import PoolEvents
from kvchat.kv.pool_history import PoolHistory
from kvchat.kv.resident_prefix import find_resident_prefix
from kvchat.kv.spec import KVCacheSpec, SequenceId, check_whole
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowChange, WindowSchedule


class PagedBookkeeping:
    """Sequences as tables of blocks, in a pool per layer group.

    num_blocks  blocks of every layer group, or one number for each
    salt        names the model and how its KV is stored; sequences share blocks by content only
                under one salt
    """

    def __init__(
        self,
        spec: KVCacheSpec,
        num_blocks: int | Sequence[int],
        *,
        block_size: int = 32,
        salt: bytes = b"",
    ) -> None:
        counts = num_blocks if isinstance(num_blocks, Sequence) else [num_blocks] * len(spec.groups)
        check_whole(block_size=block_size)
        for count in counts:
            check_whole(num_blocks=count)
        if not counts or len(counts) != len(spec.groups):
            raise InvalidArgument(
                f"{len(counts)} numbers of blocks do not fit {len(spec.groups)} layer groups."
            )
        if min(counts) < 1 or block_size < 1:
            raise InvalidArgument(
                f"A pool of {min(counts)} blocks of {block_size} tokens cannot hold anything."
            )
        self.spec = spec
        self.block_size = block_size
        self.num_blocks = max(counts)
        self.salt = salt
        self.pools = [
            BlockPool(count, min(HEADROOM_TOKENS // block_size, count // 16)) for count in counts
        ]
        self.is_on_disk: Callable[[bytes, int], bool] | None = None
        """Says of a block's key and layer group whether it can be read back; see `tidy`."""
        self._sequences: dict[SequenceId, PagedSequence] = {}
        self._next_id = 0
        self._step: Step | None = None
        self._events = PoolEvents()
        self._history = PoolHistory()
        self._num_uses = 0
        for index, pool in enumerate(self.pools):
            pool.on_evicted = partial(self._events.count_eviction, group_index=index)

    # Sequences

    def open(
        self,
        *,
        window: int | None = None,
        sinks: int = 0,
        scheme_length: int = 0,
        owner: str = "",
        label: str = "",
    ) -> SequenceId:
        """Start an empty sequence; sinks are rounded up to whole blocks.

        `owner` names the sequence in views, `label` in the words of events.
        Raises InvalidArgument for a window below 1 or negative sinks.
        """
        check_whole(scheme_length=scheme_length)
        changes = [WindowChange(0, window, sinks)]
        schedule = WindowSchedule.of(changes, self.block_size, scheme_length)
        tables = [BlockTable(pool, self.block_size) for pool in self.pools]
        return self._register(PagedSequence(schedule, tables, owner, label))

    def length(self, sequence: SequenceId) -> int:
        """Return the number of committed tokens."""
        return self._state(sequence).length

    def token_ids(self, sequence: SequenceId) -> list[int]:
        """Return a copy of the ids of the committed tokens.

        Raises InvalidArgument where tokens came without ids.
        """
        token_ids = self._state(sequence).token_ids
        if token_ids is None:
            raise InvalidArgument("Tokens of this sequence came without ids.")
        return list(token_ids)

    def fork(
        self,
        sequence: SequenceId,
        length: int | None = None,
        *,
        owner: str = "",
        label: str = "",
    ) -> SequenceId:
        """Return a new sequence of the first `length` tokens that shares every block with this.

        Takes no block, so it succeeds under a full pool. Where a window has released what the child
        would see, the child starts empty and its tokens are brought again.
        """
        parent = self._at_rest(sequence)
        length = parent.length if length is None else length
        length = self._standing_length(parent, length)
        child = parent.fork(length, owner, label)
        shared = sum(1 for block in child.tables[0].blocks if block != HOLE)
        self.record(
            "fork",
            f"{label or 'a fork'} shares {shared} block{'s' if shared != 1 else ''} with"
            f" {parent.label or 'its parent'},"
            " nothing copied",
            shared,
        )
        return self._register(child)

    def truncate(self, sequence: SequenceId, length: int) -> int:
        """Rewind to the first `length` tokens; return how many were kept.

        Drops references to blocks behind; touches no tensor. The block that is cut open is written
        in place if nobody else can read it, else copied at the next write.

        Published blocks that are cut off stay cached, so going back costs nothing while they last.
        Returns 0 where a window has released what the shorter sequence would see; `adopt` then
        finds what is still resident.
        """
        state = self._at_rest(sequence)
        length = self._standing_length(state, length)
        before = state.length
        dropped = self._cut(state, length)
        if length < before:
            self.record("rewind", f"{state.name} went back to token {length}", dropped)
        return length

    def can_rewind(self, sequence: SequenceId, length: int) -> bool:
        """Say whether `truncate` would keep `length` tokens, and not 0 because of a window."""
        return self._standing_length(self._state(sequence), length) == length

    @contextmanager
    def checkpoint(self, sequence: SequenceId) -> Iterator[SequenceId]:
        """Keep a sequence as it is now, to `rollback` to; what raises inside rolls back by itself.

            with cache.checkpoint(sequence) as before:
                cache.append(sequence, key, value)
                if not wanted:
                    cache.rollback(sequence, before)

        The checkpoint is a fork: it costs no block, and holds what windows release meanwhile. A
        step that was reserved inside and is not over when something raises is rolled back, too. A
        sequence that was released inside stays released.
        """
        before, step = self.fork(sequence), self._step
        try:
            yield before
        except BaseException:
            if self._step is not None and self._step is not step:
                self._abandon_step()
            if sequence in self._sequences and before in self._sequences:
                self.rollback(sequence, before)
            raise
        finally:
            if before in self._sequences:
                self.release(before)

    def rollback(self, sequence: SequenceId, checkpoint: SequenceId) -> None:
        """Make a sequence equal to another, usually a fork that was made of it before.

        Shares every block with it; the checkpoint stays as it is and can be used again.
        """
        state, source = self._at_rest(sequence), self._at_rest(checkpoint)
        if state is not source:
            state.become(source)

    def release(self, sequence: SequenceId) -> None:
        """Forget a sequence; its published blocks stay cached until their room is needed."""
        state = self._at_rest(sequence)
        dropped = self._cut(state, 0)
        del self._sequences[sequence]
        self.record("free", f"{state.name} closed", dropped)

    def adopt(self, sequence: SequenceId, token_ids: Sequence[int]) -> int:
        """Extend a sequence by published blocks that hold exactly these tokens.

        token_ids  all ids the sequence is to have, those it has already included
        return     the new length, at most len(token_ids) - 1, so one token is left to compute

        Raises InvalidArgument where the ids are not those of the tokens the sequence has.

        References every hit before anything else is taken, in every layer group or in none. In a
        windowed group only sinks and window must be resident; the rest becomes holes.
        """
        state = self._at_rest(sequence)
        if state.token_ids is None:
            return state.length
        if state.token_ids != list(token_ids[: state.length]):
            raise InvalidArgument(
                "The ids do not begin with those of the sequence; truncate it first."
            )
        schedules = self._schedules(state)
        prefix = find_resident_prefix(state, token_ids, schedules, self.block_size, self.salt)
        if prefix is None:
            return state.length
        num_hits = prefix.reference(state.tables)
        self.extend(sequence, token_ids[: prefix.length], prefix.keys, prefix.blocks)
        self.record("hit", f"{state.name} found {state.length} tokens computed before", num_hits)
        return state.length

    def extend(
        self,
        sequence: SequenceId,
        token_ids: Sequence[int],
        keys: Sequence[bytes],
        blocks: Sequence[Sequence[int]],
    ) -> None:
        """Give a sequence blocks that hold its next tokens and were referenced for it.

        token_ids  all ids the sequence then has
        keys       chained keys of its full blocks, from position 0 on
        blocks     per layer group, the blocks behind those whose keys it has already, and HOLE
                   where no query behind `token_ids` looks
        """
        state = self._at_rest(sequence)
        state.extend(token_ids, keys, blocks)
        state.release_hidden(self._schedules(state))
        self._forget_slots_behind(state)
        self._use(state)

    def paged_sequence(self, sequence: SequenceId) -> PagedSequence:
        """Return a sequence's tables and keys, to be looked at between two steps."""
        return self._at_rest(sequence)

    def record(self, kind: str, text: str, num_blocks: int) -> None:
        """Add an event to those a panel shows."""
        self._events.add(kind, text, num_blocks)
        self._history.note(self.pools[0], self._sequences.values())

    def unrecorded(self) -> AbstractContextManager[None]:
        """Add no event inside, for what is only tried."""
        return self._events.paused()

    # Room

    def shrink(self, sequence: SequenceId, wanted: int | BlockCounts) -> int:
        """Give up blocks of an idle sequence, tail first, until `wanted` are available.

        wanted  of each layer group, or of every one the same number

        Returns the new length. A sequence with a window gives up everything, since it cannot
        continue without its last positions; what of it is published stays cached, in groups that
        have room as well.
        """
        if isinstance(wanted, int):
            wanted = BlockCounts([wanted] * len(self.pools))
        state = self._at_rest(sequence)
        schedules = self._schedules(state)
        is_windowed = any(schedule.last.window is not None for schedule in schedules)
        dropped = 0
        while state.length and not wanted.fits(self.available):
            last = (state.length - 1) // self.block_size * self.block_size
            stands = not is_windowed and state.can_stand_at(last, schedules)
            dropped += self._cut(state, last if stands else 0)
        if dropped:
            name = state.label or "an idle sequence"
            self.record("evict", f"{name} made room; its text stays", dropped)
        return state.length

    def tidy(self) -> int:
        """Evict cached blocks that are on disk until a fifth of each pool is free; return how many.

        For the time between turns: sequences are placed better where there is free room, and what
        is on disk comes back cheaply. Does nothing until `is_on_disk` is set.
        """
        if self.is_on_disk is None:
            return 0
        count = evict_saved(self.pools, self.is_on_disk)
        if count:
            self._events.forget_evictions()
            self.record("evict", "blocks that are on disk made room between turns", count)
        return count

    def chunk_limit(self, sequence: SequenceId, wanted: int) -> int:
        """Return how many of `wanted` new tokens one step may hold: chunks respect the window."""
        state = self._state(sequence)
        return state.schedule.chunk_limit(state.length, wanted)

    def blocks_for(self, sequence: SequenceId, count: int) -> int:
        """Return how many blocks `count` more tokens would take, in the layer group of most.

        Counts a copy of the last block where it cannot be written in place.
        """
        return self._state(sequence).blocks_for(count)

    def blocks_by_group(self, sequence: SequenceId, count: int) -> BlockCounts:
        """Return how many blocks `count` more tokens would take in one step; see `blocks_for`."""
        return self._state(sequence).blocks_by_group(count)

    def blocks_to_hold(self, sequence: SequenceId, count: int) -> BlockCounts:
        """Return how many blocks a sequence must get until it has `count` more tokens.

        Fewer than those tokens take at once where a window gives blocks back on the way.
        """
        state = self._state(sequence)
        return state.blocks_to_hold(count, self._schedules(state))

    def most_blocks(self, sequence: SequenceId, num_tokens: int) -> BlockCounts:
        """Return how many blocks a sequence holds alone while it grows to `num_tokens`."""
        full = -(-num_tokens // self.block_size)
        schedules = self._schedules(self._state(sequence))
        limits = [schedule.most_blocks(self.block_size) for schedule in schedules]
        return BlockCounts(full if most is None else min(full, most) for most in limits)

    @property
    def num_published(self) -> int:
        """How many blocks were ever made findable; `adopt` finds no more until it grows."""
        return sum(pool.index.num_published for pool in self.pools)

    @property
    def available(self) -> BlockCounts:
        """Free and cached blocks of each layer group."""
        return BlockCounts(pool.num_available for pool in self.pools)

    @property
    def size(self) -> BlockCounts:
        """All blocks of each layer group."""
        return BlockCounts(pool.num_blocks for pool in self.pools)

    @property
    def num_available(self) -> int:
        """Free and cached blocks, in the layer group that has fewest."""
        return min(pool.num_available for pool in self.pools)

    # Pieces

    def _register(self, state: PagedSequence) -> SequenceId:
        sequence = SequenceId(self._next_id)
        self._next_id += 1
        self._sequences[sequence] = state
        self._use(state)
        return sequence

    def _use(self, state: PagedSequence) -> None:
        self._num_uses += 1
        state.last_used = self._num_uses

    def _state(self, sequence: SequenceId) -> PagedSequence:
        state = self._sequences.get(sequence)
        if state is None:
            raise InvalidArgument(
                f"Sequence {sequence} is not in this cache; it was released, or opened in another."
            )
        return state

    def _at_rest(self, sequence: SequenceId) -> PagedSequence:
        """Return a sequence that may change, which none of the step in progress may."""
        state = self._state(sequence)
        assert self._step is None or all(row.sequence is not state for row in self._step.rows), (
            "a sequence of the reserved step changes only after commit or rollback"
        )
        return state

    def _abandon_step(self) -> None:
        """Roll back the step in progress, whoever holds it."""
        assert self._step is not None
        self._step.rollback()
        self._step = None

    def _standing_length(self, state: PagedSequence, length: int) -> int:
        """Return `length`, or 0 where a window has released what a query there would see."""
        check_whole(length=length)
        if not 0 <= length <= state.length:
            raise InvalidArgument(
                f"Position {length} is outside the sequence, which has {state.length} tokens."
            )
        return length if state.can_stand_at(length, self._schedules(state)) else 0

    def _cut(self, state: PagedSequence, length: int) -> int:
        dropped = state.cut(length)
        self._forget_slots_behind(state)
        return dropped

    def _schedules(self, state: PagedSequence) -> list[WindowSchedule]:
        """Return what queries of a sequence see, in the order of the layer groups."""
        return [state.schedule.within(group.window) for group in self.spec.groups]

    def _forget_slots_behind(self, state: PagedSequence) -> None:
        """Do what is needed with slots behind a sequence's last token: nothing, without tensors."""
