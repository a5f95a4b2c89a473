"""Drills with steps: how something useful is done."""

import random

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.guide_words import GUIDES
from kvchat.training.drills.words import NUMBER_WORDS


def a_guide(rng: random.Random) -> Exchange:
    """Steps of something useful, numbered; perhaps their number, or one of them."""
    thing, steps = rng.choice(list(GUIDES.items()))
    ask = rng.choice(
        ("How do I {}?", "How can I {}?", "Tell me how to {}.", "Explain how to {}.", "What is the best way to {}?",
         "Can you help me to {}?", "I want to {}. What should I do?", "Give me the steps to {}.", "how to {}")
    )  # fmt: skip
    lead = rng.choice(
        ("", "Here is how:\n\n", "You can do it like this:\n\n", "It is not hard:\n\n")
    )
    answer = lead + "\n".join(f"{place}. {step}" for place, step in enumerate(steps, 1))
    exchange = [(ask.format(thing), answer)]
    if rng.random() < 0.25:
        exchange.append(
            (
                rng.choice(
                    ("What was the first step?", "What do I do first?", "Repeat the first step.")
                ),
                steps[0],
            )
        )
    if rng.random() < 0.2:
        exchange.append(
            (
                rng.choice(("And the last step?", "What comes last?", "What was the last step?")),
                steps[-1],
            )
        )
    if rng.random() < 0.2:
        exchange.append(
            (
                rng.choice(("How many steps is that?", "How many steps are there?")),
                f"There are {NUMBER_WORDS[len(steps)]} steps.",
            )
        )
    return exchange
