"""The facts about words, numbers, rows of things and reasons."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from kvchat.training.drills.fact import Fact, an, capital
from kvchat.training.drills.knowledge_words import (
    BELONG,
    COLOURS,
    MIXED,
    NUMBERS,
    OPPOSITES,
    ORDERED,
    PASTS,
    PLURALS,
    RHYMES,
    SCALES,
    SYNONYMS,
)
from kvchat.training.drills.reason_words import MEANINGS, NO_ARTICLE, REASONS, VERB_MEANINGS
from kvchat.training.drills.topic_words import words

_Pairs = Sequence[tuple[str, str]]
_Forms = tuple[str, ...]
_PAIRS: tuple[tuple[str, _Pairs, _Forms, _Forms, _Forms], ...] = (
    (
        "opposite",
        OPPOSITES,
        ("What is the opposite of {x}?", "Opposite of {x}?", "What's the opposite of {x}?", "Tell me the opposite of {x}.", "Which word is the opposite of {x}?", "Give me the opposite of {x}."),
        ("And of {x}?", "And {x}?", "What about {x}?", "and the opposite of {x}"),
        ("The opposite of {x} is {v}.", "{V} is the opposite of {x}."),
    ),
    (
        "plural",
        PLURALS,
        ("What is the plural of {x}?", "Plural of {x}?", "How do you write the plural of {x}?", "One {x}, two what?", "What do you call more than one {x}?"),
        ("And of {x}?", "And {x}?", "What about {x}?", "and the plural of {x}"),
        ("The plural of {x} is {v}.", "One {x}, two {v}."),
    ),
    (
        "past",
        PASTS,
        ("What is the past tense of {x}?", "Past tense of {x}?", "What is the past of {x}?", "Today I {x}. What is the word for yesterday?", "How do you say {x} in the past?"),
        ("And of {x}?", "And {x}?", "What about {x}?", "and the past of {x}"),
        ("The past tense of {x} is {v}.", "Today I {x}, yesterday I {v}."),
    ),
    (
        "rhyme",
        RHYMES,
        ("What rhymes with {x}?", "Give me a rhyme for {x}.", "Which word rhymes with {x}?", "I need a word that rhymes with {x}.", "Find a rhyme for {x}."),
        ("And with {x}?", "And for {x}?", "What about {x}?"),
        ("{V} rhymes with {x}.", "A word that rhymes with {x} is {v}."),
    ),
    (
        "synonym",
        SYNONYMS,
        ("What is another word for {x}?", "Give me another word for {x}.", "Another word for {x}?", "Which word means the same as {x}?", "How else can I say {x}?", "Tell me a synonym of {x}."),
        ("And for {x}?", "And {x}?", "What about {x}?"),
        ("Another word for {x} is {v}.", "You can also say {v}.", "{V} means nearly the same as {x}."),
    ),
    (
        "mix",
        MIXED,
        ("What colour do you get from {x}?", "What do {x} make when you mix them?", "Which colour do {x} make?", "If I mix {x}, what do I get?", "Mix {x}. Which colour is that?"),
        ("And {x}?", "What about {x}?", "And if I mix {x}?"),
        ("{X} make {v}.", "You get {v}.", "If you mix {x}, you get {v}."),
    ),
    (
        "colour",
        COLOURS,
        ("What colour is {x}?", "Which colour does {x} have?", "What is the colour of {x}?", "Tell me the colour of {x}."),
        ("And {x}?", "What about {x}?", "And what colour is {x}?"),
        ("{X} is {v}.",),
    ),
)  # fmt: skip
"""Group, pairs, whole questions, questions after another of the group, answers."""


def word_facts() -> Iterator[Fact]:
    """Yield every fact that is not in a table of topics."""
    for group, pairs, asks, again, answers in _PAIRS:
        for x, v in pairs:
            fill = {"x": x, "X": capital(x), "v": v, "V": capital(v)}
            yield Fact(
                group,
                f"{group}: {x}",
                tuple(form.format(**fill) for form in asks),
                tuple(form.format(**fill) for form in answers),
                v,
                again=tuple(form.format(**fill) for form in again),
            )
    yield from _number_facts()
    yield from _order_facts()
    yield from _scale_facts()
    yield from _spelling_facts()
    yield from _sentence_facts()


def _number_facts() -> Iterator[Fact]:
    for key, number in NUMBERS:
        yield Fact(
            "number",
            f"number: {key}",
            (f"How many {key}?", f"Do you know how many {key}?" if " does " not in key and " do " not in key else f"Tell me, how many {key}?", f"how many {key}, please?"),
            (counted(key, number),),
            number,
            again=(f"And how many {key}?",),
        )  # fmt: skip


def counted(key: str, number: str) -> str:
    """Turn `days are in a week` and 7 into the sentence that says so."""
    for form, sentence in (
        (r"(.+) are there", "There are {n} {0}."),
        (r"(.+?) are ((?:in|on) .+)", "There are {n} {0} {1}."),
        (r"(.+?) does (.+) usually have", "{1} usually has {n} {0}."),
        (r"(.+?) does (.+) have", "{1} has {n} {0}."),
        (r"(.+?) do (.+) have", "{1} have {n} {0}."),
    ):
        if found := re.fullmatch(form, key):
            return capital(sentence.format(*found.groups(), n=number))
    match key.split(" does "):
        case [things, rest]:
            return f"{capital(rest)}: {number} {things}."
    return f"{number} {key}."


def _order_facts() -> Iterator[Fact]:
    for kind, row in ORDERED.items():
        last = len(row) - 1
        for place, name in enumerate(row):
            for step, word in ((1, "after"), (-1, "before")):
                if kind == "letter" and not 0 <= place + step <= last:
                    continue
                next_one = row[(place + step) % len(row)]
                yield Fact(
                    word,
                    f"{kind}: {name}",
                    (f"Which {kind} comes {word} {name}?", f"What {kind} is {word} {name}?", f"What comes {word} {name}?", f"{name} is a {kind}. Which one comes {word} it?"),
                    (f"{next_one} comes {word} {name}." if kind != "season" else f"{capital(next_one)} comes {word} {name}.",),
                    next_one,
                    again=(f"And {word} {name}?", f"What about {name}?"),
                    its=(f"And what comes {word} it?", f"And {word} it?"),
                )  # fmt: skip


def _scale_facts() -> Iterator[Fact]:
    for (more, less), lines in SCALES.items():
        for line in lines:
            for small, large in combinations(line, 2):
                for first, second in ((small, large), (large, small)):
                    for word, right, wrong in ((more, large, small), (less, small, large)):
                        yield Fact(
                            f"comparison {more} {less}",
                            f"{first} or {second}: {word}",
                            (f"Which is {word}, {first} or {second}?", f"What is {word}: {first} or {second}?", f"{capital(first)} or {second}: which is {word}?", f"Which of the two is {word}, {first} or {second}?"),
                            (f"{capital(right)} is {word} than {wrong}.", f"{capital(right)} is {word}."),
                            right,
                            more=(
                                (f"And which is {less if word == more else more}?", f"{capital(wrong)} is {less if word == more else more}."),
                                (f"So {wrong} is {less if word == more else more}?", f"Yes, {wrong} is {less if word == more else more} than {right}."),
                                (f"Is {wrong} {word} than {right}?", f"No, {right} is {word} than {wrong}."),
                            ),
                        )  # fmt: skip


SPELLED = words(
    "cat dog sun hat red blue green tree house book milk bread apple water table chair river stone bird fish lamp door ship cloud rain snow star moon hand foot "
    "nose cake soup egg tea sugar salt paper pen king queen horse sheep lion tiger mouse duck goat train car bus boat road town park ball game song story friend "
    "happy small big long short old new good bad cold warm spring summer winter monday lemon banana orange cherry garden window mother father sister brother"
)
"""Words to spell and to count the letters of."""


def _spelling_facts() -> Iterator[Fact]:
    for word in SPELLED:
        if word == "monday":
            word = "Monday"
        topic = f"word: {word}"
        spelled = "-".join(word.upper())
        yield Fact("spelling", topic, (f"Spell {word}.", f"How do you spell {word}?", f"Spell the word {word}, please.", f"What are the letters of the word {word}?"), (f"{spelled}.", f"It is spelled {spelled}."), spelled, ("Spell it.", "How is it spelled?"), (f"And {word}?", f"What about {word}?"))  # fmt: skip
        for place, letter in (("first", word[0].upper()), ("last", word[-1].upper())):
            yield Fact(f"{place} letter", topic, (f"What is the {place} letter of {word}?", f"Which letter is the {place} one in {word}?", f"What is the {place} letter of the word {word}?"), (f"The {place} letter of {word} is {letter}.",), letter, (f"What is its {place} letter?", f"And the {place} letter?"), (f"And of {word}?", f"And {word}?"))  # fmt: skip
        count = len(word)
        yield Fact("letter count", topic, (f"How many letters does {word} have?", f"How many letters are in {word}?", f"Count the letters of {word}."), (f"{capital(word)} has {count} letters: {spelled}.", f"{spelled}: that makes {count} letters."), str(count), ("How many letters does it have?", "And how many letters are that?"), (f"And {word}?", f"What about {word}?"))  # fmt: skip


def _sentence_facts() -> Iterator[Fact]:
    for question, (short, answer) in BELONG.items():
        yield Fact("thing to know", question, (f"{capital(question)}?", f"{question}", f"I have a question: {question}?", f"Can you tell me: {question}?"), (answer,), short)  # fmt: skip
    for word, meaning, extra in MEANINGS:
        a = word if word in NO_ARTICLE else an(word)
        if word == "internet":
            a = "the internet"
        asks = (f"What is {a}?", f"What does the word {word} mean?", f"Explain the word {word}.", f"Define {word}.", f"What's {a}?", f"Can you explain what {a} is?", f"What is the meaning of {word}?")  # fmt: skip
        more = (
            ("Can you tell me more?", extra),
            ("Tell me something more about it.", extra),
            ("What else?", extra),
        )
        if " is one" in extra or "example" in extra:
            more = (
                ("Give me an example.", extra),
                ("For example?", extra),
                ("Do you have an example?", extra),
            )
        yield Fact("meaning", f"word: {word}", asks, (f"{capital(a)} is {meaning}.",), meaning, again=(f"And {a}?", f"And what is {a}?", f"What about {a}?"), more=more)  # fmt: skip
    for verb, meaning, sentence in VERB_MEANINGS:
        yield Fact(
            "verb",
            f"verb: {verb}",
            (f"What does it mean to {verb}?", f"What does the verb {verb} mean?", f"Explain the verb {verb}.", f"What do people mean when they say to {verb}?"),
            (f"To {verb} means {meaning}.",),
            meaning,
            again=(f"And to {verb}?", f"What about to {verb}?"),
            more=(("Use it in a sentence.", sentence), ("Can you use it in a sentence?", sentence), ("Give me a sentence with it.", sentence)),
        )  # fmt: skip
    for question, answer, short in REASONS:
        yield Fact("reason", question, (f"{capital(question)}?", f"{capital(question)}?", question, f"I wonder: {question}?", f"My child asks: {question}?", f"Quick question: {question}?", f"Can you tell me: {question}?", f"Explain in a sentence: {question}?"), (answer,), short.rstrip("."))  # fmt: skip
