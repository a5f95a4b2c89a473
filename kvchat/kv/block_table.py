"""BlockTable: the blocks of one sequence in one layer group.

Fork copies ids, rewind drops references; neither touches a tensor. Length is counted by the
sequence, in tokens. Plain Python, no tensors.
"""

from collections.abc import Iterator

from kvchat.kv.block_pool import BlockPool

HOLE = -1
"""A block that the window released; positions behind it never move."""


class BlockTable:
    """Block ids by position: slot of position p is `blocks[p // block_size] * block_size + ...`."""

    __slots__ = ("block_size", "blocks", "pool")

    def __init__(self, pool: BlockPool, block_size: int, blocks: list[int] | None = None) -> None:
        self.pool = pool
        self.block_size = block_size
        self.blocks: list[int] = [] if blocks is None else blocks

    def fork(self, length: int) -> "BlockTable":
        """Return a table of the first `length` tokens that shares every block; takes no block."""
        blocks = self.blocks[: -(-length // self.block_size)]
        self.pool.reference_all(_held(blocks))
        return BlockTable(self.pool, self.block_size, blocks)

    def truncate(self, length: int) -> int:
        """Drop references behind the first `length` tokens; return how many blocks were dropped.

        Released last block first, so that among cached blocks a child goes before its parent.
        """
        keep = -(-length // self.block_size)
        count = self.release_range(keep, len(self.blocks))
        del self.blocks[keep:]
        return count

    def release_range(self, first: int, behind: int) -> int:
        """Turn the blocks at indexes first .. behind - 1 into holes; return how many were held."""
        held = _held(self.blocks[first:behind])
        if held:
            held.reverse()
            self.pool.release_all(held)
            self.blocks[first:behind] = [HOLE] * len(self.blocks[first:behind])
        return len(held)

    def runs(self, first: int, behind: int) -> Iterator[tuple[int, int]]:
        """Yield positions first .. behind - 1 as (first slot, number of slots), adjacent joined."""
        size, blocks = self.block_size, self.blocks
        position = first
        while position < behind:
            index = position // size
            block = blocks[index]
            assert block != HOLE, "a released block was asked for"
            start = block * size + position % size
            end = min(behind, (index + 1) * size)
            while end < behind and blocks[end // size] == block + 1:
                block += 1
                end = min(behind, end + size)
            yield start, end - position
            position = end

    def num_runs(self) -> int:
        """Return the number of physical runs the held blocks lie in."""
        count, expected = 0, None
        for block in self.blocks:
            if block == HOLE:
                expected = None
                continue
            count += block != expected
            expected = block + 1
        return count


def _held(blocks: list[int]) -> list[int]:
    """Return the blocks that are no holes, in the same order, as a list of its own."""
    return [block for block in blocks if block != HOLE] if HOLE in blocks else list(blocks)
