"""Completion scripts: bash really runs its own; zsh and fish where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kvchat.cli import COMMANDS, main
from kvchat.cli_options import command_parser
from kvchat.shell_completion import SUB_COMMANDS, bash_script, fish_script, zsh_script


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    program = (
        f"{bash_script()}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}\n"
        '_kvchat; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    return found.stdout.split()


def test_every_sub_command_is_completed_and_no_other() -> None:
    assert set(SUB_COMMANDS) == set(COMMANDS)
    assert completed("kvchat", "") == list(SUB_COMMANDS)
    assert completed("kvchat", "comp") == ["completion"]


def test_options_their_choices_and_the_words_of_sub_commands_are_completed() -> None:
    assert completed("kvchat", "--max") == ["--max-tokens"]
    assert completed("kvchat", "-p", "Hi", "--temp") == ["--temperature"]
    assert completed("kvchat", "--device", "c") == ["cpu", "cuda"]
    assert completed("kvchat", "config", "e") == ["edit"]
    assert completed("kvchat", "--seed", "") == []


def test_folders_are_completed_where_an_option_takes_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model.txt").write_text("")

    assert completed("kvchat", "--model", f"{tmp_path}/mo") == [f"{tmp_path}/model"]


@pytest.mark.parametrize("script", [bash_script, zsh_script, fish_script])
def test_every_option_stands_in_every_script(script: object) -> None:
    assert callable(script)
    text = script()
    for action in command_parser()._actions:
        for name in action.option_strings:
            if script is not fish_script:
                assert name in text
            elif name.startswith("--"):
                assert f"-l {name[2:]} " in text
            else:
                assert f"-s {name[1:]} " in text


@pytest.mark.parametrize(("shell", "script"), [("zsh", zsh_script), ("fish", fish_script)])
def test_the_shell_can_read_its_script(shell: str, script: object) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert callable(script)
    found = subprocess.run([shell, "-n"], input=script(), capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_shell_we_do_not_know_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "choose from 'bash', 'zsh', 'fish'" in capsys.readouterr().err
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == bash_script()
