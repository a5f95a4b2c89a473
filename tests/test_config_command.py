"""`kvchat config`, and the settings file it begins with."""

import io
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from kvchat.cli import main
from kvchat.settings import Settings
from kvchat.settings_file import settings_template


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings" / "settings.toml"
    monkeypatch.setattr("kvchat.paths.settings_path", lambda: path)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return path


def editor(folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(path))


def test_the_template_explains_every_setting_and_sets_none() -> None:
    text = settings_template()

    assert Settings.from_toml(text) == Settings()
    for each in fields(Settings):
        name = "[keys]" if each.name == "keys" else f"{each.name} = "
        assert f"\n# {name}" in text


def test_every_line_of_the_template_without_its_mark_is_toml() -> None:
    lines = re.findall(r"^# (\w+ = .*)$", settings_template(), re.MULTILINE)
    with_default = [line for line in lines if not line.endswith("# not set")]

    assert len(lines) == len(fields(Settings)) - 1
    assert Settings.from_toml("\n".join(with_default)) == Settings()


def test_the_path_is_printed(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{settings_file}\n"
    assert not settings_file.exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("theme = 3\n", "theme is 3"),
        ('[keys]\n"chat.fly" = ["f8"]\n', "chat.fly is no command"),
        ('[keys]\n"session.new" = ["ctrl+s"]\n', "ctrl+s is bound to"),
        ('[keys]\n"session.new" = ["ctrl+b"]\n', "the prefix of tmux"),
    ],
)
def test_a_check_names_the_fault(
    text: str, part: str, settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_file.parent.mkdir()
    settings_file.write_text(text)

    assert main(["config", "check"]) == 2
    assert part in capsys.readouterr().err


def test_a_missing_file_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert "the defaults are used" in capsys.readouterr().out


def test_editing_begins_with_the_template_and_ends_with_a_check(
    settings_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    editor(tmp_path, 'echo "ascii = true" >> "$1"', monkeypatch)
    assert main(["config", "edit"]) == 0
    assert settings_file.read_text() == settings_template() + "ascii = true\n"
    editor(tmp_path, 'echo "ascii = 5" > "$1"', monkeypatch)
    assert main(["config", "edit"]) == 2
    assert "ascii is 5" in capsys.readouterr().err


def test_an_editor_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    editor(tmp_path, "exit 4", monkeypatch)
    assert main(["config", "edit"]) == 70
    assert "ended with an error" in capsys.readouterr().err


def test_without_a_terminal_no_editor_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["config", "edit"]) == 2
    assert "needs a terminal" in capsys.readouterr().err
