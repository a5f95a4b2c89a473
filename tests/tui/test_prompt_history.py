from kvchat.tui.prompt_history import MAX_PROMPTS, PromptHistory


def test_going_up_and_down_again_ends_at_what_was_being_written() -> None:
    history = PromptHistory(["one", "two"])

    assert [history.step(-1, "draft"), history.step(-1, "two")] == ["two", "one"]
    assert [history.step(1, "one"), history.step(1, "two")] == ["two", "draft"]


def test_there_is_nothing_above_the_oldest_or_below_what_is_written() -> None:
    history = PromptHistory(["one"])

    assert history.step(1, "draft") is None
    assert history.step(-1, "draft") == "one"
    assert history.step(-1, "one") is None
    assert PromptHistory().step(-1, "draft") is None


def test_an_empty_prompt_and_the_same_one_again_are_not_remembered() -> None:
    history = PromptHistory()

    assert [history.remember(text) for text in ("a", " \n", "a", "b", "a")] == [
        True, False, False, True, True,
    ]  # fmt: skip
    assert history.newest_first == ["a", "b"]


def test_prompts_of_earlier_runs_come_before_those_of_this_one() -> None:
    history = PromptHistory()
    history.remember("now")
    history.take_stored(["then", "later"])

    assert history.newest_first == ["now", "later", "then"]


def test_the_oldest_prompts_are_forgotten_first() -> None:
    history = PromptHistory(str(number) for number in range(MAX_PROMPTS + 2))
    history.remember("new")

    assert len(history) == MAX_PROMPTS
    assert history.newest_first[0] == "new" and history.newest_first[-1] == "3"


def test_remembering_stands_behind_the_newest_again() -> None:
    history = PromptHistory(["one", "two"])
    history.step(-1, "")
    history.step(-1, "")
    history.remember("three")

    assert history.step(-1, "") == "three"
