"""split_layers(), read_tokens(): keys and values that no model brings or asks for.

The arithmetic of `PagedKVCache.append` and `keys_values`, by which a cache is used on its own, for
inspection and tests. Attention never comes here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.storage import KVStorage


def split_layers(
    key: Tensor | Sequence[Tensor], value: Tensor | Sequence[Tensor] | None, num_layers: int
) -> list[tuple[Tensor, Tensor | None]]:
    """Return keys and values layer by layer, [T, num_kv_heads, dim] each.

    key, value  [layers, T, num_kv_heads, dim], or one [T, num_kv_heads, dim] a layer; of one layer
                also [T, num_kv_heads, dim]; MLA has no values

    Raises InvalidArgument for another number of layers.
    """
    if isinstance(key, Tensor) and key.dim() == 3:
        key = key[None]
    if isinstance(value, Tensor) and value.dim() == 3:
        value = value[None]
    keys = list(key)
    values = [None] * len(keys) if value is None else list(value)
    if len(keys) != num_layers or len(values) != num_layers:
        raise InvalidArgument(
            f"Keys of {len(keys)} and values of {len(values)} layers do not fit a cache of"
            f" {num_layers}."
        )
    return list(zip(keys, values, strict=True))


def read_tokens(
    storage: KVStorage, place: int, table: BlockTable, length: int, released: float
) -> tuple[Tensor, Tensor]:
    """Return copies of a layer's keys and values, [length, num_kv_heads, dim] each.

    place     index of the layer in its group
    released  what rows hold whose block a window let go of
    """
    size, blocks = table.block_size, table.blocks
    held = [p for p in range(length) if blocks[p // size] != HOLE]
    slots = [blocks[p // size] * size + p % size for p in held]
    device = storage.tensors[place].device
    read = storage.read(place, torch.tensor(slots, dtype=torch.int64, device=device))
    if len(held) == length:
        return read
    key, value = (part.new_full((length, *part.shape[1:]), released) for part in read)
    key[held], value[held] = read
    return key, value
