"""The end of a benchmark that somebody ends: its temporary folders and its processes go with it.

Knows nothing of what is measured. Main thread only, as signals are.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_TO_END = 10.0
"""For a process that was asked to end, until it is killed: a long step is not broken off."""
WAKE_SECONDS = 1.0


class EndedBySignal(SystemExit):
    """Leaves a benchmark from wherever it is; the code is 128 and the signal's number."""

    code: int


@contextmanager
def ending_signals() -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise EndedBySignal, so that all is put away.

    They do so once, and not after an interrupt: what is being put away is not broken off. One that
    is ignored, as `nohup` has it, stays ignored.
    """
    is_ending = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal is_ending
        had_begun, is_ending = is_ending, True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if not had_begun:
            raise EndedBySignal(128 + number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Let a process end before the block does, where an error or a signal leaves the block.

    A signal that comes just before the process is waited for would be noticed only after that, so
    SIGALRM ends the waiting each second, for a look at what came.
    """
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, WAKE_SECONDS, WAKE_SECONDS)
    try:
        yield
    except BaseException:
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
