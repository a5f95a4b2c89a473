"""The report: tables, and the best beside the worst."""

from kvchat.evaluation.held_out import PARTS
from kvchat.evaluation.interview import Chat
from kvchat.evaluation.known_prompts import KnownPrompts
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.report import PART_TITLES, SAMPLING_NAMES, Report, best_and_worst
from kvchat.evaluation.scores import Scores
from kvchat.sampling_params import SamplingParams


def report(prompts: PromptList, chats: list[Chat], **more: float) -> Report:
    sampling = SamplingParams().with_values(more).to_dict()
    return Report("tiny", sampling, prompts, chats, Scores.of(prompts, chats))


def test_the_table_has_a_row_per_group_and_one_for_all(
    prompts: PromptList, chats: list[Chat]
) -> None:
    *_, sounds, names, total = report(prompts, chats).table()
    assert sounds.startswith("| Sounds | 1.5 of 2 | 1 | 100.0% |")
    assert names.startswith("| Names | 0.0 of 1 | 0 |") and total.startswith("| All | 1.5 of 3 |")


def test_the_same_chats_make_the_same_report(prompts: PromptList, chats: list[Chat]) -> None:
    assert list(report(prompts, chats).lines()) == list(report(prompts, chats).lines())
    assert report(prompts, chats).to_dict() == report(prompts, chats).to_dict()


def test_the_best_passed_with_every_seed_and_the_worst_with_none(
    prompts: PromptList, chats: list[Chat]
) -> None:
    best, worst = best_and_worst(chats, dict.fromkeys(("cow", "cat", "name"), 0.1))
    assert [chat.prompt.name for chat in best] == ["cow"]
    assert [chat.prompt.name for chat in worst] == ["name"]
    assert {chat.seed for chat in best + worst} == {1}
    lines = list(report(prompts, chats).lines())
    assert lines.index("  It says moo.") < lines.index("  You are ```Bob```.")
    assert "- answer 2 does not say 'Ada'" in lines


def test_five_are_shown_and_of_each_group_one_first(prompts: PromptList, chats: list[Chat]) -> None:
    cow, _, name = chats[:3]
    good_name = Chat(name.prompt, 1, (name.answers[0], chats[-1].answers[1]))
    good_name.__dict__["failures"] = []
    best, _ = best_and_worst([cow] * 7 + [good_name], {"cow": 0.1, "name": 0.2})
    assert [chat.prompt.name for chat in best] == ["cow", "name", "cow", "cow", "cow"]


def test_the_sampling_is_told_as_far_as_it_is_unusual(
    prompts: PromptList, chats: list[Chat]
) -> None:
    first = next(report(prompts, chats, temperature=0.5, repetition_penalty=1.1).lines())
    assert first == "tiny, temperature 0.5, top-p 1.0, repetition penalty 1.1, seeds 1, 2:"
    assert next(report(prompts, chats, temperature=0).lines()) == "tiny, greedy, seeds 1, 2:"
    assert set(SAMPLING_NAMES) <= set(SamplingParams().to_dict())


def test_what_a_corpus_says_is_reported_when_there_is_one(
    prompts: PromptList, chats: list[Chat]
) -> None:
    base = report(prompts, chats)
    known = KnownPrompts(1200, 4, 2, ("cow", "cat"), ("cow",))
    full = Report("tiny", base.sampling, prompts, chats, base.scores, {"sft_chat": 0.3204}, known)
    text = "\n".join(full.lines())
    assert "| what the assistant says | 0.320 |" in text and "in the 1,200 chats" in text
    assert full.to_dict()["known_prompts"] == 2 and "held-out" not in "\n".join(base.lines())
    assert tuple(PART_TITLES) == PARTS


def test_lines_of_the_report_fit_a_page(prompts: PromptList, chats: list[Chat]) -> None:
    lines = report(prompts, chats, temperature=0.4, min_p=0.05, repetition_penalty=1.1).lines()
    assert [line for line in lines if len(line) > 100 and line[0] != "|"] == []
