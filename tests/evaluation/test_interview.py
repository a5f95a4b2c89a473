"""Interview: prompts through a real runtime."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat import ChatRuntime, InvalidArgument, SamplingParams
from kvchat.evaluation import interview as interview_file
from kvchat.evaluation.interview import SEED_STEP, interview
from kvchat.evaluation.prompt_list import PromptList


@pytest.fixture(scope="module")
def runtime(tiny_model: Path) -> Iterator[ChatRuntime]:
    with ChatRuntime(tiny_model, save=False, threads=1) as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model never stops."""
    monkeypatch.setattr(interview_file, "MAX_TOKENS", 12)


def test_every_prompt_gets_an_answer_to_each_message_in_order(
    runtime: ChatRuntime, prompts: PromptList
) -> None:
    chats = interview(runtime, prompts.prompts, 7)
    assert [chat.prompt.name for chat in chats] == ["cow", "cat", "name"]
    assert [len(chat.answers) for chat in chats] == [1, 1, 2]
    assert {chat.seed for chat in chats} == {7}
    assert all(answer.num_tokens == 12 for chat in chats for answer in chat.answers)
    assert all("does not end by itself" in " ".join(chat.failures) for chat in chats)


def test_the_same_seed_gives_the_same_chats_and_another_seed_others(
    runtime: ChatRuntime, prompts: PromptList
) -> None:
    first, again, other = (interview(runtime, prompts.prompts, seed) for seed in (1, 1, 2))
    assert first == again
    assert all(a.answers != b.answers for a, b in zip(first, other, strict=True))


def test_a_chat_is_what_a_user_gets_with_its_seed(
    runtime: ChatRuntime, prompts: PromptList
) -> None:
    chat = interview(runtime, prompts.prompts, 3)[2]
    session = runtime.new_session()
    sampling = session.sampling.with_values({"seed": 3 * SEED_STEP + 2, "max_tokens": 12})
    said = [session.send(text, sampling).wait().text for text in chat.prompt.says]
    assert [answer.text for answer in chat.answers] == said


def test_sampling_is_the_folders_but_for_what_is_replaced(
    runtime: ChatRuntime, prompts: PromptList
) -> None:
    greedy = interview(runtime, prompts.prompts, 1, {"temperature": 0.0})
    assert greedy == [
        type(chat)(chat.prompt, 1, chat.answers)
        for chat in interview(runtime, prompts.prompts, 2, {"temperature": 0.0})
    ]
    assert runtime.new_session().sampling != SamplingParams()
    with pytest.raises(InvalidArgument, match="temperature"):
        interview(runtime, prompts.prompts, 1, {"temperature": -1})


def test_many_chats_go_in_turns_and_leave_nothing_behind(
    runtime: ChatRuntime, prompts: PromptList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interview_file, "CHATS_AT_ONCE", 2)
    before = len(runtime.sessions())
    told: list[int] = []
    chats = interview(runtime, prompts.prompts, 1, None, told.append)
    assert told == [2, 3] and len(runtime.sessions()) == before
    monkeypatch.setattr(interview_file, "CHATS_AT_ONCE", 32)
    assert chats == interview(runtime, prompts.prompts, 1)


def test_a_chat_that_fills_the_context_gets_empty_answers_from_there_on(
    runtime: ChatRuntime, prompts: PromptList
) -> None:
    long = "word " * 600
    prompt = prompts.prompts[0]
    full = type(prompt)("full", prompt.group, ("hi", long), prompt.check)
    (chat,) = interview(runtime, [full], 1)
    assert chat.answers[0].num_tokens == 12
    assert (chat.answers[1].text, chat.answers[1].finish_reason) == ("", "context")
