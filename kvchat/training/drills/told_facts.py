"""Drills with memory: facts that a person tells, and that are asked for later in the chat."""

import random
from collections.abc import Callable

from kvchat.training.drills.exchange import FIRST, Exchange
from kvchat.training.drills.list_words import CATEGORIES
from kvchat.training.drills.words import NAMES, TOWNS


def told_and_asked(rng: random.Random, between: list[Exchange]) -> Exchange:
    """One or two facts about the person, something else in between, then questions about them."""
    facts = rng.sample(FACTS, 2)
    exchanges, questions = [], []
    for fact in facts[: rng.choice((1, 1, 2))]:
        told, reply, asked, recalled = fact(rng)
        exchanges.append((told, reply))
        questions.append((asked, recalled))
    if rng.random() < 0.25:
        _, _, asked, _ = facts[1](rng)
        if len(questions) == 1:
            questions.append((asked, rng.choice(NOT_TOLD)))
    for exchange in between:
        exchanges += exchange
    rng.shuffle(questions)
    exchanges += questions
    if rng.random() < 0.2:
        ask = rng.choice(
            (
                "What was the first thing I said?",
                "What did I say first?",
                "What was my first message?",
            )
        )
        exchanges.append((ask, f'You said: "{FIRST}"'))
    return exchanges


NOT_TOLD = (
    "You have not told me that yet.",
    "I do not know that yet. Would you like to tell me?",
    "You did not tell me that.",
)


def _name(rng: random.Random) -> tuple[str, str, str, str]:
    name = rng.choice(NAMES)
    return (
        rng.choice(("My name is {}.", "I am {}.", "I'm {}, hello!", "Call me {}.", "Hi, my name is {}.", "{} is my name.", "hello, {} here")).format(name),
        rng.choice(("Nice to meet you, {}!", "Hello {}! What can I do for you?", "Hi {}, how are you today?")).format(name),
        rng.choice(("What is my name?", "Who am I?", "Do you remember my name?", "Do you still know my name?", "what am I called?")),
        rng.choice(("Your name is {}.", "You are {}.", "You told me that your name is {}.")).format(name),
    )  # fmt: skip


def _age(rng: random.Random) -> tuple[str, str, str, str]:
    age = rng.randint(8, 90)
    return (
        rng.choice(
            ("I am {} years old.", "I'm {} years old.", "My age is {}.", "I turned {} last week.")
        ).format(age),
        rng.choice(
            ("Thank you for telling me.", "Good to know, you are {}.", "That is a fine age.")
        ).format(age),
        rng.choice(("How old am I?", "What is my age?", "Do you remember how old I am?")),
        rng.choice(("You are {} years old.", "You told me that you are {}.")).format(age),
    )


def _town(rng: random.Random) -> tuple[str, str, str, str]:
    town = rng.choice(TOWNS)
    return (
        rng.choice(
            ("I live in {}.", "I am from {}.", "My home is in {}.", "I come from {}.")
        ).format(town),
        rng.choice(
            (
                "{} sounds like a nice place.",
                "I have read good things about {}.",
                "How do you like {}?",
            )
        ).format(town),
        rng.choice(
            ("Where do I live?", "Where am I from?", "Which town did I name?", "Where is my home?")
        ),
        rng.choice(("You told me: {}.", "You are from {}.", "Your home is in {}.")).format(town),
    )


def _pet(rng: random.Random) -> tuple[str, str, str, str]:
    kind = rng.choice(("cat", "dog", "horse", "rabbit", "parrot", "hamster", "turtle", "fish"))
    name = rng.choice(NAMES)
    return (
        rng.choice(("I have a {k} called {n}.", "My {k} is called {n}.", "My {k}'s name is {n}.", "I got a {k}. Its name is {n}.")).format(k=kind, n=name),
        rng.choice(("{n} must be a lovely {k}.", "What a nice name for a {k}!", "Say hello to {n} from me.")).format(k=kind, n=name),
        rng.choice(("What is my {k} called?", "What is the name of my {k}?", "Do you remember my {k}'s name?")).format(k=kind),
        rng.choice(("Your {k} is called {n}.", "The name of your {k} is {n}.")).format(k=kind, n=name),
    )  # fmt: skip


def _favourite(rng: random.Random) -> tuple[str, str, str, str]:
    kind, of = rng.choice(
        (
            ("colour", "colours"),
            ("color", "colours"),
            ("fruit", "fruits"),
            ("animal", "animals"),
            ("drink", "drinks"),
            ("sport", "sports"),
            ("vegetable", "vegetables"),
            ("number", ""),
            ("season", "seasons"),
        )
    )
    item = str(rng.randint(1, 99)) if not of else rng.choice(CATEGORIES[of])
    return (
        rng.choice(("My favourite {k} is {i}.", "The {k} I like best is {i}.", "I like {i} more than any other {k}.")).format(k=kind, i=item),
        rng.choice(("A good choice!", "I will remember that.", "{i} is a fine {k}.")).format(k=kind, i=item),
        rng.choice(("What is my favourite {k}?", "Which {k} do I like best?", "Do you remember my favourite {k}?")).format(k=kind),
        rng.choice(("Your favourite {k} is {i}.", "You like {i} best.")).format(k=kind, i=item),
    )  # fmt: skip


def _job(rng: random.Random) -> tuple[str, str, str, str]:
    job = rng.choice(CATEGORIES["jobs"])
    an = "an" if job[0] in "aeiou" else "a"
    return (
        rng.choice((f"I work as {an} {job}.", f"I am {an} {job}.", f"My job is {job}.")),
        rng.choice(
            (
                "That sounds like interesting work.",
                "Do you like your work?",
                "That is a useful job.",
            )
        ),
        rng.choice(
            ("What is my job?", "What do I do for work?", "Do you remember what I work as?")
        ),
        rng.choice((f"You are {an} {job}.", f"You work as {an} {job}.")),
    )


def _relative(rng: random.Random) -> tuple[str, str, str, str]:
    who, name = (
        rng.choice(("sister", "brother", "friend", "mother", "son", "daughter", "teacher")),
        rng.choice(NAMES),
    )
    return (
        rng.choice(("My {w} is called {n}.", "The name of my {w} is {n}.", "My {w}'s name is {n}.")).format(w=who, n=name),
        rng.choice(("{n} is a nice name.", "I will remember {n}.", "Do you see {n} often?")).format(n=name),
        rng.choice(("What is my {w} called?", "What is the name of my {w}?", "who is my {w}?")).format(w=who),
        rng.choice(("Your {w} is called {n}.", "The name of your {w} is {n}.")).format(w=who, n=name),
    )  # fmt: skip


FACTS: tuple[Callable[[random.Random], tuple[str, str, str, str]], ...] = (
    _name,
    _name,
    _age,
    _town,
    _pet,
    _favourite,
    _favourite,
    _job,
    _relative,
)
