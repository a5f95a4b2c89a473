"""Samples: what one call cost, and how calls of several contestants are taken in turns.

One thread is judged by the CPU time of the process, which neighbours on the machine hardly change.
More threads wait for each other, so they are judged by the clock on the wall, and a sample is clean
if their threads, while they could have run, hardly waited for a processor. Linux counts that for
every thread to the nanosecond; elsewhere no processor may have been taken away at all (involuntary
context switches), which on a machine with as many processors as threads hardly ever happens.
"""

import os
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

MIN_CLEAN = 3
"""With fewer clean samples there is no ratio."""
MOST_WAITED = 0.03
"""The part of its threads' time for which a clean sample may have waited for a processor."""
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one call cost.

    wall_seconds    by the clock
    cpu_seconds     of the processors
    num_switches    how often the system took a processor away
    waited_seconds  for which threads could have run and had no processor; None: not known
    """

    wall_seconds: float
    cpu_seconds: float
    num_switches: int
    waited_seconds: float | None = None

    def is_clean(self, num_threads: int) -> bool:
        """Say whether it tells the time of so many threads that had a processor each."""
        if self.waited_seconds is None:
            return self.num_switches == 0
        return self.waited_seconds <= MOST_WAITED * num_threads * self.wall_seconds


def taken(call: Callable[[], object]) -> Sample:
    """Call something and return what it cost."""
    before = _waited_by_thread()
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    wall, cpu = perf_counter(), process_time()
    call()
    cpu, wall = process_time() - cpu, perf_counter() - wall
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches
    return Sample(wall, cpu, switches, _waited_since(before))


def _waited_by_thread() -> dict[str, int] | None:
    """Return the nanoseconds that each thread of the process waited for a processor, if told."""
    found = {}
    try:
        for task in os.listdir(_TASKS):
            found[task] = int((_TASKS / task / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        # Another system, or one that does not count this.
        return None
    return found


def _waited_since(before: dict[str, int] | None) -> float | None:
    now = _waited_by_thread()
    if before is None or now is None:
        return None
    return sum(waited - before.get(task, 0) for task, waited in now.items()) / 1e9


@dataclass(slots=True)
class Samples:
    """All samples of one contestant at one task, judged for a number of threads."""

    num_threads: int
    all: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """What is judged: CPU seconds on one thread, else wall seconds of the clean samples."""
        if self.num_threads == 1:
            return [each.cpu_seconds for each in self.all]
        return [each.wall_seconds for each in self.all if each.is_clean(self.num_threads)]

    @property
    def is_enough(self) -> bool:
        """Whether there are enough clean samples for a ratio."""
        return len(self.seconds) >= MIN_CLEAN

    @property
    def median_seconds(self) -> float:
        """Median of the clean samples, or of all of them where too few are clean."""
        seconds = self.seconds if self.is_enough else [each.wall_seconds for each in self.all]
        return median(seconds)

    def document(self) -> dict[str, object]:
        """Return what is saved: medians and spread in seconds, and counts."""
        seconds = self.seconds if self.is_enough else [each.wall_seconds for each in self.all]
        return {
            "median_seconds": median(seconds),
            "least_seconds": min(seconds),
            "most_seconds": max(seconds),
            "num_samples": len(self.all),
            "num_clean": len(self.seconds),
            "is_enough": self.is_enough,
        }


def ratio(quick: Samples, slow: Samples) -> float | None:
    """Return how many times faster `quick` is by the medians; None where samples are too few."""
    if not (quick.is_enough and slow.is_enough):
        return None
    return slow.median_seconds / quick.median_seconds


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contestant does when it is its turn: get ready, untimed, then timed calls."""

    prepare: Callable[[], object]
    call: Callable[[], object]
    num_calls: int = 1


def in_turns(
    turns: Mapping[str, Turn],
    *,
    num_threads: int,
    num_rounds: int,
    num_warm: int = 1,
    max_extra: int = 6,
) -> dict[str, Samples]:
    """Let contestants take turns, in reversed order every other round; return their samples.

    num_warm   rounds before, that are not counted
    max_extra  rounds added at most while somebody has too few clean samples for a ratio
    """
    found = {name: Samples(num_threads) for name in turns}
    names: Sequence[str] = list(turns)
    for number in range(num_warm + num_rounds + max_extra):
        is_extra = number >= num_warm + num_rounds
        if is_extra and all(each.is_enough for each in found.values()):
            break
        for name in names if number % 2 else reversed(names):
            turn = turns[name]
            turn.prepare()
            for _ in range(turn.num_calls):
                sample = taken(turn.call)
                if number >= num_warm:
                    found[name].all.append(sample)
    return found
