"""rotate(): rotary position embedding with angles in float64.

Used by the model for queries and keys, and by caches for the second rotation of sink queries.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvchat.kv.spec import RotarySpec


def rotation(
    offsets: Tensor,
    rotary: RotarySpec,
    dtype: torch.dtype,
    *,
    pure: bool = False,
    lengths: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the cosine and signed sine that turn a head by `offsets` positions.

    offsets  [T] int64, absolute positions, or differences of positions
    lengths  the length of each token's session, which some kinds depend on; None is a short one
    return   two tensors [T, 1, rotary_dim] of `dtype` on the device of `offsets`; the first half
             of the sine is negated, which is what `rotate` expects

    Angles are computed in float64 on the CPU (some devices have no float64, and float32 loses
    long positions: score error 6e-2 at one million). `pure` leaves out the attention factor.
    """
    frequencies = _frequencies(rotary, lengths)
    angles = offsets.to("cpu", torch.float64)[:, None] * frequencies  # [T, rotary_dim / 2]
    factor = 1.0 if pure else rotary.attention_factor
    cosine, sine = angles.cos() * factor, angles.sin() * factor
    both = torch.stack(
        (torch.cat((cosine, cosine), -1), torch.cat((-sine, sine), -1))
    )  # [2, T, rotary_dim]
    both = both.to(offsets.device, dtype)
    return both[0][:, None], both[1][:, None]


def _frequencies(rotary: RotarySpec, lengths: Sequence[int] | None) -> Tensor:
    """Return inverse frequencies [rotary_dim / 2], or [T, rotary_dim / 2] if they depend on length.

    Source of the dynamic kind: "NTK-aware scaled RoPE" (bloc97 and emozilla 2023), which multiplies
    the base by g ** (d / (d - 2)), and so the frequency of channel pair i by g ** (-2i / (d - 2)).
    """
    plain = torch.tensor(rotary.inverse_frequencies, dtype=torch.float64)
    if lengths is None or not rotary.depends_on_length:
        return plain
    length = torch.tensor(lengths, dtype=torch.float64)[:, None]  # [T, 1]
    trained = rotary.trained_length
    if rotary.long_inverse_frequencies:
        long = torch.tensor(rotary.long_inverse_frequencies, dtype=torch.float64)
        return torch.where(length > trained, long, plain)
    factor, dim = rotary.dynamic_factor, rotary.rotary_dim
    stretch = factor * length.clamp(min=trained) / trained - (factor - 1)
    exponents = torch.arange(0, dim, 2, dtype=torch.float64) / (dim - 2)
    return plain * stretch**-exponents


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor, first_channel: int = 0) -> Tensor:
    """Turn the rotary channels of `heads` and pass the others through.

    heads   [T, heads, head_dim]
    cosine  [T, 1, rotary_dim], sine likewise, from `rotation`
    return  [T, heads, head_dim], same dtype

    The rotary channels begin at `first_channel`, in half-split layout: the first pairs with the
    one rotary_dim / 2 behind it.
    """
    rotary_dim = cosine.shape[-1]
    if first_channel:
        resting, turning = torch.split(heads, [first_channel, rotary_dim], -1)
        return torch.cat((resting, rotate(turning, cosine, sine)), -1)
    if rotary_dim == heads.shape[-1]:
        return heads * cosine + heads.roll(rotary_dim // 2, -1) * sine
    turning, resting = torch.split(heads, [rotary_dim, heads.shape[-1] - rotary_dim], -1)
    turned = turning * cosine + turning.roll(rotary_dim // 2, -1) * sine
    return torch.cat((turned, resting), -1)


class QueryTurn:
    """Turns queries by an offset of each token; angles are computed once for all layers of a step.

    offsets  [n] int64, on the CPU: by how many positions the query of each token is turned
    lengths  the length for which each of them is rotated, see `rotation`
    """

    def __init__(self, offsets: Tensor, lengths: Sequence[int] | None = None) -> None:
        self.offsets = offsets
        self.lengths = lengths
        self._rotations: dict[tuple[RotarySpec, torch.dtype], tuple[Tensor, Tensor]] = {}

    def apply(self, query: Tensor, rotary: RotarySpec, first_channel: int) -> Tensor:
        """Return the turned queries [n, heads, D]; see `rotate` for the channels that turn."""
        found = self.rotation(rotary, query.dtype, query.device)
        return rotate(query, *found, first_channel)

    def rotation(
        self, rotary: RotarySpec, dtype: torch.dtype, device: torch.device | str
    ) -> tuple[Tensor, Tensor]:
        """Return the cosine and signed sine of the turn, as `rotation` does; computed once."""
        found = self._rotations.get((rotary, dtype))
        if found is None:
            offsets = self.offsets.to(device)
            found = rotation(offsets, rotary, dtype, pure=True, lengths=self.lengths)
            self._rotations[rotary, dtype] = found
        return found
