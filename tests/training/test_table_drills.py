"""Answers from the tables say what the program is, greet who greets, and speak English."""

import json
import random
import re
from itertools import pairwise

from kvchat.training.drills.foreign_words import FOREIGN
from kvchat.training.drills.phrases import spun
from kvchat.training.drills.program_words import PROGRAMS
from kvchat.training.drills.self_words import ABOUT_WHAT, OTHERS, SELF
from kvchat.training.drills.table_drills import (
    a_format,
    a_program,
    a_question_without_sense,
    about_itself,
    another_language,
    out_of_reach,
    small_talk,
)
from kvchat.training.drills.talk_words import GREETED_AND_ASKED, GREETINGS, SMALL_TALK


def test_what_it_is_says_small_and_kvchat() -> None:
    rng = random.Random(1)
    answers = [
        answer for questions, answers in SELF if questions is ABOUT_WHAT for answer in answers
    ]
    assert answers
    texts = [spun(rng, answer, OTHERS, {}) for answer in answers for _ in range(20)]
    assert all("small" in text and "kvchat" in text for text in texts)
    assert sum("`kvchat --model" in text for text in texts) > len(texts) / 2


def test_who_greets_is_greeted() -> None:
    rng = random.Random(2)
    rows = [row for row in SMALL_TALK if row[0] in (GREETINGS, GREETED_AND_ASKED)]
    assert len(rows) >= 2
    for _, answers in rows:
        for answer in answers:
            assert re.match(r"(Hello|Hi)\b", spun(rng, answer, {}, {})), answer


def test_another_language_is_answered_in_english_alone() -> None:
    rng = random.Random(3)
    assert all("English" in another_language(rng)[0][1] for _ in range(300))
    assert len(FOREIGN) >= 14


def test_no_mark_of_a_phrase_is_left_in_what_is_said() -> None:
    rng = random.Random(4)
    kinds = (about_itself, out_of_reach, small_talk, a_question_without_sense, a_format)
    for kind in kinds:
        for _ in range(1500):
            for question, answer in kind(rng):
                assert question.strip() and answer.strip()
                assert not re.search(r"\||<\w+>|\[\w", answer) or kind is a_format, answer
                assert not re.search(r"<\w+>|\w\|\w", question), question
                assert len(question) < 4 or not re.search(r"[\[\]]", question), question


def test_a_table_has_as_many_cells_in_each_row() -> None:
    rng = random.Random(5)
    answers = [a_format(rng)[0][1] for _ in range(500)]
    tables = [answer.splitlines() for answer in answers if answer.startswith("|")]
    assert tables
    for lines in tables:
        assert lines[1] == "| --- | --- |"
        assert all(len(a.split("|")) == len(b.split("|")) == 4 for a, b in pairwise(lines))


def test_nonsense_comes_in_many_forms() -> None:
    rng = random.Random(6)
    assert len({a_question_without_sense(rng)[0][0] for _ in range(1000)}) > 600


def test_programs_come_in_fences_that_name_a_language() -> None:
    rng = random.Random(7)
    answers = [a_program(rng)[0][1] for _ in range(500)]
    fences = {re.match(r"```(\w+)\n", answer) for answer in answers}
    assert None not in fences
    languages = {fence[1] for fence in fences if fence}
    assert {"python", "sh", "html", "js", "json", "sql"} <= languages


def test_json_that_is_shown_can_be_read() -> None:
    for _, language, code, _ in PROGRAMS:
        if language == "json":
            json.loads(code.replace("<n>", "5"))
