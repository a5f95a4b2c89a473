"""Drills with lists: so many of a kind, none twice, and what people ask about a list."""

import random
from collections.abc import Callable, Sequence

from kvchat.training.drills.exchange import Exchange, common, joined, listed
from kvchat.training.drills.list_words import APART, CATEGORIES
from kvchat.training.drills.table_drills import small_talk
from kvchat.training.drills.words import NUMBER_WORDS

_ASKS = (
    "Name {n} {k}.", "Give me a list of {n} {k}.", "Tell me {n} {k}.", "List {n} {k}, please.", "Can you name {n} {k}?", "I need {n} {k}.", "What are {n} {k}?",
    "Write a list of {n} {k}.", "Could you give me {n} {k}?", "{n} {k} please", "Make a list with {n} {k}.", "Show me {n} {k} as a list.", "{n} {k}", "gimme {n} {k}",
    "{n} {k} pls", "I would like {n} {k}.", "Please write down {n} {k}.", "Think of {n} {k}.", "Can you think of {n} {k}?", "Help me to find {n} {k}.", "Do you know {n} {k}?",
    "I am looking for {n} {k}.", "Suggest {n} {k}.", "Come up with {n} {k}.", "Which {n} {k} can you name?", "Find {n} {k} for me.", "a list of {n} {k}", "Let me have {n} {k}.",
)  # fmt: skip
_ASKS_FOR_ONE = (
    "Tell me one of the {k}.", "Name one of the {k}.", "Just one of the {k}, please.", "Only one of the {k}.",
)  # fmt: skip
_STYLES: dict[str, tuple[str, ...]] = {
    "bullets": (" as bullet points", " with bullets", " as a bullet list"),
    "numbers": (" as a numbered list", " with numbers", ", numbered"),
    "line": (" in one line", " separated by commas"),
}
_LOOSE = {2: ("a couple of",), 3: ("a few",), 4: ("some",)}
_PLACES = ("first", "second", "third", "fourth", "fifth")
_OPEN_KINDS = ("ideas", "reasons", "ways", "tips", "questions", "names", "rules", "titles", "kind things", "first sentences", "characters")  # fmt: skip
"""Beginnings of kinds of which nobody can say what belongs to them."""


def in_style(rng: random.Random, items: Sequence[str], style: str) -> str:
    """Write items as `bullets`, `numbers` or in one `line`; in any of these if it is empty."""
    match style:
        case "bullets":
            return "\n".join(f"- {item}" for item in items)
        case "numbers":
            return "\n".join(f"{place}. {item}" for place, item in enumerate(items, 1))
        case "line":
            return (" " if items[0][-1] == "?" else ", ").join(items)
    return items[0] + "." if len(items) == 1 and items[0][-1] != "?" else listed(rng, items)


def a_list(rng: random.Random) -> Exchange:
    """Exactly as many things of a kind as are asked for; often questions about them."""
    kind = common(rng, list(CATEGORIES))
    members = CATEGORIES[kind]
    count = min(rng.choice((1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10)), len(members) - 1)
    items = rng.sample(members, count)
    style = rng.choice(tuple(_STYLES)) if rng.random() < 0.2 and count > 1 else ""
    number = rng.choice((str(count), NUMBER_WORDS[count]))
    if count in _LOOSE and rng.random() < 0.2:
        number = rng.choice(_LOOSE[count])
    ask = rng.choice(_ASKS if count > 1 else _ASKS_FOR_ONE)
    if style:
        how = rng.choice(_STYLES[style])
        ask = rng.choice(("Name {n} {k}", "List {n} {k}", "Give me {n} {k}", "{n} {k}")) + how + "."
    ask = ask.format(n=number, k=kind)
    lead = ""
    if count > 1 and rng.random() < 0.45 and style != "line":
        word = NUMBER_WORDS[count]
        lead = rng.choice(
            (f"Here are {word} {kind}:", f"Sure! {word.capitalize()} {kind}:", f"{kind}:", "Here you are:")
        )  # fmt: skip
        lead = lead[0].upper() + lead[1:] + "\n\n"
        style = style or rng.choice(("bullets", "bullets", "numbers"))
    exchange = [(ask[0].upper() + ask[1:], lead + in_style(rng, items, style))]
    if rng.random() < 0.5 and count > 1:
        for follow_up in rng.sample(FOLLOW_UPS, rng.choice((1, 1, 2, 3))):
            exchange += follow_up(rng, kind, items, style or "bullets")
    return exchange


# Each of these takes the kind and the items so far, and changes these if the answer does.


def _more(rng: random.Random, kind: str, items: list[str], style: str) -> Exchange:
    left = [item for item in CATEGORIES[kind] if item not in items]
    if not left:
        return []
    if len(left) > 1 and rng.random() < 0.3:
        new = rng.sample(left, 2)
        items += new
        ask = rng.choice(("Two more, please.", "Can you add two more?", "And two others?"))
        return [(ask, in_style(rng, new, style))]
    item = rng.choice(left)
    items.append(item)
    ask = rng.choice(
        ("One more?", "And another one?", "Another one, please.", "Can you add one more?", "one more please", "What else?", "Tell me one more.")
    )  # fmt: skip
    say = rng.choice(("{}.", "How about this: {}.", "Another one: {}."))
    return [(ask, say.format(item) if item[-1] != "?" else item)]


def _place(rng: random.Random, _kind: str, items: list[str], _style: str) -> Exchange:
    index = rng.randrange(min(len(items), 5))
    place = _PLACES[index]
    if rng.random() < 0.3:
        index, place = len(items) - 1, "last"
    ask = rng.choice(
        ("Which was the {} one in the list?", "What was the {} one?", "Which one was {}?", "Repeat the {} one.", "What is the {} thing you named?")
    )  # fmt: skip
    item = items[index]
    say = rng.choice(("The {p} one was: {i}", "The {p} one is: {i}", "{i}"))
    say = say.format(p=place, i=item)
    return [(ask.format(place), say if say[-1] == "?" else say + ".")]


def _how_many(rng: random.Random, kind: str, items: list[str], _style: str) -> Exchange:
    if len(items) >= len(NUMBER_WORDS):
        return []
    ask = rng.choice(("How many is that in all?", "How many do we have now?", "Count them."))
    word = NUMBER_WORDS[len(items)]
    return [(ask, rng.choice((f"That is {word}.", f"{word.capitalize()} {kind}.")))]


def _without_last(rng: random.Random, _kind: str, items: list[str], style: str) -> Exchange:
    if len(items) < 3:
        return []
    items.pop()
    ask = rng.choice(("Leave out the last one.", "Without the last one, please.", "Drop the last."))
    return [(ask, in_style(rng, items, style))]


def _sorted(rng: random.Random, _kind: str, items: list[str], style: str) -> Exchange:
    items.sort(key=str.lower)
    ask = rng.choice(
        ("Sort them by alphabet.", "Put them in alphabetical order.", "Now in the order of the alphabet.", "Can you sort the list from A to Z?")
    )  # fmt: skip
    return [(ask, in_style(rng, items, style))]


def _first_two(rng: random.Random, _kind: str, items: list[str], style: str) -> Exchange:
    if len(items) < 3:
        return []
    del items[2:]
    ask = rng.choice(
        ("Only the first two.", "Just the first two, please.", "Keep only two of them.")
    )
    return [(ask, in_style(rng, items, style))]


def _same_for_another(rng: random.Random, kind: str, items: list[str], style: str) -> Exchange:
    other = rng.choice([name for name in CATEGORIES if name != kind])
    count = min(len(items), len(CATEGORIES[other]))
    if count != len(items):
        return []
    items[:] = rng.sample(CATEGORIES[other], count)
    ask = rng.choice(("The same for {}.", "Now the same with {}.", "And as many {}?"))
    # What follows would ask about the first kind: these items are written, then left alone.
    answer = in_style(rng, items, style)
    return [(ask.format(other), answer)]


def _sure(rng: random.Random, kind: str, items: list[str], _style: str) -> Exchange:
    item = rng.choice(items)
    if item[-1] == "?":
        return []
    ask = rng.choice(("Are you sure about {}?", "Is {} right?", "Does {} fit?"))
    if kind.startswith(_OPEN_KINDS):
        return [(ask.format(f'"{item}"'), "Yes, I think it fits.")]
    return [(ask.format(item), f"Yes, {item} is one of the {kind}.")]


FOLLOW_UPS: tuple[Callable[[random.Random, str, list[str], str], Exchange], ...] = (
    _more,
    _more,
    _place,
    _place,
    _how_many,
    _without_last,
    _sorted,
    _first_two,
    _sure,
)


def another_kind(rng: random.Random) -> Exchange:
    """A list, then as many things of another kind."""
    kind = common(rng, list(CATEGORIES))
    count = min(rng.choice((2, 3, 3, 4, 5)), len(CATEGORIES[kind]))
    items = rng.sample(CATEGORIES[kind], count)
    ask = rng.choice(_ASKS).format(n=NUMBER_WORDS[count], k=kind)
    first = (ask[0].upper() + ask[1:], in_style(rng, items, "bullets"))
    return [first, *_same_for_another(rng, kind, items, "bullets")]


def a_member(rng: random.Random) -> Exchange:
    """Whether a thing is one of a kind."""
    right, wrong = rng.sample(APART, 2)
    item = rng.choice(CATEGORIES[right])
    if item in CATEGORIES[wrong]:
        return another_kind(rng)
    if rng.random() < 0.4:
        return another_kind(rng)
    if rng.random() < 0.5:
        return [(f"Does {item} belong to the {right}?", f"Yes, {item} is one of the {right}.")]
    return [(f"Does {item} belong to the {wrong}?", f"No, {item} belongs to the {right}.")]


def an_echo(rng: random.Random) -> Exchange:
    """Repeating words, and what was just asked."""
    words = rng.sample([item for kind in APART for item in CATEGORIES[kind]], 3)
    if rng.random() < 0.5:
        count = rng.randint(2, 4)
        return [
            (f"Say {words[0]} {NUMBER_WORDS[count]} times.", ", ".join([words[0]] * count) + ".")
        ]
    body = joined(words)
    exchange = [(f"Remember these words: {body}.", "I will remember them.")]
    if rng.random() < 0.5:
        exchange += small_talk(rng)
    exchange.append(
        (
            rng.choice(("Which words did I tell you?", "What were the words?", "Repeat my words.")),
            f"You told me: {body}.",
        )
    )
    return exchange
