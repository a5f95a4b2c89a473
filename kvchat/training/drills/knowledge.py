"""Drills with knowledge: simple questions, and what people ask after the answer."""

import random
from collections import defaultdict
from collections.abc import Sequence

from kvchat.training.drills.exchange import Exchange, common
from kvchat.training.drills.fact import Fact, capital
from kvchat.training.drills.topic_facts import topic_facts
from kvchat.training.drills.word_facts import word_facts

FACTS: tuple[Fact, ...] = (*topic_facts(), *word_facts())
"""Everything the drills know."""
BY_GROUP: dict[str, list[Fact]] = defaultdict(list)
BY_TOPIC: dict[str, list[Fact]] = defaultdict(list)
for _fact in FACTS:
    BY_GROUP[_fact.group].append(_fact)
    BY_TOPIC[_fact.topic].append(_fact)

# Enough of each to be learned: a group of few facts needs fewer questions than one of many.
_WEIGHTS = {group: min(len(facts), 90) ** 0.7 for group, facts in BY_GROUP.items()}
_WEIGHTS |= {"capital": 40, "reason": 60, "meaning": 50, "thing to know": 35, "opposite": 40}
_GROUPS, _SHARES = tuple(_WEIGHTS), tuple(_WEIGHTS.values())

SPELL = ("How do you spell that?", "Can you spell that word?", "Spell that for me.")
SURE = ("Are you sure?", "Is that right?", "Really?", "Is that true?", "Are you certain?")
AGAIN = ("Say that again, please.", "Can you repeat that?", "Please repeat your answer.")
SHORTER = ("Shorter, please.", "In one or two words?", "Can you say it shorter?", "Make it short.")
THANKS = ("Thanks.", "Thank you!", "ok thanks", "Great, thanks.", "Good to know, thank you.")


def knowledge(rng: random.Random) -> Exchange:
    """A question about the world or about words; often more that go on from its answer."""
    fact = common(rng, BY_GROUP[rng.choices(_GROUPS, _SHARES)[0]])
    exchange = [asked(rng, fact, fact.asks)]
    if rng.random() < 0.5:
        return exchange
    told = [fact]
    if rng.random() < 0.12 and fact.topic.startswith(("country:", "animal:")):
        return exchange + _returned(rng, fact)
    for _ in range(rng.choice((1, 1, 2, 3))):
        pair, fact = _follow_up(rng, fact, told)
        if pair[0] in [question for question, _ in exchange]:
            break
        exchange.append(pair)
        if pair[0] in THANKS:
            break
    return exchange


def asked(rng: random.Random, fact: Fact, forms: Sequence[str]) -> tuple[str, str]:
    """Ask for a fact in one of these forms, and answer mostly in a full sentence."""
    answer = rng.choice(fact.answers)
    if rng.random() < 0.06 and len(fact.short) < 25:
        answer = capital(fact.short) + "."
    return rng.choice(forms), answer


def _follow_up(rng: random.Random, fact: Fact, told: list[Fact]) -> tuple[tuple[str, str], Fact]:
    sides = [other for other in BY_TOPIC[fact.topic] if other.its and other not in told]
    if fact.more and rng.random() < 0.6:
        return rng.choice(fact.more), fact
    kind = rng.random()
    if kind < 0.45 and sides:
        other = rng.choice(sides)
        told.append(other)
        return asked(rng, other, other.its), other
    if kind < 0.75 and fact.again:
        table = fact.topic.split(":")[0]
        others = [
            other
            for other in BY_GROUP[fact.group]
            if other not in told and other.topic.split(":")[0] == table
        ]
        other = rng.choice(others or [fact])
        if other is not fact:
            told.append(other)
            return asked(rng, other, other.again), other
    if kind < 0.8 and fact.short.isalpha() and len(fact.short) < 8:
        spelled = "-".join(fact.short.upper())
        return (rng.choice(SPELL), f"{capital(fact.short)} is spelled {spelled}."), fact
    if kind < 0.84:
        return (rng.choice(SHORTER), capital(fact.short) + "."), fact
    if kind < 0.9:
        yes = rng.choice(("Yes, I am sure. ", "Yes. ", "Yes, that is right. "))
        return (rng.choice(SURE), yes + fact.answers[0]), fact
    if kind < 0.94:
        return (rng.choice(AGAIN), fact.answers[0]), fact
    welcome = ("You are welcome!", "My pleasure.", "You're welcome. Ask me more if you like.")
    return (rng.choice(THANKS), rng.choice(welcome)), fact


def _returned(rng: random.Random, fact: Fact) -> Exchange:
    """Something else, then another side of the first topic, named again."""
    between = common(rng, BY_GROUP[rng.choices(_GROUPS, _SHARES)[0]])
    others = [other for other in BY_TOPIC[fact.topic] if other.its and other.group != fact.group]
    other = rng.choice(others)
    name = fact.topic.split(": ")[1]
    if fact.topic.startswith("animal"):
        name = f"the {name}"
    question = rng.choice(other.its).removeprefix("And ")
    back = rng.choice(("Back to {}: {}", "And {} again: {}", "About {} again: {}", "{}: {}"))
    return [
        asked(rng, between, between.asks),
        (capital(back.format(name, question[0].lower() + question[1:])), rng.choice(other.answers)),
    ]
