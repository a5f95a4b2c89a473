"""RestorePlanner: which saved blocks a sequence lacks, in whatever size they were saved.

Looks in the pool and in what the disk is known to have; reads nothing and changes nothing.
"""

from collections.abc import Sequence as Sequences
from dataclasses import dataclass

from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.kv.block_conversion import OpenTail
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.prefix_index import num_equal
from kvchat.kv.segments import FoundBlocks, SegmentLayout
from kvchat.kv.stored_prefix import StoredPrefix, find_stored_prefix


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What to ask the disk for, and how many tokens the sequence has then.

    wanted      key and mask of layer groups of each block to be read
    is_part     more is there, to be asked for after this
    num_bytes   about what will be read
    block_size  the size of the blocks, where it is not the pool's; `keys` are then those of all
                blocks from position 0 on
    """

    length: int
    wanted: tuple[tuple[bytes, int], ...]
    is_part: bool
    num_bytes: int
    block_size: int | None = None
    keys: tuple[bytes, ...] = ()


class RestorePlanner:
    """Looks for the blocks of one cache; without windows a plan has `max_blocks` at most."""

    def __init__(
        self, cache: PagedKVCache, store: SegmentStore, layout: SegmentLayout, max_blocks: int
    ) -> None:
        self._cache = cache
        self._store = store
        self._layout = layout
        self._max_blocks = max_blocks

    def plan(self, sequence: Sequence, token_ids: Sequences[int]) -> RestorePlan | None:
        """Return what to read so that a sequence has most of these tokens; None where nothing is.

        At least one token is left to compute.
        """
        size, length = self._cache.block_size, self._cache.length(sequence.cache_id)
        prefix = self.look(sequence, token_ids)
        best, best_size = prefix, size
        for block_size in self._store.other_sizes():
            other = self._look_elsewhere(sequence, token_ids, block_size)
            if other is not None and other.length > (length if best is None else best.length):
                best, best_size = other, block_size
        if best is None:
            return None
        if best_size == size:
            plan = self._plan_here(sequence, best)
        else:
            plan = self._plan_elsewhere(sequence, token_ids, best, best_size)
        if length % size and plan.length - length < size:
            return None  # its own open tail is there: a few tokens are computed sooner than read
        return plan

    def num_restorable(self, sequence: Sequence, token_ids: Sequences[int]) -> int:
        """Return how many of these tokens, but the last, could be had without computing any."""
        found = [self.look(sequence, token_ids)]
        for block_size in self._store.other_sizes():
            found.append(self._look_elsewhere(sequence, token_ids, block_size))
        length = self._cache.length(sequence.cache_id)
        return max([length, *(prefix.length for prefix in found if prefix is not None)])

    def look(
        self,
        sequence: Sequence,
        token_ids: Sequences[int],
        found: FoundBlocks | None = None,
        converted: OpenTail | None = None,
    ) -> StoredPrefix | None:
        """Return what pool and disk have beyond what the sequence has; or pool and `found`.

        converted  the open block among what was found, where it was made out of others
        """
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
                common = num_equal(token_ids, converted.token_ids)
                return converted.key, common, brought(converted.key)
            tail = self._store.find_tail(stem, token_ids)
            if tail is None or found is None:
                return tail
            return tail[0], tail[1], brought(tail[0])

        return find_stored_prefix(
            state,
            token_ids,
            cache.schedules(sequence.cache_id),
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
            PagedSequence(state.schedule, [], length=state.length),
            token_ids,
            cache.schedules(sequence.cache_id),
            block_size,
            cache.salt,
            lambda key, ids: self._store.find(key, ids, block_size),
            lambda stem, ids: self._store.find_tail(stem, ids, block_size),
        )

    def _plan_here(self, sequence: Sequence, prefix: StoredPrefix) -> RestorePlan:
        size, needed = self._cache.block_size, prefix.needed
        is_part = self._has_no_window(sequence) and len(needed) > self._max_blocks
        length = prefix.length
        if is_part:
            needed = needed[: self._max_blocks]
            length = (needed[-1].index + 1) * size
        wanted = tuple((each.key, each.groups) for each in needed)
        return RestorePlan(length, wanted, is_part, self._num_bytes(wanted, size))

    def _plan_elsewhere(
        self,
        sequence: Sequence,
        token_ids: Sequences[int],
        prefix: StoredPrefix,
        block_size: int,
    ) -> RestorePlan:
        """Return what to read of blocks of another size, so that whole blocks come of it."""
        size = self._cache.block_size
        schedules = self._cache.schedules(sequence.cache_id)
        first = len(self._cache.paged_sequence(sequence.cache_id).keys) * size
        length, most = prefix.length, first + self._max_blocks * size
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
                for group, seen in enumerate(schedules)
                if any(block not in seen.hidden_blocks(length, size) for block in blocks)
            )
            if index < len(prefix.keys):
                groups &= self._store.find(keys[index], tuple(token_ids[begin:behind]), block_size)
            if groups:
                wanted.append((keys[index], groups))
        num_bytes = self._num_bytes(wanted, block_size)
        return RestorePlan(length, tuple(wanted), is_part, num_bytes, block_size, tuple(keys))

    def _num_bytes(self, wanted: Sequences[tuple[bytes, int]], block_size: int) -> int:
        layout = self._layout.with_block_size(block_size)
        of_groups = [sum(each.num_bytes for each in group) for group in layout.groups]
        return sum(
            num_bytes
            for _, groups in wanted
            for group, num_bytes in enumerate(of_groups)
            if groups >> group & 1
        )

    def _has_no_window(self, sequence: Sequence) -> bool:
        schedules = self._cache.schedules(sequence.cache_id)
        return not any(schedule.has_window for schedule in schedules)
