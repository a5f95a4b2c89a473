"""Scheduler: which sequences run in the next step, and with how many new tokens.

Continuous batching (Yu et al. 2022, Orca) with chunked prefill (Agrawal et al. 2023, Sarathi):
every running sequence gets one token, prompts fill the rest of a budget. Integers only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kvchat.engine.sequence import Sequence, SequenceState

MAX_ROWS = 32
"""Sequences that a step computes at most, unless asked otherwise."""
MIN_BUDGET = 16
MAX_BUDGET = 512
STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """One sequence of a step and how many of its tokens are computed."""

    sequence: Sequence
    num_new_tokens: int


class TokenBudget:
    """How many prompt tokens a step may hold, from what steps have cost so far.

    While somebody reads a stream, a prompt may at most double the step or take 100 ms, whichever is
    more; else steps are as large as is useful.
    """

    def __init__(self, fixed: int | None = None) -> None:
        assert fixed is None or fixed > 0
        self._fixed = fixed
        self._seconds_per_token: float | None = None
        self._decode_seconds = 0.0

    def tokens(self, *, is_streaming: bool) -> int:
        """Return the budget of prompt tokens for the next step."""
        if self._fixed is not None:
            return self._fixed
        if not is_streaming or self._seconds_per_token is None:
            return MAX_BUDGET if not is_streaming else 4 * MIN_BUDGET
        allowed = max(STEP_SECONDS - self._decode_seconds, self._decode_seconds)
        return int(min(MAX_BUDGET, max(MIN_BUDGET, allowed / self._seconds_per_token)))

    def learn(self, seconds: float, num_decode_rows: int, num_prompt_tokens: int) -> None:
        """Take the cost of a finished step into account."""
        if num_prompt_tokens == 0:
            self._decode_seconds += 0.2 * (seconds - self._decode_seconds)
            return
        decode = self._decode_seconds if num_decode_rows else 0.0
        cost = max(seconds - decode, 1e-6) / num_prompt_tokens
        known = self._seconds_per_token
        self._seconds_per_token = cost if known is None else known + 0.3 * (cost - known)


class Scheduler:
    """Picks rows: decodes first, least recently stepped first; then chunks of prompts."""

    def __init__(self, max_rows: int = MAX_ROWS, budget: TokenBudget | None = None) -> None:
        self.max_rows = max_rows
        self.budget = budget if budget is not None else TokenBudget()
        self.focus: str | None = None
        """The owner somebody is looking at; its prompt goes first."""
        self.leads_focus: str | None = None
        """The owner that computes what the focused prompt waits for."""

    def pick(
        self, running: Iterable[Sequence], remaining: dict[Sequence, int]
    ) -> list[ScheduledRow]:
        """Return the rows of the next step.

        `remaining` says how many tokens of each running sequence are still to be computed (at least
        one each). A quarter of the budget goes to the oldest prompt, so that none starves; the rest
        goes to the focused prompt, then to the shortest.
        """
        decoding: list[Sequence] = []
        prompts: list[Sequence] = []
        for sequence in running:
            (decoding if sequence.state is SequenceState.DECODE else prompts).append(sequence)
        decoding.sort(key=lambda sequence: sequence.last_used)
        rows = [ScheduledRow(sequence, 1) for sequence in decoding[: self.max_rows]]
        budget = self.budget.tokens(is_streaming=bool(decoding))
        grants: dict[Sequence, int] = {}
        if prompts:
            oldest = min(prompts, key=lambda sequence: sequence.arrival)
            quarter = max(MIN_BUDGET, budget // 4)
            grants[oldest] = min(quarter, budget, remaining[oldest])
            budget -= grants[oldest]
        by_need = sorted(
            prompts,
            key=lambda sequence: (
                sequence.owner not in (self.focus, self.leads_focus),
                remaining[sequence],
                sequence.arrival,
            ),
        )
        free_rows = max(1, self.max_rows - len(rows))
        for sequence in by_need:
            if sequence not in grants and len(grants) == free_rows:
                continue
            wanted = min(budget, remaining[sequence] - grants.get(sequence, 0))
            if wanted > 0:
                grants[sequence] = grants.get(sequence, 0) + wanted
                budget -= wanted
        return rows + [ScheduledRow(sequence, count) for sequence, count in grants.items()]
