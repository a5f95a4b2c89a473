"""Guides have few and short steps, and what is asked about them is answered from the tables."""

import random
import re

import pytest

from kvchat.training.drills.guides import (
    FOLLOW_UPS,
    GUIDES,
    a_guide,
    doing,
    for_you,
    in_one_sentence,
)
from kvchat.training.drills.more_guide_words import NEEDS, SUBSTITUTES, TIMES
from kvchat.training.drills.words import NUMBER_WORDS

PLACES = ("first", "second", "third", "fourth", "fifth")


@pytest.mark.parametrize("task", GUIDES)
def test_a_guide_has_three_to_six_sentences(task: str) -> None:
    steps = GUIDES[task]
    assert 3 <= len(steps) <= 6
    assert len(set(steps)) == len(steps)
    assert all(step[0].isupper() and step[-1] == "." for step in steps)


def test_there_are_many_guides_and_every_table_speaks_of_them() -> None:
    assert len(GUIDES) > 190
    assert {*NEEDS, *TIMES, *SUBSTITUTES} <= set(GUIDES)


def test_the_steps_are_all_there_and_numbered() -> None:
    rng = random.Random(1)
    for _ in range(500):
        question, answer = a_guide(rng)[0]
        steps = tuple(re.findall(r"^\d+\. (.+)$", answer, re.MULTILINE))
        assert steps in GUIDES.values()
        if found := re.search(r"(\w+) steps (to|how)|in (\w+) steps", question):
            word = (found[3] or found[1]).lower()
            if word in NUMBER_WORDS:
                assert NUMBER_WORDS.index(word) == len(steps)


@pytest.mark.parametrize("follow_up", dict.fromkeys(FOLLOW_UPS))
def test_what_follows_is_in_the_tables(follow_up) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(2)
    met = 0
    for task, steps in GUIDES.items():
        for question, answer in follow_up(rng, task):
            met += 1
            if found := re.search(f"({'|'.join(PLACES)}) step", question):
                later = bool(re.search("after|done", question))
                assert answer == steps[PLACES.index(found[1]) + later]
            elif "last" in question:
                assert answer == steps[-1]
            elif re.search("How many|Count", question):
                assert NUMBER_WORDS[len(steps)] in answer
            elif "long" in question:
                assert TIMES[task] in answer
            else:
                known = [*steps, NEEDS.get(task, "-"), TIMES.get(task, "-")]
                known += [SUBSTITUTES.get(task, ("", "-"))[1], steps[0].rstrip("."), "last step"]
                assert any(text in answer for text in known), (question, answer)
    assert met


@pytest.mark.parametrize(
    ("task", "form"),
    [
        ("make tea", "making tea"),
        ("put up a tent", "putting up a tent"),
        ("tie a tie", "tying a tie"),
        ("swim", "swimming"),
        ("see the memory", "seeing the memory"),
        ("dye eggs", "dyeing eggs"),
        ("fry an egg", "frying an egg"),
        ("unblock a sink", "unblocking a sink"),
    ],
)
def test_the_form_with_ing(task: str, form: str) -> None:
    assert doing(task) == form


def test_my_things_are_yours_in_the_answer() -> None:
    assert for_you("wash my hands") == "wash your hands"


def test_a_summary_is_one_sentence() -> None:
    assert in_one_sentence(("Do a.", "Do b.", "Do c.")) == "Do a, do b, and at the end do c."


def test_the_same_number_gives_the_same_guide() -> None:
    assert a_guide(random.Random("x")) == a_guide(random.Random("x"))
