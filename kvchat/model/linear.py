"""Float32Linear: a linear layer on the CPU, by the quickest product for the number of rows."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from kvchat.native.float_linear import LANES, MAX_ROWS, FloatLinearFunction

_SMALL_ELEMENTS = 4 << 20


class Float32Linear(nn.Module):
    """A linear layer in float32 that multiplies few rows in the way that suits this CPU.

    All ways give the same numbers but for their last bits, which no batched product of floats
    keeps for other numbers of rows either. The native one does, as far as it goes: MAX_ROWS.

    function  the native product, or None; it takes contiguous weights
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, function: FloatLinearFunction | None = None
    ) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self._function = function if weight.is_contiguous() else None
        self._addresses = (weight.data_ptr(), None if bias is None else bias.data_ptr())
        self._shape = (weight.shape[0], weight.shape[1])
        self._vendor = _processor_vendor()

    def forward(self, rows: Tensor) -> Tensor:
        """Map [T, inputs] to [T, outputs]."""
        num_rows = rows.shape[0]
        if self._function is not None and num_rows <= MAX_ROWS and rows.stride(1) == 1:
            return self._native_product(self._function, rows)
        if is_quicker_doubled(num_rows, self._shape, self._vendor, torch.get_num_threads()):
            # A view of the row twice would be copied element by element, 4 times slower.
            output = torch.mm(self.weight, torch.cat((rows, rows)).t())[:, :1].t().contiguous()
            return output if self.bias is None else output + self.bias
        if not weights_come_first(num_rows, self._shape, self._vendor):
            return functional.linear(rows, self.weight, self.bias)
        output = torch.mm(self.weight, rows.t()).t().contiguous()
        return output if self.bias is None else output + self.bias

    def _native_product(self, function: FloatLinearFunction, rows: Tensor) -> Tensor:
        num_rows, (num_outputs, num_inputs) = rows.shape[0], self._shape
        output = torch.empty(num_rows, num_outputs)
        scratch = torch.empty(num_rows * (num_inputs + LANES))
        function.multiply(
            self._shape,
            *self._addresses,
            num_rows,
            rows.data_ptr(),
            rows.stride(0),
            output.data_ptr(),
            scratch.data_ptr(),
        )
        return output


def weights_come_first(num_rows: int, shape: tuple[int, int], vendor: str) -> bool:
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


def is_quicker_doubled(
    num_rows: int, shape: tuple[int, int], vendor: str, num_threads: int
) -> bool:
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
