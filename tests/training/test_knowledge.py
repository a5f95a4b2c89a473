"""What the drills know agrees with itself, and what follows goes on from it."""

import random
import re
from collections import defaultdict

import pytest

from kvchat.training.drills.fact import Fact, an, capital
from kvchat.training.drills.knowledge import AGAIN, BY_GROUP, BY_TOPIC, FACTS, SURE, knowledge
from kvchat.training.drills.knowledge_words import NUMBERS
from kvchat.training.drills.topic_words import ANIMALS, COUNTRIES, FOODS, JOBS, THINGS
from kvchat.training.drills.word_facts import counted


def key(question: str) -> str:
    return question.lower().rstrip("?.!")


def said(fact: Fact) -> set[str]:
    return {*fact.answers, capital(fact.short) + "."}


def test_no_question_has_two_answers() -> None:
    answers = defaultdict(set)
    for fact in FACTS:
        for question in fact.asks:
            answers[key(question)].add(fact.short)
    assert len(FACTS) > 2000
    assert [question for question, shorts in answers.items() if len(shorts) > 1] == []


def test_texts_are_filled_in_and_sentences() -> None:
    for fact in FACTS:
        texts = (*fact.asks, *fact.its, *fact.again, *fact.answers, fact.short)
        assert all(
            text.strip() and not re.search(r"[{}|]|\ba [aeio](?!uro|ne)", text) for text in texts
        ), fact
        assert all(answer[-1] == "." and answer[0] == capital(answer)[0] for answer in fact.answers)


@pytest.mark.parametrize(
    ("table", "cells"), [(COUNTRIES, 8), (ANIMALS, 9), (FOODS, 5), (THINGS, 4), (JOBS, 4)]
)
def test_tables_have_every_cell_and_each_topic_once(
    table: tuple[tuple[str, ...], ...], cells: int
) -> None:
    assert all(len(row) == cells for row in table)
    assert len({row[0] for row in table}) == len(table)


def test_what_follows_agrees_with_the_tables() -> None:
    by_question = defaultdict(list)
    for fact in FACTS:
        for question in fact.asks:
            by_question[question].append(fact)
    rng = random.Random(1)
    followed = 0
    for _ in range(2000):
        exchange = knowledge(rng)
        (fact, *_) = (f for f in by_question[exchange[0][0]] if exchange[0][1] in said(f))
        for question, answer in exchange[1:]:
            sides = [f for f in BY_TOPIC[fact.topic] if question in f.its]
            others = [f for f in BY_GROUP[fact.group] if question in f.again]
            extra = [told for ask, told in fact.more if ask == question]
            if sides or others:
                assert any(answer in said(f) for f in sides + others), exchange
                (fact, *_) = (f for f in sides + others if answer in said(f))
                followed += 1
            elif extra:
                assert answer in extra
            elif question in SURE:
                assert answer.endswith(fact.answers[0])
            elif question in AGAIN:
                assert answer == fact.answers[0]
    assert followed > 400


def test_much_is_followed_by_more() -> None:
    rng = random.Random(2)
    lengths = [len(knowledge(rng)) for _ in range(1000)]
    assert sum(length > 1 for length in lengths) > 350
    assert max(lengths) <= 4


def test_the_same_number_asks_the_same() -> None:
    assert knowledge(random.Random("a")) == knowledge(random.Random("a"))


def test_articles_follow_the_sound() -> None:
    nouns = ["apple", "hour", "uniform", "house", "the Nile"]
    assert [an(noun) for noun in nouns] == [
        "an apple",
        "an hour",
        "a uniform",
        "a house",
        "the Nile",
    ]


def test_numbers_are_said_in_sentences() -> None:
    said_numbers = {name: counted(name, number) for name, number in NUMBERS}
    assert said_numbers["days are in a week"] == "There are 7 days in a week."
    assert said_numbers["wheels does a car have"] == "A car has 4 wheels."
    assert said_numbers["senses do people have"] == "People have 5 senses."
    assert said_numbers["continents are there"] == "There are 7 continents."
    assert all(number in counted(name, number) for name, number in NUMBERS)
