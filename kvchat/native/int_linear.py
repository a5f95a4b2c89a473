"""The C interface of the linear layers over 8-bit and 4-bit weights, as the library wants it.

Addresses and numbers only; what they mean in tensors is said in `model/packed_linear.py`.
"""

import ctypes

from kvchat.native.kernels import Kernels

PANEL_OUTPUTS = 16
TILE_INPUTS = 4


class IntWeights(ctypes.Structure):
    """A weight matrix: see `struct IntWeights` in int_linear.cpp, which this mirrors."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_inputs", "num_outputs")),
        *((name, ctypes.c_void_p) for name in ("tiles", "steps", "scales", "bias")),
    )


class IntLinearFunctions:
    """The functions of the library that multiply rows with such matrices."""

    def __init__(self, kernels: Kernels) -> None:
        library = kernels.library
        self._scratch = library.kvchat_int_linear_scratch
        self._scratch.argtypes, self._scratch.restype = [ctypes.c_int64] * 2, ctypes.c_int64
        self._multiply = library.kvchat_int_linear
        self._multiply.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_int64,
            *(ctypes.c_void_p,) * 2,
        ]
        self._multiply.restype = None

    def scratch_bytes(self, num_rows: int, num_inputs: int) -> int:
        """Return how much memory a call needs for the rounded rows."""
        return int(self._scratch(num_rows, num_inputs))

    def multiply(
        self, weights: int, num_rows: int, rows: int, row_stride: int, output: int, scratch: int
    ) -> None:
        """Multiply rows of floats, `row_stride` numbers apart; all but the numbers are addresses.

        weights  an IntWeights, whose arrays live on
        output   [num_rows, num_outputs] float32, written whole
        scratch  `scratch_bytes` bytes, written
        """
        self._multiply(weights, num_rows, rows, row_stride, output, scratch)
