"""Lists hold exactly what was asked for, and what follows agrees with them."""

import random
import re

import pytest

from kvchat.training.drills.list_words import APART, CATEGORIES
from kvchat.training.drills.lists import FOLLOW_UPS, a_list, a_member, in_style
from kvchat.training.drills.words import NUMBER_WORDS

KINDS_BY_LENGTH = sorted(CATEGORIES, key=len, reverse=True)
LOOSE = {"a couple of": 2, "a few": 3, "some": 4}


def parsed(answer: str, kind: str) -> list[str]:
    """Read the items of a list in any of its forms."""
    body = answer.split("\n\n", 1)[-1] if ":\n\n" in answer else answer
    if lines := re.findall(r"^(?:- |\d+\. )(.+)$", body, re.MULTILINE):
        return lines
    members = sorted(CATEGORIES[kind], key=len, reverse=True)
    return re.findall("|".join(map(re.escape, members)), body)


def numbers_in(question: str) -> list[int]:
    words = "|".join([*LOOSE, *NUMBER_WORDS[1:11], r"\d+"])
    found = re.findall(rf"\b({words})\b", question.lower())
    return [
        LOOSE[w] if w in LOOSE else int(w) if w.isdigit() else NUMBER_WORDS.index(w) for w in found
    ]


def test_a_list_has_the_number_asked_of_its_kind_and_nothing_twice() -> None:
    rng = random.Random(5)
    seen = set()
    for _ in range(3000):
        question, answer = a_list(rng)[0]
        kind = next(k for k in KINDS_BY_LENGTH if k.lower() in question.lower())
        items = parsed(answer, kind)
        assert len(items) == len(set(items)), answer
        assert set(items) <= set(CATEGORIES[kind]), (question, answer)
        asked = numbers_in(question.lower().replace(kind.lower(), "")) or [1]
        assert len(items) == asked[0], (question, answer)
        seen.add(len(items))
    assert seen == set(range(1, 11))


def test_wishes_for_the_form_are_obeyed() -> None:
    rng = random.Random(6)
    forms = {"bullet": r"- ", "number": r"\d+\. ", "commas": r"[^\n]+$", "one line": r"[^\n]+$"}
    met = set()
    for _ in range(3000):
        question, answer = a_list(rng)[0]
        for wish, form in forms.items():
            if re.search(rf"\b{wish}(s|ed)?\b", question) and "numbers" not in question:
                met.add(wish)
                assert re.match(form, answer.split("\n\n")[-1]), (question, answer)
    assert met == set(forms)


@pytest.mark.parametrize("follow_up", dict.fromkeys(FOLLOW_UPS))
def test_a_follow_up_speaks_of_the_items_so_far(follow_up) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(7)
    for _ in range(300):
        kind = rng.choice(KINDS_BY_LENGTH)
        before = rng.sample(CATEGORIES[kind], min(rng.randint(2, 7), len(CATEGORIES[kind])))
        items = list(before)
        for question, answer in follow_up(rng, kind, items, "bullets"):
            assert len(items) == len(set(items))
            assert set(items) <= set(CATEGORIES[kind])
            if re.search("alphabet|A to Z", question):
                assert items == sorted(before, key=str.lower)
            if re.search("last one\\.|last\\.|last one, ", question) and "\n" in answer:
                assert items == before[:-1]
            if re.search("first two|only two", question):
                assert items == before[:2]
            if "- " in answer and len(items) <= len(before):
                assert re.findall("^- (.+)$", answer, re.MULTILINE) == items
            if len(items) > len(before):
                new = items[len(before) :]
                assert len(new) == (2 if re.search("wo", question) else 1)
                assert all(item in answer for item in new)
            for index, place in enumerate(("first", "second", "third", "fourth", "fifth")):
                if re.search(f"the {place} (one|thing)|was {place}", question):
                    assert items[index] in answer
            if re.search("How many|Count", question):
                assert NUMBER_WORDS[len(before)] in answer.lower()


def test_members_are_told_from_others() -> None:
    rng = random.Random(8)
    for _ in range(500):
        question, answer = a_member(rng)[0]
        if found := re.fullmatch(r"Does (.+) belong to the (.+)\?", question):
            item, kind = found.groups()
            assert (item in CATEGORIES[kind]) == answer.startswith("Yes")


@pytest.mark.parametrize("kind", CATEGORIES)
def test_a_kind_has_enough_members_and_none_twice(kind: str) -> None:
    assert len(CATEGORIES[kind]) == len(set(CATEGORIES[kind])) >= (4 if kind == "seasons" else 8)


def test_there_are_many_kinds() -> None:
    assert len(CATEGORIES) >= 200
    assert set(APART) <= set(CATEGORIES)


def test_a_style_is_one_of_three() -> None:
    rng = random.Random(9)
    assert in_style(rng, ["a", "b"], "bullets") == "- a\n- b"
    assert in_style(rng, ["a", "b"], "numbers") == "1. a\n2. b"
    assert in_style(rng, ["a", "b"], "line") == "a, b"
    assert in_style(rng, ["a"], "") == "a."
