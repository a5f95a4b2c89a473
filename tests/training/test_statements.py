"""Statements get a reply that takes them up, and no slot stays open."""

import random
import re

import pytest

from kvchat.training.drills.phrases import spun
from kvchat.training.drills.statement_words import NOUNS
from kvchat.training.drills.statements import TOPICS, Topic, a_statement


def test_there_are_more_than_three_hundred_forms_of_statements() -> None:
    forms = [form for topic in TOPICS for form in topic.says]
    assert len(forms) == len(set(forms)) > 300


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.says[0][:30])
def test_a_topic_has_replies_to_choose_from_and_only_known_nouns(topic: Topic) -> None:
    assert len(topic.replies) >= 2
    lines = [*topic.says, *topic.replies]
    for said, answers in topic.goes_on:
        assert said and all(answers)
        lines += [said, *answers]
    for line in lines:
        assert line.count("[") == line.count("]"), line
        assert set(re.findall("<(.*?)>", line)) <= set(NOUNS), line


def test_a_noun_of_the_statement_is_the_noun_of_the_reply() -> None:
    fills: dict[str, str] = {}
    rng = random.Random(1)
    said = spun(rng, "My <pet> sleeps.", NOUNS, fills)
    assert spun(rng, "Is your <pet> asleep?", NOUNS, fills)[8:-8] == said[3:-8]


def test_no_mark_of_a_phrase_is_left_and_nothing_is_empty() -> None:
    rng = random.Random(2)
    for _ in range(3000):
        for text in (text for pair in a_statement(rng) for text in pair):
            assert text.strip()
            assert not re.search(r"[\[\]<>|]|  | \.", text), text
            assert not re.search(r"\b[Aa] [aeio]", text), text


def test_a_reply_to_a_greeting_greets() -> None:
    rng = random.Random(3)
    pairs = [pair for _ in range(2000) for pair in a_statement(rng)]
    greeted = [reply for said, reply in pairs if re.match("(Hi|Hello|Hey)!", said)]
    assert greeted
    assert all(re.match("(Hi|Hello)!", reply) for reply in greeted)


def test_nobody_says_yes_to_a_question_that_asks_what() -> None:
    rng = random.Random(4)
    asked = 0
    for _ in range(3000):
        exchange = a_statement(rng)
        if len(exchange) > 1 and re.match("yes, (?!maybe)|no, ", exchange[1][0].lower()):
            asked += 1
            question = exchange[0][1].rsplit("?", 1)[0]
            last = re.split(r"[.!?] ", question)[-1]
            assert not re.match("What|Where|How|Why|Who|When", last), exchange
    assert asked > 50
