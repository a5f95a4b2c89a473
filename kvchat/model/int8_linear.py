"""Int8Linear: weights in int8 with a scale per output, activations in int8 with a scale per row."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kvchat.model.integer_product import integer_product
from kvchat.model.row_codes import RowCodes

SLICE_ELEMENTS = 1 << 20
"""Weights are rounded in slices of about so many elements, which bounds the memory it takes."""


@dataclass(frozen=True, slots=True)
class Int8Weights:
    """A weight matrix rounded to int8.

    codes   [outputs, inputs] int8 in -127..127
    scales  [outputs] float32: a weight is about code * scale; NaN for an output with NaN weights
    """

    codes: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Weights":
        """Round a matrix [outputs, inputs] of any float type, a slice of outputs at a time."""
        codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        scales = torch.empty(weight.shape[0], dtype=torch.float32, device=weight.device)
        for outputs in output_slices(weight.shape):
            coded = RowCodes.of(weight[outputs])
            codes[outputs] = coded.codes
            scales[outputs] = coded.scales[:, 0]
        return cls(codes, scales)


def output_slices(shape: torch.Size) -> Iterator[slice]:
    """Yield slices of the outputs of a matrix with about SLICE_ELEMENTS elements each."""
    num_outputs, num_inputs = shape
    count = max(1, SLICE_ELEMENTS // max(1, num_inputs))
    for start in range(0, num_outputs, count):
        yield slice(start, min(start + count, num_outputs))


class Int8Linear(nn.Module):
    """A linear layer over int8 codes whose integer product is exact.

    A row of the result has the same bits whatever rows are beside it. Rounding both sides costs
    about one part in a hundred of the result's size. A row with NaN or infinity becomes NaN, and
    only that one.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, weights: Int8Weights, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weights.codes.shape
        self.register_buffer("codes", weights.codes, persistent=False)
        self.register_buffer("scales", weights.scales, persistent=False)
        self.bias = bias

    def forward(self, rows: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs] in the type of the rows."""
        coded = RowCodes.of(rows)
        output = integer_product(coded.codes, self.codes).float()  # [T, outputs]
        output.mul_(coded.scales).mul_(self.scales)
        if self.bias is not None:
            output += self.bias
        return output.to(rows.dtype)
