"""Float32Linear: a linear layer on the CPU, by the quicker of the two orders of its product."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALL_ELEMENTS = 4 << 20


class Float32Linear(nn.Module):
    """A linear layer in float32 that multiplies few rows in the order that suits this CPU.

    `weight @ rows.T` and `rows @ weight.T` give the same numbers but for their last bits, which no
    batched product of floats keeps for other numbers of rows either.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias

    def forward(self, rows: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        vendor = _processor_vendor()
        if is_quicker_doubled(rows.shape[0], self.weight.shape, vendor, torch.get_num_threads()):
            # A view of the row twice would be copied element by element, 4 times slower.
            output = torch.mm(self.weight, torch.cat((rows, rows)).t())[:, :1].t().contiguous()
            return output if self.bias is None else output + self.bias
        if not weights_come_first(rows.shape[0], self.weight.shape, vendor):
            return functional.linear(rows, self.weight, self.bias)
        output = torch.mm(self.weight, rows.t()).t().contiguous()
        return output if self.bias is None else output + self.bias


def weights_come_first(num_rows: int, shape: torch.Size, vendor: str) -> bool:
    """Whether `weight @ rows.T` is the quicker order, by the maker of the processor.

    A rule, not a measurement at load: the same machine must give the same bits every day. The
    library's products differ by vendor; `kvchat bench linear` prints what decided.
    """
    num_outputs, num_inputs = shape
    if vendor == "GenuineIntel":
        return 8 <= num_rows <= 64 and num_outputs * num_inputs > _SMALL_ELEMENTS
    if vendor == "AuthenticAMD" and num_outputs > num_inputs:
        return num_rows == 2 or (num_rows <= 4 and num_outputs * num_inputs <= _SMALL_ELEMENTS)
    return False


def is_quicker_doubled(num_rows: int, shape: torch.Size, vendor: str, num_threads: int) -> bool:
    """Whether one row is multiplied quicker as two: the library's product with a vector is slow.

    On AMD's processors it reads matrices of few columns at two thirds of the speed of a product
    with a matrix: 1.2 to 1.9 times up to 1536 columns, 0.7 times from 2048 on. Not with several
    threads, which then wait for each other at every small matrix.
    """
    few_columns = shape[1] <= 1536
    return num_rows == 1 and num_threads == 1 and vendor == "AuthenticAMD" and few_columns


@cache
def _processor_vendor() -> str:
    """Return the maker of the processor as Linux names it, '' where it is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if "vendor_id" in line), "")
