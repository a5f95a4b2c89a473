"""BlockPool: reference counts and states of the blocks of one layer group.

A block is free; held by the step in progress; private (one table); shared (several tables); or
cached: in no table, but published and so findable until somebody needs its room. Cached blocks form
a list in order of last use, threaded through two integer arrays, so every change is O(1). Plain
Python, no tensors.
"""

import time
from array import array
from collections.abc import Callable, Sequence

from kvchat.errors import OutOfBlocks, fault
from kvchat.kv.free_extents import FreeExtents
from kvchat.kv.pool_view import BlockState
from kvchat.kv.prefix_index import PrefixIndex

HEADROOM_TOKENS = 512
"""Free tokens left to a growing sequence while there are others; `kvchat.bench.placement`."""
FREE_PART = 5
"""Between turns one part in so many of a pool is kept free, as far as disk allows."""


class BlockPool:
    """The ids 0 .. num_blocks - 1, and who uses them.

    Always: free + cached + private + shared + held == num_blocks, and the reference count of a
    block is the number of tables naming it, plus one while a step holds it.

    `headroom` is how many free blocks are left to the sequence before them while there are others.
    """

    def __init__(self, num_blocks: int, headroom: int = 0) -> None:
        self.num_blocks = num_blocks
        self.index = PrefixIndex()
        self.ref_counts = [0] * num_blocks
        self.free = FreeExtents(num_blocks, headroom)
        self.held: set[int] = set()
        self.filled_at = array("d", bytes(8 * num_blocks))
        """Unix seconds at which a block got what it holds, or its first part; for display."""
        self.num_shared = 0
        self.num_cached = 0
        self.on_freed: Callable[[int], None] | None = None
        """Called with each block that becomes free; tests poison it."""
        self.on_evicting: Callable[[int], object] | None = None
        """Called with each cached block before it is given up, while it can still be read."""
        self.on_evicted: Callable[[int], None] | None = None
        """Called with each cached block that is given up for room."""
        # Sentinel `num_blocks` closes the ring; its successor is the least recently used block.
        self._next = [num_blocks] * (num_blocks + 1)
        self._previous = [num_blocks] * (num_blocks + 1)

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return self.free.num_free

    @property
    def num_private(self) -> int:
        """Blocks in exactly one table."""
        in_use = self.num_blocks - self.num_free - self.num_cached
        return in_use - self.num_shared - len(self.held)

    @property
    def num_available(self) -> int:
        """Blocks a step can have without taking any from a sequence: free and cached."""
        return self.num_free + self.num_cached

    def is_writable(self, block: int) -> bool:
        """Say whether a table's last holder may write: one reference, and not published."""
        return self.ref_counts[block] == 1 and block not in self.index

    def is_private(self, block: int) -> bool:
        """Say whether a block of a table is in that table alone; a hole is not."""
        return block >= 0 and self.ref_counts[block] == 1

    def take(self, count: int, *, after: int | None = None) -> list[int]:
        """Take `count` blocks for the step in progress, evicting cached ones where needed.

        Raises OutOfBlocks, with nothing changed, when free and cached blocks are too few.
        """
        if count > self.num_available:
            raise OutOfBlocks(f"{count} blocks needed, {self.num_available} free or cached")
        fault("pool.take")
        while self.free.num_free < count:
            self._evict_least_recently_used()
        blocks = self.free.take(count, after=after)
        for block in blocks:
            self.ref_counts[block] = 1
        self.held.update(blocks)
        return blocks

    def take_run(self, count: int) -> list[int] | None:
        """Take `count` consecutive free blocks for the step in progress, or None without any.

        Evicts nothing.
        """
        fault("pool.take")
        blocks = self.free.take_run(count)
        if blocks is None:
            return None
        for block in blocks:
            self.ref_counts[block] = 1
        self.held.update(blocks)
        return blocks

    def settle(self, block: int) -> None:
        """Make a held block private: its step committed and its table names it."""
        self.held.remove(block)
        self.filled_at[block] = time.time()

    def give_back(self, block: int) -> None:
        """Free a held block: its step was rolled back."""
        self.held.remove(block)
        self._drop_to_zero(block)

    def reference(self, block: int) -> None:
        """Count one more table; a cached block leaves the order of eviction."""
        assert block not in self.held
        count = self.ref_counts[block]
        if count == 0:
            assert block in self.index, "a free block can only be taken"
            self._unlink(block)
        elif count == 1:
            self.num_shared += 1
        self.ref_counts[block] = count + 1

    def replace(self, block: int, held: int) -> None:
        """Let a held copy take the place of a block in its only table, and in the index."""
        assert self.ref_counts[block] == 1 and block not in self.held
        self.settle(held)
        self.filled_at[held] = self.filled_at[block]
        if block in self.index:
            self.index.move(block, held)
        self._drop_to_zero(block)

    def release(self, block: int) -> None:
        """Count one table less; the last one makes a published block cached, any other free."""
        count = self.ref_counts[block]
        assert count > 0 and block not in self.held
        if count == 1:
            self._drop_to_zero(block)
            return
        if count == 2:
            self.num_shared -= 1
        self.ref_counts[block] = count - 1

    def reference_all(self, blocks: Sequence[int]) -> None:
        """Count one more table for each block, as `reference` does, without a call for each."""
        counts = self.ref_counts
        assert self.held.isdisjoint(blocks)
        num_shared = 0
        for block in blocks:
            count = counts[block]
            if count == 0:
                assert block in self.index, "a free block can only be taken"
                self._unlink(block)
            elif count == 1:
                num_shared += 1
            counts[block] = count + 1
        self.num_shared += num_shared

    def release_all(self, blocks: Sequence[int]) -> None:
        """Count one table less for each block, in this order, as `release` does for one.

        Without a call for each, since a rewind lets go of hundreds; what becomes free is given back
        together, after the last.
        """
        counts, index, following, before = self.ref_counts, self.index, self._next, self._previous
        published, has_twins, end = index.published, index.has_twins, self.num_blocks
        assert self.held.isdisjoint(blocks)
        freed = []
        for block in blocks:
            count = counts[block]
            assert count > 0
            counts[block] = count - 1
            if count > 1:
                self.num_shared -= count == 2
            elif block not in published:
                freed.append(block)
            elif has_twins and (twin := index.twin(block)) is not None:
                index.forget(block)  # as in `_drop_to_zero`
                freed.append(block)
                self._touch(twin)
            else:  # `_link`, written out
                last = before[end]
                following[last], before[block] = block, last
                following[block], before[end] = end, block
                self.num_cached += 1
        self.free.give_all(freed)
        if self.on_freed is not None:
            for block in freed:
                self.on_freed(block)

    def drop_cached(self) -> int:
        """Free every cached block; return how many there were."""
        count = self.num_cached
        while self.num_cached:
            self._evict_least_recently_used()
        return count

    def evict_saved(self, wanted: int, is_saved: Callable[[bytes], bool]) -> int:
        """Free cached blocks whose keys are saved until `wanted` are free; return how many went.

        Least recently used first; a block that is not saved stays.
        """
        count = 0
        for block in self.cached_blocks():
            if self.num_free >= wanted:
                break
            if is_saved(self.index.entry(block)[0]):
                self._evict(block)
                count += 1
        return count

    def state(self, block: int) -> BlockState:
        """Return the state of one block."""
        count = self.ref_counts[block]
        if block in self.held:
            return BlockState.HELD
        if count == 0:
            return BlockState.CACHED if block in self.index else BlockState.FREE
        return BlockState.PRIVATE if count == 1 else BlockState.SHARED

    def cached_blocks(self) -> list[int]:
        """Return cached blocks, least recently used first."""
        blocks, block = [], self._next[self.num_blocks]
        while block != self.num_blocks:
            blocks.append(block)
            block = self._next[block]
        return blocks

    def _drop_to_zero(self, block: int) -> None:
        self.ref_counts[block] = 0
        if block not in self.index:
            self._free(block)
            return
        twin = self.index.twin(block)
        if twin is None:
            self._link(block)
            return
        # Whoever looks for it finds its twin, which now counts as used last in its place.
        self.index.forget(block)
        self._free(block)
        self._touch(twin)

    def _touch(self, twin: int) -> None:
        if self.ref_counts[twin] == 0:
            self._unlink(twin)
            self._link(twin)

    def _free(self, block: int) -> None:
        self.free.give(block)
        if self.on_freed is not None:
            self.on_freed(block)

    def _evict_least_recently_used(self) -> None:
        block = self._next[self.num_blocks]
        assert block != self.num_blocks
        self._evict(block)

    def _evict(self, block: int) -> None:
        if self.on_evicting is not None:
            self.on_evicting(block)
        self._unlink(block)
        self.index.forget(block)
        self._free(block)
        if self.on_evicted is not None:
            self.on_evicted(block)

    def _link(self, block: int) -> None:
        end = self.num_blocks
        last = self._previous[end]
        self._next[last], self._previous[block] = block, last
        self._next[block], self._previous[end] = end, block
        self.num_cached += 1

    def _unlink(self, block: int) -> None:
        before, behind = self._previous[block], self._next[block]
        self._next[before], self._previous[behind] = behind, before
        self.num_cached -= 1


def evict_saved(pools: Sequence[BlockPool], is_on_disk: Callable[[bytes, int], bool]) -> int:
    """Evict cached blocks that are on disk until a part of each pool is free; return how many.

    is_on_disk  says of a block's key and layer group whether it can be read back
    """
    count = 0
    for group_index, pool in enumerate(pools):

        def is_saved(key: bytes, group_index: int = group_index) -> bool:
            return is_on_disk(key, group_index)

        count += pool.evict_saved(-(-pool.num_blocks // FREE_PART), is_saved)
    return count
