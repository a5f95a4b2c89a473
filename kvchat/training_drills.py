"""Drills: short chats made by rule, for what the corpus teaches too little of.

Sums up to twenty, lists without repeats, facts that are asked for again, fenced code, being spoken
to in another language, questions without sense, and what kvchat itself can do. A chat is a few
exchanges of different kinds, so that answering one does not depend on having heard no other. The
same number gives the same chat.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from kvchat.training_corpus import Message, Record
from kvchat.training_words import (
    CATEGORIES,
    FOREIGN,
    GUIDES,
    NAMES,
    NONSENSE,
    NUMBER_WORDS,
    PROGRAMS,
    SELF,
    SMALL_TALK,
    TOWNS,
    UNABLE,
)

SOURCE = "kvchat-drills"

Exchange = list[tuple[str, str]]
"""Questions and answers, in order."""
FIRST = "\0"
"""Stands in an answer for the first message of the chat, as it was typed."""


def drill_records(count: int, seed: int) -> Iterator[Record]:
    """Yield so many chats; chat `i` depends on the seed and `i` alone."""
    for number in range(count):
        yield Record(SOURCE, "", tuple(_chat(random.Random(f"{seed}/{number}"))))


def _chat(rng: random.Random) -> list[Message]:
    kinds = rng.choices(KINDS, WEIGHTS, k=rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.3:
        exchanges = told_and_asked(rng, [kind(rng) for kind in kinds[:2]])
    else:
        exchanges = [pair for kind in kinds for pair in kind(rng)]
    messages: list[Message] = []
    for question, answer in exchanges:
        messages.append(Message("user", typed(rng, question)))
        answer = answer.replace(FIRST, messages[0].content)
        if not answer.startswith("kvchat"):
            answer = answer[0].upper() + answer[1:]
        messages.append(Message("assistant", answer))
    return messages


def typed(rng: random.Random, question: str) -> str:
    """Return a question as people type it: some without capitals, some without the last mark."""
    if rng.random() < 0.35 and "`" not in question:
        question = question.lower()
    if rng.random() < 0.3:
        question = question.rstrip("?.!")
    return question


PAIRS = [(first, second) for first in range(21) for second in range(21 - first)]
"""All pairs of numbers with a sum of at most twenty."""

# -- numbers ------------------------------------------------------------------------------------


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


# -- lists --------------------------------------------------------------------------------------


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


# -- what was said --------------------------------------------------------------------------------


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


# -- the rest: chosen from tables -----------------------------------------------------------------


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


def a_program(rng: random.Random) -> Exchange:
    """A few lines of code in a fence, with one sentence about them."""
    questions, language, code, remark = rng.choice(PROGRAMS)
    n, word = rng.randint(3, 9), rng.choice(("hello", "cat", "sun", "tree", "book", "kvchat"))
    thing = rng.choice(("apple", "milk", "bread", "tea", "rice", "salt"))
    fills = {"<n>": str(n), "<word>": word, "<thing>": thing}
    parts = [rng.choice(questions), code, remark]
    for mark, fill in fills.items():
        parts = [part.replace(mark, fill) for part in parts]
    question, code, remark = parts
    return [
        (
            question,
            f"```{language}\n{code}\n```\n\n{remark}" if remark else f"```{language}\n{code}\n```",
        )
    ]


def another_language(rng: random.Random) -> Exchange:
    """A sentence in another language, answered in English."""
    language = rng.choice(list(FOREIGN))
    return [
        (
            rng.choice(FOREIGN[language]),
            rng.choice(
                (
                    "I am sorry, I only speak English.",
                    "Sorry, I speak English only. Could you say that in English?",
                    "I only speak English, so please write to me in English.",
                )
            ),
        )
    ]


def a_question_without_sense(rng: random.Random) -> Exchange:
    """Something that cannot be answered, and being told so."""
    forms, first, second = rng.choice(NONSENSE)
    question = rng.choice(forms).format(rng.choice(first), rng.choice(second))
    return [
        (
            question,
            rng.choice(
                (
                    "That does not make sense to me. Could you ask in another way?",
                    "I do not understand that question. It makes no sense to me.",
                    "I don't think that question makes sense.",
                    "Sorry, I cannot answer that, because it does not make sense.",
                )
            ),
        )
    ]


def out_of_reach(rng: random.Random) -> Exchange:
    """Something that a small program without the internet cannot do."""
    questions, answers = rng.choice(UNABLE)
    return [(rng.choice(questions), rng.choice(answers))]


def about_itself(rng: random.Random) -> Exchange:
    """What it is, and how to get a larger one."""
    questions, answers = rng.choice(SELF)
    return [(rng.choice(questions), rng.choice(answers))]


def small_talk(rng: random.Random) -> Exchange:
    """Greetings, thanks, moods."""
    questions, answers = rng.choice(SMALL_TALK)
    return [(rng.choice(questions), rng.choice(answers))]


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


KINDS: tuple[Callable[[random.Random], Exchange], ...] = (
    a_sum,
    a_comparison,
    a_count,
    a_list,
    a_member,
    a_guide,
    a_program,
    another_language,
    a_question_without_sense,
    out_of_reach,
    about_itself,
    small_talk,
    an_echo,
)
WEIGHTS = (28, 5, 3, 14, 2, 7, 4, 5, 7, 5, 9, 8, 3)
