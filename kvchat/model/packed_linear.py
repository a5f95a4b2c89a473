"""PackedLinear: Int8Linear and Int4Linear by the native kernel, bit for bit.

The codes lie as the kernel reads them, in panels of 16 outputs; there is no second copy of them.
"""

import ctypes

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.model.int4_linear import GROUP_SIZE, Int4Weights
from kvchat.model.int8_linear import Int8Weights
from kvchat.model.weight_memory import WeightMemory
from kvchat.native.int_linear import (
    PANEL_OUTPUTS,
    TILE_INPUTS,
    IntLinearFunctions,
    IntWeights,
)

_OFFSET = 128
_SLICE_PANELS = 64
"""Codes are put in their places so many panels at a time, which bounds the memory it takes."""


class PackedLinear(nn.Module):
    """A linear layer over rounded weights whose product, exact as it is, is the native one.

    Rows of the result have the bits of Int8Linear and of Int4Linear. The layers of a model share a
    `memory`, where their weights lie side by side.
    """

    tiles: Tensor
    steps: Tensor | None
    scales: Tensor

    def __init__(
        self,
        functions: IntLinearFunctions,
        weights: Int8Weights | Int4Weights,
        bias: nn.Parameter | None = None,
        memory: WeightMemory | None = None,
    ) -> None:
        super().__init__()
        memory = WeightMemory() if memory is None else memory
        if isinstance(weights, Int4Weights):
            self.out_features, half = weights.nibbles.shape
            self.in_features = 2 * half
            tiles, steps = _packed_int4(weights, memory)
        else:
            self.out_features, self.in_features = weights.codes.shape
            tiles, steps = _packed_int8(weights, memory), None
        self._functions = functions
        self.bias = bias
        self.register_buffer("tiles", tiles, persistent=False)
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("scales", _padded(weights.scales, PANEL_OUTPUTS), persistent=False)
        self._arrays: tuple[Tensor | None, ...] = ()
        self._weights: IntWeights | None = None
        self._address = 0

    def forward(self, rows: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs] in the type of the rows."""
        if self._weights is None:
            self._bind()
        floats = rows.float()
        if floats.stride(1) != 1:
            floats = floats.contiguous()
        num_rows = floats.shape[0]
        output = torch.empty(num_rows, self.out_features)
        scratch = torch.empty(
            self._functions.scratch_bytes(num_rows, self.in_features), dtype=torch.uint8
        )
        self._functions.multiply(
            self._address,
            num_rows,
            floats.data_ptr(),
            floats.stride(0),
            output.data_ptr(),
            scratch.data_ptr(),
        )
        return output.to(rows.dtype)

    def bound(self) -> IntWeights:
        """Return the matrix as the library wants it; it lives as long as this layer."""
        if self._weights is None:
            self._bind()
        assert self._weights is not None
        return self._weights

    def _bind(self) -> None:
        """Write down the addresses of the arrays, once all of them are in their places."""
        bias = None if self.bias is None else _padded(self.bias.detach().float(), PANEL_OUTPUTS)
        self._arrays = (self.tiles, self.steps, self.scales, bias)  # kept: addresses hold nothing
        addresses = [None if array is None else array.data_ptr() for array in self._arrays]
        self._weights = IntWeights(self.in_features, self.out_features, *addresses)
        self._address = ctypes.addressof(self._weights)


def _padded(tensor: Tensor, multiple: int) -> Tensor:
    """Return a tensor with zeros behind its first axis, up to a multiple."""
    missing = -tensor.shape[0] % multiple
    return functional.pad(tensor, [0, 0] * (tensor.ndim - 1) + [0, missing]).contiguous()


def _packed_int8(weights: Int8Weights, memory: WeightMemory) -> Tensor:
    """Return codes plus 128 as [panels, fours, 16, 4] uint8."""
    num_outputs, num_inputs = weights.codes.shape
    num_panels, num_fours = -(-num_outputs // PANEL_OUTPUTS), -(-num_inputs // TILE_INPUTS)
    tiles = memory.empty((num_panels, num_fours, PANEL_OUTPUTS, TILE_INPUTS))
    for first in range(0, num_panels, _SLICE_PANELS):
        codes = weights.codes[first * PANEL_OUTPUTS : (first + _SLICE_PANELS) * PANEL_OUTPUTS]
        codes = _padded(codes, PANEL_OUTPUTS)
        codes = functional.pad(codes, [0, num_fours * TILE_INPUTS - num_inputs])
        panels = codes.view(-1, PANEL_OUTPUTS, num_fours, TILE_INPUTS).transpose(1, 2)
        tiles[first : first + _SLICE_PANELS] = panels.view(torch.uint8) ^ _OFFSET
    return tiles


def _packed_int4(weights: Int4Weights, memory: WeightMemory) -> tuple[Tensor, Tensor]:
    """Return codes as [panels, groups, 4, 16, 4] uint8, and steps as [panels, groups, 16]."""
    num_outputs, num_groups = weights.steps.shape
    num_panels = -(-num_outputs // PANEL_OUTPUTS)
    fours = GROUP_SIZE // 2 // TILE_INPUTS
    tiles = memory.empty((num_panels, num_groups, fours, PANEL_OUTPUTS, TILE_INPUTS))
    for first in range(0, num_panels, _SLICE_PANELS):
        outputs = slice(first * PANEL_OUTPUTS, (first + _SLICE_PANELS) * PANEL_OUTPUTS)
        nibbles = _padded(weights.nibbles[outputs], PANEL_OUTPUTS)
        panels = nibbles.view(-1, PANEL_OUTPUTS, num_groups, fours, TILE_INPUTS)
        tiles[first : first + _SLICE_PANELS] = panels.permute(0, 2, 3, 1, 4)
    steps = _padded(weights.steps, PANEL_OUTPUTS)
    steps = steps.view(num_panels, PANEL_OUTPUTS, num_groups).transpose(1, 2).contiguous()
    return tiles, steps
