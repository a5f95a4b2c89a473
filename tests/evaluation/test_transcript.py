"""Transcripts: chats that can be read."""

from kvchat.evaluation.answer import Answer
from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.transcript import chat_block, transcript_lines


def test_a_transcript_has_every_chat_with_its_verdict_and_reasons(
    prompts: PromptList, chats: list[Chat]
) -> None:
    text = "\n".join(transcript_lines(prompts, chats))
    assert "Acceptable: 3 of 6 chats." in text and "## Sounds: 3 of 4" in text
    assert "### cow, seed 1: acceptable\n\n```\n> what does a cow say\n  It says moo.\n```" in text
    assert "### cat, seed 1: not acceptable" in text and "- says none of 'meow'" in text
    assert text.count("### ") == 6


def test_a_fence_is_longer_than_those_in_an_answer(chats: list[Chat]) -> None:
    lines = list(chat_block(chats[2]))
    assert lines == [
        "````",
        "> i am Ada",
        "  Hello!",
        "> who am i?",
        "  You are ```Bob```.",
        "````",
    ]


def test_what_a_terminal_would_obey_is_shown_and_a_cut_answer_marked(prompts: PromptList) -> None:
    (cow, *_) = prompts.prompts
    chat = Chat(cow, 1, (Answer("moo \x1b[2J\n\nmoo", "length", 5),))
    assert list(chat_block(chat))[2:5] == ["  moo ␛[2J", "", "  moo …"]
    assert list(chat_block(Chat(cow, 1, (Answer("", "stop", 0),))))[2] == "  (nothing)"
