"""A grid of settings: its combinations, and which is best."""

from kvchat.evaluation.interview import Chat
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.sampling_grid import Trial, combinations, trial_lines
from kvchat.evaluation.scores import Scores


def test_every_value_meets_every_other() -> None:
    assert combinations({}) == [{}]
    assert combinations({"temperature": [0.2, 0.4], "top_p": [0.9]}) == [
        {"temperature": 0.2, "top_p": 0.9},
        {"temperature": 0.4, "top_p": 0.9},
    ]
    assert len(combinations({"a": [1, 2], "b": [1, 2, 3], "c": [1]})) == 6


def test_the_trial_with_most_acceptable_prompts_stands_first(
    prompts: PromptList, chats: list[Chat]
) -> None:
    low = Trial({"temperature": 0.2}, Scores.of(prompts, chats[:3]))
    high = Trial({"temperature": 0.8}, Scores.of(prompts, chats[3:]))
    assert min([low, high], key=lambda trial: trial.rank) is high
    first, _, second, third = trial_lines([low, high])
    assert first == "| temperature | acceptable | repeated | stopped | words |"
    assert second.startswith("| 0.8 | 2.0 |") and third.startswith("| 0.2 | 1.0 |")
    assert low.to_dict()["temperature"] == 0.2 and low.to_dict()["acceptable"] == 1
