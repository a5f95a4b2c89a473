"""RowCodes: activations as int8, one scale per row, so that no row can change another.

An exact integer product of such codes gives a row the same bits alone, in any batch and split in
any way. The native kernels do the same operations in the same order.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_CODE = 127
SMALLEST_PEAK = 2.0**-100
"""Rows whose largest value is below are taken for zero: their scale would have no inverse."""


@dataclass(frozen=True, slots=True)
class RowCodes:
    """Rows rounded to int8.

    codes   [T, size] int8 in -127..127
    scales  [T, 1] float32: a value is about code * scale; NaN for a row with NaN or infinity
    """

    codes: Tensor
    scales: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "RowCodes":
        """Round rows [T, size] of any float type, each by its own largest absolute value."""
        rows = rows.float()
        peaks = rows.abs().amax(-1, keepdim=True)  # [T, 1], NaN where the row has one
        is_usable = (peaks >= SMALLEST_PEAK) & (peaks < torch.inf)
        # A tensor by a tensor, rounded once: a number by a tensor would be its reciprocal first.
        largest = peaks.new_full((), LARGEST_CODE)
        factors = torch.where(is_usable, largest / peaks, 0.0)
        scaled = rows * factors
        if not bool(is_usable.all()):
            peaks = torch.where(peaks < SMALLEST_PEAK, 0.0, peaks)
            peaks = torch.where(peaks == torch.inf, torch.nan, peaks)
            scaled = torch.where(factors > 0, scaled, 0.0)
        return cls(scaled.round_().to(torch.int8), peaks * (1.0 / LARGEST_CODE))
