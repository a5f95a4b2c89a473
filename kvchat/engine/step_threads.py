"""StepThreads: with how many of torch's threads a step of few tokens is computed.

Threads of torch meet at the end of every operator. Where another program keeps a processor busy,
all of them wait for the one that it holds up, and a step of several threads takes longer than one
thread's. So the step's own time decides: now and then, and at once when steps take unusually
long, one is computed with more or fewer threads, and what is quicker is kept.

The last bits of floats may differ with the number of threads, as they do with the number of rows
that are computed together. The native kernels need none of this.
"""

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

MAX_TOKENS = 16
"""Longer steps compute more between two meetings, and so lose little by them."""
FIRST_TRIAL, RAREST_TRIAL = 4, 256
"""After so many steps the next trial comes, and twice as many after one that changed nothing."""
SLOW = 1.3
"""Two steps in a row that take so many times as long as usual say that something has changed."""
GAIN = 0.9
"""Fewer threads must make steps so much quicker, since one step tells a time but roughly."""
WEIGHT = 0.25
"""Of a new step in the usual time."""


class ThreadCount:
    """The number of threads for steps of one size, which the times of these steps move.

    ladder  numbers that may be taken, the most first
    """

    def __init__(self, ladder: tuple[int, ...]) -> None:
        self._ladder = ladder
        self._place = 0
        self._usual: float | None = None
        self._until_trial = self._patience = FIRST_TRIAL
        self._goes_down = True
        self._was_slow = False

    def count(self) -> int:
        """Return with how many threads the next step is to be computed."""
        return self._ladder[self._trial() if self._until_trial == 0 else self._place]

    def note(self, seconds: float) -> None:
        """Note how long that step took."""
        if self._until_trial == 0:
            self._judge(seconds)
            return
        self._until_trial -= 1
        if self._usual is None or seconds * SLOW < self._usual:
            # The first step may have waited for weights, and a long chat gives way to a short one.
            self._usual = seconds
        was_slow, self._was_slow = self._was_slow, seconds > SLOW * self._usual
        if not self._was_slow:
            self._usual += WEIGHT * (seconds - self._usual)
        elif was_slow:
            self._usual, self._was_slow = seconds, False
            self._until_trial, self._patience = 0, FIRST_TRIAL
            self._goes_down = True

    def _trial(self) -> int:
        """Return the place of the neighbour that is tried next."""
        last = len(self._ladder) - 1
        goes_down = self._place == 0 or (self._goes_down and self._place < last)
        return self._place + (1 if goes_down else -1)

    def _judge(self, seconds: float) -> None:
        """Decide after a trial."""
        # Up it goes for nothing, lest many small losses add up to one thread.
        is_up = self._trial() < self._place
        if self._usual is not None and seconds < (1.0 if is_up else GAIN) * self._usual:
            self._place, self._usual = self._trial(), seconds
            self._patience = FIRST_TRIAL
        else:
            self._goes_down = not self._goes_down
            self._patience = min(RAREST_TRIAL, 2 * self._patience)
        self._until_trial = self._patience


class StepThreads:
    """Computes steps with a number of torch's threads that suits them; for one thread.

    clock  returns seconds
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._choices: dict[tuple[int, int], ThreadCount] = {}

    def run(self, num_tokens: int, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` does."""
        most = torch.get_num_threads()
        if most == 1 or num_tokens > MAX_TOKENS:
            return compute()
        choice = self._choices.get((num_tokens, most))
        if choice is None:
            ladder = tuple(dict.fromkeys((most, most - 1, max(1, most // 2), 1)))
            choice = self._choices[num_tokens, most] = ThreadCount(ladder)
        started = self._clock()
        torch.set_num_threads(choice.count())
        try:
            result = compute()
        finally:
            torch.set_num_threads(most)
        choice.note(self._clock() - started)
        return result
