"""Facts that people tell about themselves, their things, pets and relatives, in many kinds.

Each kind is a function that draws one fact. In its sentences `{v}` stands for the value, so that
the same fact can also be told with another value and be put right later.
"""

import random

from kvchat.training.drills.fact import an
from kvchat.training.drills.fact_words import (
    BOOKED,
    BRANDED,
    COLLECTED,
    COLOURED,
    COLOURS,
    COUNTED,
    DAYS,
    FEARS,
    FOODS,
    HE,
    KEPT,
    LEARNT,
    LIKED,
    MEALS,
    MONTHS,
    NUMBERS,
    PETS,
    RELATIVES,
    SHE,
    SPOTS,
    TRICKS,
)
from kvchat.training.drills.list_words import CATEGORIES
from kvchat.training.drills.names import a_name, a_pet_name, a_town, made_up_name
from kvchat.training.drills.other_people import third_person
from kvchat.training.drills.story_parts import THINGS
from kvchat.training.drills.told_fact import Kind, ToldFact, two_values


def name(rng: random.Random) -> ToldFact:
    """The person's name."""
    value, other = two_values(rng, lambda: a_name(rng))
    return ToldFact("my name", value, other,
        ("My name is {v}", "I am {v}", "I'm {v}", "You can call me {v}", "{v} is my name", "People call me {v}", "I am called {v}"),
        ("What is my name?", "Who am I?", "Do you still know my name?", "What am I called?", "Which name did I give you?", "Say my name.", "How am I called?"),
        ("Your name is {v}.", "You are {v}.", "You told me that your name is {v}.", "You are called {v}."),
        ("Is my name {v}?", "Am I called {v}?", "My name is {v}, right?"),
        ("Nice to meet you, {v}!", "Hello {v}! What can I do for you?", "Hi {v}, how are you today?", "Welcome, {v}!"))  # fmt: skip


def age(rng: random.Random) -> ToldFact:
    """The person's age."""
    value, other = two_values(rng, lambda: str(rng.randint(6, 95)))
    return ToldFact("my age", value, other,
        ("I am {v} years old", "I'm {v} years old", "My age is {v}", "I turned {v} last week", "I'm {v}"),
        ("How old am I?", "What is my age?", "How many years old am I?"),
        ("You are {v} years old.", "You told me that you are {v}.", "You are {v}."),
        ("Am I {v} years old?", "Am I {v}?"), ("{v} is a fine age.", "Good to know, you are {v}."))  # fmt: skip


def home(rng: random.Random) -> ToldFact:
    """The town where the person lives."""
    value, other = two_values(rng, lambda: a_town(rng))
    return ToldFact("my home", value, other,
        ("I live in {v}", "My home is in {v}", "I have lived in {v} for years", "I moved to {v} last year", "My flat is in {v}"),
        ("Where do I live?", "Where is my home?", "In which town do I live?", "Which town do I live in?", "What town am I living in?", "Do you know where I live?"),
        ("You live in {v}.", "Your home is in {v}.", "You told me that you live in {v}."),
        ("Do I live in {v}?", "Is my home in {v}?", "I live in {v}, don't I?"),
        ("{v} sounds like a nice place.", "How do you like {v}?", "I hope that life in {v} is good."))  # fmt: skip


def pet(rng: random.Random) -> ToldFact:
    """The name of a pet."""
    kind = rng.choice(PETS)
    value, other = two_values(rng, lambda: a_pet_name(rng))
    return ToldFact(f"my {kind}'s name", value, other,
        (f"I have {an(kind)} called {{v}}", f"My {kind} is called {{v}}", f"My {kind}'s name is {{v}}", f"I got {an(kind)} named {{v}}", f"{{v}} is my {kind}", f"We have {an(kind)}, {{v}}", f"I took my {kind} {{v}} for a check today"),
        (f"What is my {kind} called?", f"What is the name of my {kind}?", f"What is my {kind}'s name?", f"How did I name my {kind}?", f"Which name does my {kind} have?"),
        (f"Your {kind} is called {{v}}.", f"The name of your {kind} is {{v}}.", f"Your {kind}'s name is {{v}}."),
        (f"Is my {kind} called {{v}}?", f"Is {{v}} the name of my {kind}?"),
        (f"{{v}} must be a lovely {kind}.", f"{{v}} is a nice name for {an(kind)}!", f"Say hello to {{v}} the {kind} from me."))  # fmt: skip


def pet_trick(rng: random.Random) -> ToldFact:
    """What a pet can do."""
    kind = rng.choice(PETS)
    value, other = two_values(rng, lambda: rng.choice(TRICKS))
    return ToldFact(f"what my {kind} can do", value, other,
        (f"My {kind} can {{v}}", f"My {kind} has learned to {{v}}", f"I taught my {kind} to {{v}}"),
        (f"What can my {kind} do?", f"What has my {kind} learned?", f"Which trick does my {kind} know?"),
        (f"Your {kind} can {{v}}.", f"You told me that your {kind} can {{v}}."), (f"Can my {kind} {{v}}?",),
        (f"What a clever {kind}!", f"It is not every {kind} that can {{v}}."))  # fmt: skip


def pet_age(rng: random.Random) -> ToldFact:
    """How old a pet is."""
    kind = rng.choice(PETS)
    value, other = two_values(rng, lambda: rng.choice(NUMBERS[1:]))
    return ToldFact(f"my {kind}'s age", value, other,
        (f"My {kind} is {{v}} years old", f"My {kind} turned {{v}} years old in spring"),
        (f"How old is my {kind}?", f"What is the age of my {kind}?"),
        (f"Your {kind} is {{v}} years old.",), (f"Is my {kind} {{v}} years old?",),
        (f"I hope your {kind} is well at {{v}} years.",))  # fmt: skip


def favourite(rng: random.Random) -> ToldFact:
    """What the person likes best of a kind."""
    kind, of = rng.choice((
        ("colour", "colours"), ("color", "colours"), ("fruit", "fruits"), ("animal", "animals"), ("drink", "drinks"),
        ("sport", "sports"), ("vegetable", "vegetables"), ("flower", "flowers"), ("month", "months"), ("number", ""), ("bird", "birds"),
    ))  # fmt: skip
    value, other = two_values(
        rng, lambda: rng.choice(CATEGORIES[of]) if of else str(rng.randint(1, 99))
    )
    return ToldFact(f"my favourite {kind}", value, other,
        (f"My favourite {kind} is {{v}}", f"The {kind} I like best is {{v}}", f"I like {{v}} more than any other {kind}"),
        (f"What is my favourite {kind}?", f"Which {kind} do I like best?", f"Which {kind} is my favourite?", f"What {kind} do I like most?"),
        (f"Your favourite {kind} is {{v}}.", f"The {kind} you like best is {{v}}."),
        (f"Is {{v}} my favourite {kind}?", f"Is my favourite {kind} {{v}}?"), (f"{{v}} is a fine {kind}.", "{v}, a good choice!"))  # fmt: skip


def job(rng: random.Random) -> ToldFact:
    """The person's work."""
    value, other = two_values(rng, lambda: an(rng.choice(CATEGORIES["jobs"])))
    return ToldFact("my job", value, other,
        ("I work as {v}", "I am {v}", "I am {v} by trade", "I earn my money as {v}"),
        ("What is my job?", "What do I do for work?", "What do I work as?", "How do I earn my money?", "What do I do for a living?"),
        ("You are {v}.", "You work as {v}."), ("Am I {v}?", "Do I work as {v}?"),
        ("Do you like your work as {v}?", "It must be interesting to be {v}."))  # fmt: skip


def relative(rng: random.Random) -> ToldFact:
    """The name of a relative or friend."""
    who = rng.choice(RELATIVES)
    pronoun = "she" if who in SHE else "he" if who in HE else ""
    value, other = two_values(rng, lambda: a_name(rng, pronoun=pronoun))
    return ToldFact(f"my {who}'s name", value, other,
        (f"My {who} is called {{v}}", f"The name of my {who} is {{v}}", f"My {who}'s name is {{v}}", f"{{v}} is my {who}", f"Tomorrow I will meet my {who} {{v}}", f"I often talk to {{v}}, my {who}"),
        (f"What is my {who} called?", f"What is the name of my {who}?", f"Who is my {who}?", f"What is my {who}'s name?", f"How is my {who} called?"),
        (f"Your {who} is called {{v}}.", f"The name of your {who} is {{v}}.", f"Your {who}'s name is {{v}}."),
        (f"Is my {who} called {{v}}?", f"Is {{v}} my {who}?"),
        ("{v} is a nice name.", f"I hope that {{v}} is a good {who}.", "Do you see {v} often?"))  # fmt: skip


def colour_of_thing(rng: random.Random) -> ToldFact:
    """The colour of something that the person has."""
    thing = rng.choice(COLOURED)
    value, other = two_values(rng, lambda: rng.choice(COLOURS))
    return ToldFact(f"the colour of my {thing}", value, other,
        (f"My {thing} is {{v}}", f"The colour of my {thing} is {{v}}", f"I have {an(thing)} and it is {{v}}", f"I painted my {thing} {{v}}"),
        (f"What colour is my {thing}?", f"Which colour does my {thing} have?", f"What is the colour of my {thing}?", f"What color is my {thing}?"),
        (f"Your {thing} is {{v}}.", f"The colour of your {thing} is {{v}}."), (f"Is my {thing} {{v}}?",),
        (f"{an(thing)} that is {{v}} must look nice.", f"I like the thought of your {thing} in that colour: {{v}}."))  # fmt: skip


def brand(rng: random.Random) -> ToldFact:
    """The maker of something that the person has."""
    thing = rng.choice(BRANDED)
    value, other = two_values(rng, lambda: made_up_name(rng))
    return ToldFact(f"the brand of my {thing}", value, other,
        (f"My {thing} is from {{v}}", f"My {thing} was made by {{v}}", f"The brand of my {thing} is {{v}}"),
        (f"What brand is my {thing}?", f"Which brand is my {thing}?", f"Who made my {thing}?", f"What make is my {thing}?"),
        (f"Your {thing} is from {{v}}.", f"The brand of your {thing} is {{v}}."), (f"Is my {thing} from {{v}}?",),
        (f"I hope your {thing} from {{v}} is a good one.",))  # fmt: skip


def like(rng: random.Random) -> ToldFact:
    """Something that the person likes."""
    value, other = two_values(rng, lambda: rng.choice(LIKED))
    return ToldFact("what I like", value, other,
        ("I love {v}", "I like {v} a lot", "I am a great fan of {v}", "I enjoy {v}"),
        ("What do I like?", "What do I love?", "What do I enjoy?", "What makes me happy?"),
        ("You like {v}.", "You love {v}.", "You told me that you like {v}."), ("Do I like {v}?", "Do I love {v}?"),
        ("What do you like about {v}?", "It is nice that you like {v}."))  # fmt: skip


def dislike(rng: random.Random) -> ToldFact:
    """Something that the person does not like."""
    value, other = two_values(rng, lambda: rng.choice(LIKED))
    return ToldFact("what I don't like", value, other,
        ("I hate {v}", "I don't like {v}", "I cannot stand {v}", "I really dislike {v}"),
        ("What do I hate?", "What do I not like?", "What do I dislike?", "What can I not stand?"),
        ("You do not like {v}.", "You told me that you do not like {v}."), ("Do I hate {v}?", "Do I dislike {v}?"),
        ("Why do you not like {v}?", "Many people do not like {v}."))  # fmt: skip


def allergy(rng: random.Random) -> ToldFact:
    """What the person is allergic to."""
    value, other = two_values(rng, lambda: rng.choice(FOODS))
    return ToldFact("my allergy", value, other,
        ("I am allergic to {v}", "I'm allergic to {v}", "I have an allergy to {v}", "My doctor says I am allergic to {v}"),
        ("What am I allergic to?", "Which allergy do I have?", "What should I stay away from?", "What is my allergy?"),
        ("You are allergic to {v}.", "You have an allergy to {v}."), ("Am I allergic to {v}?",),
        ("Then be careful with {v}!", "I will not forget: no {v} for you."))  # fmt: skip


def family_count(rng: random.Random) -> ToldFact:
    """How many brothers, children or the like the person has."""
    whom = rng.choice(COUNTED)
    value, other = two_values(rng, lambda: rng.choice(NUMBERS[1:]))
    return ToldFact(f"the number of my {whom}", value, other,
        (f"I have {{v}} {whom}", f"I've got {{v}} {whom}", f"There are {{v}} {whom} in my family"),
        (f"How many {whom} do I have?", f"What is the number of my {whom}?", f"How many {whom} have I got?"),
        (f"You have {{v}} {whom}.", f"You told me that you have {{v}} {whom}."), (f"Do I have {{v}} {whom}?",),
        (f"It must be lively with {{v}} {whom}!", f"How nice, {{v}} {whom}!"))  # fmt: skip


def birthday(rng: random.Random) -> ToldFact:
    """When the person's birthday is."""
    day = f" {rng.randint(2, 28)}" if rng.random() < 0.4 else ""
    value, other = two_values(rng, lambda: rng.choice(MONTHS) + day)
    on = "on" if day else "in"
    return ToldFact("my birthday", value, other,
        (f"My birthday is {on} {{v}}", f"I was born {on} {{v}}", f"I have my birthday {on} {{v}}"),
        ("When is my birthday?", "When was I born?", "When do I have my birthday?"),
        (f"Your birthday is {on} {{v}}.", f"You were born {on} {{v}}."), (f"Is my birthday {on} {{v}}?", f"Was I born {on} {{v}}?"),
        ("{v} is a good time for a birthday.",))  # fmt: skip


def event(rng: random.Random) -> ToldFact:
    """Something that the person bought, lost, found, cooked, saw or got."""
    verb, base, values = rng.choice((
        ("bought", "buy", THINGS), ("lost", "lose", THINGS), ("found", "find", THINGS), ("broke", "break", THINGS),
        ("sold", "sell", THINGS), ("borrowed", "borrow", THINGS), ("cooked", "cook", MEALS), ("ate", "eat", MEALS),
        ("saw", "see", CATEGORIES["wild animals"]), ("drew", "draw", CATEGORIES["animals"]), ("planted", "plant", CATEGORIES["flowers"]),
    ))  # fmt: skip
    draw = (lambda: rng.choice(values)) if values is MEALS else (lambda: an(rng.choice(values)))
    value, other = two_values(rng, draw)
    when = rng.choice(
        (" yesterday", " today", " this morning", " last week", " on Sunday", " in town")
    )
    return ToldFact(f"what I {verb}", value, other,
        (f"I {verb} {{v}}{when}", f"I {verb} {{v}}{when}", f"I {verb} {{v}}"),
        (f"What did I {base}?", f"What was it that I {verb}?", f"What did I {base}{when}?", f"Which thing did I {base}?"),
        (f"You {verb} {{v}}.", f"You told me that you {verb} {{v}}."), (f"Did I {base} {{v}}?",),
        ("{v}, how interesting! How was it?", f"Oh, you {verb} {{v}}! Tell me more."))  # fmt: skip


def holiday(rng: random.Random) -> ToldFact:
    """Where the person was on holiday."""
    value, other = two_values(
        rng, lambda: rng.choice((a_town(rng), rng.choice(CATEGORIES["countries"])))
    )
    return ToldFact("my holiday", value, other,
        ("I was on holiday in {v}", "I spent my holiday in {v}", "Last summer I was in {v}", "I just came back from a holiday in {v}"),
        ("Where was I on holiday?", "Where did I spend my holiday?", "Where did I go on holiday?", "Where was my holiday?"),
        ("You were on holiday in {v}.", "You spent your holiday in {v}."), ("Was I on holiday in {v}?",),
        ("How was it in {v}?", "I hope {v} was beautiful."))  # fmt: skip


def plan(rng: random.Random) -> ToldFact:
    """What the person is going to do on a day."""
    day = rng.choice(
        (*[f"on {day}" for day in DAYS], "tomorrow", "next week", "at the weekend", "tonight")
    )
    draws = (
        lambda: f"visit my {rng.choice(RELATIVES)}", lambda: f"travel to {a_town(rng)}", lambda: f"meet {a_name(rng)}",
        lambda: f"paint my {rng.choice(COLOURED)}", lambda: f"sell my {rng.choice(BRANDED)}", lambda: f"buy {an(rng.choice(THINGS))}",
        lambda: f"clean the {rng.choice(('kitchen', 'cellar', 'garage', 'attic', 'windows'))}", lambda: f"bake {rng.choice(('bread', 'a cake', 'cookies', 'a pie'))}",
    )  # fmt: skip
    value, other = two_values(rng, lambda: rng.choice(draws)())
    return ToldFact(f"my plan for {day.removeprefix('on ')}".replace("for at", "for"), value, other,
        (f"I am going to {{v}} {day}", f"I want to {{v}} {day}", f"I plan to {{v}} {day}", f"I will {{v}} {day}"),
        (f"What am I going to do {day}?", f"What do I want to do {day}?", f"What will I do {day}?", f"What did I plan to do {day}?"),
        (f"You want to {{v}} {day}.", f"You are going to {{v}} {day}."), (f"Do I want to {{v}} {day}?", f"Am I going to {{v}} {day}?"),
        ("That sounds like a good plan!", "I hope it goes well."))  # fmt: skip


def spot(rng: random.Random) -> ToldFact:
    """Where the person has put a thing."""
    thing = rng.choice(KEPT)
    be = "are" if thing in ("keys", "glasses", "gloves", "scissors", "headphones") else "is"
    value, other = two_values(
        rng, lambda: rng.choice([spot for spot in SPOTS if " my " not in spot])
    )
    return ToldFact(f"where my {thing} {be}", value, other,
        (f"I put my {thing} {{v}}", f"My {thing} {be} {{v}}", f"I left my {thing} {{v}}"),
        (f"Where {be} my {thing}?", f"Where did I put my {thing}?", f"Where did I leave my {thing}?"),
        (f"Your {thing} {be} {{v}}.",), (f"{be.capitalize()} my {thing} {{v}}?",),
        (f"Good, then we know where to find your {thing}.",))  # fmt: skip


def learning(rng: random.Random) -> ToldFact:
    """What the person is learning."""
    value, other = two_values(rng, lambda: rng.choice(LEARNT))
    return ToldFact("what I am learning", value, other,
        ("I am learning {v}", "I'm learning {v}", "I have begun to learn {v}"),
        ("What am I learning?", "What have I begun to learn?", "What do I try to learn?"),
        ("You are learning {v}.",), ("Am I learning {v}?",), ("Is it hard at the beginning?", "Learning new things is good for the head."))  # fmt: skip


def reading(rng: random.Random) -> ToldFact:
    """What the person's book is about."""
    value, other = two_values(rng, lambda: rng.choice(BOOKED))
    return ToldFact("my book", value, other,
        ("I am reading a book about {v}", "My new book is about {v}", "I'm reading a story about {v}"),
        ("What is my book about?", "What am I reading about?", "What kind of book am I reading?"),
        ("Your book is about {v}.", "You are reading about {v}."), ("Is my book about {v}?",),
        ("A book about {v} sounds good.", "I would like to know more about {v}."))  # fmt: skip


def collection(rng: random.Random) -> ToldFact:
    """What the person collects."""
    value, other = two_values(rng, lambda: rng.choice(COLLECTED))
    return ToldFact("what I collect", value, other,
        ("I collect {v}", "I have been collecting {v} for years", "At home I have a big collection of {v}"),
        ("What do I collect?", "What is my collection?", "Which things do I collect?"),
        ("You collect {v}.", "You told me that you collect {v}."), ("Do I collect {v}?",), ("How many {v} do you have?",))  # fmt: skip


def fear(rng: random.Random) -> ToldFact:
    """What the person is afraid of."""
    value, other = two_values(rng, lambda: rng.choice(FEARS))
    return ToldFact("my fear", value, other,
        ("I am afraid of {v}", "I'm scared of {v}", "I have always been afraid of {v}"),
        ("What am I afraid of?", "What scares me?", "What is my fear?"),
        ("You are afraid of {v}.",), ("Am I afraid of {v}?",), ("Many people are afraid of {v}.",))  # fmt: skip


def code(rng: random.Random) -> ToldFact:
    """A secret word or a number to remember."""
    what = rng.choice(
        (
            "code word",
            "secret word",
            "lucky number",
            "house number",
            "room number",
            "locker number",
            "shoe size",
            "bus line",
        )
    )
    draw = (
        (lambda: rng.choice((made_up_name(rng).lower(), rng.choice(THINGS))))
        if "word" in what
        else (lambda: str(rng.randint(2, 999)))
    )
    value, other = two_values(rng, draw)
    return ToldFact(f"my {what}", value, other,
        (f"My {what} is {{v}}", f"Please remember that my {what} is {{v}}", f"{{v}} is my {what}"),
        (f"What is my {what}?", f"Which {what} did I give you?", f"Can you repeat my {what}?", f"What was my {what}?"),
        (f"Your {what} is {{v}}.", f"You told me that your {what} is {{v}}."), (f"Is my {what} {{v}}?",),
        (f"I will remember the {what} {{v}}.",))  # fmt: skip


def appointment(rng: random.Random) -> ToldFact:
    """When an appointment is."""
    what = rng.choice(
        (
            "dentist appointment",
            "exam",
            "train",
            "piano lesson",
            "job interview",
            "meeting",
            "flight",
            "party",
            "swimming lesson",
            "haircut",
            "football match",
        )
    )

    def draw() -> str:
        return rng.choice(
            (
                f"on {rng.choice(DAYS)}",
                f"at {rng.choice(NUMBERS)} o'clock",
                f"on {rng.choice(DAYS)} at {rng.choice(NUMBERS)}",
            )
        )

    value, other = two_values(rng, draw)
    return ToldFact(f"my {what}", value, other,
        (f"My {what} is {{v}}", f"I have my {what} {{v}}"),
        (f"When is my {what}?", f"At what time is my {what}?" if value.startswith("at") else f"On which day is my {what}?", f"When do I have my {what}?"),
        (f"Your {what} is {{v}}.",), (f"Is my {what} {{v}}?",), (f"Good luck with your {what}!",))  # fmt: skip


KINDS: tuple[Kind, ...] = (
    name, name, name, age, home, home, pet, pet, pet, pet_trick, pet_age, favourite, favourite, favourite, job, relative,
    relative, colour_of_thing, colour_of_thing, brand, like, dislike, allergy, family_count, birthday, event, event, event,
    holiday, plan, plan, spot, learning, reading, collection, fear, code, appointment, third_person, third_person, third_person,
)  # fmt: skip
"""The kinds of facts; those that people tell most often stand here more than once."""
NEAR: tuple[Kind, ...] = (pet, relative, colour_of_thing, brand, spot, third_person, favourite)
"""Kinds of which one fact may be told while a like one is not: a cat's name, but no dog's."""
