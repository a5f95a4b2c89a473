"""Drills chosen from tables: programs, formats, languages, nonsense, limits, itself, small talk."""

import random
from collections.abc import Mapping, Sequence

from kvchat.training.drills.exchange import Exchange
from kvchat.training.drills.foreign_words import FOREIGN
from kvchat.training.drills.format_words import MARKED, TABLES
from kvchat.training.drills.format_words import WORDS as MARKED_WORDS
from kvchat.training.drills.limit_words import UNABLE
from kvchat.training.drills.limit_words import WORDS as LIMIT_WORDS
from kvchat.training.drills.nonsense_words import FORMS, STRAY, UNCLEAR, made_up_word, stray_keys
from kvchat.training.drills.nonsense_words import WORDS as NONSENSE_WORDS
from kvchat.training.drills.phrases import spun
from kvchat.training.drills.program_words import PROGRAMS
from kvchat.training.drills.self_words import OTHERS, SELF
from kvchat.training.drills.talk_words import JOKES, RIDDLES, SMALL_TALK
from kvchat.training.drills.talk_words import WORDS as TALK_WORDS


def a_program(rng: random.Random) -> Exchange:
    """A few lines of code in a fence, with one sentence about them."""
    questions, language, code, remark = rng.choice(PROGRAMS)
    n, word = rng.randint(3, 9), rng.choice(("hello", "cat", "sun", "tree", "book", "kvchat"))
    thing = rng.choice(("apple", "milk", "bread", "tea", "rice", "salt"))
    fills = {"<n>": str(n), "<word>": word, "<thing>": thing}
    parts = [rng.choice(questions), code, remark]
    for mark, fill in fills.items():
        parts = [part.replace(mark, fill) for part in parts]
    question, code, remark = parts
    fenced = f"```{language}\n{code}\n```"
    return [(question, f"{fenced}\n\n{remark}" if remark else fenced)]


def a_format(rng: random.Random) -> Exchange:
    """A small table, or a word or line marked up as asked."""
    if rng.random() < 0.5:
        questions, marked = rng.choice(MARKED)
        return _from_table(rng, questions, (marked,), MARKED_WORDS)
    about, head, all_rows = rng.choice(TABLES)
    rows = rng.sample(all_rows, rng.randint(min(3, len(all_rows)), len(all_rows)))
    if about.startswith(("months", "numbers", "a week", "seasons", "meals")):
        rows.sort(key=all_rows.index)  # what has an order keeps it
    lines = [head, ("---", "---"), *rows]
    ask = rng.choice(
        (f"Show me a table of {about}.", f"Make a table with {about}.", f"Give me a small table: {about}.",
         f"Can you write a table of {about}?", f"Write {about} as a table.", f"table of {about} please",
         f"I need a Markdown table of {about}.", "Show me a table.", "Can you make a table?", "Write a small table.")
    )  # fmt: skip
    return [(ask, "\n".join(f"| {left} | {right} |" for left, right in lines))]


def another_language(rng: random.Random) -> Exchange:
    """A sentence in another language, answered in English."""
    language = rng.choice(list(FOREIGN))
    said = rng.choice(FOREIGN[language])
    if rng.random() < 0.15:
        said += " " + rng.choice(FOREIGN[language])
    return [
        (
            said,
            rng.choice(
                (
                    "I am sorry, I only speak English.",
                    "Sorry, I speak English only. Could you say that in English?",
                    "I only speak English, so please write to me in English.",
                )
            ),
        )
    ]


def a_question_without_sense(rng: random.Random) -> Exchange:
    """Something that cannot be answered, and being told so."""
    form = rng.random()
    if form < 0.65:
        question = spun(rng, rng.choice(FORMS), NONSENSE_WORDS, {})
    elif form < 0.8:
        word, other = made_up_word(rng), made_up_word(rng)
        question = rng.choice(
            (f"{word} {other}", f"{word} {other} {made_up_word(rng)}", f"What is a {word} {other}?", f"Tell me about the {word} {other}.",
             f"How do I {word} the {other}?", f"Is the {word} {other} enough?", f"I {word} my {other}.", f"{word}!", f"{word} {other} please")
        )  # fmt: skip
    elif form < 0.93:
        question = rng.choice(STRAY)
    else:
        question = stray_keys(rng)
    return [(question, spun(rng, rng.choice(UNCLEAR), {}, {}))]


def out_of_reach(rng: random.Random) -> Exchange:
    """Something that a small program without the internet cannot do."""
    # The nearest kinds first: their many forms are asked for more often than those of few.
    questions, answers = rng.choice(UNABLE)
    return _from_table(rng, questions, answers, LIMIT_WORDS)


def about_itself(rng: random.Random) -> Exchange:
    """What it is, and how to get a larger one."""
    questions, answers = rng.choice(SELF)
    return _from_table(rng, questions, answers, OTHERS)


def small_talk(rng: random.Random) -> Exchange:
    """Greetings, thanks, moods, jokes, riddles."""
    form = rng.random()
    if form < 0.08:
        return _jokes(rng)
    if form < 0.12:
        return _a_riddle(rng)
    questions, answers = rng.choice(SMALL_TALK)
    return _from_table(rng, questions, answers, TALK_WORDS)


def _from_table(
    rng: random.Random,
    questions: Sequence[str],
    answers: Sequence[str],
    nouns: Mapping[str, Sequence[str]],
) -> Exchange:
    fills: dict[str, str] = {}
    question = spun(rng, rng.choice(questions), nouns, fills)
    return [(question.strip(), spun(rng, rng.choice(answers), nouns, fills).strip())]


def _jokes(rng: random.Random) -> Exchange:
    ask = "[Tell me a|Do you know a|Do you know any|I want to hear a|Can you tell me a|Say a|One] [joke|good joke|funny joke|short joke][ please|]."
    jokes = rng.sample(JOKES, rng.choice((1, 1, 2, 3)))
    lead = spun(rng, "[|||Sure! |Here is one: |Of course. ]", {}, {})
    exchange = [(spun(rng, rng.choice((ask, "[Make me laugh|Be funny|joke please|Tell me something funny|Cheer me up with a joke].")), {}, {}), lead + jokes[0])]  # fmt: skip
    for joke in jokes[1:]:
        more = "[Another one|One more|Tell me another joke|And another|Do you know more|haha, another one|more please][.|!| please]"
        exchange.append((spun(rng, more, {}, {}), joke))
    return exchange


def _a_riddle(rng: random.Random) -> Exchange:
    riddle, solution = rng.choice(RIDDLES)
    asked = spun(rng, "[Tell me a riddle|Do you know a riddle|Give me a riddle|Ask me a riddle|A riddle][ please|].", {}, {})  # fmt: skip
    give_up = spun(rng, "[I don't know|What is it|Tell me|No idea|I give up|What is the answer|The answer please][.|]", {}, {})  # fmt: skip
    exchange = [(asked, riddle)]
    form = rng.random()
    if form < 0.5:
        exchange.append((give_up, solution))
    elif form < 0.75:
        exchange.append(
            (solution, rng.choice(("Yes, that is right!", "Right! Well done.", "Exactly!")))
        )
    return exchange
