"""Drills are right, repeatable, and say what the program really does."""

import random
import re

from kvchat.training.drills.chats import drill_records
from kvchat.training.drills.exchange import FIRST
from kvchat.training.drills.guides import GUIDES
from kvchat.training.drills.program_words import PROGRAMS
from kvchat.training.drills.sums import a_sum
from kvchat.training.drills.table_drills import a_program
from kvchat.training.drills.words import NUMBER_WORDS

CHATS = [record.messages for record in drill_records(4000, seed=7)]
ANSWERS = [message.content for chat in CHATS for message in chat if message.role == "assistant"]
SIGNS = {"+": "+", "plus": "+", "-": "-", "minus": "-", "*": "*", "times": "*"}


def test_every_sum_is_right_and_at_most_twenty() -> None:
    form = re.compile(r"(\d+) (\+|-|\*|plus|minus|times) (\d+) (?:=|is|makes) (\d+)")
    sums = [found for answer in ANSWERS for found in form.findall(answer)]
    assert len(sums) > 600
    for first, sign, second, result in sums:
        values = int(first), int(second)
        expected = {"+": sum(values), "-": values[0] - values[1], "*": values[0] * values[1]}
        assert int(result) == expected[SIGNS[sign]], (first, sign, second, result)
        assert 0 <= int(result) <= 20


def test_follow_up_sums_go_on_from_the_last_result() -> None:
    rng = random.Random(3)
    for _ in range(300):
        exchange = a_sum(rng)
        result = None
        for question, answer in exchange:
            numbers = [int(number) for number in re.findall(r"\d+", answer)]
            if result is not None:
                (step,) = (int(number) for number in re.findall(r"\d+", question))
                less = re.search("minus|away|Subtract|less", question)
                expected = result - step if less else result + step
                assert expected in numbers, (question, answer)
                result = expected
            else:
                # "That makes 7 eggs, because 3 + 4 = 7." and "3 + 4 = 7." alike end with it.
                result = numbers[-1]


def test_the_same_number_gives_the_same_chat() -> None:
    few, many = list(drill_records(20, seed=7)), list(drill_records(40, seed=7))
    assert few == many[:20]
    assert few != list(drill_records(20, seed=8))


def test_roles_take_turns_and_nothing_is_empty() -> None:
    for chat in CHATS:
        assert [message.role for message in chat] == ["user", "assistant"] * (len(chat) // 2)
        assert all(message.content.strip() for message in chat)
        assert FIRST not in "".join(message.content for message in chat)


def test_the_first_message_is_quoted_as_it_was_typed() -> None:
    quotes = 0
    for chat in CHATS:
        for message in chat:
            if message.content.startswith("You said: "):
                quotes += 1
                assert chat[0].content in message.content
    assert quotes > 20


def test_guides_can_be_counted_in_words() -> None:
    assert all(2 <= len(steps) < len(NUMBER_WORDS) for steps in GUIDES.values())


def test_programs_in_python_compile() -> None:
    for _, language, code, _ in PROGRAMS:
        if language == "python":
            compile(code.replace("<n>", "5"), "drill", "exec")


def test_what_is_filled_in_leaves_no_mark_and_changes_nothing_else() -> None:
    rng = random.Random(13)
    texts = [text for _ in range(500) for pair in a_program(rng) for text in pair]
    assert not any(re.search("<(n|word|thing)>", text) for text in texts)
    assert any("kvchat --model NAME" in text for text in texts)
    assert any("JSON" in text for text in texts)
