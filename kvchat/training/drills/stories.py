"""Drills with stories: told as asked, about the hero, thing, place and day that the person names."""

import random
from dataclasses import dataclass, field

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.fact import an
from kvchat.training.drills.names import a_name
from kvchat.training.drills.story_parts import (
    ADJECTIVES,
    BUILT,
    DAYS,
    ENDINGS,
    FEMALE,
    FRIENDS,
    HEROES,
    MALE,
    OPENINGS,
    PLACES,
    PLOTS,
    SLEEPY_ENDINGS,
    THEME_ENDINGS,
    THEMES,
    THINGS,
    TIMES,
    TRAITS,
)

_OF_AGE = {"old", "young", "little", "tiny", "small"}
"""Adjectives that contradict some heroes or say the same twice, such as `old old man`."""


@dataclass
class Wish:
    """What a story is to hold; all of it is filled in, and `request` names only a part."""

    hero: str
    name: str
    pronoun: str
    thing: str
    place: str
    friend: str
    friend_name: str
    deed: str = ""
    theme: str = ""
    day: str = ""
    sentences: int = 0
    sleepy: bool = False
    with_friend: bool = False
    asked: set[str] = field(default_factory=set)


@dataclass
class Story:
    """A story with the wish that it fulfils; `outcome` is the sentence in which it is resolved."""

    wish: Wish
    deed: str
    text: str
    start: str
    outcome: str
    helped: bool


def a_wish(rng: random.Random) -> Wish:
    """Draw a hero with name, a thing, a place and a friend, as yet asked for by nobody."""
    bare = rng.choice(HEROES)
    if bare in MALE or bare in FEMALE:
        pronoun = "he" if bare in MALE else "she"
    else:
        pronoun = rng.choice(("he", "she"))
    hero = bare
    if rng.random() < 0.55:
        adjective = rng.choice(ADJECTIVES)
        if not (adjective in _OF_AGE and (bare in MALE or bare in FEMALE)) and adjective != bare:
            hero = f"{adjective} {bare}"
    friend = rng.choice([kind for kind in HEROES if kind != bare])
    name = a_name(rng, pronoun=pronoun)
    friend_name = a_name(rng, pronoun=_pronoun_of(friend))
    while friend_name == name:
        friend_name = a_name(rng)
    return Wish(hero, name, pronoun, rng.choice(THINGS), rng.choice(PLACES), friend, friend_name)


def _pronoun_of(kind: str) -> str:
    return "he" if kind in MALE else "she" if kind in FEMALE else ""


def a_story(rng: random.Random) -> Exchange:
    """A request for a story, the story, and at times questions about it or a wish for another."""
    wish = a_wish(rng)
    request = _request(rng, wish)
    story = tell(rng, wish)
    exchange = [(request, story.text)]
    if rng.random() < 0.4:
        exchange += _follow_up(rng, story)
    return exchange


def tell(rng: random.Random, wish: Wish) -> Story:
    """Tell a story of 45 to 110 words, or of just as many sentences as `wish.sentences` says."""
    plots = [plot for plot in PLOTS if not wish.deed or plot.deed == wish.deed]
    if "thing" in wish.asked and wish.deed != "build":
        plots = [plot for plot in plots if plot.deed != "build"]
    if wish.with_friend:
        plots = [plot for plot in plots if plot.has_friend]
    plot = rng.choice(plots)
    if plot.deed == "build" and wish.deed != "build":
        wish.thing = rng.choice(BUILT)
    start = plot.start
    outcomes = plot.outcomes
    if wish.with_friend and "{friend}" not in start:
        outcomes = tuple(text for text in outcomes if "{friend}" in text)
    middle, outcome = rng.choice(plot.middles), rng.choice(outcomes)
    time = f"On {wish.day}" if wish.day else rng.choice(TIMES)
    parts = [start, outcome] if wish.sentences else [start, middle, outcome]
    friend = any("{friend}" in part or "{fn}" in part for part in parts)
    slots = _slots(rng, wish, friend)
    if wish.theme:
        ending = rng.choice(THEME_ENDINGS)
    else:
        ending = rng.choice(SLEEPY_ENDINGS if wish.sleepy else ENDINGS)
    opening = rng.choice(OPENINGS)
    if wish.sentences == 2:
        opening = rng.choice([text for text in OPENINGS if ", who" not in text])
        sentences = [f"{opening[:-1]}, and {time[0].lower()}{time[1:]} {start}.", outcome]
    elif wish.sentences == 3:
        sentences = [opening, f"{time}, {start}.", outcome]
    else:
        trait = [] if friend and rng.random() < 0.5 else [rng.choice(TRAITS)]
        sentences = [opening, *trait, f"{time}, {start}.", middle, outcome, ending]
        if rng.random() < 0.12:
            sentences.insert(0, rng.choice(("Here is a story.", "Of course!", "Gladly!", "Sure!")))
    told = [_filled(sentence, slots) for sentence in sentences]
    gap = rng.random() < 0.2 and not wish.sentences
    text = " ".join(told)
    if gap:
        cut = len(told) - (3 if rng.random() < 0.5 else 2)
        text = " ".join(told[:cut]) + "\n\n" + " ".join(told[cut:])
    helped = "{friend}" in outcome
    return Story(wish, plot.deed, text, start, _filled(outcome, slots), helped)


def _slots(rng: random.Random, wish: Wish, friend: bool) -> dict[str, str]:
    him, his = ("him", "his") if wish.pronoun == "he" else ("her", "her")
    slots = {
        "n": wish.name,
        "a_hero": an(wish.hero),
        "t": wish.thing,
        "a_t": an(wish.thing),
        "p": wish.place,
        "f": wish.friend,
        "a_f": an(wish.friend),
        "fn": wish.friend_name,
        "friend": f"{wish.friend_name} the {wish.friend}",
        "theme": wish.theme,
        "he": wish.pronoun,
        "him": him,
        "his": his,
        "with_friend": "",
    }
    if friend:
        slots["with_friend"] = rng.choice(FRIENDS).format(**slots)
    for key in ("a_hero", "p", "he", "his"):
        slots[key.capitalize()] = slots[key][0].upper() + slots[key][1:]
    return slots


def _filled(sentence: str, slots: dict[str, str]) -> str:
    text = sentence.format(**slots)
    return text[0].upper() + text[1:]


def _request(rng: random.Random, wish: Wish) -> str:
    """Word a request, and set in the wish what it asks for."""
    lead = rng.choice(_LEADS)
    body, asked = rng.choice(_BODIES)
    if rng.random() < 0.06:
        body, asked = "", ""
    wish.asked = set(asked.split())
    wish.sleepy = "bedtime" in lead
    if "built" in wish.asked:
        wish.deed, wish.thing = "build", rng.choice(BUILT)
    for deed in ("find", "lose", "want", "share"):
        if deed in wish.asked:
            wish.deed = deed
    if "friend" in wish.asked:
        wish.with_friend = True
    if "theme" in wish.asked:
        wish.theme = rng.choice(THEMES)
    if "day" in wish.asked:
        wish.day = rng.choice(DAYS)
    his = "his" if wish.pronoun == "he" else "her"
    said = lead + body.format(
        h=wish.hero, a_h=an(wish.hero), n=wish.name, t=wish.thing, a_t=an(wish.thing),
        p=wish.place, a_f=an(wish.friend), f=wish.friend, theme=wish.theme, day=wish.day,
        his=his, he=wish.pronoun,
    )  # fmt: skip
    if "name" not in wish.asked and rng.random() < 0.08:
        wish.asked.add("name")
        who = "The hero" if "hero" not in wish.asked else f"The {wish.hero.split()[-1]}"
        mark = "?" if lead.startswith(_QUESTIONS) else "."
        return f"{said}{mark} {who} is called {wish.name}."
    tail = rng.choice(_TAILS)
    if tail in _COUNTS:
        wish.sentences = _COUNTS[tail]
    mark = "?" if lead.startswith(_QUESTIONS) else rng.choice((".", ".", ".", "!", ""))
    return said + tail + mark


def _follow_up(rng: random.Random, story: Story) -> Exchange:
    """One to three questions about the story, a title for it, or another story."""
    wish = story.wish
    name, thing = wish.name, wish.thing
    kind = wish.hero.split()[-1] if wish.hero not in MALE + FEMALE else wish.hero
    asks: Exchange = []
    asks.append((
        rng.choice((f"What was the name of the {kind}?", f"What was the {kind} called?", f"What is the {kind}'s name?",
                    "What was the hero's name?", "Who was the story about?", "what was the name of the hero again?")),
        rng.choice((f"The {kind} was called {name}.", f"The name of the {kind} was {name}.", f"{name} the {kind}.",
                    f"{an(wish.hero)[0].upper()}{an(wish.hero)[1:]} named {name}.")),
    ))  # fmt: skip
    asks.append((
        rng.choice((f"Where did {name} live?", f"where did the {kind} live?", f"Where was {name}'s home?")),
        rng.choice((f"{name} lived {wish.place}.", f"The {kind} lived {wish.place}.")),
    ))  # fmt: skip
    asks.append((
        rng.choice(("How did it end?", "How did the story end?", "What happened in the end?", "tell me the end again")),
        story.outcome,
    ))  # fmt: skip
    asks.append((
        rng.choice(("Give the story a title.", "What would be a good title?", "Find a title for it.", "Can you give it a title?", "How should we call this story?")),
        rng.choice((f'"{name} and the {thing}"', f'I would call it "{name} and the {thing}".', f'How about "{name} the {kind} and the {thing}"?')),
    ))  # fmt: skip
    asks.append((
        rng.choice((f"What kind of creature was {name}?", f"Who was {name}?", f"What was {name}?")),
        f"{name} was {an(wish.hero)}.",
    ))  # fmt: skip
    deed = {
        "find": ("What did {} find?", "{} found {}."),
        "lose": _loss(story),
        "want": ("What did {} want?", "{} wanted {}."),
        "build": ("What did {} build?", "{} built {}."),
        "share": ("Which thing is in the story of {}?", "There is {1} in the story."),
    }[story.deed]
    asks.append((deed[0].format(name), deed[1].format(name, an(thing), thing)))
    if story.helped:
        friend = f"{wish.friend_name} the {wish.friend}"
        asks.append((
            rng.choice((f"Who was with {name}?", f"Who was {name}'s friend?", f"What was the {wish.friend} called?")),
            rng.choice((f"It was {friend}.", f"{friend}.")),
        ))  # fmt: skip
    chosen = rng.sample(asks, rng.choice((1, 1, 2, 2, 3)))
    if rng.random() < 0.3:
        chosen.append(_another(rng, wish))
    if rng.random() < 0.15:
        chosen.insert(0, (rng.choice(_THANKS), rng.choice(_GLAD)))
    return chosen


def _loss(story: Story) -> tuple[str, str]:
    """Return the question and the answer for a thing that the hero has no longer."""
    his = "his" if story.wish.pronoun == "he" else "her"
    for past, base in (("broke", "break"), ("gave away", "give away"), ("dropped", "drop")):
        if past in story.start:
            return f"What did {{0}} {base}?", f"{{0}} {past} {his} {{2}}."
    return "What did {0} lose?", f"{{0}} lost {his} {{2}}."


def _another(rng: random.Random, before: Wish) -> tuple[str, str]:
    """Another story: about a new hero, or about the same one with a new thing."""
    wish = a_wish(rng)
    wish.asked = {"thing"}
    if rng.random() < 0.35:
        wish.hero, wish.name, wish.pronoun = before.hero, before.name, before.pronoun
        wish.place = before.place
        if wish.friend_name == wish.name or wish.friend == wish.hero.split()[-1]:
            wish.friend, wish.friend_name = before.friend, before.friend_name
        ask = rng.choice(
            (f"Another story about {wish.name}, please.", f"Tell me more about {wish.name} and {an(wish.thing)}.",
             f"Now a story about {wish.name} and {an(wish.thing)}.")
        )  # fmt: skip
    elif rng.random() < 0.6:
        ask = rng.choice(
            (f"Tell me another one about {an(wish.hero)}.", f"Now one about {an(wish.hero)} and {an(wish.thing)}.",
             f"And now one about {an(wish.hero)}.", f"Another one, with {an(wish.thing)} in it.")
        )  # fmt: skip
    else:
        ask = rng.choice(("Tell me another one.", "Another story, please!", "one more story", "Again, but a new one."))  # fmt: skip
    return ask, tell(rng, wish).text


_THANKS = ("Nice story!", "I liked that.", "That was a lovely story.", "Thank you for the story!")
_GLAD = ("I am glad you liked it!", "Thank you! Shall I tell you another one?", "You are welcome!")
_QUESTIONS = ("Can", "Could", "Do", "Will", "can", "may")
_LEADS = (
    "Tell me a story", "Tell me a story", "Tell me a short story", "Tell a story", "Write a story",
    "Write a short story", "Write a very short story", "Make up a tale", "Make up a story",
    "Can you tell me a story", "Could you tell me a little story", "Can you write a short story",
    "I would like to hear a story", "I want a story", "Please tell me a story", "Please write a tale",
    "Give me a story", "story", "short story", "a story", "Invent a story", "Tell me a bedtime story",
    "I need a bedtime story", "a bedtime story", "Do you know a story", "Tell us a tale", "Let us have a story",
    "tell me something nice, a story", "Will you tell me a story", "I feel like a story",
)  # fmt: skip
_BODIES = (
    (" about {a_h}", "hero"), (" about {a_h}", "hero"), (" about {a_h}", "hero"),
    (" about {a_h} named {n}", "hero name"), (" about {a_h} called {n}", "hero name"),
    (" about {a_h} with the name {n}", "hero name"), (" about {n}", "name"), (" about {n} the {h}", "hero name"),
    (" about {a_h} named {n} who finds {a_t}", "hero name thing find"),
    (" about {a_h} who finds {a_t}", "hero thing find"), (" about {a_h} that found {a_t}", "hero thing find"),
    (" about {n}, who finds {a_t}", "name thing find"), (" about {a_h} who loses {his} {t}", "hero thing lose"),
    (" about {n} the {h} who lost {his} {t}", "hero name thing lose"),
    (" about {a_h} who has lost {a_t}", "hero thing lose"), (" about {a_h} who wants {a_t}", "hero thing want"),
    (" in which {a_h} wants to have {a_t}", "hero thing want"),
    (" about {a_h} named {n} who wants {a_t}", "hero name thing want"),
    (" about {a_h} who builds {a_t}", "hero thing built"), (" about {n}, who wants to build {a_t}", "name thing built"),
    (" about building {a_t}", "thing built"), (" about {a_h} and {a_t}", "hero thing"),
    (" about {a_h} and {a_t}", "hero thing"), (" about {n} and {a_t}", "name thing"),
    (" about {n} and the {t}", "name thing"), (" with {a_t} in it", "thing"), (" about {a_t}", "thing"),
    (" with {a_h} and {a_t} in it", "hero thing"), (" with {a_h}, {a_t} and {a_f}", "hero thing friend"),
    (" about {a_h} and {a_f}", "hero friend"), (" about {a_h} and {his} friend, {a_f}", "hero friend"),
    (" with {a_h} and {a_f} in it", "hero friend"), (" about the friendship of {a_h} and {a_f}", "hero friend"),
    (" about {a_h} {p}", "hero place"), (" about {a_h} who lives {p}", "hero place"),
    (" that takes place {p}", "place"), (" set {p}", "place"), (" about {a_h} and {a_t}, {p}", "hero thing place"),
    (" about {n}, who lives {p}", "name place"), (" about {theme}", "theme"),
    (" about {theme} with {a_h} in it", "theme hero"), (" about {day}", "day"),
    (" about {a_h} on {day}", "hero day"), (" about {a_h} who gets {a_t}", "hero thing share"),
    (" for my son about {a_h} and {a_t}", "hero thing"), (" for my daughter with {a_h}", "hero"),
    (" for children about {a_h}", "hero"), ("", ""),
)  # fmt: skip
_COUNTS = {
    " in three sentences": 3, " in 3 sentences": 3, " in two sentences": 2, " in 2 sentences": 2,
    ", just three sentences": 3, " in exactly three sentences": 3,
}  # fmt: skip
_TAILS = (*[""] * 14, " please", ", please", " with a happy ending", ", not too long", *_COUNTS)
