"""Twin: what one sequence of a doctor's program must be, as plain lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kvchat.kv.cache import SequenceId
from kvchat.kv.window_schedule import WindowChange

LANES = 8


@dataclass(slots=True)
class Twin:
    """What one sequence must be: plain lists of its tokens, and of the windows they are read under.

    The first window begins at position 0; sinks are whole blocks.
    """

    cache_id: SequenceId
    windows: list[WindowChange]
    token_ids: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    """What the cache must hold for each token: LANES bytes that hash all tokens up to it, and what
    each of them sees, so that blocks of other windows show."""

    def window_at(self, position: int) -> WindowChange:
        """Return the window that a position is read under."""
        return [each for each in self.windows if each.start <= position][-1]

    def extend(self, token_ids: Sequence[int]) -> None:
        """Add tokens, and the rows that belong to them."""
        state = int.from_bytes(self.rows[-1], "little") if self.rows else 1
        for position, token_id in enumerate(token_ids, len(self.token_ids)):
            _, window, sinks = self.window_at(position)
            if window is not None and position >= window + sinks:
                state ^= (window * 1009 + sinks + 1) * 0x632BE59BD9B4E019 % 2**64
            state = (state * 0x9E3779B97F4A7C15 + token_id * 0x2545F4914F6CDD1D + position) % 2**64
            # Lanes 0..63 between two of 127 are exact in int8, too.
            lanes = (state ^ state >> 29) & 0x003F3F3F3F3F3F00 | 0x7F0000000000007F
            state = lanes
            self.rows.append(lanes.to_bytes(LANES, "little"))
        self.token_ids += token_ids

    def cut(self, length: int) -> None:
        """Keep the first tokens; what follows is read under the last window, as before."""
        del self.token_ids[length:], self.rows[length:]
        if self.windows[-1].start > length:
            self.change_window(self.windows[-1]._replace(start=length))

    def change_window(self, change: WindowChange) -> None:
        """Read what comes from a position on under another window, tokens that are there too."""
        self.windows = [each for each in self.windows if each.start < change.start] + [change]
        seen_otherwise = self.token_ids[change.start :]
        del self.token_ids[change.start :], self.rows[change.start :]
        self.extend(seen_otherwise)

    def fork(self, cache_id: SequenceId, length: int) -> "Twin":
        """Return the twin of a fork."""
        tokens, rows = self.token_ids[:length], self.rows[:length]
        return Twin(cache_id, list(self.windows), tokens, rows)


def rows_as_tensor(rows: Sequence[bytes]) -> Tensor:
    """Return rows as [T, LANES] float32."""
    joined = bytearray(b"".join(rows))
    return torch.frombuffer(joined, dtype=torch.uint8).reshape(-1, LANES).float()
