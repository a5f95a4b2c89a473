"""Numbers that a text states, and which of them is its result."""

import pytest

from kvchat.evaluation.numbers import false_equation, numbers_of, stated_result


def values(text: str) -> list[float]:
    return [each.value for each in numbers_of(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is 7.", [7]),
        ("17 and 1.7 and 70", [17, 1.7, 70]),
        ("the 7th day, v7, x7y", []),
        ("Seven, twenty-one or Forty two", [7, 21, 42]),
        ("1,700 people", [1700]),
        ("20-8=12", [20, 8, 12]),
        ("20 - 8 = -12", [20, 8, -12]),
        ("someone, often, weight", []),
        ("fourteen", [14]),
    ],
)
def test_numbers_are_whole_words_or_digits(text: str, found: list[float]) -> None:
    assert values(text) == found


@pytest.mark.parametrize("text", ["not 7", "It isn't 7", "never a 7", "is not equal to seven"])
def test_a_denied_number_is_marked(text: str) -> None:
    assert [each.is_denied for each in numbers_of(text)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "13",
        "It is 13.",
        "8 + 5 = 13.",
        "The answer is thirteen!",
        "8 plus 5 equals 13. Another one?",
        "8 + 2 = 10, and 10 + 3 = 13.",
        "Not 12, but 13.",
        "13, not 12.",
        "8 + 5 = 13, since 13 - 5 = 8.",
    ],
)
def test_a_right_result_is_found(text: str) -> None:
    assert stated_result(text, 13, {8, 5}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I do not know.",
        "8 + 5",
        "It is 12.",
        "It is 113.",
        "130",
        "13.5",
        "It is not 13.",
        "It is 13. No, it is 12.",
        "12 or 13",
        "13 or 14? 13",
        "the 13th",
    ],
)
def test_a_wrong_or_open_result_is_not(text: str) -> None:
    assert stated_result(text, 13, {8, 5}) is not None


def test_a_result_that_the_question_named_may_be_said() -> None:
    assert stated_result("You are 31.", 31, {31}) is None
    assert stated_result("You are 13.", 31, {31}) is not None


@pytest.mark.parametrize(
    "text", ["9 + 99 = 12.", "11 - 11 = 2", "40/20 = 5", "3 x 6 = 12", "1+1=3"]
)
def test_a_wrong_sum_is_told(text: str) -> None:
    assert false_equation(f"Well, {text}") is not None


@pytest.mark.parametrize(
    "text",
    [
        "9 + 9 = 18.",
        "20/4=5",
        "3 × 6 = 18",
        "20 − 8 = 12",
        "1 + 2 + 3 = 6",
        "x = 3",
        "2 + 2",
        "3 - 5 = -2",
    ],
)
def test_a_right_sum_or_none_is_not(text: str) -> None:
    assert false_equation(text) is None
