"""ToldFact: something that a person tells in a chat, with the words to tell, ask and recall it."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ToldFact:
    """One fact: how it is told, asked for and recalled, with a wrong value for yes-no questions.

    `about` names it from the person's side, such as `my dog's name`. Sentences in `told` have no
    final mark. Sentences in `recalled` do. `checked` is a yes-no question.
    """

    about: str
    value: str
    other: str
    told: tuple[str, ...]
    asked: tuple[str, ...]
    recalled: tuple[str, ...]
    checked: tuple[str, ...]
    replies: tuple[str, ...] = ()


Kind = Callable[[random.Random], ToldFact]


def two_values(rng: random.Random, draw: Callable[[], str]) -> tuple[str, str]:
    """Draw two values of which neither is a part of the other."""
    value = other = draw()
    while other in value or value in other:
        other = draw()
    return value, other
