"""split_pool(): how many blocks each layer group gets of one byte budget.

Plain integers, no tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.errors import InvalidArgument
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerGroup


@dataclass(frozen=True, slots=True)
class PoolShape:
    """Layer groups, the bytes of a block in each, and for how many windows there is to be room.

    A group without a window gets some number of blocks, equal for all; a windowed group gets as
    many, but at most room for the windows of `max_sequences` twice: once for what they see, and
    once for released blocks that stay findable. So a model with both kinds of layers gets long
    contexts in the layers that need them, and no idle room in the others.
    """

    groups: Sequence[LayerGroup]
    block_bytes: Sequence[int]
    block_size: int
    max_sequences: int

    @classmethod
    def of(
        cls,
        spec: KVCacheSpec,
        itemsize: int,
        kv_dtype: KVDtype,
        *,
        block_size: int,
        max_sequences: int,
    ) -> "PoolShape":
        """Return the shape of a pool for numbers of `itemsize` bytes, or for int8."""
        sizes = [block_size * group.bytes_per_token(itemsize, kv_dtype) for group in spec.groups]
        return cls(spec.groups, sizes, block_size, max_sequences)

    def counts(self, longest: int) -> list[int]:
        """Return the blocks of each group where those without a window have `longest`."""
        counts = []
        for group in self.groups:
            count = longest
            if group.window is not None:
                # A window lies in one block more than its length asks for, unless aligned.
                blocks_of_window = -(-group.window // self.block_size) + 1
                count = min(longest, 2 * self.max_sequences * blocks_of_window)
            counts.append(count)
        return counts

    def num_bytes(self, longest: int) -> int:
        """Return the bytes of all tensors where groups without a window have `longest` blocks."""
        return sum(map(int.__mul__, self.counts(longest), self.block_bytes))


def split_pool(shape: PoolShape, pool_bytes: int, max_blocks: int | None = None) -> list[int]:
    """Return the number of blocks of each group, the most that fit `pool_bytes` together.

    max_blocks  at most so many in a group, however many bytes there are

    Raises InvalidArgument when not even one block for each group fits.
    """
    if shape.num_bytes(1) > pool_bytes:
        raise InvalidArgument(
            f"A pool of {pool_bytes} bytes does not hold one block of {shape.block_size} tokens,"
            f" {shape.num_bytes(1)} bytes; use a larger --pool or a smaller --block-size."
        )
    # The size never falls as the number of blocks grows, so halving finds the largest.
    fits, too_many = 1, pool_bytes // min(shape.block_bytes) + 2
    if max_blocks is not None:
        too_many = min(too_many, max_blocks + 1)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if shape.num_bytes(middle) <= pool_bytes:
            fits = middle
        else:
            too_many = middle
    return shape.counts(fits)
