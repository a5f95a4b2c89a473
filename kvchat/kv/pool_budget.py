"""split_pool(): how many blocks each layer group gets of one byte budget.

Plain integers, no tensors.
"""

from collections.abc import Sequence

from kvchat.errors import InvalidArgument
from kvchat.kv.spec import LayerGroup


def split_pool(
    groups: Sequence[LayerGroup],
    block_bytes: Sequence[int],
    pool_bytes: int,
    block_size: int,
    *,
    max_sequences: int,
) -> list[int]:
    """Return the number of blocks of each group, the most that fit `pool_bytes` together.

    A group without a window gets some number of blocks, equal for all; a windowed group gets as
    many, but at most room for the windows of `max_sequences` twice: once for what they see, and
    once for released blocks that stay findable. So a model with both kinds of layers gets long
    contexts in the layers that need them, and no idle room in the others.

    Raises InvalidArgument when not even one block for each group fits.
    """
    caps = [
        None
        if group.window is None
        # A window of W tokens lies in one block more than its length asks for, unless aligned.
        else 2 * max_sequences * (-(-group.window // block_size) + 1)
        for group in groups
    ]

    def counts(longest: int) -> list[int]:
        return [longest if cap is None else min(longest, cap) for cap in caps]

    def size(longest: int) -> int:
        return sum(map(int.__mul__, counts(longest), block_bytes))

    if size(1) > pool_bytes:
        raise InvalidArgument(
            f"A pool of {pool_bytes} bytes is smaller than one block a layer group,"
            f" {size(1)} bytes; use a larger pool or a smaller block size."
        )
    # The size never falls as the number of blocks grows, so halving finds the largest.
    fits, too_many = 1, pool_bytes // min(block_bytes) + 2
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if size(middle) <= pool_bytes:
            fits = middle
        else:
            too_many = middle
    return counts(fits)
