"""Answer: what is measured in a text."""

import pytest

from kvchat.evaluation.answer import Answer


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(text, finish_reason, 10)


def test_words_keep_their_apostrophes_and_hyphens() -> None:
    assert answer("I'm the built-in model, *really*!").words == [
        "i'm",
        "the",
        "built-in",
        "model",
        "really",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("No", 1),
        ("I speak English.", 1),
        ("Sorry! I speak English only.", 2),
        ('"Come," said Ben. He went', 2),
        ("It is 3.5 metres.", 1),
        ("Well... yes.", 2),
    ],
)
def test_sentences_end_at_their_marks_and_an_unfinished_one_counts(text: str, count: int) -> None:
    assert answer(text).num_sentences == count


@pytest.mark.parametrize("text", ["The end.", 'He said "Good night."', "Really?!", "**Done!** "])
def test_a_sentence_mark_may_stand_behind_quotes_and_stars(text: str) -> None:
    assert answer(text).ends_with_mark


@pytest.mark.parametrize("text", ["", "and then the", "the fox, ", "1. one\n2. two"])
def test_a_text_that_breaks_off_has_no_mark_at_its_end(text: str) -> None:
    assert not answer(text).ends_with_mark


def test_only_a_stop_token_is_an_end_of_its_own() -> None:
    assert answer("x").stopped
    assert not answer("x", "length").stopped and not answer("x", "context").stopped


@pytest.mark.parametrize(
    "text",
    [
        "Here are three:\n- an apple\n- Pear\n- plum.",
        "1. apple\n2) pear\n3. *plum*",
        "Sure! Apple, pear and plum. Do you like them?",
        "Some fruits: the apple, pear, and plum",
    ],
)
def test_items_are_those_of_a_list_or_between_commas(text: str) -> None:
    assert answer(text).items == ["apple", "pear", "plum"]


def test_lines_of_a_list_are_not_made_of_commas() -> None:
    assert answer("Take water, soap and a towel.").lines_of_list == []
    assert answer("* water\n+ soap\n10. towel\n-none").lines_of_list == ["water", "soap", "towel"]


def test_only_a_closed_fence_holds_code() -> None:
    assert answer("Try:\n```python\nprint('hi')\n```\nDone.").code_blocks == ["print('hi')\n"]
    assert answer("```\nls").code_blocks == []
    assert answer("Use `ls`.").code_blocks == []


def test_repetition_is_the_share_of_runs_of_four_words_that_came_before() -> None:
    assert answer("one two three four five six").repetition == 0
    assert answer("too short").repetition == 0
    assert answer("a b c d a b c d").repetition == pytest.approx(1 / 5)
    assert answer("again and " * 20).repetition > 0.9


def test_letters_of_other_scripts_are_told_from_english_ones() -> None:
    assert answer("Hello! 123").letters_in_latin == 1
    assert answer("123").letters_in_latin == 1
    assert answer("Привет").letters_in_latin == 0
