"""Drills with numbers: sums up to twenty, word problems, comparing, counting."""

import random

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.words import NAMES, NUMBER_WORDS

PAIRS = [(first, second) for first in range(21) for second in range(21 - first)]
"""All pairs of numbers with a sum of at most twenty."""


def a_sum(rng: random.Random) -> Exchange:
    """Two numbers added, taken away or multiplied, the result at most twenty; perhaps twice."""
    sign = rng.choice("++--*")
    if sign == "+":
        first, second = rng.choice(PAIRS)
        result = first + second
    elif sign == "-":
        result, second = rng.choice(PAIRS)
        first = result + second
    else:
        first, second = rng.choice([(a, b) for a in range(11) for b in range(11) if a * b <= 20])
        result = first * second
    question, answer = _asked_sum(rng, first, sign, second, result)
    exchange = [(question, answer)]
    while rng.random() < 0.35:
        more = rng.randint(1, 9)
        if result + more <= 20 and rng.random() < 0.6:
            ask = rng.choice(
                ("Now add {}.", "And plus {}?", "Add {} to that.", "plus {}", "And {} more?")
            )
            before, result = result, result + more
            told = _told(rng, before, "+", more, result)
        elif result >= more:
            ask = rng.choice(
                ("Now take away {}.", "And minus {}?", "Subtract {}.", "minus {}", "And {} less?")
            )
            before, result = result, result - more
            told = _told(rng, before, "-", more, result)
        else:
            break
        exchange.append((ask.format(more), told))
    return exchange


def _asked_sum(
    rng: random.Random, first: int, sign: str, second: int, result: int
) -> tuple[str, str]:
    if sign != "*" and min(first, second, result) > 1 and rng.random() < 0.35:
        return _word_problem(rng, first, sign, second, result)
    said = {"+": ("plus", "and"), "-": ("minus", "take away"), "*": ("times", "multiplied by")}
    form = rng.choice(
        ("What is {}?", "{}", "{} =", "How much is {}?", "Can you tell me what {} is?", "What does {} make?",
         "what's {}?", "Calculate {}.", "Solve {}", "{}?", "Do you know what {} is?", "I need to know {}.")
    )  # fmt: skip
    left, right = str(first), str(second)
    word = (
        rng.choice((sign, sign, *said[sign]))
        if sign != "*"
        else rng.choice(("*", "x", *said[sign]))
    )
    if word not in ("+", "-", "*", "x") and rng.random() < 0.35:
        left, right = NUMBER_WORDS[first], NUMBER_WORDS[second]
    body = f"{left} {word} {right}"
    if word in ("+", "-", "*") and rng.random() < 0.25:
        body = body.replace(" ", "")
    return form.format(body), _told(rng, first, sign, second, result)


def _told(rng: random.Random, first: int, sign: str, second: int, result: int) -> str:
    # Mostly with the whole sum, so that the answer stands behind what it follows from.
    word = {"+": "plus", "-": "minus", "*": "times"}[sign]
    return rng.choice(
        (
            f"{first} {sign} {second} = {result}.",
            f"{first} {sign} {second} = {result}.",
            f"{first} {word} {second} is {result}.",
            f"{first} {word} {second} makes {result}.",
            f"That is {result}.",
        )
    )


def _word_problem(
    rng: random.Random, first: int, sign: str, second: int, result: int
) -> tuple[str, str]:
    thing = rng.choice(
        ("apples", "books", "coins", "eggs", "cookies", "pencils", "balls", "stamps", "cups")
    )
    name = rng.choice(NAMES)
    if sign == "+":
        question = rng.choice(
            (
                f"I have {first} {thing} and buy {second} more. How many {thing} do I have?",
                f"{name} has {first} {thing} and gets {second} more. How many {thing} does {name} have now?",
                f"There are {first} {thing} on the table and {second} in the box. How many is that?",
            )
        )
    else:
        question = rng.choice(
            (
                f"I have {first} {thing} and lose {second}. How many {thing} are left?",
                f"{name} has {first} {thing} and gives away {second}. How many are left?",
                f"There are {first} {thing}. {name} takes {second}. How many {thing} are still there?",
            )
        )
    answer = rng.choice(
        (
            f"{first} {sign} {second} = {result}, so the answer is {result}.",
            f"That makes {result} {thing}, because {first} {sign} {second} = {result}.",
        )
    )
    return question, answer


def a_comparison(rng: random.Random) -> Exchange:
    """The larger or smaller of two numbers, the next one, the one before, even or odd, a half."""
    first, second = rng.sample(range(21), 2)
    n = rng.randint(1, 19)
    even = 2 * rng.randint(1, 10)
    return rng.choice(
        (
            [(f"Which is bigger, {first} or {second}?", f"{max(first, second)} is bigger than {min(first, second)}.")],
            [(f"Which number is smaller: {first} or {second}?", f"{min(first, second)} is smaller than {max(first, second)}.")],
            [(f"Is {first} more than {second}?", f"{'Yes' if first > second else 'No'}, {first} is {'more' if first > second else 'less'} than {second}.")],
            [(f"Which number comes after {n}?", f"{n + 1} comes after {n}.")],
            [(f"What comes before {n}?", f"{n - 1} comes before {n}.")],
            [(f"Is {n} odd or even?", f"{n} is {'odd' if n % 2 else 'even'}.")],
            [(f"What is half of {even}?", f"Half of {even} is {even // 2}.")],
            [(f"What is double {even // 2}?", f"Double {even // 2} is {even}.")],
            [(f"What is {even} divided by 2?", f"{even} divided by 2 is {even // 2}.")],
        )
    )  # fmt: skip


def a_count(rng: random.Random) -> Exchange:
    """Counting up or down."""
    start = rng.randint(1, 8)
    end = start + rng.randint(2, 9)
    up = [str(n) for n in range(start, end + 1)]
    if rng.random() < 0.5:
        ask = rng.choice(
            (
                "Count from {} to {}.",
                "Please count from {} up to {}.",
                "Can you count from {} to {}?",
            )
        )
        return [(ask.format(start, end), ", ".join(up) + ".")]
    if rng.random() < 0.5:
        ask = rng.choice(("Count down from {} to {}.", "Count backwards from {} to {}."))
        return [(ask.format(end, start), ", ".join(reversed(up)) + ".")]
    down = [str(n) for n in range(end, 0, -1)]
    return [(f"Count down from {end}.", ", ".join(down) + ".")]
