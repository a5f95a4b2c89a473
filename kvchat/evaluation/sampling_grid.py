"""A grid of sampling settings: every combination of some values, and which one did best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from kvchat.evaluation.scores import Scores


@dataclass(frozen=True)
class Trial:
    """What one choice of sampling came to."""

    sampling: Mapping[str, object]
    scores: Scores

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts the better first: more acceptable prompts, then less repetition."""
        return -round(self.scores.total.acceptable, 2), self.scores.total.repetition

    def to_dict(self) -> dict[str, object]:
        """Return settings and totals as plain JSON types."""
        figures = self.scores.to_dict()
        del figures["groups"], figures["seeds"]
        return {**self.sampling, **figures}


def combinations(values: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """Return every choice of one value per setting; one empty choice when there is none."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def trial_lines(trials: Sequence[Trial]) -> Iterator[str]:
    """Yield a Markdown table of the trials, the best first."""
    names = list(trials[0].sampling)
    yield f"| {' | '.join([*names, 'acceptable', 'repeated', 'stopped', 'words'])} |"
    yield "|" + "---|" * (len(names) + 4)
    for trial in sorted(trials, key=lambda trial: trial.rank):
        total = trial.scores.total
        cells = [str(trial.sampling[name]) for name in names]
        cells += [f"{total.acceptable:.1f}", f"{total.repetition:.1%}"]
        yield f"| {' | '.join([*cells, f'{total.stopped:.1%}', f'{total.words:.0f}'])} |"
