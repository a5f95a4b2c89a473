"""The C interface of what is asked of logits, as the library wants it.

Addresses and numbers only; what they mean in tensors is said in `engine/logit_reader.py`.
"""

import ctypes

from kvchat.native.kernels import Kernels


class LogitFunctions:
    """The functions of the library that read rows of logits."""

    def __init__(self, kernels: Kernels) -> None:
        number, address = ctypes.c_int64, ctypes.c_void_p
        self._are_finite = kernels.library.kvchat_rows_are_finite
        self._are_finite.argtypes = [number, number, number, address, address]
        self._are_finite.restype = None
        self._read = kernels.library.kvchat_read_logits
        self._read.argtypes = [number, number, number, address, number, address, address, address]
        self._read.restype = None

    def are_finite(self, shape: tuple[int, int], stride: int, logits: int) -> list[bool]:
        """Say of rows of float32 numbers, `stride` apart, whether all of each are finite.

        shape   rows and their width
        logits  the address of the first
        """
        found = (ctypes.c_bool * shape[0])()
        self._are_finite(*shape, stride, logits, found)
        return list(found)

    def read(
        self,
        shape: tuple[int, int],
        stride: int,
        logits: int,
        count: int,
        top: int,
        ids: int,
        sums: int,
    ) -> None:
        """Find the largest of each row of float32 numbers, `stride` apart; by address.

        shape  rows and their width
        count  how many of them, up to the width
        top    [rows, count] float32, the largest first; written
        ids    [rows, count] int64, their places, of equals the lowest first; written
        sums   [rows] float32, sums of exp(x - largest), NaN where a row has a NaN; written
        """
        self._read(*shape, stride, logits, count, top, ids, sums)
