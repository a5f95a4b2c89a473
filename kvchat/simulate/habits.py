"""Habits: what a user says and asks for, and where it likes to cut; a random generator decides."""

import random
from collections.abc import Sequence
from dataclasses import replace

from kvchat.sampling_params import SamplingParams
from kvchat.store.rows import MessageRow

WORDS = "river window garden kitchen mountain letter bicycle apple story why what tell me the of a"
SYSTEM_PROMPTS = (None, None, "Be kind.", "You are the keeper of a long garden. " * 3)


class Habits:
    """The choices of one user; `name` stands in everything it says."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self._name = name
        self._rng = rng
        self._num_said = 0

    def system(self) -> str | None:
        """Return a system prompt, or None."""
        return self._rng.choice(SYSTEM_PROMPTS)

    def text(self) -> str:
        """Return something to say that nobody else says, and that was not said before."""
        self._num_said += 1
        count = self._rng.choice((1, 2, 5, 12, 30))
        words = self._rng.choices(WORDS.split(), k=count)
        return " ".join((*words, f"{self._num_said} {self._name}"))

    def sampling(self) -> SamplingParams:
        """Return settings of a reply: greedy or drawn, short or long, some with stop strings."""
        max_tokens = self._rng.choice((1, 2, 6, 14, 40, 120))
        params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        if self._rng.random() < 0.6:
            params = replace(
                params,
                temperature=self._rng.choice((0.5, 1.0, 3.0)),
                top_k=self._rng.choice((0, 5)),
                top_p=self._rng.choice((1.0, 0.9)),
                min_p=self._rng.choice((0.0, 0.05)),
                repetition_penalty=self._rng.choice((1.0, 1.3)),
                seed=self._rng.choice((None, self._rng.randrange(1000))),
            )
        if self._rng.random() < 0.2:
            params = replace(params, stop=("e", "th"))
        return params

    def position(self, path: Sequence[MessageRow]) -> int:
        """Return a token position of a path, more often than not near the edge of a message."""
        ends, length = [0], 0
        for row in path:
            length += len(row.token_ids)
            ends.append(length)
        if self._rng.random() < 0.3:
            return self._rng.choice(ends)
        return self._rng.randint(0, length)
