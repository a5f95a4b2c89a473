"""RewindPlan: what going back leaves to be computed again."""

from concurrent.futures import Future

from kvchat.errors import EngineStopped


class RewindPlan:
    """What a rewind leaves to do for the next message; figures are asked for when they are read."""

    def __init__(self, num_tokens: int, known: "Future[tuple[int, int]]") -> None:
        self.num_tokens = num_tokens
        self._known = known

    @property
    def num_resident_tokens(self) -> int:
        """Tokens whose keys and values are in the pool."""
        return self._figures()[0]

    @property
    def num_disk_tokens(self) -> int:
        """Tokens behind these whose keys and values are read from disk."""
        return self._figures()[1]

    @property
    def num_prefill_tokens(self) -> int:
        """Tokens the next message computes again before its own."""
        return self.num_tokens - sum(self._figures())

    def _figures(self) -> tuple[int, int]:
        try:
            resident, on_disk = self._known.result()
        except EngineStopped:
            return 0, 0
        resident = min(self.num_tokens, resident)
        return resident, min(self.num_tokens - resident, on_disk)
