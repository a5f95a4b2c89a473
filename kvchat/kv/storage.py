"""KVStorage: the tensors behind one layer group's blocks.

Per layer one tensor of numbers, logically [2 * num_kv_heads, num_blocks * block_size, head_dim]:
key heads, then value heads; for MLA a single row of latents. In int8 the numbers are codes, and a
second tensor, [2 * num_kv_heads, num_blocks * block_size], has their scales. In memory both are
head-major, so a run of blocks is one contiguous stretch per head; on CUDA they are token-major,
seen through a transposed view. Slots are written once, by the step that reserved them.
"""

import os
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kvchat.kv.kv_run import Arrays, KVRun
from kvchat.kv.quantization import dequantize, quantize, quantize_latent
from kvchat.kv.spec import KVDtype, LayerGroup

BlockCopy = tuple[int, int, int]
"""(source block, target block, number of valid slots)"""


class KVStorage:
    """Keys and values of all layers of one group; block b is slots b * block_size and on.

    `dtype` is the model's, and that of the numbers unless `kv_dtype` is "int8". `arrays` has the
    tensors of each layer, all with slots as their second axis; `views` the same as KVRuns.
    """

    def __init__(
        self,
        group: LayerGroup,
        num_blocks: int,
        block_size: int,
        *,
        dtype: torch.dtype,
        device: str,
        kv_dtype: KVDtype = "auto",
    ) -> None:
        assert group.value_dim in (0, group.key_dim), "keys and values of one size share a tensor"
        self.group = group
        self.block_size = block_size
        self.dtype = dtype
        self.kv_dtype = kv_dtype
        self.is_poisoning = os.environ.get("KVCHAT_POISON") == "1"
        num_slots = num_blocks * block_size
        rows = 2 * group.num_kv_heads
        numbers_shape = (rows if group.value_dim else 1, num_slots, group.key_dim)

        def new_arrays() -> Arrays:
            if kv_dtype == "auto":
                return (_new_array(numbers_shape, dtype, device),)
            codes = _new_array(numbers_shape, torch.int8, device)
            return codes, _new_array((rows, num_slots), torch.float32, device)

        self.arrays = [new_arrays() for _ in group.layer_indexes]
        # One run of all slots per layer, made once: attention narrows it, and never copies.
        self.views = [KVRun.of(arrays, group) for arrays in self.arrays]
        self._has_index_copy = True
        if self.is_poisoning:
            self._poison_slots(0, num_slots)

    @property
    def tensors(self) -> list[Tensor]:
        """The numbers of each layer, [rows, slots, head_dim]."""
        return [arrays[0] for arrays in self.arrays]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(array.nbytes for array in self._all_arrays())

    def write(self, place: int, slots: Tensor, key: Tensor, value: Tensor | None) -> Arrays:
        """Write new keys and values to their slots, and return what was stored, as arrays.

        place  index of the layer in its group
        slots  [T] int64
        key    [T, K, D]; value likewise, or None for MLA
        return arrays like those of the layer, of T slots: what a later step will read, so that a
               token is seen through its codes from the first moment on
        """
        new = key if value is None else torch.cat((key, value), 1)  # [T, R, D]
        new = new.transpose(0, 1)  # [R, T, D]
        if self.kv_dtype == "auto":
            new = new.to(self.dtype)
            self._put(self.arrays[place][0], slots, new)
            return (new,)
        if value is None:
            codes, scales = quantize_latent(new[0], self.group.latent_value_dim)
            codes = codes[None]  # [1, T, D]
        else:
            codes, scales = quantize(new)
        stored_codes, stored_scales = self.arrays[place]
        self._put(stored_codes, slots, codes)
        self._put(stored_scales, slots, scales)
        return codes, scales

    def read(self, place: int, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of the keys and values in `slots`, [T] int64, as [T, K, D] each."""
        run = self.views[place].select(slots)
        key, value = run.key[0], run.value[0]  # [K, T, D]
        if run.key_scale is not None and run.value_scale is not None:
            split = self.group.latent_value_dim or key.shape[-1]
            parts = [dequantize(key[..., :split], run.key_scale[0])]
            if run.rotary_scale is not None:
                parts.append(dequantize(key[..., split:], run.rotary_scale[0]))
            key = torch.cat(parts, -1).to(self.dtype)
            value = dequantize(value, run.value_scale[0]).to(self.dtype)
        return key.transpose(0, 1), value.transpose(0, 1)

    def copy_blocks(self, copies: Sequence[BlockCopy]) -> None:
        """Copy the valid slots of each source block to its target, in all layers."""
        for source, target, num_valid in copies:
            first, behind = source * self.block_size, target * self.block_size
            for array in self._all_arrays():
                array.narrow(1, behind, num_valid).copy_(array.narrow(1, first, num_valid))

    def poison(self, block: int, first: int = 0) -> None:
        """Make a freed block, or its slots from `first` on, NaN: a stale read is loud.

        In int8 the scales are NaN. For tests, which ask for it by KVCHAT_POISON=1.
        """
        self._poison_slots(block * self.block_size + first, self.block_size - first)

    def _poison_slots(self, first: int, count: int) -> None:
        for array in self._all_arrays():
            if array.is_floating_point():
                array.narrow(1, first, count).fill_(float("nan"))

    def _all_arrays(self) -> Iterator[Tensor]:
        for arrays in self.arrays:
            yield from arrays

    def _put(self, array: Tensor, slots: Tensor, numbers: Tensor) -> None:
        if self._has_index_copy:
            try:
                array.index_copy_(1, slots, numbers)
            except NotImplementedError:
                # Some devices lack the operator; found out once, then never tried again.
                self._has_index_copy = False
            else:
                return
        array[:, slots] = numbers


def _new_array(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    # Not filled: pages of memory that were never written cost nothing until they are.
    if device.startswith("cuda"):
        rows, num_slots, *rest = shape
        return torch.empty(num_slots, rows, *rest, dtype=dtype, device=device).transpose(0, 1)
    return torch.empty(shape, dtype=dtype, device=device)
