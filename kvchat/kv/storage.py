"""KVStorage: the tensors behind one layer group's blocks.

One tensor per layer, logically [2 * num_kv_heads, num_blocks * block_size, head_dim]: key heads,
then value heads. In memory it is head-major, so a run of blocks is one contiguous stretch per head;
on CUDA it is token-major, seen through a transposed view. Slots are written once, by the step that
reserved them.
"""

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from kvchat.kv.spec import LayerGroup

BlockCopy = tuple[int, int, int]
"""(source block, target block, number of valid slots)"""


class KVStorage:
    """Keys and values of all layers of one group; block b is slots b * block_size and on."""

    def __init__(
        self,
        group: LayerGroup,
        num_blocks: int,
        block_size: int,
        *,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        assert group.key_dim == group.value_dim, "keys and values of one size share a tensor"
        self.group = group
        self.block_size = block_size
        self.dtype = dtype
        self.num_kv_heads = group.num_kv_heads
        heads, slots = 2 * group.num_kv_heads, num_blocks * block_size
        self.is_poisoning = os.environ.get("KVCHAT_POISON") == "1"
        self.tensors: list[Tensor] = []
        for _ in group.layer_indexes:
            if device.startswith("cuda"):
                tensor = torch.empty(slots, heads, group.key_dim, dtype=dtype, device=device)
                tensor = tensor.transpose(0, 1)
            else:
                # Pages of memory that were never written cost nothing until they are.
                tensor = torch.empty(heads, slots, group.key_dim, dtype=dtype, device=device)
            if self.is_poisoning:
                tensor.fill_(float("nan"))
            self.tensors.append(tensor)
        # One view pair per layer, made once: attention narrows them, and never copies.
        self.views = [
            (tensor[: self.num_kv_heads][None], tensor[self.num_kv_heads :][None])
            for tensor in self.tensors
        ]
        self._has_index_copy = True

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Write new keys and values, [T, K, D] each, to `slots`, [T] int64."""
        new = torch.cat((key, value), 1).transpose(0, 1)  # [2K, T, D]
        tensor = self.tensors[layer]
        if self._has_index_copy:
            try:
                tensor.index_copy_(1, slots, new.to(tensor.dtype))
            except NotImplementedError:
                # Some devices lack the operator; found out once, then never tried again.
                self._has_index_copy = False
            else:
                return
        tensor[:, slots] = new.to(tensor.dtype)

    def copy_blocks(self, copies: Sequence[BlockCopy]) -> None:
        """Copy the valid slots of each source block to its target, in all layers."""
        for source, target, num_valid in copies:
            first, behind = source * self.block_size, target * self.block_size
            for tensor in self.tensors:
                tensor.narrow(1, behind, num_valid).copy_(tensor.narrow(1, first, num_valid))

    def poison(self, block: int, first: int = 0) -> None:
        """Fill a freed block, or its slots from `first` on, with NaN: a stale read is loud.

        For tests, which ask for it by KVCHAT_POISON=1.
        """
        start, count = block * self.block_size + first, self.block_size - first
        for tensor in self.tensors:
            tensor.narrow(1, start, count).fill_(float("nan"))
