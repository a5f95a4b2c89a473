"""MeterDriver: a terminal that is not there, for measuring: everything is drawn, and timed.

Unlike a headless driver it lets the app turn what changed into escape sequences, which is a good
part of the work, and it notes when text that is waited for was written.
"""

import time
from collections.abc import Callable

from textual import events
from textual.drivers.headless_driver import HeadlessDriver


class MeterDriver(HeadlessDriver):
    """Counts what is written, and takes keys as a terminal would bring them, from any thread."""

    num_characters = 0
    num_writes = 0
    _awaited = ""
    _written_at: float | None = None

    @property
    def is_headless(self) -> bool:
        """False: the app is to draw as if a terminal were there."""
        return False

    def write(self, data: str) -> None:
        """Count a piece of output, and note the time if it has what is waited for."""
        self.num_writes += 1
        self.num_characters += len(data)
        if self._awaited and self._awaited in data:
            self._written_at = time.perf_counter()
            self._awaited = ""

    def flush(self) -> None:
        """Have nothing to flush."""

    def press(self, key: str, character: str | None = None) -> None:
        """Press a key; harmless from another thread."""
        self.process_message(events.Key(key, character))

    def echo_seconds(self, character: str, timeout: float = 2.0) -> float:
        """Type a character and return how long it takes to be written; waits, off the loop."""
        self._written_at = None
        self._awaited = character
        started = time.perf_counter()
        self.press(character, character)
        return self._wait(started, timeout, lambda: self._written_at)

    @staticmethod
    def _wait(started: float, timeout: float, written: Callable[[], float | None]) -> float:
        while time.perf_counter() - started < timeout:
            at = written()
            if at is not None:
                return at - started
            # The time was noted by `write`; looking often would take the interpreter from others.
            time.sleep(0.01)
        return timeout
