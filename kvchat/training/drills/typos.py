"""How people type: small letters, marks left out or doubled, fillers, contractions, typos.

Only words listed here are ever changed, so that names, numbers, code and the words that a question
is about stay as they are.
"""

import random
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STARTS = _words(
    """
    a an and any are ask at be but by can can't choose compare count could create describe did do
    does don't draw everything explain fill for from find finish fix get give go good had has have
    hello help her here hey hi his how i i'd i'll i'm i've if in introduce is it it's let let's
    list make may me mention my name need no not nothing of on one open or our please put remember
    repeat say shall she should show so solve some spell start still suggest take talk teach tell
    thank thanks that that's the their then there these they think this to today try use was we
    were what what's when where which who who's whose why will with work would write yes yesterday
    you you're your
    """
)
_REQUESTS = _words(
    """
    tell give write show name list make explain describe suggest teach find count compare
    """
)
_TYPO_WORDS = _words(
    """
    about again after always another answer because before better could doing every everything
    explain favourite first going great having hello little maybe morning much never other people
    please question really remember should short something start story table tell thanks their
    there these thing think today tomorrow where which would write wrong yesterday nothing person
    friend school happy tired house weather
    """
)
_CONTRACTIONS = (
    ("What is ", "What's "), ("what is ", "what's "), ("Who is ", "Who's "), ("Where is ", "Where's "), ("I am ", "I'm "),
    ("I have been ", "I've been "), ("do not ", "don't "), ("does not ", "doesn't "), ("cannot ", "can't "), ("You are ", "You're "),
    ("you are ", "you're "), ("It is ", "It's "), ("it is ", "it's "), ("That is ", "That's "), ("I would ", "I'd "),
)  # fmt: skip
_AMERICAN = (("favourite", "favorite"), ("colour", "color"), ("neighbour", "neighbor"), (" grey", " gray"), ("maths", "math"), ("Colour", "Color"))  # fmt: skip
_ABOUT_WORDS = re.compile(r"spell|rhym|letter|opposite|\bword|mean|repeat|\bsay|echo|vowel|backwards|[\"':“`]", re.I)  # fmt: skip
_APOSTROPHE = re.compile(r"\b(I'm|I'd|I've|[Ww]hat's|[Ww]ho's|[Ww]here's|don't|doesn't|didn't|can't|won't|isn't|[Yy]ou're|[Ii]t's|[Tt]hat's|[Ll]et's|couldn't|haven't)\b")  # fmt: skip


def mistyped(rng: random.Random, text: str) -> str:
    """Return the text with some of what hasty people do to it; never an empty one."""
    if "`" in text or "\n" in text or not text.isascii() or not re.search("[A-Za-z]{2}", text):
        return text
    first, ends = text.split(" ", 1)[0].lower(), text[-1]
    is_request, is_question = first in _REQUESTS, ends == "?"
    has_room = 3 <= len(text.split()) <= 14
    if rng.random() < 0.3:
        for british, american in _AMERICAN:
            text = text.replace(british, american)
    if rng.random() < 0.45:
        for long, short in _CONTRACTIONS:
            text = text.replace(long, short, 1)
    if rng.random() < 0.5:
        text = _APOSTROPHE.sub(lambda found: found[1].replace("'", ""), text)
    if rng.random() < 0.2 and has_room and not _ABOUT_WORDS.search(text):
        text = _with_typo(rng, text)
    if rng.random() < 0.65:
        text = _small(text)
    if rng.random() < 0.7 and ends in ".?!":
        text = _ended(rng, text)
    if rng.random() < 0.25 and has_room and (is_request or is_question) and ". " not in text:
        text = _filled(rng, text, is_request)
    return text


def _with_typo(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if len(word) >= 5 and word in _TYPO_WORDS]
    if places:
        place = rng.choice(places)
        word, at = words[place], rng.randint(1, len(words[place]) - 2)
        if rng.random() < 0.5:
            words[place] = word[:at] + word[at + 1 :]
        else:
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _small(text: str) -> str:
    """Write the first word small where it is no name, and `I` wherever it stands alone."""
    word = re.match(r"[A-Za-z']+", text)
    if word and (word[0].lower() in _STARTS or _is_contracted(word[0])):
        text = text[0].lower() + text[1:]
    return re.sub(r"\bI(?=\b|m\b|ve\b|d\b)(?!\.)", "i", text)


def _is_contracted(word: str) -> bool:
    return word in ("Whats", "Whos", "Wheres", "Youre", "Its", "Thats", "Lets", "Im", "Id", "Ive")


def _ended(rng: random.Random, text: str) -> str:
    bare = text.rstrip("?.! ")
    mark = text[-1]
    doubled = {"?": ("", "", "", "??", " ?", "???"), ".": ("", "", "", "", "..", "...")}
    return bare + rng.choice(doubled.get(mark, ("", "", "!!", "!!!", " !")))


def _filled(rng: random.Random, text: str, is_request: bool) -> str:
    """Put a few idle words before or after a question or a request."""
    if rng.random() < 0.5:
        after = ("please", "pls", "thanks", ":)", "thx", "plz")
        return (
            f"{text} {rng.choice(after)}" if text[-1] != "." else f"{text[:-1]} {rng.choice(after)}"
        )
    before = ["ok so", "hey,", "um,", "so,", "ok,", "well,", "quick question:", "hi,"]
    if is_request:
        before = ["please", "can you", "could you", "pls", "hey,", "ok,", "would you please"]
    return f"{rng.choice(before)} {_small(text)}"
