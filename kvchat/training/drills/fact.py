"""Fact: something that is so, with the ways to ask for it and to say it."""

from dataclasses import dataclass

_VOWEL_SOUNDS = ("hour", "honest")
_CONSONANT_SOUNDS = ("uni", "use", "eu", "one", "ukulele")


def an(noun: str) -> str:
    """Return the noun with `a` or `an` before it; with nothing where it has an article already."""
    if noun.split(" ")[0] in ("a", "an", "the", "no"):
        return noun
    vowel = noun.startswith(_VOWEL_SOUNDS) or (
        noun[0] in "aeiou" and not noun.startswith(_CONSONANT_SOUNDS)
    )
    return f"{'an' if vowel else 'a'} {noun}"


def capital(text: str) -> str:
    """Return the text with a capital at its start."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    """Something that is so.

    `group` names what is asked (capitals), `topic` what it is about (France). `asks` are whole
    questions, `its` questions that name the topic only by a pronoun, `again` questions that name
    the topic alone and so need another fact of the group before them. `short` is the answer in
    few words. `more` are further questions that fit only this fact, with their answers.
    """

    group: str
    topic: str
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    short: str
    its: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
