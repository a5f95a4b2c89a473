"""StagedRestore: blocks from disk go into held blocks in slices, then into a sequence all at once.

Until `publish` no table, length or key has changed, so `abandon` leaves the pool as it was.
"""

from collections.abc import Sequence

from kvchat.errors import fault
from kvchat.kv.block_bytes import array_layout, export_blocks, import_block
from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.block_table import HOLE
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.prefix_index import ROOT_KEY
from kvchat.kv.segments import BlockArray, FoundBlocks, SegmentLayout
from kvchat.kv.stored_prefix import NeededBlock, StoredPrefix


def segment_layout(cache: PagedKVCache, model_digest: str) -> SegmentLayout:
    """Return how the blocks of a cache look on disk, and which saved ones it can use."""
    groups = tuple(array_layout(storage) for storage in cache.storages)
    scheme = "+".join(",".join(_scheme(each) for each in arrays) for arrays in groups)
    return SegmentLayout(model_digest, scheme, cache.block_size, groups)


def _scheme(array: BlockArray) -> str:
    """Return type and shape of an array apart from the block size, as in F32[8x4x*x64]."""
    layers, heads, _, *rest = array.shape
    return f"{array.dtype}[{'x'.join(map(str, (layers, heads, '*', *rest)))}]"


def export_group(
    cache: PagedKVCache, group: int, blocks: Sequence[int], num_valid: int | None = None
) -> tuple[bytearray, ...]:
    """Return copies of blocks of one layer group, as the arrays of a segment."""
    return tuple(export_blocks(cache.storages[group], blocks, num_valid))


class StagedRestore:
    """The blocks that a sequence lacks, from taking their room to giving them to the sequence.

    Takes room for everything that was found, or raises OutOfBlocks and has changed nothing. That
    may evict what is resident of the prefix, so what was found is brought even if it is resident
    now; in the end whatever still is is shared. The sequence must be left alone until `publish` or
    `abandon`, apart from being shrunk.
    """

    def __init__(
        self, cache: PagedKVCache, sequence: SequenceId, prefix: StoredPrefix, found: FoundBlocks
    ) -> None:
        self._cache = cache
        self._sequence = sequence
        self._prefix = prefix
        self._base = len(cache.paged_sequence(sequence).keys)
        self._blocks: dict[tuple[int, int], int] = {}
        self._rest: list[tuple[NeededBlock, int, tuple[memoryview, ...]]] = []
        for needed in prefix.needed:
            for group in range(len(cache.pools)):
                if needed.groups >> group & 1 and (needed.key, group) in found:
                    self._rest.append((needed, group, found[needed.key, group]))
        self._rest.reverse()
        try:
            for group, pool in enumerate(cache.pools):
                indexes = sorted(each.index for each, of, _ in self._rest if of == group)
                table = cache.paged_sequence(sequence).tables[group].blocks[: self._base]
                after = table[-1] if table and table[-1] != HOLE else None
                if indexes:
                    blocks = pool.take(len(indexes), after=after)
                    self._blocks |= zip([(index, group) for index in indexes], blocks, strict=True)
        except BaseException:
            self.abandon()
            raise

    @staticmethod
    def num_taken(cache: PagedKVCache, prefix: StoredPrefix, found: FoundBlocks) -> BlockCounts:
        """Return how many blocks a restore takes in each layer group."""
        return BlockCounts(
            sum((needed.key, group) in found for needed in prefix.needed)
            for group in range(len(cache.pools))
        )

    def stage(self, max_bytes: int) -> bool:
        """Copy the next blocks, about `max_bytes` and at least one; return whether all are there"""
        num_bytes = 0
        while self._rest and num_bytes < max_bytes:
            needed, group, arrays = self._rest[-1]
            block = self._blocks[needed.index, group]
            import_block(self._cache.storages[group], block, arrays, len(needed.token_ids))
            num_bytes += sum(map(len, arrays))
            self._rest.pop()
        return not self._rest

    def publish(self, token_ids: Sequence[int]) -> int:
        """Give the sequence all blocks, and let others find the full ones; return its new length.

        token_ids  the ids the prefix was looked for with

        Returns the length it has, with nothing restored, if a block that was resident has gone, or
        the sequence's own.
        """
        assert not self._rest
        cache, prefix = self._cache, self._prefix
        state = cache.paged_sequence(self._sequence)
        resident = {
            (needed.index, group): self._resident(needed, group)
            for needed in prefix.needed
            for group in range(len(cache.pools))
            if needed.groups >> group & 1
        }
        is_whole = len(state.keys) == self._base and all(
            block is not None or place in self._blocks for place, block in resident.items()
        )
        if not is_whole:
            self.abandon()
            return state.length
        fault("restore.publish")
        tables = [[HOLE] * (prefix.num_blocks - self._base) for _ in cache.pools]
        num_restored = len(self._blocks)
        for needed in prefix.needed:
            for group, pool in enumerate(cache.pools):
                if not needed.groups >> group & 1:
                    continue
                block = resident[needed.index, group]
                held = self._blocks.pop((needed.index, group), None)
                if block is not None:
                    pool.reference(block)
                    if held is not None:  # somebody computed it meanwhile
                        pool.give_back(held)
                else:
                    assert held is not None
                    block = held
                    pool.settle(block)
                    if needed.index < len(prefix.keys):
                        parent = prefix.keys[needed.index - 1] if needed.index else ROOT_KEY
                        pool.index.publish(block, needed.key, needed.token_ids, parent)
                tables[group][needed.index - self._base] = block
        cache.extend(self._sequence, token_ids[: prefix.length], prefix.keys, tables)
        name = state.label or "a sequence"
        cache.record("restore", f"{name} was brought back from disk", num_restored)
        return state.length

    def abandon(self) -> None:
        """Give all room back; a second call does nothing."""
        for (_, group), block in self._blocks.items():
            self._cache.pools[group].give_back(block)
        self._blocks.clear()

    def _resident(self, needed: NeededBlock, group: int) -> int | None:
        if needed.index >= len(self._prefix.keys):
            return None  # an open tail is nobody else's
        return self._cache.pools[group].index.find(needed.key, needed.token_ids)
