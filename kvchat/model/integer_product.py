"""The exact product of int8 matrices, by the quickest operator that is exact on this device."""

from functools import cache

import torch
from torch import Tensor

from kvchat.model.row_codes import LARGEST_CODE

MAX_SIZE = (1 << 31) // (LARGEST_CODE * LARGEST_CODE) - 1
"""The longest row whose product fits 32 bits, whatever is in it."""
CUDA_MULTIPLE = 8
_CUDA_ROWS = 32
_FEW_ROWS = 3
"""Up to so many rows one call for each is quicker on CPUs: weights are not rearranged for one."""


def integer_product(codes: Tensor, weight_codes: Tensor) -> Tensor:
    """Multiply codes [T, size] by weight codes [outputs, size], both int8 in -127..127.

    Returns [T, outputs] int32, exact for any T and for sizes up to MAX_SIZE. On CUDA size and
    outputs are multiples of CUDA_MULTIPLE.
    """
    num_rows = codes.shape[0]
    transposed = weight_codes.t()
    if codes.device.type == "cuda":
        if num_rows < _CUDA_ROWS:  # the operator wants more than 16 rows
            codes = torch.cat([codes, codes.new_zeros(_CUDA_ROWS - num_rows, codes.shape[1])])
        return torch._int_mm(codes, transposed)[:num_rows]
    if not cpu_product_is_exact():
        return (codes.double() @ transposed.double()).to(torch.int32)
    if 1 < num_rows <= _FEW_ROWS:
        rows = (codes[index : index + 1] for index in range(num_rows))
        return torch.cat([torch._int_mm(row, transposed) for row in rows])
    return torch._int_mm(codes, transposed)


@cache
def cpu_product_is_exact() -> bool:
    """Whether this CPU's operator adds without loss; some that lack VNNI saturate at 16 bits."""
    rows = torch.full((5, 96), LARGEST_CODE, dtype=torch.int8)
    rows[::2, ::2] = -LARGEST_CODE
    weights = rows.repeat(7, 1)
    exact = (rows.double() @ weights.double().t()).to(torch.int32)
    try:
        products = [torch._int_mm(rows[:count], weights.t()) for count in (1, 5)]
    except RuntimeError:
        return False
    return all(torch.equal(product, exact[: len(product)]) for product in products)
