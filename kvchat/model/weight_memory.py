"""WeightMemory: room for rounded weights in large pages, where the system has them.

A step reads all weights once. In pages of 4 KiB that costs a third of the time in looking up where
they lie, so matrices, which are smaller than a large page each, lie side by side in common ones.
"""

import mmap
from contextlib import suppress

import torch
from torch import Tensor

_ARENA_BYTES = 64 << 20
"""Address space that is taken at once; memory is taken as it is written."""
_ALIGNMENT = 64


class WeightMemory:
    """Gives out tensors that lie side by side; their memory goes when the last one of it does."""

    def __init__(self) -> None:
        self._arena: Tensor | None = None
        self._used = 0

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of uint8 of any content."""
        size = torch.Size(shape).numel()
        if size == 0 or not hasattr(mmap, "MADV_HUGEPAGE"):
            return torch.empty(shape, dtype=torch.uint8)
        if self._arena is None or self._used + size > len(self._arena):
            self._arena, self._used = _large_pages(max(size, _ARENA_BYTES)), 0
        part = self._arena.narrow(0, self._used, size)
        self._used += -(-size // _ALIGNMENT) * _ALIGNMENT
        return part.view(shape)


def _large_pages(num_bytes: int) -> Tensor:
    """Return fresh memory, in large pages if the system agrees."""
    pages = mmap.mmap(-1, num_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system built without them has the same memory in small pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=torch.uint8)
