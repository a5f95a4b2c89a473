"""What is recalled was told in the same chat, the last value holds, and the rest is not known."""

import random
import re

from kvchat.training.drills.chats import drill_records
from kvchat.training.drills.exchange import FIRST
from kvchat.training.drills.personal_facts import KINDS, NEAR
from kvchat.training.drills.told_facts import NOT_TOLD, ToldChat, told_and_asked, told_chat

CHATS = [told_chat(random.Random(number), [[("Hm.", "Yes?")]]) for number in range(2500)]


def _said(value: str) -> str:
    return re.sub(r"\bmy\b", "your", value)


def _before(chat: ToldChat, place: int) -> str:
    return " ".join(question for question, _ in chat.exchanges[:place]).lower()


def test_what_is_recalled_was_told_before_in_the_same_words() -> None:
    recalled = 0
    for chat in CHATS:
        for place, fact in chat.asked:
            if fact is not None:
                recalled += 1
                _, answer = chat.exchanges[place]
                assert _said(fact.value) in answer, (chat.exchanges, answer)
                assert fact.value.lower() in _before(chat, place), chat.exchanges
    assert recalled > 4000


def test_after_a_correction_the_last_value_is_recalled() -> None:
    corrected = 0
    for chat in CHATS:
        for place, fact in chat.asked:
            told = _before(chat, place)
            if fact is None or not re.search(rf"\b{re.escape(fact.other.lower())}\b", told):
                continue
            corrected += 1
            assert told.rfind(fact.value.lower()) >= 0
            answer = chat.exchanges[place][1]
            assert not re.search(rf"\b{re.escape(_said(fact.other))}\b", answer), chat.exchanges
    assert corrected > 150


def test_what_was_not_told_is_not_known_and_is_asked_now_and_then() -> None:
    unknown = [
        (chat, place, chat.exchanges[place][1])
        for chat in CHATS
        for place, fact in chat.asked
        if fact is None
    ]
    assert all(answer in NOT_TOLD for _, _, answer in unknown)
    assert 0.1 < len(unknown) / sum(len(chat.asked) for chat in CHATS) < 0.2


def test_questions_of_yes_or_no_are_answered_by_the_value_in_them() -> None:
    answered = {"Yes": 0, "No": 0}
    for chat in CHATS:
        for place, fact in chat.asked:
            question, answer = chat.exchanges[place]
            word = answer.split(",")[0]
            if fact is None or word not in answered or "remember" in question:
                continue
            forms = [form.format(v=fact.value).lower().rstrip("?") for form in fact.checked]
            plain = [form.replace("'", "") for form in forms]
            is_right = any(form in question.lower() for form in forms + plain)
            if question.startswith(("Do you", "Can you")):
                continue
            answered[word] += 1
            assert is_right == (word == "Yes"), (question, answer)
    assert min(answered.values()) > 200


def test_every_kind_of_fact_has_two_values_and_fills_its_places() -> None:
    for kind in {*KINDS, *NEAR}:
        for number in range(60):
            fact = kind(random.Random(f"{kind.__name__}/{number}"))
            assert fact.value not in fact.other
            assert fact.other not in fact.value
            assert fact.replies
            for form in (*fact.told, *fact.recalled, *fact.checked):
                assert form.count("{v}") == 1, form
            for text in (*fact.told, *fact.asked, *fact.recalled, *fact.checked, *fact.replies):
                filled = text.format(v=fact.value)
                assert "{" not in filled
                for before, word in re.findall(r"\b([Aa]n?) ([a-z]\w+)", filled):
                    vowel = word[0] in "aeiou" and not word.startswith(("uni", "use"))
                    assert (before.lower() == "an") == vowel, filled
            assert all(text.endswith((".", "?")) for text in fact.asked)
            assert all(text.endswith(".") for text in fact.recalled)


def test_several_facts_come_in_one_message() -> None:
    together = sum(
        chat.exchanges[0][0].lower().count(chat.facts[0].value.lower())
        and chat.facts[1].value.lower() in chat.exchanges[0][0].lower()
        for chat in CHATS
        if len(chat.facts) > 1
    )
    assert together > 300


def test_the_same_seed_gives_the_same_chat() -> None:
    first, second = (told_and_asked(random.Random(4), []) for _ in range(2))
    assert first == second
    assert first != told_and_asked(random.Random(5), [])


def test_answers_stay_short_and_hold_no_mark() -> None:
    chats = list(drill_records(2000, seed=1))
    answers = [each.content for chat in chats for each in chat.messages if each.role == "assistant"]
    assert max(map(len, answers)) <= 1500
    assert not any(FIRST in answer for answer in answers)
