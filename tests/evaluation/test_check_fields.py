"""Checks as files have them: what is read, and what is refused."""

import pytest

from kvchat.errors import InvalidArgument
from kvchat.evaluation.check import Check, Members
from kvchat.evaluation.check_fields import read_check

LISTS = {"colors": ("red", "blue")}


def test_every_kind_of_check_can_be_written() -> None:
    fields = {
        "any": ["@colors", "green"],
        "all": ["a|b"],
        "none": ["x*"],
        "number": 7,
        "given": [2],
        "members": {"of": ["@colors"], "least": 1, "most": 2, "fresh": True},
        "lines": [1, 2],
        "items": [1, 2],
        "distinct": True,
        "in_order": ["1", "2"],
        "words": [1, 40],
        "sentences": [1, 2],
        "ends": True,
        "code": ["<p>"],
        "differs": True,
    }
    assert set(fields) == set(Check.__dataclass_fields__)
    check = read_check(fields, LISTS, "x")
    assert check.any == ("red", "blue", "green") and check.words == (1, 40) and check.number == 7
    assert check.members == Members(("red", "blue"), 1, 2, fresh=True)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        [],
        {"sounds": ["x"]},
        {"any": []},
        {"any": "x"},
        {"any": [7]},
        {"any": ["*"]},
        {"any": ["@animals"]},
        {"number": "7"},
        {"number": True},
        {"number": -1},
        {"given": 2},
        {"words": [2]},
        {"words": [3, 2]},
        {"words": 3},
        {"ends": False},
        {"members": {"of": ["x"]}},
        {"members": {"of": ["x"], "least": 0}},
        {"members": {"of": ["x"], "least": 2}},
        {"members": {"of": ["x", "y"], "least": 2, "most": 1}},
        {"members": {"of": ["x"], "least": 1, "fresh": 1}},
        {"members": {"of": ["x"], "least": 1, "new": True}},
    ],
)
def test_a_check_that_means_nothing_is_refused_by_name(fields: object) -> None:
    with pytest.raises(InvalidArgument, match="the duck"):
        read_check(fields, LISTS, "the duck")
