"""EvictedBlocks: what no chat holds any more is saved when its room is needed, not dropped.

A turn's blocks are written behind it, so most victims are on disk. A block that is not, since the
queue was full or its chat was rewound or closed too soon, is copied out in the moment it is evicted
and handed to the store. Where that has no room the block is dropped, which costs prefill.
"""

import logging
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.engine.unsaved_blocks import schedule_name
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_sequence import chain_key
from kvchat.kv.segments import MAX_BLOCKS, Segment, SegmentIndex, SegmentLayout
from kvchat.kv.staged_restore import export_group

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Whose block it was, and where in that sequence it stood."""

    owner: str
    schedule: str
    index: int
    stem: bytes


@dataclass(frozen=True, slots=True)
class _Evicted:
    """A copy of one block, in one layer group."""

    origin: _Origin
    key: bytes
    token_ids: tuple[int, ...]
    group: int
    arrays: tuple[bytearray, ...]


class EvictedBlocks:
    """Watches the evictions of one cache; for its thread alone."""

    def __init__(self, cache: PagedKVCache, store: SegmentStore, layout: SegmentLayout) -> None:
        self._cache = cache
        self._store = store
        self._layout = layout
        self._origins: dict[bytes, _Origin] = {}
        self._evicted: list[_Evicted] = []
        self._num_bytes = 0
        for group, pool in enumerate(cache.pools):
            pool.on_evicting = partial(self._keep, group)

    def __len__(self) -> int:
        return len(self._evicted)

    def note(self, sequence: Sequence, length: int = 0) -> None:
        """Remember whose the blocks behind `length` tokens are, before a sequence lets them go."""
        cache, size = self._cache, self._cache.block_size
        state = cache.paged_sequence(sequence.cache_id)
        for index in range(length // size, len(state.keys)):
            key = state.keys[index]
            if self._store.groups(key) != self._layout.all_groups:
                stem = chain_key(state, index, (), size, cache.salt)
                name = schedule_name(state.schedule)
                self._origins[key] = _Origin(sequence.owner, name, index, stem)
        # Blocks that went some other way leave entries behind; the oldest of too many go.
        for key in list(self._origins)[: -2 * sum(pool.num_blocks for pool in cache.pools)]:
            del self._origins[key]

    def save_cached(self) -> bool:
        """Hand over what is cached and not saved, while it stays cached; say if all had room."""
        is_whole = True
        for group, pool in enumerate(self._cache.pools):
            for block in pool.cached_blocks():
                is_whole &= self._keep(group, block)
        return self.hand_over() and is_whole

    def hand_over(self) -> bool:
        """Let the store write what was copied; say whether it had room."""
        evicted = sorted(self._evicted, key=lambda each: (each.origin.owner, each.origin.schedule,
                                                          each.origin.index, each.key))  # fmt: skip
        self._evicted, self._num_bytes = [], 0
        is_whole = True
        for owner, of_owner in groupby(evicted, key=lambda each: each.origin.owner):
            segments = [self._segment(run) for run in _runs(list(of_owner))]
            is_whole &= self._store.save(owner, segments, ()) is not None
        for each in evicted:
            if self._store.groups(each.key) == self._layout.all_groups:
                self._origins.pop(each.key, None)
        return is_whole

    def _keep(self, group: int, block: int) -> bool:
        """Copy a block that nobody holds, if it can be found again and is not saved.

        Returns False where that was wanted and impossible.
        """
        pool = self._cache.pools[group]
        key, token_ids = pool.index.entry(block)
        origin = self._origins.get(key)
        is_saved = origin is None or bool(self._store.groups(key) >> group & 1)
        if origin is None or is_saved or pool.index.twin(block) is not None:
            return True
        if self._num_bytes >= self._store.room_bytes:
            return False
        try:
            arrays = export_group(self._cache, group, [block])
        except Exception as error:
            # Memory or a device: not saving costs prefill, and the eviction must go on.
            log.warning("keys and values were not saved: %s", type(error).__name__)
            return True
        self._evicted.append(_Evicted(origin, key, token_ids, group, arrays))
        self._num_bytes += sum(map(len, arrays))
        return True

    def _segment(self, run: "list[list[_Evicted]]") -> Segment:
        """Return a segment of adjacent blocks, each given in the layer groups it was copied in."""
        firsts = [block[0] for block in run]
        groups = range(len(self._layout.groups))
        of_groups = [
            [
                (place, each)
                for place, block in enumerate(run)
                for each in block
                if each.group == group
            ]
            for group in groups
        ]
        index = SegmentIndex(
            firsts[0].origin.schedule,
            firsts[0].origin.index,
            tuple(each.key for each in firsts),
            tuple(each.origin.stem for each in firsts),
            tuple(each.token_ids for each in firsts),
            tuple(tuple(place for place, _ in copies) for copies in of_groups),
        )
        arrays = tuple(
            tuple(
                b"".join(each.arrays[number] for _, each in of_groups[group])
                for number in range(len(self._layout.groups[group]))
            )
            for group in groups
        )
        return Segment(index, arrays)


def _runs(evicted: list[_Evicted]) -> "list[list[list[_Evicted]]]":
    """Return runs of blocks whose places follow each other; a block is its copies by group."""
    blocks = [
        list(of_block)
        for _, of_block in groupby(evicted, key=lambda each: (each.origin.schedule,
                                                              each.origin.index, each.key))
    ]  # fmt: skip
    runs: list[list[list[_Evicted]]] = []
    for block in blocks:
        origin = block[0].origin
        last = runs[-1][-1][0].origin if runs else None
        follows = (
            last is not None
            and (last.schedule, last.index + 1) == (origin.schedule, origin.index)
            and len(runs[-1]) < MAX_BLOCKS
        )
        if follows:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs
