"""StepTimes: how long the last steps of the engine took."""

from collections import deque

MAX_STEPS = 256


class StepTimes:
    """The seconds of the last MAX_STEPS steps. Engine thread only."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=MAX_STEPS)

    def note(self, seconds: float) -> None:
        """Add the step that has just ended."""
        self._seconds.append(seconds)

    def quantile(self, part: float) -> float:
        """Return the seconds that `part` (0 to 1) of the steps took at most; 0.0 without steps."""
        ordered = sorted(self._seconds)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0
