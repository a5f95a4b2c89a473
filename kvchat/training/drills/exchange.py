"""Exchange: some questions with their answers, the piece drills are made of; how it is written."""

import random
from collections.abc import Sequence
from typing import TypeVar

from kvchat.training.drills.typos import mistyped

Item = TypeVar("Item")

Exchange = list[tuple[str, str]]
"""Questions and answers, in order."""
FIRST = "\0"
"""Stands in an answer for the first message of the chat, as it was typed."""


def common(rng: random.Random, items: Sequence[Item]) -> Item:
    """Draw one of items that stand in order of how common they are: a third from the first tenth.

    A small model learns what it meets often, and people ask for a cat more often than for a newt.
    """
    return items[int(len(items) * rng.random() ** 2)]


def typed(rng: random.Random, question: str) -> str:
    """Return a question as people type it: half of them as they are, the others in haste."""
    return question if rng.random() < 0.5 else mistyped(rng, question)


def listed(rng: random.Random, items: Sequence[str]) -> str:
    """Write items as Markdown bullets, as numbers or in a sentence."""
    form = rng.random()
    if form < 0.5:
        return "\n".join(f"- {item}" for item in items)
    if form < 0.8:
        return "\n".join(f"{place}. {item}" for place, item in enumerate(items, 1))
    return joined(items) + "."


def joined(items: Sequence[str]) -> str:
    """Write items in a row, with `and` before the last."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
