"""Drills with memory: facts that a person tells, and that are asked for later in the chat."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kvchat.training.drills.exchange import FIRST, Exchange
from kvchat.training.drills.lists import a_list
from kvchat.training.drills.names import a_name, a_town
from kvchat.training.drills.personal_facts import KINDS, NEAR
from kvchat.training.drills.stories import a_story
from kvchat.training.drills.sums import a_sum
from kvchat.training.drills.told_fact import Kind, ToldFact

NOT_TOLD = (
    "You have not told me that yet.",
    "I do not know that yet. Would you like to tell me?",
    "You did not tell me that.",
)


@dataclass
class ToldChat:
    """A chat as it grows: what was said, the facts that hold, and where they were asked for.

    `asked` holds for each question about a fact its place among the exchanges and the fact, or
    None where it had not been told.
    """

    exchanges: Exchange = field(default_factory=list)
    facts: list[ToldFact] = field(default_factory=list)
    asked: list[tuple[int, ToldFact | None]] = field(default_factory=list)


def told_and_asked(rng: random.Random, between: list[Exchange]) -> Exchange:
    """Facts told in one or more messages, something else in between, then questions about them."""
    return told_chat(rng, between).exchanges


def told_chat(rng: random.Random, between: list[Exchange]) -> ToldChat:
    """Make the chat of `told_and_asked`, with what is needed to check it."""
    chat = ToldChat()
    facts = _different_facts(rng, rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4)))
    rest = list(between)
    while facts:
        count = min(len(facts), rng.choice((1, 1, 1, 2, 2, 3)))
        now, facts = facts[:count], facts[count:]
        _tell(rng, chat, now)
        if rng.random() < 0.2:
            chat.exchanges.append(_remark(rng))
        if rest and facts and rng.random() < 0.4:
            chat.exchanges += rest.pop()
        if rng.random() < 0.12:
            _ask(rng, chat, rng.choice(chat.facts))
    for exchange in rest:
        chat.exchanges += exchange
    if rng.random() < 0.15:
        chat.exchanges.append(_remark(rng))
    wanted: list[ToldFact | None] = [fact for fact in chat.facts if rng.random() < 0.8]
    wanted = wanted or [rng.choice(chat.facts)]
    for _ in range(2):
        if rng.random() < 0.15:
            wanted.append(None)
    rng.shuffle(wanted)
    for fact in wanted:
        _ask(rng, chat, fact)
    if rng.random() < 0.08:
        _sum_up(rng, chat)
    if rng.random() < 0.12 and len(chat.exchanges[0][0]) < 100:
        chat.exchanges.append((rng.choice(_FIRST_ASKED), f'You said: "{FIRST}"'))
    return chat


def _different_facts(rng: random.Random, count: int) -> list[ToldFact]:
    facts: list[ToldFact] = []
    while len(facts) < count:
        near = facts and rng.random() < 0.15
        fact = rng.choice(NEAR if near else KINDS)(rng)
        known = {word for other in facts for word in (other.about, other.value, other.other)}
        if not known & {fact.about, fact.value, fact.other}:
            facts.append(fact)
    return facts


def _tell(rng: random.Random, chat: ToldChat, facts: list[ToldFact]) -> None:
    """Tell facts in one message, at times with a request, or wrongly at first and then right."""
    form = rng.random()
    if len(facts) == 1 and form < 0.2:
        _tell_and_correct(rng, chat, facts[0])
    elif form < 0.32:
        # The request is answered in the same breath; the fact must be remembered all the same.
        kind = rng.choice((a_sum, a_sum, a_list, a_story))
        (question, answer), *more = kind(rng)
        said = _message(rng, facts)
        if rng.random() < 0.5:
            reply = _reply(rng, facts)
            answer = reply + ("\n\n" if "\n" in answer or len(answer) > 100 else " ") + answer
        question = question if question[-1] in ".?!=" else f"{question}?"
        chat.exchanges += [(f"{said} {_capital(question)}", _capital(answer)), *more]
    else:
        chat.exchanges.append((_message(rng, facts), _reply(rng, facts)))
    chat.facts += facts


def _tell_and_correct(rng: random.Random, chat: ToldChat, fact: ToldFact) -> None:
    told = rng.choice(fact.told)
    wrong, right = _capital(told.format(v=fact.other)), told.format(v=fact.value)
    fixed = _inner(_recalled(fact, fact.recalled[0]))
    reply = rng.choice(
        (f"All right, {fixed}", f"I see, {fixed}", f"Thank you for putting it right: {fixed}", f"No problem! So {fixed}", f"Got it, {fixed}")
    )  # fmt: skip
    if rng.random() < 0.5:
        mend = rng.choice(
            (". No wait, {v}.", ", no, {v}!", ", sorry, I mean {v}.", "... no, that was wrong, {v}.", ". Oh no, {v}, sorry.", ", or rather {v}.")
        )  # fmt: skip
        chat.exchanges.append((wrong + mend.format(v=fact.value), reply))
        return
    chat.exchanges.append((f"{wrong}.", _reply(rng, [fact], fact.other)))
    if rng.random() < 0.25:
        chat.exchanges.append(_remark(rng))
    mend = rng.choice(
        (f"No wait, {_inner(right)}.", f"Sorry, I meant {fact.value}, not {fact.other}.", f"Actually, {_inner(right)}.",
         f"I made a mistake: {_inner(right)}.", f"No, not {fact.other}. {_capital(fact.value)}!", f"That was wrong. {_capital(right)}.",
         f"Correction: {_inner(right)}.", f"I have to correct myself, {_inner(right)}.", f"I said {fact.other}, but I meant {fact.value}.")
    )  # fmt: skip
    chat.exchanges.append((mend, reply))


def _message(rng: random.Random, facts: Sequence[ToldFact]) -> str:
    """Put facts into one message, plainly or by the way."""
    said = [rng.choice(fact.told).format(v=fact.value) for fact in facts]
    first, last = said[0], said[-1]
    if len(said) == 1:
        text = first
    elif rng.random() < 0.3:
        text = ". ".join(_capital(part) for part in said)
    else:
        tail = _inner(last)
        if tail.startswith("I ") and first.startswith("I") and rng.random() < 0.5:
            tail = tail[2:]
        head = ", ".join([first, *map(_inner, said[1:-1])])
        text = head + rng.choice((" and ", " and ", ", and ")) + tail
    form = rng.random()
    if form < 0.18:
        text = rng.choice(_BY_THE_WAY) + _inner(text)
    elif form < 0.32:
        return f"{rng.choice(_BEFORE)} {_capital(text)}."
    elif form < 0.44:
        return f"{_capital(text)}. {rng.choice(_AFTER)}"
    return _capital(text) + rng.choice((".", ".", ".", ".", "!"))


def _reply(rng: random.Random, facts: Sequence[ToldFact], value: str | None = None) -> str:
    """Take up what was told, in the words of one or all of the facts."""
    fact = rng.choice(list(facts))
    restated = [_inner(_recalled(each, each.recalled[0], value)).rstrip(".") for each in facts]
    if len(facts) > 1 and rng.random() < 0.55:
        return rng.choice(_TAKEN_UP).format(" and ".join([", ".join(restated[:-1]), restated[-1]]))
    if rng.random() < 0.5 and fact.replies:
        parts = [fact] if len(facts) == 1 or rng.random() < 0.4 else list(facts)[:2]
        return " ".join(
            _capital(_recalled(part, rng.choice(part.replies), value)) for part in parts
        )
    return rng.choice(_TAKEN_UP).format(restated[list(facts).index(fact)])


def _ask(rng: random.Random, chat: ToldChat, fact: ToldFact | None) -> None:
    """Ask for a fact in one of many ways; None asks for one that was not told."""
    if fact is None:
        question = _dressed(rng, rng.choice(_untold(rng, chat).asked))
        answer = rng.choice(NOT_TOLD)
    else:
        plain = _recalled(fact, rng.choice(fact.recalled))
        form = rng.random()
        if form < 0.66:
            question, answer = _dressed(rng, rng.choice(fact.asked)), plain
        elif form < 0.8:
            question, answer = rng.choice(_REMINDED).format(fact.about), plain
            if question.startswith(("Do you", "Can you")) and rng.random() < 0.5:
                answer = f"Yes, {_inner(plain)}"
        else:
            right = rng.random() < 0.5
            question = rng.choice(fact.checked).format(v=fact.value if right else fact.other)
            question = _dressed(rng, _capital(question))
            answer = f"{'Yes' if right else 'No'}, {_inner(plain)}"
    chat.asked.append((len(chat.exchanges), fact))
    chat.exchanges.append((question, answer))


def _untold(rng: random.Random, chat: ToldChat) -> ToldFact:
    """Return a fact of which nothing was told, in two of five cases near to one that was."""
    known = {fact.about for fact in chat.facts}
    told = " ".join(question.lower() for question, _ in chat.exchanges)
    kinds: Sequence[Kind] = NEAR if rng.random() < 0.4 else KINDS
    while True:
        fact = rng.choice(kinds)(rng)
        # `My friend Anna moved` tells who the friend is, though it is a fact about her home.
        mentioned = fact.about.removesuffix("'s name") + " " in told
        if fact.about not in known and not (mentioned and fact.about.endswith("'s name")):
            return fact


def _sum_up(rng: random.Random, chat: ToldChat) -> None:
    parts = [_recalled(fact, fact.recalled[0]) for fact in chat.facts]
    if len(parts) > 2 and rng.random() < 0.3:
        answer = "You told me:\n\n" + "\n".join(f"- {_capital(part)}" for part in parts)
    else:
        answer = " ".join(_capital(part) for part in parts)
    chat.exchanges.append((rng.choice(_ALL_ASKED), answer))


def _recalled(fact: ToldFact, sentence: str, value: str | None = None) -> str:
    """Fill in the value as the assistant says it: `my sister` becomes `your sister`."""
    said = fact.value if value is None else value
    return sentence.format(v=re.sub(r"\bmy\b", "your", said))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _inner(text: str) -> str:
    """Return a sentence as it is written inside another one: names keep their capital."""
    first = text.split(maxsplit=1)[0]
    return text[0].lower() + text[1:] if first in _LOWERED else text


def _dressed(rng: random.Random, question: str) -> str:
    """Word a question less neatly: with something before it, shortened, without apostrophes."""
    if rng.random() < 0.15:
        question = question.replace("What is", "What's").replace("Where is", "Where's")
        question = question.replace("Who is", "Who's")
    if rng.random() < 0.22:
        question = rng.choice(_LEADS) + _inner(question)
    if rng.random() < 0.15:
        question = question.replace("'", "")
    return question


def _remark(rng: random.Random) -> tuple[str, str]:
    """A statement that nobody asks about, and a few words of attention."""
    said, answers = rng.choice(_REMARKS)
    slots = {"name": a_name(rng), "town": a_town(rng)}
    return said.format(**slots), rng.choice(answers).format(**slots)


_LOWERED = {
    "My", "The", "You", "Your", "We", "There", "Please", "At", "Last", "Tomorrow", "People", "What", "What's", "Whats",
    "Where", "Where's", "Who", "Who's", "Which", "How", "When", "Is", "Are", "Am", "Do", "Does", "Did", "Was", "Can",
    "In", "On", "Say", "A", "An",
}  # fmt: skip
_FIRST_ASKED = ("What was the first thing I said?", "What did I say first?", "What was my first message?")  # fmt: skip
_ALL_ASKED = (
    "What do you know about me?", "What have I told you so far?", "Tell me everything you know about me.",
    "Can you sum up what I told you?", "What did I tell you?", "What do you remember of this chat?",
)  # fmt: skip
_REMINDED = (
    "Do you remember {}?", "Do you still remember {}?", "Can you tell me {}?", "Tell me {} again.", "Do you know {}?",
    "I forgot {}. Can you help?", "Can you remind me of {}?", "What did I say about {}?", "Remind me what I said about {}.",
    "What did I tell you about {}?", "Please repeat {}.", "Say again, {}?",
)  # fmt: skip
_LEADS = (
    "Hey, ", "So, ", "And ", "Tell me, ", "Quick question: ", "Now, ", "Ok, ", "By the way, ", "One more thing: ",
    "Please tell me: ", "Just to check: ", "Let me test you: ", "Do you still know, ", "Hm, ", "Wait, ", "Say, ",
)  # fmt: skip
_BY_THE_WAY = (
    "By the way, ", "Just so you know, ", "Oh, and ", "I should tell you that ", "Did you know that ", "You know, ",
    "I want to tell you that ", "Well, ", "Guess what, ", "Also, ", "Hi, ", "Hello, ", "Hey, ", "For your information, ",
)  # fmt: skip
_BEFORE = (
    "Hi!", "Hello there.", "I had a long day.", "It is raining again.", "The sun is out today.", "I am in a good mood.",
    "Let me tell you something.", "I have a little time.", "I am sitting in the garden.", "Today was fine.", "Good morning!",
    "I just came home.", "I am new here.", "Nice to talk to you.", "I could not sleep last night.", "I drank too much tea.",
)  # fmt: skip
_AFTER = (
    "Just so you know.", "It has been a good week.", "That is all for now.", "I am quite happy about it.", "What do you say?",
    "Please remember that.", "I thought you should know.", "Life is good.", "And the weather is nice, too.", "That's it.",
    "Can you remember that?", "Don't forget it!",
)  # fmt: skip
_TAKEN_UP = (
    "I will remember that {}.", "Good to know that {}.", "So {}. Thank you for telling me!", "Noted: {}.", "I see, {}.",
    "All right, {}.", "Thank you! I will keep in mind that {}.", "Okay, {}.", "How nice to hear that from you: {}.",
)  # fmt: skip
_FINE = ("That sounds nice.", "How nice!", "I am glad to hear that.")
_HARD = ("I am sorry to hear that.", "That sounds hard.", "Oh dear! I hope it gets better.")
_SEEN = ("I see.", "All right.", "Thank you for telling me.", "Interesting!")
_REMARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("I went for a walk today.", _FINE), ("It is very cold today.", _SEEN), ("I have to clean up later.", _SEEN),
    ("The neighbours are very loud today.", _HARD), ("I am a bit tired.", _HARD), ("The bus was late again.", _HARD),
    ("I had a good breakfast.", _FINE), ("I am waiting for the rain to stop.", _SEEN), ("My coffee is cold.", _HARD),
    ("I talked to {name} on the phone.", ("I hope {name} is well.", "What did {name} say?", *_SEEN)),
    ("I saw a film about {town}.", ("How was the film?", "I hope the film about {town} was good.")),
    ("{name} has just come in.", ("Say hello to {name}!", *_SEEN)), ("I read that it snows in {town}.", _SEEN),
    ("A letter from {name} came today.", ("How nice! What does {name} write?", *_SEEN)), ("The birds are singing.", _FINE),
    ("Somebody in {town} won a prize.", ("How nice for them!", *_SEEN)), ("I am listening to the radio.", _FINE),
    ("We had a nice evening.", _FINE), ("I have so much to do.", _HARD), ("It smells of bread here.", _FINE),
    ("My back hurts a little.", _HARD), ("The train to {town} was full.", _HARD), ("I like this time of the year.", _FINE),
    ("I am going to make some tea.", ("Enjoy your tea!", *_FINE)), ("The lights went out for a minute.", _SEEN),
    ("Today everything goes wrong.", _HARD), ("I laughed a lot today.", _FINE), ("Tomorrow will be a busy day.", _SEEN),
)  # fmt: skip
"""Statements with answers that fit; `{name}` and `{town}` are drawn anew."""
