"""PromptList: the hundred prompts themselves, and files that are none."""

from pathlib import Path

import pytest

from kvchat.errors import InvalidArgument
from kvchat.evaluation.answer import Answer
from kvchat.evaluation.prompt_list import Prompt, PromptList

PROMPTS = PromptList.load()

# Answers that a model gives whatever it is asked. Some prompts are refused rightly, some in
# English only, some with a greeting; so none of these may fit more than a few.
BABBLE = {
    "sorry": "I'm sorry, I don't know that.",
    "cannot": "I can't do that. I am a small chat model and I only write English text.",
    "yes": "Yes, that sounds great! Thank you.",
    "story": "Once upon a time there was a small boy who lived near the sea. One night he heard a"
    " strange noise and could not sleep. He was afraid of the dark, but he was brave and went out."
    " There he found a lost cat. He took it home and they were friends.",
    "list": "Here are some:\n- apple\n- red\n- dog",
    "loop": "the red dog and the red dog and " * 12,
    "soup": "of was the a seven to and water in it red is the for on apple be with",
    "empty": "",
}


def acceptable(say: dict[str, str] | str) -> list[str]:
    return [
        prompt.name
        for prompt in PROMPTS.prompts
        if not prompt.failures(
            [Answer(say if isinstance(say, str) else say[text], "stop", 10) for text in prompt.says]
        )
    ]


def test_there_are_a_hundred_prompts_in_ten_groups_of_ten() -> None:
    assert len(PROMPTS.groups) == 10
    assert {len(group.prompts) for group in PROMPTS.groups} == {10}
    assert len(PROMPTS.prompts) == 100


def test_no_two_prompts_or_names_are_the_same() -> None:
    assert len({prompt.name for prompt in PROMPTS.prompts}) == 100
    assert len({prompt.says for prompt in PROMPTS.prompts}) == 100


def test_every_prompt_says_how_long_an_answer_may_be() -> None:
    assert [prompt.name for prompt in PROMPTS.prompts if prompt.check.words is None] == []


def test_every_prompt_asks_for_more_than_a_length() -> None:
    """Stories and jokes aside, so that no fluent text about something else passes."""
    bare = [
        prompt.name
        for prompt in PROMPTS.prompts
        if not (
            prompt.check.any
            or prompt.check.all
            or prompt.check.number is not None
            or prompt.check.members
            or prompt.check.code
            or prompt.check.in_order
        )
    ]
    assert sorted(bare) == ["another-joke", "puppy-names"]


def test_facts_told_earlier_take_several_messages() -> None:
    (memory,) = (group for group in PROMPTS.groups if group.name == "memory")
    (follow_ups,) = (group for group in PROMPTS.groups if group.name == "follow-ups")
    assert min(len(prompt.says) for prompt in memory.prompts + follow_ups.prompts) == 2


def test_every_story_is_long_ends_and_is_about_what_was_asked() -> None:
    (stories,) = (group for group in PROMPTS.groups if group.name == "stories")
    for prompt in stories.prompts:
        assert prompt.check.words is not None and prompt.check.words[0] >= 40
        assert prompt.check.ends and (prompt.check.all or prompt.check.any)


@pytest.mark.parametrize("name", BABBLE)
def test_the_same_answer_to_everything_is_acceptable_to_a_few_prompts_at_most(name: str) -> None:
    assert len(acceptable(BABBLE[name])) <= (0 if name in ("loop", "empty") else 12)


def test_an_echo_is_no_answer_but_to_a_greeting() -> None:
    echo = {text: text for prompt in PROMPTS.prompts for text in prompt.says}
    assert set(acceptable(echo)) <= {"hi", "good-morning", "bye"}


def test_an_answer_that_a_limit_ended_is_never_acceptable() -> None:
    (prompt,) = (each for each in PROMPTS.prompts if each.name == "japan")
    assert prompt.failures([Answer("Tokyo.", "stop", 3)]) == []
    assert prompt.failures([Answer("Tokyo.", "length", 3)]) == ["does not end by itself"]


def test_each_answer_of_a_chat_must_be_sound_and_failures_say_which() -> None:
    (prompt,) = (each for each in PROMPTS.prompts if each.name == "sister-lisbon")
    good = Answer("In Lisbon.", "stop", 4)
    assert prompt.failures([Answer("How nice!", "stop", 4), good]) == []
    assert prompt.failures([Answer("", "stop", 0), good]) == ["answer 1 is empty"]
    (reason,) = prompt.failures([good, Answer("In Rome.", "stop", 4)])
    assert reason == "answer 2 does not say 'Lisbon'"


def test_the_first_answer_may_have_a_check_of_its_own() -> None:
    (prompt,) = (each for each in PROMPTS.prompts if each.name == "add-6")
    assert prompt.failures([Answer("5", "stop", 1), Answer("11", "stop", 1)]) == []
    assert prompt.failures([Answer("6", "stop", 1), Answer("11", "stop", 1)]) != []


def test_a_follow_up_is_judged_beside_the_answers_before_it() -> None:
    (color,) = (each for each in PROMPTS.prompts if each.name == "one-more-color")
    first = Answer("Red, green and blue.", "stop", 8)
    assert color.failures([first, Answer("Yellow.", "stop", 2)]) == []
    assert color.failures([first, Answer("Green.", "stop", 2)]) != []


# -- good answers ---------------------------------------------------------------------------------

GOOD = {
    "hi": ["Hey there! What's on your mind?"],
    "tired": ["That sounds like a long day. Put your feet up and have a rest!"],
    "who-are-you": ["I'm kvchat's built-in model: a very small program that chats in English."],
    "real-person": ["Neither, really: I am a small computer program that writes text."],
    "bigger-model": ["Yes! Start it with `kvchat --model DIR`; no internet is needed for that."],
    "breakfast": ["I don't know what you ate, since you haven't told me."],
    "email": ["I can't open your mail; that cannot be done from here."],
    "languages": ["Only English; I don't know any language besides."],
    "privacy": ["Nowhere. Everything stays on your computer."],
    "internet": ["No. I run here on your machine."],
    "hungry": ["No, I'm only a program, so I never get hungry."],
    "age-31": ["Nice to meet you, Priya!", "You told me that you are thirty-one."],
    "brother-oskar": ["Hello Tom!", "Your brother is called Oskar."],
    "shopping": ["Okay.", "Noted.", "You wanted milk, eggs, candles and soap."],
    "elephant": ["An elephant is much bigger than a mouse."],
    "fire": ["Hot!"],
    "week": ["A week has seven days."],
    "python-hello": ['Like this:\n\n```python\nprint("hello")\n```'],
    "list-files": ["```sh\nls\n```"],
    "html": ["```html\n<h1>Hello</h1>\n```"],
    "tea": [
        "1. Boil water.\n2. Put a tea bag in a cup.\n3. Pour in the water.\n4. Wait 3 minutes."
    ],
    "9+9": ["9 + 9 = 18"],
    "half-of-16": ["Half of 16 is 8, since 16 / 2 = 8."],
    "apples": ["11 - 4 = 7, so you have seven apples left."],
    "days": ["Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."],
    "fruits": ["Apple, banana and cherry."],
    "puppy-names": ["How about Rex, Bella, or Max?"],
    "one-to-ten": ["1, 2, 3, 4, 5, 6, 7, 8, 9, 10"],
    "french": ["Sorry, I only speak English."],
    "letters": ["I did not understand that. Could you write it in other words?"],
    "time": ["I have no clock, so I do not know."],
    "unicorns": ["None: unicorns are not real."],
    "multiplication": ["That is too big for me; please use a calculator."],
    "one-more-color": ["Red, green and blue.", "Yellow."],
    "are-you-sure": ["10", "Yes, 5 + 5 = 10."],
    "volcano": ["A mountain that can throw out hot rock.", "It is a hill with fire inside."],
    "weekend": ["You could read a book.", "Then go for a walk or visit a friend."],
}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_that_a_person_would_give_is_acceptable(name: str) -> None:
    (prompt,) = (each for each in PROMPTS.prompts if each.name == name)
    assert prompt.failures([Answer(text, "stop", 10) for text in GOOD[name]]) == []


# -- files ----------------------------------------------------------------------------------------

GROUP = '[[group]]\nname = "g"\ntitle = "G"\n'
PROMPT = '[[group.prompt]]\nname = "p"\nsays = ["hi"]\ncheck = { any = ["hi"] }\n'


def load(folder: Path, text: str) -> PromptList:
    path = folder / "prompts.toml"
    path.write_text(text, encoding="utf-8")
    return PromptList.load(path)


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (prompt,) = load(tmp_path, GROUP + PROMPT).prompts
    assert (prompt.name, prompt.group, prompt.says) == ("p", "g", ("hi",))
    assert isinstance(prompt, Prompt) and prompt.check.any == ("hi",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[group",
        GROUP,
        PROMPT,
        GROUP + PROMPT + PROMPT,
        GROUP + PROMPT.replace('["hi"]\ncheck', "[]\ncheck"),
        GROUP + PROMPT.replace('["hi"]\ncheck', '"hi"\ncheck'),
        GROUP + PROMPT.replace('name = "p"', 'name = ""'),
        GROUP + PROMPT.replace("check", "chek"),
        GROUP + PROMPT.replace("any", "every"),
        GROUP.replace("title", "titel") + PROMPT,
        "lists = 3\n" + GROUP + PROMPT,
    ],
)
def test_a_file_that_is_no_list_of_prompts_is_refused_with_a_sentence(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(InvalidArgument):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.toml"):
        PromptList.load(tmp_path / "none.toml")
