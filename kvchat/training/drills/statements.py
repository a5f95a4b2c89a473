"""Statements that ask for nothing, and replies that take up what was said."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.phrases import spun
from kvchat.training.drills.statement_words import NOUNS

TOPICS_PATH = Path(__file__).with_name("topics.txt")
"""A topic is a block of lines: statements, replies after `=`, and after `>` what may be said next,
with its replies after `=>` and `/` between them. Replies of a topic fit each of its statements."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Statements about one thing, the replies that fit each of them, and what may come next."""

    says: tuple[str, ...]
    replies: tuple[str, ...]
    goes_on: tuple[tuple[str, tuple[str, ...]], ...]


def _topic(block: str) -> Topic:
    says, replies, goes_on = [], [], []
    for line in block.splitlines():
        if line.startswith("= "):
            replies.append(line[2:])
        elif line.startswith("> "):
            said, _, answers = line[2:].partition(" => ")
            goes_on.append((said, tuple(answers.split(" / "))))
        else:
            says.append(line)
    return Topic(tuple(says), tuple(replies), tuple(goes_on))


TOPICS = tuple(
    _topic(block) for block in TOPICS_PATH.read_text(encoding="utf-8").strip().split("\n\n")
)
# A topic of many statements is met more often than one of few.
_NUM_STATEMENTS = [len(topic.says) for topic in TOPICS]
_QUESTION = re.compile(r"[A-Z][^.!?]*\?")
_AUXILIARIES = frozenset(
    [
        "Do",
        "Does",
        "Did",
        "Is",
        "Are",
        "Was",
        "Were",
        "Will",
        "Can",
        "Could",
        "Have",
        "Has",
        "Would",
        "Shall",
        "Should",
    ]
)
_YES_OR_NO = ("yes", "no,", "no ", "not ", "never", "I did", "a bit", "a little", "very", "I think so", "almost", "I found")  # fmt: skip
_OPENINGS = ("", "", "", "", "", "", "", "[Oh|Hm|Well|So|By the way|Guess what|You know], ", "[Hi|Hello|Hey]! ")  # fmt: skip
_THANKS = (
    ("[Thanks|Thank you|thx|ok thanks|Thank you for that].", ("You are welcome!", "Of course. [I like to listen.|Tell me more, if you like.]")),
    ("[True|I see|ok|Right|Yes, maybe|Maybe you are right].", ("[What else|Is there anything else that] is on your mind?", "Would you like to tell me more?")),
    ("[What would you do|What do you think|And you]?", ("I am only a program, but I would take it one step at a time.", "I have no such days, being a program. But I like to hear about yours.", "That is not easy to say for a program like me. What do you feel like?", "I am only a small program, but I would talk about it with a friend.")),
)  # fmt: skip


def _answers(said: str, reply: str) -> bool:
    """Return whether this may be said after the reply's question: no `yes` to a `what`."""
    asked: list[str] = _QUESTION.findall(reply)
    if not asked:
        return False
    word = asked[-1].split(" ", 1)[0]
    if said.startswith("it did"):
        return word == "Did"
    return word in _AUXILIARIES or not said.startswith(_YES_OR_NO)


def a_statement(rng: random.Random) -> Exchange:
    """Something a person says about a day, with a reply that fits, and sometimes more of it."""
    (topic,) = rng.choices(TOPICS, _NUM_STATEMENTS)
    fills: dict[str, str] = {}
    opening = spun(rng, rng.choice(_OPENINGS), NOUNS, fills)
    said = spun(rng, rng.choice(topic.says), NOUNS, fills)
    if opening.endswith(", ") and not said.startswith(("I ", "Today", *NOUNS["day"])):
        said = said[0].lower() + said[1:]
    reply = spun(rng, rng.choice(topic.replies), NOUNS, fills)
    if opening.endswith("! "):
        reply = rng.choice(("Hello! ", "Hi! ")) + reply
    exchange = [(opening + said, reply)]
    goes_on = [more for more in topic.goes_on if _answers(more[0], reply)]
    rng.shuffle(goes_on)
    # A thing said after a question may answer it; after anything else, thanks are safe.
    if goes_on and rng.random() < 0.55:
        said, answers = goes_on[0]
        exchange.append(
            (spun(rng, said, NOUNS, fills), spun(rng, rng.choice(answers), NOUNS, fills))
        )
    if rng.random() < 0.25 and ("?" not in exchange[-1][1]):
        said, answers = rng.choice(_THANKS[:2] if len(exchange) > 1 else _THANKS)
        exchange.append(
            (spun(rng, said, NOUNS, fills), spun(rng, rng.choice(answers), NOUNS, fills))
        )
    return [(said.strip(), reply.strip()) for said, reply in exchange]
