"""RestoreCosts: whether tokens come back sooner from disk, or by computing them again.

Measured while this process runs, so the choice fits its model and its disk. Either way the words
are the same: this is about seconds only, and knows neither tokens nor bytes themselves.
"""

from dataclasses import dataclass

PRIOR_SECONDS_PER_BYTE = 1 / 400e6
"""Reading, checking and copying on an ordinary machine; `kvchat bench sessions` prints yours."""
MIN_TOKENS = 16
MIN_BYTES = 1 << 20
"""What is smaller is not measured: it would be the cost of anything but tokens and bytes."""
_LEARNING = 0.3
_FORGETTING = 0.1


@dataclass(slots=True)
class RestoreCosts:
    """Seconds per token computed and per byte restored, as far as known.

    Before anything was computed restoring counts as cheaper. `is_fixed` learns nothing, for tests.
    """

    seconds_per_token: float | None = None
    seconds_per_byte: float = PRIOR_SECONDS_PER_BYTE
    is_fixed: bool = False

    def prefers_disk(self, num_tokens: int, num_bytes: int) -> bool:
        """Say whether so many bytes are restored sooner than so many tokens are computed.

        Where they are not, the known speed moves a little toward the usual one, so that a disk that
        was slow once is tried again.
        """
        if self.seconds_per_token is None:
            return True
        if num_bytes * self.seconds_per_byte <= num_tokens * self.seconds_per_token:
            return True
        if not self.is_fixed:
            self.seconds_per_byte += _FORGETTING * (PRIOR_SECONDS_PER_BYTE - self.seconds_per_byte)
        return False

    def learn_prefill(self, seconds: float, num_tokens: int) -> None:
        """Take into account how long a step took that computed so many tokens of prompts."""
        if num_tokens < MIN_TOKENS or self.is_fixed:
            return
        cost = seconds / num_tokens
        known = self.seconds_per_token
        self.seconds_per_token = cost if known is None else known + _LEARNING * (cost - known)

    def learn_restore(self, seconds: float, num_bytes: int) -> None:
        """Take into account how long a restore of so many bytes took, from asking to having."""
        if num_bytes >= MIN_BYTES and not self.is_fixed:
            cost = seconds / num_bytes
            self.seconds_per_byte += _LEARNING * (cost - self.seconds_per_byte)
