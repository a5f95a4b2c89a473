"""Phrases: texts with choices in brackets and nouns in angles, spun into one sentence.

`[soup|tea|]` is one of its parts, the last of which is nothing; brackets nest. `<pet>` is a noun of
that kind and stays the same noun as long as the same fills are given.
"""

import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"<([a-z_]+)>")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aei](?!uro)|o(?!ne\b)|u[gmnps](?!i))")
_SPACES = re.compile(r" {2,}| (?=[.!?]$)")
_START = re.compile(r"(^|[.!?] )(?!kvchat)([a-z])")


def spun(
    rng: random.Random, text: str, nouns: Mapping[str, Sequence[str]], fills: dict[str, str]
) -> str:
    """Return the text with one part of each choice and a noun in each slot.

    Nouns already in `fills` are used again, and new ones are added to it. `a` becomes `an` where it
    must, an empty part leaves no space behind, and sentences begin with a capital.
    """
    while "[" in text:
        text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
    text = _SPACES.sub(lambda found: " " if len(found[0]) > 1 else "", text)
    if "<" in text:

        def noun(found: re.Match[str]) -> str:
            kind = found[1]
            if kind not in fills:
                fills[kind] = rng.choice(nouns[kind])
            return fills[kind]

        text = _SLOT.sub(noun, text)
        text = _ARTICLE.sub(r"\1n ", text)
    return _START.sub(lambda found: found[1] + found[2].upper(), text)
