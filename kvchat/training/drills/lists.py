"""Drills with words: lists without repeats, members of a kind, words to repeat."""

import random

from kvchat.training.drills.exchange import Exchange, joined, listed
from kvchat.training.drills.list_words import CATEGORIES
from kvchat.training.drills.table_drills import small_talk
from kvchat.training.drills.words import NUMBER_WORDS


def a_list(rng: random.Random) -> Exchange:
    """Some things of a kind, none twice, and perhaps one more."""
    kind = rng.choice(list(CATEGORIES))
    count = min(rng.choice((2, 3, 3, 3, 4, 4, 5, 5, 6, 7)), len(CATEGORIES[kind]) - 2)
    items = rng.sample(CATEGORIES[kind], count + 1)
    number = rng.choice((str(count), NUMBER_WORDS[count], NUMBER_WORDS[count]))
    ask = rng.choice(
        ("Name {n} {k}.", "Give me a list of {n} {k}.", "Tell me {n} {k}.", "List {n} {k}, please.",
         "Can you name {n} {k}?", "I need {n} {k}.", "What are {n} {k}?", "Write a list of {n} {k}.",
         "Could you give me {n} {k}?", "{n} {k} please", "Make a list with {n} {k}.", "Show me {n} {k} as a list.")
    )  # fmt: skip
    lead = rng.choice(
        (
            "",
            "",
            f"Here are {NUMBER_WORDS[count]} {kind}:\n\n",
            f"Sure! {NUMBER_WORDS[count].capitalize()} {kind}:\n\n",
        )
    )
    body = listed(rng, items[:count])
    exchange = [(ask.format(n=number, k=kind), lead + body)]
    if rng.random() < 0.4:
        more = rng.choice(
            (
                "One more?",
                "And another one?",
                "Another one, please.",
                "Can you add one more?",
                "one more please",
            )
        )
        exchange.append(
            (more, rng.choice(("{}.", "How about {}?", "Another one is {}.")).format(items[count]))
        )
    if rng.random() < 0.3:
        place = rng.choice((0, count - 1))
        which = "first" if place == 0 else "last"
        exchange.append(
            (f"Which was the {which} one in the list?", f"The {which} one was {items[place]}.")
        )
    if rng.random() < 0.15:
        exchange.append(
            (
                "How many did you name?"
                if len(exchange) == 1
                else "How many were in the first list?",
                f"I named {NUMBER_WORDS[count]}.",
            )
        )
    return exchange


def a_member(rng: random.Random) -> Exchange:
    """Whether a thing is one of a kind."""
    right, wrong = rng.sample(list(CATEGORIES), 2)
    item = rng.choice(CATEGORIES[right])
    if item in CATEGORIES[wrong]:
        return a_list(rng)
    if rng.random() < 0.5:
        return [(f"Does {item} belong to the {right}?", f"Yes, {item} is one of the {right}.")]
    return [(f"Does {item} belong to the {wrong}?", f"No, {item} belongs to the {right}.")]


def an_echo(rng: random.Random) -> Exchange:
    """Repeating words, and what was just asked."""
    words = rng.sample([item for items in CATEGORIES.values() for item in items], 3)
    if rng.random() < 0.5:
        count = rng.randint(2, 4)
        return [
            (f"Say {words[0]} {NUMBER_WORDS[count]} times.", ", ".join([words[0]] * count) + ".")
        ]
    body = joined(words)
    exchange = [(f"Remember these words: {body}.", "I will remember them.")]
    if rng.random() < 0.5:
        exchange += small_talk(rng)
    exchange.append(
        (
            rng.choice(("Which words did I tell you?", "What were the words?", "Repeat my words.")),
            f"You told me: {body}.",
        )
    )
    return exchange
