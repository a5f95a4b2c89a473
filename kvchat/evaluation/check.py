"""Check: what an answer must be like to count as acceptable; each failure is one short reason.

    any, all, none     words or phrases: one of them, each of them, none of them
    number, given      the number is the result that it states, and no sum it writes is wrong;
                       `given` may be mentioned beside it
    members            {of, least, most, fresh}: so many different ones of these words; with `fresh`
                       only those count that no earlier answer of the chat had
    lines              [least, most] items of Markdown lists
    items              the same, but a sentence with commas lists as well
    distinct           nothing is listed twice
    in_order           these words, one after the other
    words, sentences   [least, most] of them
    ends               its last character ends a sentence
    code               a fenced block that has one of these
    differs            says something else than any earlier answer of the chat

A phrase counts at word boundaries, in any case, and not where it is denied ("not red"). "word*"
stands for all words that begin so, "a|b" for one of two, "^word" for one at the beginning. Besides,
every answer must be sound.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from kvchat.evaluation.answer import Answer, words_of
from kvchat.evaluation.numbers import false_equation, is_denied, numbers_of, stated_result

MAX_REPETITION = 0.2
"""Above this share of repeated runs of four words an answer goes round in circles."""
MAX_SAME_GRAMS = 0.5
"""Two answers that share more than this part of their runs of four words say the same."""
_STRANGE = re.compile(r"<\||\|>|</?s>|\ufffd")
_STUTTER = re.compile(r"\b(\w+)(?:[\s,.!?-]+\1\b){3,}", re.IGNORECASE)


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """Return a pattern for one phrase, or for one of several with bars between them."""
    parts = []
    for one in phrase.split("|"):
        text = one.removeprefix("^").removesuffix("*")
        pattern = re.escape(" ".join(text.split()))
        if re.match(r"[\w-]", text):
            pattern = r"(?<![\w-])" + pattern if text[0] == "-" else r"(?<!\w)" + pattern
        if one.endswith("*"):
            pattern += r"\w*"
        elif re.search(r"\w$", text):
            pattern += r"(?!\w)"
        parts.append(rf"\A{pattern}" if one.startswith("^") else pattern)
    return re.compile("|".join(parts), re.IGNORECASE)


def says(text: str, phrase: str) -> bool:
    """Whether a text on one line has the phrase somewhere where it is not denied."""
    return any(True for _ in _affirmed(text, phrase))


def _affirmed(text: str, phrase: str) -> Iterator[re.Match[str]]:
    for match in _pattern(phrase).finditer(text):
        if not is_denied(text, match.start()):
            yield match


def members_of(text: str, phrases: Iterable[str]) -> set[str]:
    """Return which of these words a text has; where two fit one place, the longer one counts."""
    taken: list[tuple[int, int]] = []
    found = set()
    for phrase in sorted(phrases, key=len, reverse=True):
        for match in _affirmed(text, phrase):
            start, end = match.span()
            if all(end <= first or start >= last for first, last in taken):
                taken.append((start, end))
                found.add(phrase.strip("^*").lower())
    return found


@dataclass(frozen=True, slots=True)
class Members:
    """How many different ones of some words are wanted."""

    of: tuple[str, ...]
    least: int
    most: int | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """All that one answer must fulfil; see the top of the file."""

    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    number: int | None = None
    given: tuple[int, ...] = ()
    members: Members | None = None
    lines: tuple[int, int] | None = None
    items: tuple[int, int] | None = None
    distinct: bool = False
    in_order: tuple[str, ...] = ()
    words: tuple[int, int] | None = None
    sentences: tuple[int, int] | None = None
    ends: bool = False
    code: tuple[str, ...] = ()
    differs: bool = False

    def failures(
        self, answer: Answer, earlier: Sequence[Answer] = (), asked: Sequence[str] = ()
    ) -> list[str]:
        """Return why an answer is not acceptable, one reason per part of the check; [] if it is.

        `earlier` are the answers before it in its chat, `asked` the messages of the user so far.
        """
        text = answer.plain
        reasons = list(self._failures_of_words(text))
        if self.number is not None:
            given = {each.value for message in asked for each in numbers_of(message)}
            reason = stated_result(text, self.number, given.union(self.given))
            reasons += [] if reason is None else [reason]
            if (equation := false_equation(text)) is not None:
                reasons.append(f"states that {equation}")
        if self.members is not None:
            reasons += _failures_of_members(self.members, text, earlier)
        if self.lines is not None:
            reasons += _outside("items in a list", len(answer.lines_of_list), self.lines)
        if self.items is not None:
            reasons += _outside("items", len(answer.items), self.items)
        if self.distinct and (twice := _first_twice(answer.items)) is not None:
            reasons.append(f"lists '{twice}' twice")
        if self.words is not None:
            reasons += _outside("words", len(answer.words), self.words)
        if self.sentences is not None:
            reasons += _outside("sentences", answer.num_sentences, self.sentences)
        if self.ends and not answer.ends_with_mark:
            reasons.append("does not end with a sentence mark")
        if self.code and not any(
            says(block, each) for block in answer.code_blocks for each in self.code
        ):
            reasons.append(f"has no fenced code with {_listed(self.code)}")
        if self.differs and any(_is_same(answer, other) for other in earlier):
            reasons.append("says the same again")
        return reasons

    def _failures_of_words(self, text: str) -> Iterator[str]:
        if self.any and not any(says(text, phrase) for phrase in self.any):
            yield f"says none of {_listed(self.any)}"
        for phrase in self.all:
            if not says(text, phrase):
                yield f"does not say {_listed([phrase])}"
        for phrase in self.none:
            if says(text, phrase):
                yield f"says '{phrase.strip('^*')}'"
        if self.in_order:
            pattern = ".*?".join(f"(?:{_pattern(each).pattern})" for each in self.in_order)
            if not re.search(pattern, text, re.IGNORECASE):
                yield f"does not say {_listed(self.in_order)} in order"


def soundness_failures(answer: Answer, asked: str) -> list[str]:
    """Return why an answer to a message is not sound, whatever its check says: [] if it is."""
    if not answer.words:
        return ["is empty"]
    reasons = []
    if len(answer.words) > 2 and answer.words == words_of(asked):
        reasons.append("only repeats what was said")
    if not answer.stopped:
        reasons.append("does not end by itself")
    if answer.repetition > MAX_REPETITION:
        reasons.append(f"repeats itself ({answer.repetition:.0%})")
    elif _STUTTER.search(answer.plain) or _has_line_thrice(answer.text):
        reasons.append("repeats a word or a line again and again")
    if _STRANGE.search(answer.text):
        reasons.append("has marks of the chat format in it")
    if answer.letters_in_latin < 0.9:
        reasons.append("is not in English letters")
    return reasons


def _has_line_thrice(text: str) -> bool:
    lines = [line.strip().lower() for line in text.splitlines() if re.search(r"\w", line)]
    return any(lines.count(line) > 2 for line in set(lines))


def _failures_of_members(wanted: Members, text: str, earlier: Sequence[Answer]) -> list[str]:
    found = members_of(text, wanted.of)
    if wanted.fresh:
        for answer in earlier:
            found -= members_of(answer.plain, wanted.of)
    kind = "new ones" if wanted.fresh else "ones"
    if len(found) < wanted.least:
        return [f"has {len(found)} {kind} of {_listed(wanted.of)}, not {wanted.least}"]
    if wanted.most is not None and len(found) > wanted.most:
        return [f"has {len(found)} {kind} of {_listed(wanted.of)}, not {wanted.most}"]
    return []


def _outside(what: str, count: int, limits: tuple[int, int]) -> list[str]:
    least, most = limits
    wanted = f"{least}" if least == most else f"{least} to {most}"
    return [] if least <= count <= most else [f"has {count} {what}, not {wanted}"]


def _first_twice(items: Sequence[str]) -> str | None:
    return next((item for place, item in enumerate(items) if item in items[:place]), None)


def _is_same(answer: Answer, other: Answer) -> bool:
    if answer.words == other.words:
        return True
    grams = set(answer.grams)
    return bool(grams) and len(grams & set(other.grams)) / len(grams) > MAX_SAME_GRAMS


def _listed(phrases: Sequence[str]) -> str:
    plain = [phrase.strip("^*").replace("|", "' or '") for phrase in phrases]
    return ", ".join(f"'{each}'" for each in plain[:4]) + (", …" if len(plain) > 4 else "")
