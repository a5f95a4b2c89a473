"""Scores: what chats come to."""

import pytest

from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.scores import Scores, chances


def test_acceptable_prompts_are_counted_per_group_and_seed(
    prompts: PromptList, chats: list[Chat]
) -> None:
    scores = Scores.of(prompts, chats)
    sounds, names = scores.groups
    assert (sounds.acceptable, sounds.acceptable_first, sounds.num_prompts) == (1.5, 1, 2)
    assert (names.acceptable, names.acceptable_first, names.num_prompts) == (0, 0, 1)
    assert (scores.total.acceptable, scores.total.num_prompts, scores.seeds) == (1.5, 3, (1, 2))


def test_other_figures_are_means_over_all_answers(prompts: PromptList, chats: list[Chat]) -> None:
    total = Scores.of(prompts, chats).total
    answers = [answer for chat in chats for answer in chat.answers]
    assert len(answers) == 8 and total.stopped == 1 and total.tokens == 5
    assert total.words == sum(len(answer.words) for answer in answers) / 8
    assert total.repetition == pytest.approx(answers[-1].repetition / 8)


def test_chance_is_what_answers_to_others_would_make(chats: list[Chat]) -> None:
    assert chances(chats[:3]) == {"cow": 1, "cat": 0, "name": 0}  # the cat said moo
    assert chances(chats[3:]) == {"cow": 0, "cat": 0, "name": 0}
    assert chances(chats[:4])["cow"] == 0.5  # what the other seed's cat said does not count
    assert chances(chats) == {"cow": 0.5, "cat": 0, "name": 0}


def test_the_figures_are_plain_numbers(prompts: PromptList, chats: list[Chat]) -> None:
    document = Scores.of(prompts, chats).to_dict()
    assert document["acceptable"] == 1.5 and document["seeds"] == [1, 2]
    assert isinstance(document["groups"], dict) and set(document["groups"]) == {"sounds", "names"}
