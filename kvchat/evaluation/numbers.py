"""Numbers: which ones a text states, in digits or in words, and whether it denies them.

`7` does not stand in `17`, `1.7` or `7th`; `not 7` states no 7.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_SMALL += ["eleven", "twelve", "thirteen", "fourteen", "fifteen"]
_SMALL += ["sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NAMES = {name: value for value, name in enumerate(_SMALL)} | {
    name: 20 + 10 * place for place, name in enumerate(_TENS)
}
_UNIT = "|".join(_SMALL[1:10])
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<digits>(?:(?<![\w)] )-)?\d+(?:,\d{{3}})*(?:\.\d+)?)(?!\w)"
    rf"|\b(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<unit>{_UNIT}))?\b"
    rf"|\b(?P<small>{'|'.join(_SMALL)})\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"(?:(?<!why )\bnot|\bnever|n't|\bno longer|\bno)"
    r"(?:\s+(?:a|an|the|in|be|called|made of|equal to))?\s+$",
    re.IGNORECASE,
)
"""What stands right before a word that is denied."""
_DENIAL_CHARACTERS = 40


def is_denied(text: str, start: int) -> bool:
    """Whether the word of a text that begins at `start` is denied, as in "not 7"."""
    return bool(_NEGATION.search(text, max(0, start - _DENIAL_CHARACTERS), start))


@dataclass(frozen=True, slots=True)
class StatedNumber:
    """A number of a text, and where it stands there."""

    value: float
    start: int
    end: int
    is_denied: bool
    is_word: bool


def numbers_of(text: str) -> list[StatedNumber]:
    """Return the numbers of a text in order."""
    found = []
    for match in _NUMBER.finditer(text):
        if match["digits"] is not None:
            value = float(match["digits"].replace(",", ""))
        elif match["tens"] is not None:
            value = _NAMES[match["tens"].lower()] + _NAMES.get((match["unit"] or "").lower(), 0)
        else:
            value = _NAMES[match["small"].lower()]
        found.append(
            StatedNumber(
                value,
                match.start(),
                match.end(),
                is_denied(text, match.start()),
                match["digits"] is None,
            )
        )
    return found


def stated_result(text: str, wanted: int, given: set[float]) -> str | None:
    """Return what is wrong with `wanted` as the result that a text states, or None.

    Numbers of the question (`given`) may be repeated, and steps may stand before the result: it is
    the last of the others, is not denied, and is not one of two that the text leaves open. "One" in
    words is a pronoun unless it is what is wanted.
    """
    numbers = [
        each
        for each in numbers_of(text)
        if each.value == wanted
        or (each.value not in given and not (each.is_word and each.value == 1))
    ]
    if not any(each.value == wanted for each in numbers):
        return f"does not say {wanted}"
    claims = [each for each in numbers if not each.is_denied]
    if not claims or claims[-1].value != wanted:
        return f"does not end with {wanted} as the result"
    for first, second in pairwise(numbers):
        between = text[first.end : second.start].strip().lower()
        if between in ("or", "or maybe", "maybe") and first.value != second.value:
            return f"leaves open whether it is {wanted}"
    return None


_EQUATION = re.compile(
    r"(?<![\w.,+*/×÷-])(?<![+*/×÷x-] )(\d+) *([-+*/x×÷−]) *(\d+) *= *(-?\d+)"
    r"(?!\w|[.,]\d| *[-+*/×÷])"
)


def false_equation(text: str) -> str | None:
    """Return the first sum of two whole numbers, such as "9 + 9 = 12", that is wrong, or None."""
    for match in _EQUATION.finditer(text):
        first, sign, second, result = int(match[1]), match[2], int(match[3]), int(match[4])
        is_true = {
            "+": first + second == result,
            "-": first - second == result,
            "−": first - second == result,
            "/": first == second * result,
            "÷": first == second * result,
        }.get(sign, first * second == result)
        if not is_true:
            return match[0]
    return None
