"""The facts about countries, animals, foods, things and jobs."""

from collections.abc import Iterator

from kvchat.training.drills.fact import Fact, an, capital
from kvchat.training.drills.knowledge_words import PLANETS, WORKS
from kvchat.training.drills.topic_words import ANIMALS, COUNTRIES, FOODS, JOBS, THINGS

_Forms = tuple[str, ...]
_Sides = dict[str, tuple[int, _Forms, _Forms, _Forms]]
"""By what is asked: the cell of the answer, whole questions, those with a pronoun, answers."""

# {x} is the topic, {a} the topic with its article, {v} the answer, {av} it with its article;
# {A} and {V} begin a sentence. {c} is the second cell, a verb, where a table has one.
COUNTRY_SIDES: _Sides = {
    "capital": (
        1,
        ("What is the capital of {x}?", "What's the capital of {x}?", "Which city is the capital of {x}?", "Capital of {x}?", "Name the capital of {x}.", "Do you know the capital of {x}?", "Tell me the capital city of {x}."),
        ("What is its capital?", "And the capital?", "What is the capital there?", "And which city is its capital?"),
        ("The capital of {x} is {v}.", "{V} is the capital of {x}.", "It is {v}. That is the capital of {x}."),
    ),
    "language": (
        2,
        ("Which language do people speak in {x}?", "What do people speak in {x}?", "What language is spoken in {x}?", "What is the language of {x}?", "What do they speak in {x}?"),
        ("What do people speak there?", "Which language do they speak there?", "And the language?", "What language is spoken there?"),
        ("In {x}, people speak {v}.", "People in {x} speak {v}.", "They speak {v} in {x}."),
    ),
    "dish": (
        3,
        ("What do people eat in {x}?", "Which food is {x} known for?", "What is a typical food in {x}?", "Name a food from {x}.", "What should I eat in {x}?"),
        ("What do people eat there?", "And what do they eat?", "What food is it known for?", "What can I eat there?"),
        ("{A} is known for {v}.", "People in {x} like {v}.", "In {x}, many people eat {v}."),
    ),
    "continent": (
        4,
        ("Where is {x}?", "On which continent is {x}?", "Which continent is {x} in?", "What part of the world is {x} in?"),
        ("Where is that?", "Where is it?", "On which continent is that?", "Which continent is it in?"),
        ("{A} is in {v}.", "You find {x} in {v}."),
    ),
    "sight": (
        5,
        ("What is a famous sight in {x}?", "What can I see in {x}?", "Name a famous place in {x}.", "What should I visit in {x}?"),
        ("What can I see there?", "Is there a famous sight?", "What should I visit there?"),
        ("A famous sight in {x} is {v}.", "In {x} you can see {v}.", "You could visit {v} in {x}."),
    ),
    "size": (
        6,
        ("How big is {x}?", "Is {x} big?", "Is {x} a big country?"),
        ("Is it big?", "How big is it?", "Is it a large country?"),
        ("{A} is {v}.",),
    ),
    "flag": (
        7,
        ("What colours does the flag of {x} have?", "What does the flag of {x} look like?", "Which colours are in the flag of {x}?"),
        ("What colours does its flag have?", "And the flag?", "What does its flag look like?"),
        ("The flag of {x} is {v}.", "The colours of the flag of {x} are {v}."),
    ),
}  # fmt: skip
ANIMAL_SIDES: _Sides = {
    "young": (
        1,
        ("What is a baby {x} called?", "What do you call a baby {x}?", "What is a young {x} called?", "What is the young of {a} called?", "What do we call the baby of {a}?"),
        ("What is its young called?", "And its baby?", "What is its baby called?", "What do you call a young one?"),
        ("A baby {x} is called {av}.", "A young {x} is called {av}.", "The young of {a} is called {av}."),
    ),
    "sound": (
        2,
        ("What sound does {a} make?", "What noise does {a} make?", "How does {a} sound?", "What does {a} sound like?"),
        ("What sound does it make?", "And what noise does it make?", "How does it sound?"),
        ("{A} {v}.",),
    ),
    "food": (
        3,
        ("What does {a} eat?", "What is the food of {a}?", "What does {a} feed on?", "What do you know about the food of {a}?"),
        ("What does it eat?", "And what does it eat?", "What is its food?"),
        ("{A} eats {v}.", "It eats {v}."),
    ),
    "home": (
        4,
        ("Where does {a} live?", "Where can I find {a}?", "What is the home of {a}?"),
        ("Where does it live?", "And where does it live?", "Where is its home?"),
        ("{A} lives {v}.",),
    ),
    "legs": (
        5,
        ("How many legs does {a} have?", "How many legs has {a}?", "What is the number of legs of {a}?"),
        ("How many legs does it have?", "And how many legs?", "How many legs has it got?"),
        ("{A} has {v} legs.",),
    ),
    "cover": (
        6,
        ("What covers the body of {a}?", "What is {a} covered with?", "What is on the outside of {a}?"),
        ("What is it covered with?", "What covers its body?"),
        ("The body of {a} is covered with {v}.", "{A} is covered with {v}."),
    ),
    "class": (
        7,
        ("What kind of animal is {a}?", "Which group of animals does {a} belong to?", "What sort of animal is {a}?"),
        ("What kind of animal is it?", "What sort of animal is that?"),
        ("{A} is {av}.",),
    ),
    "animal size": (
        8,
        ("How big is {a}?", "Is {a} big?", "Is {a} a big animal?"),
        ("Is it big?", "How big is it?", "Is it large?"),
        ("{A} is {v}.",),
    ),
}  # fmt: skip
FOOD_SIDES: _Sides = {
    "food colour": (
        1,
        ("What colour is {a}?", "Which colour does {a} have?", "What is the colour of {a}?"),
        ("What colour is it?", "And its colour?"),
        ("{A} is {v}.",),
    ),
    "taste": (
        2,
        ("What does {a} taste like?", "How does {a} taste?", "What is the taste of {a}?"),
        ("How does it taste?", "What does it taste like?", "And the taste?"),
        ("{A} tastes {v}.",),
    ),
    "kind": (
        3,
        ("What is {a}?", "What kind of food is {a}?", "Is {a} a fruit or a vegetable?", "What sort of thing is {a}?"),
        ("What kind of food is it?", "Is it a fruit?"),
        ("{A} is {av}.",),
    ),
    "growth": (
        4,
        ("Where does {a} grow?", "Where do you find {a} growing?", "How does {a} grow?"),
        ("Where does it grow?", "And where does it grow?"),
        ("{A} grows {v}.",),
    ),
}  # fmt: skip
THING_SIDES: _Sides = {
    "use": (
        1,
        ("What is {a} for?", "What do you use {a} for?", "What can I do with {a}?", "Why do people have {a}?", "What is {a} used for?"),
        ("What is it for?", "What do people use it for?", "And what is it used for?"),
        ("{A} is used for {v}.", "You use {a} for {v}.", "{A} is for {v}."),
    ),
    "stuff": (
        2,
        ("What is {a} made of?", "What are the materials of {a}?", "Which material is {a} made of?"),
        ("What is it made of?", "And what is it made of?", "What material is it?"),
        ("{A} is mostly made of {v}.", "Mostly, {a} is made of {v}."),
    ),
    "place": (
        3,
        ("Where do you find {a}?", "Where would I look for {a}?", "Where is {a} usually kept?"),
        ("Where do you find it?", "Where would I look for it?", "And where is it kept?"),
        ("You often find {a} {v}.", "{A} is often found {v}."),
    ),
}  # fmt: skip
JOB_SIDES: _Sides = {
    "task": (
        1,
        ("What does {a} do?", "What is the job of {a}?", "What is the work of {a}?", "Explain what {a} does.", "What is {a} good for?"),
        ("What does such a person do?", "And what do they do?"),
        ("{A} {v}.",),
    ),
    "workplace": (
        2,
        ("Where does {a} work?", "What is the workplace of {a}?", "Where do you meet {a} at work?"),
        ("Where do they work?", "And where do they work?", "Where does such a person work?"),
        ("{A} often works {v}.", "{A} mostly works {v}."),
    ),
    "equipment": (
        3,
        ("What does {a} work with?", "What does {a} need for work?", "Which things does {a} use?"),
        ("What do they work with?", "What do they use?", "And what do they need?"),
        ("{A} works with {v}.", "{A} needs {v}."),
    ),
}  # fmt: skip
PLANET_SIDES: _Sides = {
    "place in space": (
        1,
        ("Which planet from the sun is {x}?", "What place does {x} have among the planets?", "How near to the sun is {x}?"),
        ("Which planet from the sun is it?", "What place does it have?"),
        ("{x} is {v} planet from the sun.",),
    ),
    "planet": (
        2,
        ("What is {x}?", "What is special about {x}?", "Tell me something about {x}.", "What do you know about {x}?"),
        ("What is special about it?", "Tell me something about it."),
        ("{x} is {v}.",),
    ),
    "moons": (
        3,
        ("How many moons does {x} have?", "Does {x} have moons?"),
        ("How many moons does it have?", "And moons?"),
        ("{x} has {v}.",),
    ),
}  # fmt: skip
WORK_SIDES: _Sides = {
    "maker": (
        2,
        ("Who {c} {x}?", "Do you know who {c} {x}?", "Tell me who {c} {x}.", "Which person {c} {x}?"),
        ("Who {c} it?", "And who {c} it?"),
        ("{V} {c} {x}.", "It was {v} who {c} {x}."),
    ),
    "work": (
        3,
        ("What is {x}?", "What kind of thing is {x}?", "What do you know about {x}?"),
        ("What is it?", "What kind of thing is that?"),
        ("{A} is {v}.",),
    ),
}  # fmt: skip
_AGAIN = ("And {a}?", "What about {a}?", "How about {a}?", "And what about {a}?", "now {a}")
_TABLES: tuple[tuple[str, tuple[tuple[str, ...], ...], _Sides, bool, _Forms], ...] = (
    ("country", COUNTRIES, COUNTRY_SIDES, False, _AGAIN),
    ("animal", ANIMALS, ANIMAL_SIDES, True, _AGAIN),
    ("food", FOODS, FOOD_SIDES, True, _AGAIN),
    ("thing", THINGS, THING_SIDES, True, _AGAIN),
    ("job", JOBS, JOB_SIDES, True, _AGAIN),
    ("planet", PLANETS, PLANET_SIDES, False, _AGAIN),
    ("work", WORKS, WORK_SIDES, False, ("And {a}?", "What about {a}?", "And who {c} {x}?")),
)
"""Name, rows, sides, whether its topics take an article, questions after another of the group."""
_ON_A_BORDER = ("the Matterhorn", "the Niagara Falls", "Mount Everest")


def topic_facts() -> Iterator[Fact]:
    """Yield every fact of the tables with topics."""
    for table, lines, sides, article, again in _TABLES:
        for cells in lines:
            for group, (cell, asks, its, answers) in sides.items():
                if not cells[cell]:
                    continue
                name, value = cells[0], cells[cell]
                topic = an(name) if article else name
                fill = {
                    "x": name,
                    "a": topic,
                    "A": capital(topic),
                    "v": value,
                    "V": capital(value),
                    "av": an(value),
                    "c": cells[1],
                }
                extra = ("And of {x}?", "and {x}") if group in ("capital", "flag") else ()
                yield Fact(
                    group,
                    f"{table}: {name}",
                    tuple(form.format(**fill) for form in asks),
                    tuple(capital(form.format(**fill)) for form in answers),
                    _short(group, cells, value),
                    tuple(form.format(**fill) for form in its),
                    tuple(form.format(**fill) for form in (*again, *extra)),
                )
    for cells in COUNTRIES:
        yield Fact(
            "country of a capital",
            f"country: {cells[0]}",
            tuple(form.format(cells[1]) for form in ("Which country has the capital {}?", "{} is the capital of which country?", "What country is {} the capital of?", "In which country is {}?")),
            (f"{cells[1]} is the capital of {cells[0]}.",),
            cells[0],
            again=tuple(form.format(cells[1]) for form in ("And {}?", "What about {}?")),
        )  # fmt: skip
        if cells[5] and cells[5] not in _ON_A_BORDER:
            yield Fact(
                "country of a sight",
                f"country: {cells[0]}",
                tuple(form.format(cells[5]) for form in ("In which country can I see {}?", "Which country do I visit to see {}?", "In what country do you find {}?")),
                (f"You can see {cells[5]} in {cells[0]}.", f"You find {cells[5]} in {cells[0]}."),
                cells[0],
                again=tuple(form.format(cells[5]) for form in ("And {}?", "What about {}?")),
            )  # fmt: skip


def _short(group: str, cells: tuple[str, ...], value: str) -> str:
    if group in ("young", "class", "kind"):
        return an(value)
    if group == "sound":
        return f"it {value}"
    if group == "legs":
        return "none" if value == "no" else value
    return value
