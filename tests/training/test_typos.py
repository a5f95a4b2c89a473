"""What is typed in haste keeps names, digits and code, and is never empty."""

import random
import re

import pytest

from kvchat.training.drills.exchange import typed

QUESTIONS = (
    "What is the name of my sister Anna?",
    "My friend Rosa lives in Oslo.",
    "Tell me something about Paris, please.",
    "I think Tom and Mia are 27 and 31 years old.",
    "What is 17 + 3?",
    "Anna is my sister.",
    "Ivan has 3 apples.",
    "I don't know what you're thinking about today.",
)


def as_typed(question: str) -> set[str]:
    rng = random.Random(4)
    return {typed(rng, question) for _ in range(400)}


@pytest.mark.parametrize("question", QUESTIONS)
def test_names_and_digits_stay_as_they_are(question: str) -> None:
    kept = re.findall(r"\d+|\b(?:Anna|Rosa|Oslo|Paris|Tom|Mia|Ivan)\b", question)
    for text in as_typed(question):
        assert re.findall(r"\d+|\b(?:Anna|Rosa|Oslo|Paris|Tom|Mia|Ivan)\b", text) == kept


def test_code_and_other_alphabets_stay_as_they_are() -> None:
    for text in ("What does `print(I'm)` do?", "Как дела?", "What is this?\nprint(1)"):
        assert as_typed(text) == {text}


@pytest.mark.parametrize("text", ["?", "...", ".", "!!!", "??", "x", "Hi!", "I."])
def test_a_short_message_is_never_empty(text: str) -> None:
    assert all(typed.strip() for typed in as_typed(text))


def test_people_leave_out_marks_capitals_and_apostrophes() -> None:
    texts = as_typed("I don't know what you're thinking about today.")
    assert "i dont know what youre thinking about today" in texts
    assert any("abuot" in text or "todya" in text for text in texts)
    assert any(text.startswith("whats") for text in as_typed("What is 17 + 3?"))
    assert any(text.startswith("can you tell me") for text in as_typed("Tell me a story."))


def test_about_half_of_the_messages_stay_clean() -> None:
    rng = random.Random(9)
    question = "What is the weather like today?"
    clean = sum(typed(rng, question) == question for _ in range(1000))
    assert 450 < clean < 700


def test_words_that_a_question_is_about_get_no_typo() -> None:
    for text in as_typed('How do you spell "remember"?'):
        assert "remember" in text
