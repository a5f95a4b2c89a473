"""`kvchat sessions`: stored chats without the app and without a model."""

import json
import logging
from pathlib import Path

import pytest

from kvchat.cli import main
from kvchat.store.data_dir import DataDir
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with the chats "Cooking" (2 messages) and "Travel" (none)."""
    with DataDir(tmp_path / "data") as directory:
        database = Database(directory.database_path)
        database.create_session(SessionRow(id="a" * 32, tree_id="t", title="Cooking"))
        database.add_message("a" * 32, MessageRow("q", "t", None, "user", "How?"))
        database.add_message("a" * 32, MessageRow("r", "t", "q", "assistant", "So.\x1b[2J"))
        database.create_session(SessionRow(id="b" * 32, tree_id="u", title="Travel\x1b]0;x\x07"))
        database.close()
        return directory.path


def run(data: Path, *words: str) -> int:
    return main(["sessions", "--data-dir", str(data), *words])


def test_chats_are_listed_the_last_used_first(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["bbbbbbbb", "aaaaaaaa"]
    assert lines[1].endswith("2  Cooking")
    assert "\x1b" not in lines[0]
    assert run(data, "ls", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["num_messages"] for each in listed] == [0, 2]
    assert listed[1]["title"] == "Cooking"


def test_a_chat_goes_to_the_trash_and_is_purged_only_when_asked_for(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "rm", "cooking") == 0
    assert run(data, "ls", "--deleted") == 0
    assert "Cooking" in capsys.readouterr().out
    assert run(data, "purge") == 2
    assert "This erases 1 deleted chat for ever" in capsys.readouterr().err
    assert run(data, "purge", "--yes") == 0
    assert capsys.readouterr().out == "Erased 1 chat with 2 messages.\n"
    assert run(data, "rm", "cooking") == 66


def test_a_chat_is_exported_by_the_ending_of_the_file_and_imported_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "chat.json"
    assert run(data, "export", "Cooking", str(target)) == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert json.loads(target.read_text())["format"] == "kvchat-session-1"
    assert run(data, "export", "Cooking", str(target)) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(data, "import", str(target), "--title", "Baking") == 0
    assert "2 messages  Baking" in capsys.readouterr().out
    assert run(tmp_path / "other", "import", str(target)) == 0
    capsys.readouterr()
    assert run(tmp_path / "other", "export", "Cooking", "--form", "json") == 0
    assert capsys.readouterr().out == target.read_text()
    assert run(data, "export", "Baking") == 0
    assert capsys.readouterr().out.startswith("# Baking\n\n## User\n\nHow?")
    page = tmp_path / "chat.html"
    assert run(data, "export", "Baking", str(page)) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["import", "/dev/zero"], 65, "is not a regular file"),
        (["import", "missing.json"], 65, "is missing"),
        (["export", "nobody"], 66, "No chat is called nobody"),
        (["export", "Cooking", "missing/x.md"], 70, "Cannot write missing/x.md"),
        (["frobnicate"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    data: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, sentence: str
) -> None:
    assert run(data, *words) == status
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_while_another_process_has_the_chats_nothing_is_done(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with DataDir(data):
        assert run(data, "ls", "--json") == 75
    said = capsys.readouterr()
    assert "Already open in process" in said.err
    assert json.loads(said.out)["code"] == "in_use"


def test_the_data_directory_may_stand_before_or_behind_the_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sessions", "ls", "--data-dir", str(data)]) == 0
    assert "Cooking" in capsys.readouterr().out
    assert run(data, "rm", "Cooking", "--data-dir", str(tmp_path / "other")) == 66
    assert run(data, "ls") == 0
    assert "Cooking" in capsys.readouterr().out


def test_what_was_found_at_the_start_is_said_once(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process of its own
    (data / "chats.db").chmod(0o644)
    assert run(data, "ls") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kvchat: Other users could read 1 file in ")
