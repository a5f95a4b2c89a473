from pathlib import Path

import pytest

from kvchat.tui.commands import Registry
from kvchat.tui.completion import completion_for, one_of, path_after


def texts(before: str, *, is_whole: bool = True) -> list[str]:
    return [hint.text for hint in completion_for(before, is_whole, Registry()).hints]


def test_a_beginning_of_a_command_completes_to_it() -> None:
    assert texts("/ren") == ["/rename "]
    assert "/undo" in texts("/")


def test_two_slashes_and_a_slash_inside_a_text_are_no_command() -> None:
    assert texts("//re") == [] and texts("a /re") == [] and texts("/a\n/re") == []


def test_nothing_completes_while_text_follows_the_cursor() -> None:
    assert texts("/re", is_whole=False) == []


def test_a_command_that_needs_an_argument_does_not_run_from_the_list() -> None:
    hints = {hint.text.strip(): hint for hint in completion_for("/", True, Registry()).hints}

    assert hints["/undo"].runs and hints["/new"].runs
    assert not hints["/rename"].runs and not hints["/attach"].runs


def test_an_argument_completes_where_the_command_knows_its_words() -> None:
    completion = completion_for("/theme li", True, Registry())

    assert [hint.text for hint in completion.hints] == ["light"] and completion.length == 2
    assert texts("/th d") == ["dark"]
    assert texts("/rename d") == []


def test_an_at_sign_before_a_word_completes_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "src").mkdir()
    completion = completion_for("see @", False, Registry())

    assert [(hint.text, hint.is_file) for hint in completion.hints] == [
        ("@src/", False), ("notes.md", True),
    ]  # fmt: skip
    assert completion_for("see @no", True, Registry()).length == 3


@pytest.mark.parametrize("text", ["me@home", "@a b", "/attach @"])
def test_other_at_signs_complete_to_nothing(text: str) -> None:
    assert texts(text) == []


def test_words_complete_first_and_then_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.md").write_text("x")
    complete = path_after("md", "json")

    assert complete("") == ["md ", "json "]
    assert complete("m") == ["md "]
    assert complete("md c") == ["md chat.md"]
    assert one_of("on", "off")("O") == ["on", "off"]
