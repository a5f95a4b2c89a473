"""Prompts and chats that need no model."""

import pytest

from kvchat.evaluation.answer import Answer
from kvchat.evaluation.check import Check
from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import Group, Prompt, PromptList


@pytest.fixture
def prompts() -> PromptList:
    """Two groups: what animals say, and what a name was."""
    cow = Prompt("cow", "sounds", ("what does a cow say",), Check(any=("moo",)))
    cat = Prompt("cat", "sounds", ("what does a cat say",), Check(any=("meow",)))
    name = Prompt("name", "names", ("i am Ada", "who am i?"), Check(all=("Ada",)))
    return PromptList((Group("sounds", "Sounds", (cow, cat)), Group("names", "Names", (name,))))


@pytest.fixture
def chats(prompts: PromptList) -> list[Chat]:
    """Two seeds: `cow` always passes, `cat` once, `name` never."""
    said = {
        ("cow", 1): ["It says moo."],
        ("cow", 2): ["Moo!"],
        ("cat", 1): ["It says moo."],
        ("cat", 2): ["Meow."],
        ("name", 1): ["Hello!", "You are ```Bob```."],
        ("name", 2): ["Hello!", "Ada and Ada and Ada and Ada and Ada and Ada and"],
    }
    return [
        Chat(prompt, seed, tuple(Answer(text, "stop", 5) for text in said[prompt.name, seed]))
        for seed in (1, 2)
        for prompt in prompts.prompts
    ]
