"""Drills chosen from tables: programs, other languages, nonsense, itself, small talk."""

import random

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.foreign_words import FOREIGN
from kvchat.training.drills.limit_words import UNABLE
from kvchat.training.drills.nonsense_words import NONSENSE
from kvchat.training.drills.program_words import PROGRAMS
from kvchat.training.drills.self_words import SELF
from kvchat.training.drills.talk_words import SMALL_TALK


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
