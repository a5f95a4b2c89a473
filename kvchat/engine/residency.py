"""Residency: what of a sequence is in the pool or on disk; save, spill, restore.

After a turn its new blocks are copied out between steps and written by others; at the first turn of
a sequence that is not resident, blocks come back from disk, are staged in slices between steps, and
are given to it all at once. The engine thread never waits here: a sequence that waits for the disk
stays in line while others stream, and whatever goes wrong leads to prefill.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from concurrent.futures import Future
from typing import Protocol

from kvchat.engine.sequence import Sequence
from kvchat.errors import OutOfBlocks
from kvchat.kv.block_table import HOLE
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.segments import MAX_BLOCKS, Segment, SegmentIndex, SegmentLayout
from kvchat.kv.staged_restore import FoundBlocks, StagedRestore, export_group
from kvchat.kv.stored_prefix import StoredPrefix, find_stored_prefix

SLICE_BYTES = 8 << 20
"""About so many bytes are copied between two steps, in either direction."""

FETCH_BYTES = 256 << 20
"""A long sequence without windows is brought back in parts of so many bytes"""
_ANY_TOKEN = -1
"""Stands for the token that is computed in any case"""
_Dirty = tuple[int, dict[int, int]]
"""Index of a block in its sequence, and its id in each layer group in which it is not saved"""

log = logging.getLogger(__name__)


class SegmentStore(Protocol):
    """Where blocks are saved. Nothing here waits for a disk; see `store.segment_thread`."""

    @property
    def room_bytes(self) -> int:
        """Bytes that can be handed over now; the first of them may be more."""

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which a block is saved or about to be."""

    def find(self, key: bytes, token_ids: tuple[int, ...]) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""

    def find_tail(self, stem: bytes, token_ids: Sequences[int]) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the saved block most like these tokens."""

    def save(
        self, owner: str, segments: Sequences[Segment], keys: Sequences[bytes]
    ) -> "Future[bool] | None":
        """Write segments of a sequence whose blocks have these keys; None: no room now."""

    def fetch(
        self,
        owner: str,
        wanted: Sequences[tuple[bytes, int]],
        on_done: Callable[[FoundBlocks], None],
    ) -> None:
        """Read blocks by key and mask of groups; `on_done` gets those proved good, any thread."""

    def explain(self, owner: str) -> None:
        """Say in the log why what was saved of a sequence cannot be used, if anything was."""


class _Restore:
    """One sequence on its way back: its blocks are read, then staged."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.is_part = False
        self.found: FoundBlocks | None = None
        self.prefix: StoredPrefix | None = None
        self.staged: StagedRestore | None = None


class Residency:
    """Saves and restores the sequences of one engine; for its thread alone.

    post       runs a call on the engine's thread, soon; callable from any thread
    make_room  lets others give up blocks until so many are there for a sequence; says if they are
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
    ) -> None:
        self._cache = cache
        cache.is_on_disk = lambda key, group: bool(store.groups(key) >> group & 1)
        self._store = store
        self._layout = layout
        self._post = post
        self._slice_bytes = slice_bytes
        self._fetch_blocks = max(1, fetch_bytes // layout.block_bytes)
        # A file is one slice, so that copying its blocks out delays no step for long.
        self._file_blocks = max(1, min(MAX_BLOCKS, slice_bytes // layout.block_bytes))
        self._unsaved: dict[Sequence, None] = {}
        self._restore: _Restore | None = None
        self._in_line: set[Sequence] = set()
        self._is_tried: set[Sequence] = set()
        self.lacks_room: Sequence | None = None
        """The sequence whose blocks were read and have no room yet: nobody behind it is admitted"""

    # Saving

    def turn_ended(self, sequence: Sequence) -> None:
        """Save what is new of a sequence, soon."""
        self._is_tried.discard(sequence)
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
        """Save what a sequence has in the pool, before its blocks may go; dropped without room."""
        self.save(sequence)

    def _save_slice(self, sequence: Sequence) -> "tuple[Future[bool] | None, bool]":
        """Hand over the next blocks; return the future, None if refused, and if that was all."""
        if self._store.room_bytes <= 0:
            return None, False
        try:
            segments, keys = self._segments(sequence, self._slice_bytes)
        except Exception as error:
            # Memory or a device: not saving costs prefill after a restart, and nothing else.
            log.warning("keys and values were not saved: %s", type(error).__name__)
            return None, True
        is_last = sum(each.num_bytes for each in segments) < self._slice_bytes
        return self._store.save(sequence.owner, segments, keys), is_last

    def _segments(self, sequence: Sequence, max_bytes: int) -> tuple[list[Segment], list[bytes]]:
        """Return what is in the pool and not saved, and the keys of all its blocks."""
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
            stem = chain_key(state, index, (), size, cache.salt)
            found = self._store.find_tail(stem, tail_ids)
            if found is not None and found[1:] == (len(tail_ids), self._layout.all_groups):
                keys.append(found[0])  # the same tokens, or a block that begins with them
            else:
                keys.append(chain_key(state, index, tail_ids, size, cache.salt))
                blocks = {group: table.blocks[index] for group, table in enumerate(state.tables)}
                segments.append(self._segment(state, [(index, blocks)], keys[-1]))
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
        self, state: PagedSequence, run: list[_Dirty], tail_key: bytes | None = None
    ) -> Segment:
        """Copy a run of blocks out of the pool; with `tail_key` the run is the open last block."""
        cache, size = self._cache, self._cache.block_size
        assert state.token_ids is not None
        first, behind = run[0][0], run[-1][0] + 1
        keys = [*state.keys, tail_key or b""]
        places = tuple(
            tuple(place for place, (_, blocks) in enumerate(run) if group in blocks)
            for group in range(len(cache.pools))
        )
        num_valid = None if tail_key is None else state.length % size
        arrays = tuple(
            export_group(cache, group, [run[place][1][group] for place in of_group], num_valid)
            for group, of_group in enumerate(places)
        )
        visible = state.visible
        schedule = "" if visible.window is None else f"{visible.sinks}|{visible.window}"
        index = SegmentIndex(
            schedule,
            first,
            tuple(keys[first:behind]),
            tuple(chain_key(state, index, (), size, cache.salt) for index in range(first, behind)),
            tuple(
                tuple(state.token_ids[index * size : (index + 1) * size])
                for index in range(first, behind)
            ),
            places,
        )
        return Segment(index, arrays)

    # Restoring

    @property
    def has_work(self) -> bool:
        """Say whether `work` would do anything now; waiting for a disk is none."""
        restore = self._restore
        return bool(self._unsaved) or (restore is not None and restore.found is not None)

    def work(self, make_room: Callable[[int, Sequence], bool], *, is_idle: bool) -> None:
        """Do one slice of saving or restoring, between two steps.

        make_room  lets others give up blocks until so many are there; says whether they are
        is_idle    nothing runs that could give back blocks later
        """
        if self._restore is not None and self._restore.found is not None:
            self._stage(self._restore, make_room, is_idle)
        elif self._unsaved:
            sequence = next(iter(self._unsaved))
            future, is_last = self._save_slice(sequence)
            if future is None or is_last:
                # Refused means dropped: the next turn tries again.
                del self._unsaved[sequence]

    def waits(self, sequence: Sequence) -> bool:
        """Say whether a sequence must not be admitted yet."""
        return sequence in self._in_line or (
            self._restore is not None and self._restore.sequence is sequence
        )

    def begin(self, sequence: Sequence) -> bool:
        """Bring back what disk has of a sequence; return whether it has to wait for that.

        One sequence after the other, so that of ten forks the first brings back what all share.
        """
        if sequence in self._is_tried:
            return False
        prefix = self._look(sequence, None)
        length = self._cache.length(sequence.cache_id)
        size = self._cache.block_size
        if prefix is not None and length % size and prefix.length - length < size:
            prefix = None  # its own open tail is there: a few tokens are computed sooner than read
        if prefix is None:
            self._is_tried.add(sequence)
            if not length:
                self._store.explain(sequence.owner)
            return False
        if self._restore is not None:
            self._in_line.add(sequence)
            return True
        restore = self._restore = _Restore(sequence)

        def take(found: FoundBlocks) -> None:
            if self._restore is restore:
                restore.found = found

        def tell(found: FoundBlocks) -> None:
            self._post(lambda: take(found))

        needed = prefix.needed
        visible_sets = self._cache.visible_sets_of(sequence.cache_id)
        if all(visible.window is None for visible in visible_sets):
            restore.is_part = len(needed) > self._fetch_blocks
            needed = needed[: self._fetch_blocks]
        wanted = [(each.key, each.groups) for each in needed]
        self._store.fetch(sequence.owner, wanted, tell)
        return True

    def give_way(self) -> bool:
        """Give back room that a restore holds, since somebody needs it; say whether there was."""
        restore = self._restore
        if restore is None or restore.staged is None:
            return False
        self._end(restore)
        return True

    def forget(self, sequence: Sequence) -> None:
        """Stop restoring a sequence whose request has ended, or that was closed."""
        self._is_tried.discard(sequence)
        self._in_line.discard(sequence)
        if self._restore is not None and self._restore.sequence is sequence:
            self._end(self._restore)
            self._is_tried.discard(sequence)

    def num_restorable(self, sequence: Sequence, token_ids: Sequences[int]) -> int:
        """Return how many of these tokens a sequence could have without computing any."""
        prefix = self._look(sequence, None, [*token_ids, _ANY_TOKEN])
        length = self._cache.length(sequence.cache_id)
        return length if prefix is None else prefix.length

    def closed(self, sequence: Sequence) -> None:
        """Forget a sequence for good."""
        self.forget(sequence)
        self._unsaved.pop(sequence, None)

    def _look(
        self,
        sequence: Sequence,
        found: FoundBlocks | None,
        token_ids: Sequences[int] | None = None,
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
            tail = self._store.find_tail(stem, token_ids)
            if tail is None or found is None:
                return tail
            return tail[0], tail[1], brought(tail[0])

        return find_stored_prefix(
            state,
            sequence.token_ids if token_ids is None else token_ids,
            cache.visible_sets_of(sequence.cache_id),
            cache.block_size,
            cache.salt,
            find,
            find_tail,
        )

    def _stage(
        self, restore: _Restore, make_room: Callable[[int, Sequence], bool], is_idle: bool
    ) -> None:
        sequence = restore.sequence
        assert restore.found is not None
        try:
            if restore.staged is None:
                self._cache.adopt(sequence.cache_id, sequence.token_ids)
                restore.prefix = self._look(sequence, restore.found)
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
            if restore.staged.stage(self._slice_bytes):
                before = self._cache.length(sequence.cache_id)
                has_grown = restore.staged.publish(sequence.token_ids) > before
                self._end(restore)
                if restore.is_part and has_grown:
                    self._is_tried.discard(sequence)  # the next part follows
        except OutOfBlocks:
            self._end(restore)
        except Exception as error:
            # Memory or a device: nothing was published, and the tokens can be computed instead.
            log.warning("a chat was not brought back from disk: %s", type(error).__name__)
            self._end(restore)

    def _end(self, restore: _Restore) -> None:
        if restore.staged is not None:
            restore.staged.abandon()
        self._restore = self.lacks_room = None
        self._is_tried.add(restore.sequence)
        self._in_line.clear()
