"""Scores: what the chats of some seeds come to, in all and per group.

Depend on the answers alone, so that equal answers give an equal report. `chances` are the honest
zero of the scale: how many prompts would be answered acceptably by answers to other prompts.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import PromptList

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Figures of one group, or of all groups together.

    `acceptable` is the mean over the seeds of how many prompts were answered acceptably,
    `acceptable_first` that of the first seed. The others are means over all answers: the share that
    ended by itself, the share of repeated runs of four words, and the length.
    """

    name: str
    title: str
    num_prompts: int
    acceptable: float
    acceptable_first: int
    stopped: float
    repetition: float
    words: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What is reported of a model's chats."""

    groups: tuple[GroupScore, ...]
    total: GroupScore
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, prompts: PromptList, chats: Sequence[Chat]) -> "Scores":
        """Count the chats of one or more seeds, each with an answer to every prompt."""
        seeds = tuple(dict.fromkeys(chat.seed for chat in chats))
        assert len(chats) == len(seeds) * len(prompts.prompts)
        groups = [
            _group_score(
                group.name,
                group.title,
                [chat for chat in chats if chat.prompt.group == group.name],
                seeds,
            )
            for group in prompts.groups
        ]
        total = _group_score("all", "All", chats, seeds)
        return cls(tuple(groups), total, seeds)

    def to_dict(self) -> Figures:
        """Return the figures as plain JSON types, rounded."""
        groups = {group.name: _rounded(group) for group in self.groups}
        return {
            "seeds": list(self.seeds),
            **_rounded(self.total),
            "groups": groups,
        }


def _rounded(score: GroupScore) -> Figures:
    fields = asdict(score)
    del fields["name"], fields["title"]
    digits = {"acceptable": 2, "words": 1, "tokens": 1}
    return {
        name: round(value, digits.get(name, 4)) if isinstance(value, float) else value
        for name, value in fields.items()
    }


def _group_score(name: str, title: str, chats: Sequence[Chat], seeds: Sequence[int]) -> GroupScore:
    answers = [answer for chat in chats for answer in chat.answers]
    return GroupScore(
        name=name,
        title=title,
        num_prompts=len(chats) // len(seeds),
        acceptable=sum(chat.is_acceptable for chat in chats) / len(seeds),
        acceptable_first=sum(chat.is_acceptable for chat in chats if chat.seed == seeds[0]),
        stopped=statistics.fmean(answer.stopped for answer in answers),
        repetition=statistics.fmean(answer.repetition for answer in answers),
        words=statistics.fmean(len(answer.words) for answer in answers),
        tokens=statistics.fmean(answer.num_tokens for answer in answers),
    )


def chances(chats: Sequence[Chat]) -> dict[str, float]:
    """Return per prompt how likely the answers to another prompt are acceptable.

    Each prompt gets the answers to each other prompt with as many messages once, seed by seed.
    """
    found: dict[str, list[float]] = {}
    for chat in chats:
        others = [
            other.answers
            for other in chats
            if other.seed == chat.seed
            and other.prompt is not chat.prompt
            and len(other.answers) == len(chat.answers)
        ]
        passed = [not chat.prompt.failures(answers) for answers in others]
        found.setdefault(chat.prompt.name, []).append(statistics.fmean(passed or [False]))
    return {name: statistics.fmean(shares) for name, shares in found.items()}
