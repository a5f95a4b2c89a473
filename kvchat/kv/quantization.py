"""int8 keys and values: one scale per token and head, decided by that vector alone.

A code depends on nothing but its own vector: not on the chunk, the neighbors, or what is stored
already. So a block is a pure function of its tokens, and can be shared, copied, saved and restored
bit by bit. Schemes that share a scale over a growing tail, or requantize it, lose that.
"""

import torch
from torch import Tensor

MAX_CODE = 127
MIN_PEAK = 1e-6
"""Vectors smaller than this are 0 in all channels; it keeps the scale of a zero vector finite."""


def quantize(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, int8 like `vectors`, and the scale of each vector.

    vectors  [..., D], any float type
    return   codes [..., D] int8 in -127..127, and scales [...] float32: vector = code * scale, at
             most half a scale off

    Codes round to nearest, ties to even. A vector with NaN or infinity has a scale that makes every
    score with it NaN.
    """
    exact = vectors.float()
    scales = exact.abs().amax(-1).clamp_(min=MIN_PEAK).div_(MAX_CODE)
    codes = exact.div(scales[..., None]).round_()
    return codes.to(torch.int8), scales


def dequantize(codes: Tensor, scales: Tensor) -> Tensor:
    """Return the float32 vectors [..., D] that codes and scales stand for."""
    return codes.float() * scales[..., None]


def quantize_latent(latents: Tensor, latent_value_dim: int) -> tuple[Tensor, Tensor]:
    """Return codes of MLA latents and two scales of each, since the ranges of its parts differ.

    latents  [T, D]: `latent_value_dim` compressed channels, then the rotary ones
    return   codes [T, D] int8, and scales [2, T] float32: compressed part, rotary part
    """
    parts = latents.tensor_split((latent_value_dim,), -1)
    codes, scales = zip(*(quantize(part) for part in parts), strict=True)
    return torch.cat(codes, -1), torch.stack(scales)
