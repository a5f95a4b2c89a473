"""Drills: short chats made by rule, for what the corpus teaches too little of.

A chat is a few exchanges of different kinds, so that answering one does not depend on having heard
no other. The same number gives the same chat.
"""

import random
from collections.abc import Callable, Iterator

from kvchat.training.corpus import Message, Record
from kvchat.training.drills.exchange import FIRST, Exchange, typed
from kvchat.training.drills.guides import a_guide
from kvchat.training.drills.knowledge import knowledge
from kvchat.training.drills.lists import a_list, a_member, an_echo
from kvchat.training.drills.statements import a_statement
from kvchat.training.drills.stories import a_story
from kvchat.training.drills.sums import a_comparison, a_count, a_sum
from kvchat.training.drills.table_drills import (
    a_format,
    a_program,
    a_question_without_sense,
    about_itself,
    another_language,
    out_of_reach,
    small_talk,
)
from kvchat.training.drills.told_facts import told_and_asked

SOURCE = "kvchat-drills"


def drill_records(count: int, seed: int) -> Iterator[Record]:
    """Yield so many chats; chat `i` depends on the seed and `i` alone."""
    for number in range(count):
        yield Record(SOURCE, "", tuple(_chat(random.Random(f"{seed}/{number}"))))


def _chat(rng: random.Random) -> list[Message]:
    kinds = rng.choices(KINDS, WEIGHTS, k=rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.35:
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
    a_story,
    a_statement,
    knowledge,
    a_format,
)
WEIGHTS = (100, 16, 9, 110, 5, 70, 20, 34, 34, 36, 75, 65, 6, 75, 80, 170, 10)
