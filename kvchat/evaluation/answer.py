"""Answer: one reply of a model, measured: words, sentences, list items, code, repetition.

Everything is read from the text alone, so that other answers can be put in its place. Nothing here
says what is good; see `check.py`.
"""

import re
from dataclasses import dataclass
from functools import cached_property

GRAM_WORDS = 4
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)*_]*(?:\s+|$)")
_ITEM = re.compile(r"^ {0,6}(?:[-*+•]|\d{1,3}[.)])\s+(\S.*)$", re.MULTILINE)
_FENCED = re.compile(r"^ {0,3}```[^\n`]*\n(.*?)^ {0,3}```[ \t]*$", re.MULTILINE | re.DOTALL)
_BETWEEN_ITEMS = re.compile(r"\s*(?:[,;\n]\s*(?:and|or)?|\band\b|\bor\b|&)\s*", re.IGNORECASE)
_MARKS = re.compile(r"[*_`]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


@dataclass(frozen=True)
class Answer:
    """What a model said to one message, why it ended ('stop': by itself), and its tokens."""

    text: str
    finish_reason: str
    num_tokens: int

    @cached_property
    def plain(self) -> str:
        """The text on one line, without emphasis and code marks, with straight apostrophes."""
        text = _MARKS.sub("", self.text.replace("’", "'"))
        return " ".join(text.split())

    @cached_property
    def words(self) -> list[str]:
        """Its words in lower case."""
        return words_of(self.text)

    @cached_property
    def num_sentences(self) -> int:
        """How many pieces end with a sentence mark, an unfinished last one included."""
        return sum(bool(_WORD.search(piece)) for piece in _SENTENCE_END.split(self.text))

    @property
    def ends_with_mark(self) -> bool:
        """Whether its last character, behind closing quotes, ends a sentence."""
        return bool(re.search(r"[.!?…][\"'”’)*_]*\s*$", self.text))

    @property
    def stopped(self) -> bool:
        """Whether the model itself ended it, not a limit."""
        return self.finish_reason == "stop"

    @cached_property
    def lines_of_list(self) -> list[str]:
        """The items of its Markdown lists, without their marks."""
        return [item.strip() for item in _ITEM.findall(self.text)]

    @cached_property
    def items(self) -> list[str]:
        """What it lists: its Markdown lists, else the sentence with most commas, cut at them.

        Lower case, without articles and marks, so that equal things are equal.
        """
        if len(self.lines_of_list) > 1:
            parts = self.lines_of_list
        else:
            sentences = [piece.rpartition(":")[2] for piece in _SENTENCE_END.split(self.text)]
            cut = [
                [part for part in _BETWEEN_ITEMS.split(sentence) if _WORD.search(part)]
                for sentence in sentences
            ]
            parts = max(cut, key=len, default=[])
        plain = [" ".join(_WORD.findall(part.lower())) for part in parts]
        return [re.sub(r"^(?:a|an|the|some) ", "", part) for part in plain]

    @cached_property
    def code_blocks(self) -> list[str]:
        """The insides of its fenced blocks; one that is not closed does not count."""
        return _FENCED.findall(self.text)

    @cached_property
    def grams(self) -> list[tuple[str, ...]]:
        """All runs of four words, in order."""
        words = self.words
        return [
            tuple(words[start : start + GRAM_WORDS]) for start in range(len(words) - GRAM_WORDS + 1)
        ]

    @property
    def repetition(self) -> float:
        """The share of its runs of four words that stood in it before; 0 when it is shorter."""
        return 1 - len(set(self.grams)) / len(self.grams) if self.grams else 0.0

    @property
    def letters_in_latin(self) -> float:
        """The share of its letters that English has; 1 when it has none."""
        letters = [character for character in self.text if character.isalpha()]
        return sum(each.isascii() for each in letters) / len(letters) if letters else 1.0
