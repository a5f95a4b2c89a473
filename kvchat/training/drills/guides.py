"""Drills with steps: how something useful is done, and what people ask about it."""

import random
from collections.abc import Callable

from kvchat.training.drills.exchange import Exchange, common
from kvchat.training.drills.guide_words import GUIDES as FIRST_GUIDES
from kvchat.training.drills.more_guide_words import MORE_GUIDES, NEEDS, SUBSTITUTES, TIMES
from kvchat.training.drills.words import NUMBER_WORDS

GUIDES: dict[str, tuple[str, ...]] = {**FIRST_GUIDES, **MORE_GUIDES}
"""Each task with its steps."""
_ASKS = (
    "How do I {}?", "How can I {}?", "Tell me how to {}.", "Explain how to {}.", "What is the best way to {}?", "Can you help me to {}?", "I want to {}. What should I do?",
    "Give me the steps to {}.", "how to {}", "How would I {}?", "Teach me how to {}.", "whats the best way to {}", "I need to {}. How?", "Show me how to {}.",
    "Can you explain how to {}?", "What do I have to do to {}?", "I have never done it before: how do I {}?", "Please explain step by step how to {}.", "How should I {}?",
    "I would like to {}. Can you help?", "Is there an easy way to {}?", "Do you know how to {}?",
)  # fmt: skip
_ASKS_OF_ANYBODY = ("How do you {}?", "How do people {}?", "How does one {}?")
_ASKS_WITH_ING = (
    "I need help with {}.", "Steps for {}, please.", "Give me a guide for {}.", "steps for {}", "What are the steps for {}?", "Explain {} to me.", "Help me with {}.",
)  # fmt: skip
_DOUBLED = frozenset(["put", "get", "cut", "set", "sit", "stop", "run", "swim", "skip", "plan", "wrap", "mop", "knit", "begin", "unplug", "pin", "chop", "hop", "jog"])  # fmt: skip
_STEP = ("first", "second", "third", "fourth", "fifth")


def doing(task: str) -> str:
    """Turn `make tea` into `making tea`."""
    verb, _, rest = task.partition(" ")
    if verb in _DOUBLED:
        verb += verb[-1]
    elif verb in ("tie", "lie", "die"):
        verb = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith(("ee", "ye")):
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def in_one_sentence(steps: tuple[str, ...]) -> str:
    """Join the first two steps and the last one, where each is a single sentence."""
    short = [step.rstrip(".") for step in (*steps[:2], steps[-1])]
    first, *others = [short[0], *(text[0].lower() + text[1:] for text in short[1:])]
    return f"{first}, {others[0]}, and at the end {others[1]}."


def _numbered(steps: tuple[str, ...]) -> str:
    return "\n".join(f"{place}. {step}" for place, step in enumerate(steps, 1))


def a_guide(rng: random.Random) -> Exchange:
    """Steps of something useful, numbered; often questions about them."""
    task = common(rng, list(GUIDES))
    steps = GUIDES[task]
    kind = rng.random()
    if kind < 0.25:
        ask = rng.choice(_ASKS_WITH_ING).format(doing(task))
    elif kind < 0.45 and " my" not in task:
        ask = rng.choice(_ASKS_OF_ANYBODY).format(task)
    else:
        ask = rng.choice(_ASKS).format(task)
    if len(steps) == 3 and rng.random() < 0.4:
        ask = f"Explain in three steps how to {task}."
    elif len(steps) > 2 and rng.random() < 0.08:
        word = NUMBER_WORDS[len(steps)]
        ask = rng.choice((f"How do I {task} in {word} steps?", f"Give me {word} steps to {task}."))
    lead = rng.choice(
        ("", "", "Here is how:\n\n", "You can do it like this:\n\n", "It is not hard:\n\n", f"Here is how to {for_you(task)}:\n\n", "Follow these steps:\n\n")
    )  # fmt: skip
    exchange = [(ask[0].upper() + ask[1:], lead + _numbered(steps))]
    if rng.random() < 0.5:
        for follow_up in rng.sample(FOLLOW_UPS, rng.choice((1, 1, 2, 3))):
            exchange += follow_up(rng, task)
    return exchange


def for_you(task: str) -> str:
    """Turn the words of a person into those of the one who answers."""
    words = {"my": "your", "myself": "yourself"}
    return " ".join(words.get(word, word) for word in task.split(" "))


# Each of these takes the task; the answer is empty where the tables say nothing.


def _step(rng: random.Random, task: str) -> Exchange:
    steps = GUIDES[task]
    index = rng.randrange(len(steps))
    asks = ("What was the {} step?", "Repeat the {} step.", "And the {} step?", "What do I do in the {} step?")  # fmt: skip
    return [(rng.choice(asks).format(_STEP[index]), steps[index])]


def _first(rng: random.Random, task: str) -> Exchange:
    asks = ("What do I do first?", "How do I start?", "What comes first?", "Where do I begin?")
    return [(rng.choice(asks), GUIDES[task][0])]


def _last(rng: random.Random, task: str) -> Exchange:
    asks = ("And the last step?", "What comes last?", "What was the last step?", "And at the end?")
    return [(rng.choice(asks), GUIDES[task][-1])]


def _after(rng: random.Random, task: str) -> Exchange:
    steps = GUIDES[task]
    if len(steps) < 2:
        return []
    index = rng.randrange(len(steps) - 1)
    asks = ("What comes after the {} step?", "I have done the {} step. And then?", "I am done with the {} step. What now?")  # fmt: skip
    pairs = [(rng.choice(asks).format(_STEP[index]), steps[index + 1])]
    if index + 2 < len(steps) and rng.random() < 0.6:
        pairs.append((rng.choice(("And then?", "What next?", "Done. And now?")), steps[index + 2]))
    elif index + 2 == len(steps) and rng.random() < 0.5:
        pairs.append(("And then?", "That was the last step. You are done."))
    return pairs


def _count(rng: random.Random, task: str) -> Exchange:
    asks = ("How many steps is that?", "How many steps are there?", "Count the steps.")
    return [(rng.choice(asks), f"There are {NUMBER_WORDS[len(GUIDES[task])]} steps.")]


def _needs(rng: random.Random, task: str) -> Exchange:
    if task not in NEEDS:
        return []
    asks = ("What do I need for that?", "Which things do I need?", "What do I need?", "What should I have ready?")  # fmt: skip
    return [(rng.choice(asks), f"You need {NEEDS[task]}.")]


def _time(rng: random.Random, task: str) -> Exchange:
    if task not in TIMES:
        return []
    asks = ("How long does it take?", "How long does that take?", "Does it take long?", "How much time do I need?")  # fmt: skip
    return [(rng.choice(asks), f"It takes {TIMES[task]}.")]


def _short(rng: random.Random, task: str) -> Exchange:
    if len(GUIDES[task]) < 3 or any(step.count(".") > 1 for step in GUIDES[task]):
        return []
    asks = ("In one sentence, please.", "Say it in one sentence.", "Can you make it shorter?", "Shorter, please.")  # fmt: skip
    return [(rng.choice(asks), in_one_sentence(GUIDES[task]))]


def _lacking(rng: random.Random, task: str) -> Exchange:
    if task not in SUBSTITUTES:
        return []
    thing, instead = SUBSTITUTES[task]
    asks = ("I have no {}.", "What if I have no {}?", "And without {}?", "I don't have any {}.")
    ask = rng.choice(asks).format(thing)
    return [(ask, instead)]


def _again(rng: random.Random, task: str) -> Exchange:
    return [(rng.choice(("Say that again, please.", "Repeat the steps.", "Tell me all the steps again.")), _numbered(GUIDES[task]))]  # fmt: skip


FOLLOW_UPS: tuple[Callable[[random.Random, str], Exchange], ...] = (
    _step,
    _first,
    _last,
    _after,
    _count,
    _needs,
    _needs,
    _time,
    _short,
    _lacking,
    _again,
)
