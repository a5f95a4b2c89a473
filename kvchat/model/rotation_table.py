"""RotationTable: the cosines and sines of all positions so far, each computed once."""

import torch
from torch import Tensor

from kvchat.kv.rotary import rotation
from kvchat.kv.spec import RotarySpec

_FIRST_POSITIONS = 512


class RotationTable:
    """What `rotation` returns in float32, by position; for rotations that know no length."""

    def __init__(self, rotary: RotarySpec) -> None:
        assert not rotary.depends_on_length
        self._rotary = rotary
        self._tables = self._computed(0, _FIRST_POSITIONS)

    def tables(self, num_positions: int) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines [positions, rotary_dim], of so many positions or more."""
        known = len(self._tables[0])
        if num_positions > known:
            new = self._computed(known, max(num_positions, 2 * known))
            cosine, sine = (torch.cat(pair) for pair in zip(self._tables, new, strict=True))
            self._tables = cosine, sine
        return self._tables

    def _computed(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        cosine, sine = rotation(torch.arange(start, stop), self._rotary, torch.float32)
        return cosine[:, 0].contiguous(), sine[:, 0].contiguous()
