"""Blocks of a storage as bytes and back, in one order whatever the order in memory.

A block's bytes are, for each of its arrays, [layers, heads_stored, block_size, ...], so a pool on
another device, with blocks elsewhere, gives and takes the same bytes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvchat.errors import fault
from kvchat.kv.segments import BlockArray
from kvchat.kv.storage import KVStorage

_DTYPE_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int8: "I8",
    torch.uint8: "U8",
}


_ARRAY_NAMES = ("blocks", "scales")


def array_layout(storage: KVStorage) -> tuple[BlockArray, ...]:
    """Return name, dtype and shape of each array that one block of a storage has."""
    found = []
    for name, first in zip(_ARRAY_NAMES, storage.arrays[0], strict=False):
        heads, _, *rest = first.shape
        shape = (len(storage.arrays), heads, storage.block_size, *rest)
        found.append(BlockArray(name, _DTYPE_NAMES[first.dtype], shape))
    assert len(found) == len(storage.arrays[0])
    return tuple(found)


def export_blocks(
    storage: KVStorage, blocks: Sequence[int], num_valid: int | None = None
) -> list[bytearray]:
    """Return a copy of blocks: for each array, that of the first block, then of the next ones.

    Of every block only the first `num_valid` slots are read, the rest is zero; None reads all.
    """
    fault("blocks.export")
    num_valid = storage.block_size if num_valid is None else num_valid
    found = []
    for each, layers in zip(array_layout(storage), zip(*storage.arrays, strict=True), strict=True):
        content = bytearray(each.num_bytes * len(blocks))
        if blocks:
            target = torch.frombuffer(content, dtype=layers[0].dtype)
            target = target.view(len(blocks), *each.shape)  # [blocks, layers, heads, slots, ...]
            for first, count, place in _runs(blocks):
                for layer, tensor in enumerate(layers):
                    source = _slots(tensor, first, count, storage.block_size)
                    target[place : place + count, layer, :, :num_valid] = source[:, :, :num_valid]
        found.append(content)
    return found


def import_block(
    storage: KVStorage, block: int, arrays: Sequence[memoryview], num_valid: int
) -> None:
    """Write the first `num_valid` slots of a block that a step or a restore holds."""
    fault("blocks.import")
    expected = array_layout(storage)
    layers_of_arrays = zip(*storage.arrays, strict=True)
    for each, layers, content in zip(expected, layers_of_arrays, arrays, strict=True):
        assert len(content) == each.num_bytes
        source = torch.frombuffer(content, dtype=layers[0].dtype).view(each.shape)
        for layer, tensor in enumerate(layers):
            target = tensor.narrow(1, block * storage.block_size, num_valid)
            target.copy_(source[layer, :, :num_valid])


def _slots(tensor: Tensor, first: int, count: int, block_size: int) -> Tensor:
    """Return a view of `count` adjacent blocks of one layer, [blocks, heads, slots, ...]."""
    view = tensor.narrow(1, first * block_size, count * block_size)
    return view.view(len(tensor), count, block_size, *tensor.shape[2:]).transpose(0, 1)


def _runs(blocks: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (first block, number, place in the list) of each run of adjacent blocks."""
    runs: list[tuple[int, int, int]] = []
    for place, block in enumerate(blocks):
        if runs and runs[-1][0] + runs[-1][1] == block:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, runs[-1][2])
        else:
            runs.append((block, 1, place))
    return runs
