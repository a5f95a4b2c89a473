"""The C interface of linear layers in float32 for few rows, as the library wants it.

Addresses and numbers only; what they mean in tensors is said in `model/linear.py`.
"""

import ctypes

from kvchat.native.kernels import Kernels

MAX_ROWS = 16
"""Up to so many rows the native product is quicker than torch's; `kvchat bench linear` says so."""
LANES = 16


class FloatLinearFunction:
    """The function of the library that multiplies rows with a matrix of floats."""

    def __init__(self, kernels: Kernels) -> None:
        self._multiply = kernels.library.kvchat_float_linear
        number, address = ctypes.c_int64, ctypes.c_void_p
        self._multiply.argtypes = [
            *(number, number, address, address, number, address, number, address, address)
        ]
        self._multiply.restype = None

    def multiply(
        self,
        shape: tuple[int, int],
        weights: int,
        bias: int | None,
        num_rows: int,
        rows: int,
        row_stride: int,
        output: int,
        scratch: int,
    ) -> None:
        """Multiply rows of floats, `row_stride` numbers apart; arrays are given by address.

        shape    outputs and inputs of the weights, which lie row by row
        output   [num_rows, outputs] float32, written whole
        scratch  num_rows times inputs floats, the inputs rounded up to LANES; written
        """
        num_outputs, num_inputs = shape
        self._multiply(
            num_inputs, num_outputs, weights, bias, num_rows, rows, row_stride, output, scratch
        )
