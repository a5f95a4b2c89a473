"""Twin: what one sequence of a doctor's program must be, as plain lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kvchat.kv.cache import SequenceId

LANES = 8


@dataclass(slots=True)
class Twin:
    """What one sequence must be: a plain list, and the settings it was opened with."""

    cache_id: SequenceId
    window: int | None
    sinks: int
    token_ids: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    """What the cache must hold for each token: LANES bytes that hash all tokens up to it."""

    def extend(self, token_ids: Sequence[int]) -> None:
        """Add tokens, and the rows that belong to them."""
        state = int.from_bytes(self.rows[-1], "little") if self.rows else 1
        for position, token_id in enumerate(token_ids, len(self.token_ids)):
            state = (state * 0x9E3779B97F4A7C15 + token_id * 0x2545F4914F6CDD1D + position) % 2**64
            # Lanes 0..63 between two of 127 are exact in int8, too.
            lanes = (state ^ state >> 29) & 0x003F3F3F3F3F3F00 | 0x7F0000000000007F
            state = lanes
            self.rows.append(lanes.to_bytes(LANES, "little"))
        self.token_ids += token_ids

    def cut(self, length: int) -> None:
        """Keep the first tokens."""
        del self.token_ids[length:], self.rows[length:]


def rows_as_tensor(rows: Sequence[bytes]) -> Tensor:
    """Return rows as [T, LANES] float32."""
    joined = bytearray(b"".join(rows))
    return torch.frombuffer(joined, dtype=torch.uint8).reshape(-1, LANES).float()
