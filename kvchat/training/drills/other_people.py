"""Facts about somebody else, who is named: home, work, age, pets, deeds."""

import random

from kvchat.training.drills.fact import an
from kvchat.training.drills.fact_words import COLOURED, COLOURS, LEARNT, LIKED, PETS
from kvchat.training.drills.list_words import CATEGORIES
from kvchat.training.drills.names import a_name, a_pet_name, a_town
from kvchat.training.drills.story_parts import THINGS
from kvchat.training.drills.told_fact import ToldFact, two_values


def third_person(rng: random.Random) -> ToldFact:
    """Something about somebody else, who is named."""
    who = a_name(rng)
    intro = rng.choice(
        ("My friend {w}", "My neighbour {w}", "{w}", "My cousin {w}", "{w} from school")
    ).format(w=who)
    form = rng.randrange(8)
    if form == 0:
        value, other = two_values(rng, lambda: a_town(rng))
        return ToldFact(f"{who}'s home", value, other, (f"{intro} lives in {{v}}", f"{intro} moved to {{v}}"),
            (f"Where does {who} live?", f"In which town does {who} live?"), (f"{who} lives in {{v}}.",), (f"Does {who} live in {{v}}?",), (f"How does {who} like {{v}}?",))  # fmt: skip
    if form == 1:
        value, other = two_values(rng, lambda: an(rng.choice(CATEGORIES["jobs"])))
        return ToldFact(f"{who}'s job", value, other, (f"{intro} is {{v}}", f"{intro} works as {{v}}"),
            (f"What is {who}'s job?", f"What does {who} do for work?"), (f"{who} is {{v}}.", f"{who} works as {{v}}."), (f"Is {who} {{v}}?",), (f"Does {who} like to be {{v}}?",))  # fmt: skip
    if form == 2:
        value, other = two_values(rng, lambda: str(rng.randint(3, 95)))
        return ToldFact(f"{who}'s age", value, other, (f"{intro} is {{v}} years old", f"{intro} turned {{v}} last week"),
            (f"How old is {who}?", f"What is {who}'s age?"), (f"{who} is {{v}} years old.", f"{who} is {{v}}."), (f"Is {who} {{v}} years old?",), (f"Give {who} my best wishes.",))  # fmt: skip
    if form == 3:
        value, other = two_values(rng, lambda: rng.choice(LIKED))
        return ToldFact(f"what {who} likes", value, other, (f"{intro} likes {{v}}", f"{intro} loves {{v}}"),
            (f"What does {who} like?", f"What does {who} love?"), (f"{who} likes {{v}}.",), (f"Does {who} like {{v}}?",), (f"Then {who} and you can talk about {{v}}.",))  # fmt: skip
    if form == 4:
        kind = rng.choice(PETS)
        value, other = two_values(rng, lambda: a_pet_name(rng))
        return ToldFact(f"{who}'s {kind}", value, other, (f"{intro} has {an(kind)} called {{v}}", f"{who}'s {kind} is called {{v}}"),
            (f"What is {who}'s {kind} called?", f"What is the name of {who}'s {kind}?"), (f"{who}'s {kind} is called {{v}}.",), (f"Is {who}'s {kind} called {{v}}?",), (f"I hope that {{v}} and {who} have fun.",))  # fmt: skip
    if form == 5:
        value, other = two_values(rng, lambda: an(rng.choice(THINGS)))
        verb, base = rng.choice(
            (
                ("bought", "buy"),
                ("lost", "lose"),
                ("found", "find"),
                ("gave me", "give me"),
                ("made", "make"),
            )
        )
        return ToldFact(f"what {who} {verb}", value, other, (f"{intro} {verb} {{v}}",),
            (f"What did {who} {base}?",), (f"{who} {verb.replace(' me', ' you')} {{v}}.",),
            (f"Did {who} {base} {{v}}?",), (f"So it was {who}! What happened then?",))  # fmt: skip
    if form == 6:
        value, other = two_values(rng, lambda: rng.choice(LEARNT))
        return ToldFact(f"what {who} is learning", value, other, (f"{intro} is learning {{v}}",),
            (f"What is {who} learning?",), (f"{who} is learning {{v}}.",), (f"Is {who} learning {{v}}?",), (f"I wish {who} good luck with that.",))  # fmt: skip
    value, other = two_values(rng, lambda: rng.choice(COLOURS))
    thing = rng.choice(COLOURED)
    return ToldFact(f"the colour of {who}'s {thing}", value, other, (f"{who}'s {thing} is {{v}}",),
        (f"What colour is {who}'s {thing}?", f"What is the colour of {who}'s {thing}?"), (f"{who}'s {thing} is {{v}}.",), (f"Is {who}'s {thing} {{v}}?",), (f"I would know the {thing} of {who} anywhere now.",))  # fmt: skip
