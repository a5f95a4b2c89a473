"""UnsavedBlocks: what of a sequence is in the pool and in no file, copied out as segments."""

from kvchat.engine.segment_store import SegmentStore
from kvchat.engine.sequence import Sequence
from kvchat.kv.block_table import HOLE
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.segments import MAX_BLOCKS, Segment, SegmentIndex, SegmentLayout
from kvchat.kv.staged_restore import export_group
from kvchat.kv.window_schedule import WindowSchedule

_Dirty = tuple[int, dict[int, int]]
"""Index of a block in its sequence, and its id in each layer group in which it is not saved"""


class UnsavedBlocks:
    """Copies blocks of one cache between two steps; a file holds about `file_bytes` at most."""

    def __init__(
        self, cache: PagedKVCache, store: SegmentStore, layout: SegmentLayout, file_bytes: int
    ) -> None:
        self._cache = cache
        self._store = store
        self._layout = layout
        # A file is one slice, so that copying its blocks out delays no step for long.
        self._file_blocks = max(1, min(MAX_BLOCKS, file_bytes // layout.block_bytes))

    def of(self, sequence: Sequence, max_bytes: int) -> tuple[list[Segment], list[bytes]]:
        """Return what is in the pool and not saved, and the keys of all its blocks.

        Stops once it has copied `max_bytes`. The open block at the end goes into a segment of its
        own, unless a saved one begins with its tokens, and only while nothing is generated.
        """
        cache, size = self._cache, self._cache.block_size
        state = cache.paged_sequence(sequence.cache_id)
        if state.token_ids is None or not state.length:
            return [], []
        segments: list[Segment] = []
        num_bytes = 0
        run: list[_Dirty] = []
        for index in range(len(state.keys) + 1):
            blocks: dict[int, int] = {}
            if index < len(state.keys):
                saved = self._store.groups(state.keys[index])
                blocks = self._resident(state, index, saved)
            if blocks:
                run.append((index, blocks))
            if run and (not blocks or len(run) == self._file_blocks):
                segments.append(self._segment(state, run))
                num_bytes += segments[-1].num_bytes
                run = []
                if num_bytes >= max_bytes:
                    return segments, list(state.keys)
        keys = list(state.keys)
        if state.length % size and sequence.request is None:
            index = len(keys)
            tail_ids = state.token_ids[index * size :]
            # No token is there yet that a change from here on would say anything of.
            so_far = PagedSequence(state.schedule.before(state.length), [], keys=state.keys)
            stem = chain_key(so_far, index, (), size, cache.salt)
            found = self._store.find_tail(stem, tail_ids)
            if found is not None and found[1:] == (len(tail_ids), self._layout.all_groups):
                keys.append(found[0])  # the same tokens, or a block that begins with them
            else:
                keys.append(chain_key(so_far, index, tail_ids, size, cache.salt))
                blocks = {group: table.blocks[index] for group, table in enumerate(state.tables)}
                segments.append(self._segment(state, [(index, blocks)], (keys[-1], stem)))
        return segments, keys

    def _resident(self, state: PagedSequence, index: int, saved: int) -> dict[int, int]:
        """Return by layer group the full block at an index, in groups outside the mask `saved`.

        A block that the window has released counts while it is cached: going back needs it.
        """
        size = self._cache.block_size
        found: dict[int, int] = {}
        assert state.token_ids is not None
        for group, table in enumerate(state.tables):
            if saved >> group & 1:
                continue
            block: int | None = table.blocks[index]
            if block == HOLE:
                tokens = state.token_ids[index * size : (index + 1) * size]
                block = table.pool.index.find(state.keys[index], tokens)
            if block is not None:
                found[group] = block
        return found

    def _segment(
        self, state: PagedSequence, run: list[_Dirty], tail: tuple[bytes, bytes] | None = None
    ) -> Segment:
        """Copy a run of blocks out of the pool; with `tail`, a key and its stem, the open block."""
        cache, size = self._cache, self._cache.block_size
        assert state.token_ids is not None
        first, behind = run[0][0], run[-1][0] + 1
        indexes = range(first, behind)
        keys = [state.keys[index] for index in indexes] if tail is None else [tail[0]]
        stems = [chain_key(state, index, (), size, cache.salt) for index in indexes]
        if tail is not None:
            stems = [tail[1]]
        places = tuple(
            tuple(place for place, (_, blocks) in enumerate(run) if group in blocks)
            for group in range(len(cache.pools))
        )
        num_valid = None if tail is None else state.length % size
        arrays = tuple(
            export_group(cache, group, [run[place][1][group] for place in of_group], num_valid)
            for group, of_group in enumerate(places)
        )
        index = SegmentIndex(
            schedule_name(state.schedule),
            first,
            tuple(keys),
            tuple(stems),
            tuple(tuple(state.token_ids[index * size : (index + 1) * size]) for index in indexes),
            places,
        )
        return Segment(index, arrays)


def schedule_name(schedule: WindowSchedule) -> str:
    """Return what a segment's header says of windows and rotation its tokens were computed with."""
    parts = []
    for start, seen in schedule.parts:
        words = "" if seen.window is None else f"{seen.sinks}|{seen.window}"
        parts.append(f"{start}={words}" if start else words)
    windows = ";".join(parts)
    return windows if not schedule.scheme_length else f"{windows}|{schedule.scheme_length}"
