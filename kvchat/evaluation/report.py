"""The report: a table per group, other figures, and the best and the worst answers, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from kvchat.evaluation.interview import MAX_TOKENS, Chat
from kvchat.evaluation.known_prompts import KnownPrompts
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.scores import GroupScore, Scores, chances
from kvchat.evaluation.transcript import chat_block, reason_lines

NUM_SHOWN = 5
PART_TITLES = {
    "pretrain_text": "English text",
    "pretrain_chat": "chats between people",
    "sft_chat": "what the assistant says",
}
"""What is predicted in the validation part of each file of a corpus."""
SAMPLING_NAMES = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class Report:
    """Everything that was found about one model with one choice of sampling."""

    model: str
    sampling: Mapping[str, object]
    prompts: PromptList
    chats: Sequence[Chat]
    scores: Scores
    bits: Mapping[str, float] = field(default_factory=dict)
    known: KnownPrompts | None = None

    @cached_property
    def chances(self) -> dict[str, float]:
        """Per prompt, how likely the answers to another prompt are acceptable."""
        return chances(self.chats)

    @property
    def by_chance(self) -> float:
        """How many prompts answers to other prompts would answer acceptably."""
        return sum(self.chances.values())

    def to_dict(self) -> dict[str, object]:
        """Return the figures as plain JSON types; the same answers give the same figures."""
        document: dict[str, object] = {
            "model": self.model,
            "sampling": {name: self.sampling[name] for name in SAMPLING_NAMES},
            **self.scores.to_dict(),
            "by_chance": round(self.by_chance, 2),
        }
        if self.bits:
            document["bits_per_byte"] = {part: round(bits, 4) for part, bits in self.bits.items()}
        if self.known is not None:
            document["known_prompts"] = len(self.known.known)
            document["known_chats"] = len(self.known.known_as_chats)
        return document

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report, without a title."""
        yield from self._introduction()
        yield ""
        yield from self.table()
        yield from self._corpus_lines()
        best, worst = best_and_worst(self.chats, self.chances)
        seed = self.scores.seeds[0]
        yield from ["", f"The most demanding chats that passed with every seed (seed {seed}):"]
        for chat in best:
            yield from ["", *chat_block(chat)]
        yield from ["", f"The worst of those that passed with no seed, and why (seed {seed}):"]
        for chat in worst:
            yield from ["", *chat_block(chat), *reason_lines(chat)]

    def table(self) -> Iterator[str]:
        """Yield the table of the groups; its last row is for all of them."""
        scores = self.scores
        first = f"seed {scores.seeds[0]}"
        yield f"| prompts | acceptable | {first} | stopped | repeated | words | tokens |"
        yield "|---|---|---|---|---|---|---|"
        for group in scores.groups:
            yield _row(group)
        yield _row(scores.total)

    def _introduction(self) -> Iterator[str]:
        scores, given = self.scores, self.sampling
        seeds = ", ".join(str(seed) for seed in scores.seeds)
        how = (
            "greedy"
            if given["temperature"] == 0
            else f"temperature {given['temperature']}, top-p {given['top_p']}"
        )
        more = [
            f"{name} {given[field_name]}"
            for field_name, name, usual in (
                ("min_p", "min-p", 0.0),
                ("top_k", "top-k", 0),
                ("repetition_penalty", "repetition penalty", 1.0),
            )
            if given[field_name] != usual
        ]
        yield f"{self.model}, {', '.join([how, *more])}, seeds {seeds}:"
        yield (
            f"**{scores.total.acceptable:.1f} of {scores.total.num_prompts}** prompts answered "
            "acceptably (every check of a prompt passes; mean of the seeds)."
        )
        yield (
            f"Answers to other prompts in their place would make {self.by_chance:.1f}. "
            '"Stopped" ended by'
        )
        yield (
            f'themselves within {MAX_TOKENS} tokens; "repeated" is the share of runs of four words '
            "that came before."
        )

    def _corpus_lines(self) -> Iterator[str]:
        if self.bits:
            yield from ["", "| held-out, bits per byte | |", "|---|---|"]
            for part, bits in self.bits.items():
                yield f"| {PART_TITLES[part]} | {bits:.3f} |"
        if (known := self.known) is not None:
            yield ""
            yield (
                f"Of the {known.num_messages} messages of the prompts {known.num_known_messages} "
                f"stand word for word in the {known.num_chats:,} chats of the corpus;"
            )
            yield (
                f"for {len(known.known)} prompts that is each message, for "
                f"{len(known.known_as_chats)} all of them in one chat."
            )


def _row(score: GroupScore) -> str:
    cells = [
        score.title,
        f"{score.acceptable:.1f} of {score.num_prompts}",
        f"{score.acceptable_first}",
        f"{score.stopped:.1%}",
        f"{score.repetition:.1%}",
        f"{score.words:.0f}",
        f"{score.tokens:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def best_and_worst(
    chats: Sequence[Chat], chances: Mapping[str, float]
) -> tuple[list[Chat], list[Chat]]:
    """Return chats of the first seed: up to five that always pass, up to five that never do.

    From each group at most one, while there are others. First come those whose checks are passed
    least by chance and the longest of them, and those with most failures.
    """
    first = [chat for chat in chats if chat.seed == chats[0].seed]
    passed: dict[str, list[bool]] = {}
    for chat in chats:
        passed.setdefault(chat.prompt.name, []).append(chat.is_acceptable)
    always = [chat for chat in first if all(passed[chat.prompt.name])]
    never = [chat for chat in first if not any(passed[chat.prompt.name])]
    always.sort(key=lambda chat: (chances[chat.prompt.name], -len(chat.answers[-1].words)))
    never.sort(key=lambda chat: (-len(chat.failures), -chat.answers[-1].repetition))
    return _spread(always), _spread(never)


def _spread(chats: Sequence[Chat]) -> list[Chat]:
    seen: dict[str, int] = {}
    rounds = []
    for place, chat in enumerate(chats):
        seen[chat.prompt.group] = seen.get(chat.prompt.group, 0) + 1
        rounds.append((seen[chat.prompt.group], place))
    return [chats[place] for _, place in sorted(rounds)[:NUM_SHOWN]]
