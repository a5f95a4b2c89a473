"""WindowFit: sequences are read under the windows that their session recorded for each position.

A change keeps what was computed before it; what a larger window sees again is taken back from the
pool where it still is, else it comes from disk or is computed again under the windows of then.
"""

from collections.abc import Sequence as Sequences
from typing import TYPE_CHECKING

from kvchat.engine.sequence import Sequence
from kvchat.errors import InvalidArgument
from kvchat.kv.window_schedule import WindowChange, WindowSchedule

if TYPE_CHECKING:
    from kvchat.engine.residency import Residency
    from kvchat.kv.paged_cache import PagedKVCache

Windows = Sequences[WindowChange]
"""Windows of a sequence in order of their positions, each from its position on."""


class WindowFit:
    """Looks after the sequences of one engine."""

    def __init__(self, cache: "PagedKVCache", context_tokens: int) -> None:
        self.residency: Residency | None = None
        self._cache = cache
        self._context_tokens = context_tokens

    def check(self, windows: Windows) -> None:
        """Raise InvalidArgument where what the next token sees does not fit the context.

        Of older windows it is known: tokens were read under them.
        """
        _, window, sinks = windows[-1]
        rounded = -(-sinks // self._cache.block_size) * self._cache.block_size
        if window is not None and window + rounded > self._context_tokens:
            raise InvalidArgument(
                f"A window of {window} tokens and {rounded} sinks do not fit the context of "
                f"{self._context_tokens} tokens."
            )

    def is_fit(self, sequence: Sequence, windows: Windows | None) -> bool:
        """Say whether a sequence is read under these windows; under any where they are None."""
        schedule = self._cache.schedule(sequence.cache_id)
        if windows is None:
            return True
        wanted = WindowSchedule.of(windows, self._cache.block_size, schedule.scheme_length)
        return wanted == schedule

    def prepare(self, sequence: Sequence, windows: Windows | None) -> None:
        """Read a sequence under these windows from now on; it lets go of what saw otherwise.

        None changes nothing.
        """
        if windows is None or self.is_fit(sequence, windows):
            return
        if self.residency is not None:
            self.residency.forget(sequence)
            self.residency.will_cut(sequence, 0)
        self._cache.set_windows(sequence.cache_id, windows)
        sequence.looked_at = None
