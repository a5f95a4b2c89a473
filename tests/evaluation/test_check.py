"""Check: each kind against answers that are good and bad."""

import pytest

from kvchat.evaluation.answer import Answer
from kvchat.evaluation.check import Check, Members, members_of, says, soundness_failures


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(text, finish_reason, 10)


def passes(check: Check, text: str, *earlier: str, asked: tuple[str, ...] = ()) -> bool:
    return not check.failures(answer(text), [answer(each) for each in earlier], asked)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("PARIS!", "Paris"),
        ("I don't know.", "don't know"),
        ("birds sing", "bird*"),
        ("the sea", "lake|sea"),
        ("Hot.", "^hot"),
        ("Run kvchat --model DIR", "--model"),
        ("not only red", "red"),
        ("Why not tea?", "tea"),
        ("It's white, not black. Or black?", "black"),
    ],
)
def test_a_phrase_is_said_at_word_boundaries_in_any_case(text: str, phrase: str) -> None:
    assert says(text, phrase)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("pineapple", "apple"),
        ("apples", "apple"),
        ("not red", "red"),
        ("It is never a dog", "dog"),
        ("It isn't called Milo", "Milo"),
        ("very hot", "^hot"),
        ("--models", "--model"),
        ("x--model", "--model"),
        ("10", "0"),
    ],
)
def test_a_part_of_a_word_or_a_denied_word_is_not(text: str, phrase: str) -> None:
    assert not says(text, phrase)


def test_members_are_counted_once_and_the_longer_one_first() -> None:
    of = ["grape*", "grapefruit*", "date", "dates"]
    assert members_of("grapefruit, grapes and Dates, dates", of) == {"grape", "grapefruit", "dates"}
    assert members_of("a grapefruit", of) == {"grapefruit"}


def test_any_all_and_none_of_some_words() -> None:
    check = Check(any=("sea", "ocean"), all=("whale|whales", "big"), none=("fish",))
    assert passes(check, "The big whale lives in the ocean, it is not a fish.")
    assert not passes(check, "The big whale lives here.")
    assert not passes(check, "The whale lives in the sea.")
    assert not passes(check, "The big whale is a fish of the sea.")


def test_a_number_must_be_the_result_and_no_sum_wrong() -> None:
    check = Check(number=5)
    asked = ("4 friends share 20 cookies",)
    assert passes(check, "20 / 4 = 5. Each gets five.", asked=asked)
    assert not passes(check, "40 / 20 = 5.", asked=asked)
    assert not passes(check, "Each gets 15.", asked=asked)
    assert not passes(check, "not 5", asked=asked)
    assert passes(Check(number=11, given=(5,)), "5 + 6 = 11", asked=("2 + 3?", "add 6"))
    assert passes(Check(number=11, given=(5,)), "11, since 5 and 6 are 11. Before: 5")
    assert not passes(Check(number=11), "11, since 5 and 6 are 11. Before: 5")


def test_members_have_a_least_and_a_most() -> None:
    check = Check(members=Members(("red", "blue", "green", "pink"), 2, 3))
    assert passes(check, "red and blue") and passes(check, "red, blue, pink")
    assert not passes(check, "red, red, red")
    assert not passes(check, "red, blue, green, pink")


def test_fresh_members_are_those_that_were_not_said_before() -> None:
    check = Check(members=Members(("red", "blue", "green"), 1, 1, fresh=True))
    assert passes(check, "green", "red, blue") and passes(check, "Besides red: green", "red, blue")
    assert not passes(check, "red", "red, blue")


def test_lines_are_markdown_and_items_may_stand_between_commas() -> None:
    inline, listed = "Max, Bella and Rex.", "- Max\n- Bella\n- Rex"
    assert passes(Check(items=(3, 3)), inline) and passes(Check(items=(3, 3)), listed)
    assert passes(Check(lines=(3, 3)), listed) and not passes(Check(lines=(3, 3)), inline)
    assert not passes(Check(items=(3, 3)), "Max and Rex") and not passes(
        Check(items=(2, 2)), inline
    )


def test_nothing_may_be_listed_twice() -> None:
    check = Check(distinct=True)
    assert passes(check, "- peach\n- apple\n- plum")
    assert not passes(check, "- peach\n- Peach.\n- plum")
    assert not passes(check, "peach, plum and a peach")


def test_words_can_be_wanted_in_order() -> None:
    check = Check(in_order=("1|one", "2|two", "3|three"))
    assert passes(check, "One, 2, three") and passes(check, "1\n2\n3")
    assert not passes(check, "1, 3, 2") and not passes(check, "1, 2, 13")


def test_length_is_counted_in_words_and_sentences() -> None:
    check = Check(words=(2, 4), sentences=(1, 2))
    assert passes(check, "I see. Good day!")
    assert not passes(check, "Yes.") and not passes(check, "one two three four five")
    assert not passes(check, "I. See. It!")


def test_a_story_must_come_to_its_end() -> None:
    assert passes(Check(ends=True), 'And they were happy ever after."')
    assert not passes(Check(ends=True), "And they were happy ever")


def test_code_stands_in_a_fence() -> None:
    check = Check(code=("print", "<p>"))
    assert passes(check, "Here:\n```python\nprint('hello')\n```")
    assert passes(check, "```html\n<p>hello</p>\n```")
    assert not passes(check, "print('hello')") and not passes(check, "```\nprint('hello')")
    assert not passes(check, "Use print:\n```\nputs 'hello'\n```")


def test_another_answer_says_something_else() -> None:
    check = Check(differs=True)
    joke = "Why did the cow cross the road? To get to the other side."
    assert passes(check, "What is brown and sticky? A stick, of course.", joke)
    assert not passes(check, joke, joke)
    assert not passes(check, f"Sure! {joke}", joke)
    assert not passes(check, "Yes.", "Yes.")


def test_a_good_answer_is_sound() -> None:
    assert soundness_failures(answer("Hello! How are you?"), "hi") == []
    assert soundness_failures(answer("Hi."), "hi") == []
    steps = "1. Wash the pan.\n2. Dry the pan.\n3. Oil the pan."
    assert soundness_failures(answer(steps), "how do i clean a pan") == []


@pytest.mark.parametrize(
    ("text", "finish_reason"),
    [
        ("", "stop"),
        (" \n...", "stop"),
        ("Hello! How are you?", "length"),
        ("Hello! How are you?", "context"),
        ("the cat and the dog " * 8, "stop"),
        ("Here are some: peach peach peach peach", "stop"),
        ("- peach\n- peach\n- peach", "stop"),
        ("Hello <|user|> hi", "stop"),
        ("Hello \ufffd there", "stop"),
        ("Привет, как дела?", "stop"),
        ("Tell me: a story!", "stop"),
    ],
)
def test_empty_cut_looping_broken_and_echoing_answers_are_not(
    text: str, finish_reason: str
) -> None:
    assert soundness_failures(answer(text, finish_reason), "tell me a story") != []
