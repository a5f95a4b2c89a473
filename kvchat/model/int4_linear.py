"""Int4Linear: weights in 4 bits with a whole step per group of 32, activations in int8 per row.

A weight is `scale of its output * step of its group * code`, with a code of -8..7 and a step of
-15..15. Step times code fits int8, so the product is the exact one of int8 weights: groups cost no
rounding, and no order of adding them can change a bit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kvchat.model.int8_linear import output_slices
from kvchat.model.integer_product import integer_product
from kvchat.model.row_codes import SMALLEST_PEAK, RowCodes

GROUP_SIZE = 32
LEAST_CODE, MOST_CODE = -8, 7
LARGEST_STEP = 15
_HALF = GROUP_SIZE // 2


@dataclass(frozen=True, slots=True)
class Int4Weights:
    """A weight matrix rounded to 4 bits.

    nibbles  [outputs, inputs / 2] uint8: byte j of a group's 16 holds code j in its low half and
             code j + 16 in its high one, each plus 8
    steps    [outputs, inputs / 32] int8 in -15..15
    scales   [outputs] float32: a weight is about code * step * scale
    """

    nibbles: Tensor
    steps: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> "Int4Weights":
        """Round a matrix [outputs, inputs] of any float type, a slice of outputs at a time.

        The number of inputs is a multiple of GROUP_SIZE.
        """
        num_outputs, num_inputs = weight.shape
        assert num_inputs % GROUP_SIZE == 0, weight.shape
        device = weight.device
        nibbles = torch.empty(num_outputs, num_inputs // 2, dtype=torch.uint8, device=device)
        num_groups = num_inputs // GROUP_SIZE
        steps = torch.empty(num_outputs, num_groups, dtype=torch.int8, device=device)
        scales = torch.empty(num_outputs, dtype=torch.float32, device=device)
        for outputs in output_slices(weight.shape):
            codes, steps[outputs], scales[outputs] = _rounded(weight[outputs].float())
            halves = (codes - LEAST_CODE).to(torch.uint8)  # [outputs, groups, 32]
            packed = halves[..., :_HALF] | (halves[..., _HALF:] << 4)
            nibbles[outputs] = packed.flatten(1)
        return cls(nibbles, steps, scales)

    def codes(self, outputs: slice) -> Tensor:
        """Return step * code of some outputs, [outputs, inputs] int8 in -120..120."""
        nibbles = self.nibbles[outputs].view(
            -1, self.steps.shape[1], _HALF
        )  # [outputs, groups, 16]
        codes = nibbles.new_empty((*nibbles.shape[:2], GROUP_SIZE), dtype=torch.int8)
        codes[..., :_HALF] = nibbles & 15
        codes[..., _HALF:] = nibbles >> 4
        codes += LEAST_CODE
        codes *= self.steps[outputs][..., None]
        return codes.flatten(1)


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes [outputs, groups, 32] as floats, steps [outputs, groups], scales [outputs]."""
    groups = weight.view(len(weight), -1, GROUP_SIZE)
    peaks, places = groups.abs().max(-1)  # [outputs, groups]
    farthest = groups.gather(-1, places[..., None])[..., 0]
    largest = peaks.amax(-1, keepdim=True)
    scales = largest / (LARGEST_STEP * -LEAST_CODE)  # [outputs, 1]
    is_usable = (largest >= SMALLEST_PEAK) & largest.isfinite()
    # The code furthest from zero is -8, so the step takes the sign that puts the peak there.
    ideal = torch.where(is_usable, farthest / (LEAST_CODE * scales), 0.0)
    steps = torch.where(ideal.abs() < 1, ideal.sign(), ideal.round())
    sizes = (steps * scales)[..., None]
    codes = torch.where(sizes != 0, groups / sizes, 0.0).round_().clamp_(LEAST_CODE, MOST_CODE)
    products = (codes * steps[..., None]).flatten(1)
    # The scale that brings the rounded output closest to the given one.
    squares = products.square().sum(-1)
    scales = torch.where(squares > 0, (products * weight).sum(-1) / squares, 0.0)
    scales = torch.where(largest[:, 0].isfinite(), scales, torch.nan)
    return codes, steps.to(torch.int8), scales


class Int4Linear(nn.Module):
    """A linear layer over 4-bit codes; rows are as independent as those of Int8Linear.

    The codes are unpacked a slice of outputs at a time, so a call takes little memory.
    """

    nibbles: Tensor
    steps: Tensor
    scales: Tensor

    def __init__(self, weights: Int4Weights, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.out_features = weights.nibbles.shape[0]
        self.in_features = weights.nibbles.shape[1] * 2
        self.register_buffer("nibbles", weights.nibbles, persistent=False)
        self.register_buffer("steps", weights.steps, persistent=False)
        self.register_buffer("scales", weights.scales, persistent=False)
        self.bias = bias

    def forward(self, rows: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs] in the type of the rows."""
        coded = RowCodes.of(rows)
        weights = Int4Weights(self.nibbles, self.steps, self.scales)
        shape = torch.Size((self.out_features, self.in_features))
        parts = [
            integer_product(coded.codes, weights.codes(outputs)) for outputs in output_slices(shape)
        ]
        output = torch.cat(parts, 1).float()  # [T, outputs]
        output.mul_(coded.scales).mul_(self.scales)
        if self.bias is not None:
            output += self.bias
        return output.to(rows.dtype)
