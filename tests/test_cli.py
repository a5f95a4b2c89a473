"""The command line: arguments, errors, exit statuses, and what it hands to the app."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from kvchat import __version__
from kvchat.cli import main
from kvchat.runtime import ChatRuntime
from kvchat.session.session import Session
from kvchat.settings import Settings

Opened = list[tuple[Callable[[], ChatRuntime], Settings, str | None]]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of nobody, and nothing on standard input."""
    path = tmp_path / "settings" / "settings.toml"
    monkeypatch.setattr("kvchat.paths.settings_path", lambda: path)
    monkeypatch.setattr("kvchat.paths.log_dir", lambda: tmp_path / "log")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.setenv("TERM", "xterm-256color")
    return path


class Desk:
    """A terminal to type `kvchat` at; `opened` has what the app was opened with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: Opened = []
        self.first_session: Callable[[ChatRuntime], Session | None] = lambda runtime: None
        self.keyboard: IO[str] = Terminal()
        self._monkeypatch = monkeypatch

    def run(self, *words: str) -> int:
        def run(
            make: Callable[[], ChatRuntime],
            settings: Settings,
            *,
            first_prompt: str | None,
            first_session: Callable[[ChatRuntime], Session | None],
        ) -> int:
            self.opened.append((make, settings, first_prompt))
            self.first_session = first_session
            return 0

        with self._monkeypatch.context() as patch:
            patch.setattr("kvchat.tui.app.run", run)
            patch.setattr(logging, "basicConfig", lambda **options: None)
            patch.setattr(sys, "stdin", self.keyboard)
            patch.setattr(sys, "stdout", Terminal())
            return main(words)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one sentence that a command line is refused with."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kvchat: ") and err.count("\n") == 1 and err.endswith((".\n", "?\n"))
    return err


def test_the_version_is_printed_by_the_module_too() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "kvchat", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == f"kvchat {__version__}\n"


def test_help_names_every_way_to_use_it_and_where_things_are(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in ("kvchat -p", "--json", "kvchat keys", "--device", "--pool", "--no-save"):
        assert word in shown
    assert f"settings: {settings_file}" in shown


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--max-token", "3"], "'--max-token' is no option; did you mean --max-tokens?"),
        (["--zzz"], "'--zzz' is no option; see kvchat --help."),
        (["--pool", "abc"], "--pool: 'abc' is not a size; write it like 512MiB"),
        (["--pool", "-5"], "'-5' is not a size"),
        (["--pool", "0"], "'0' is not a size"),
        (["--seed", "x"], "--seed: 'x' is not a whole number."),
        (["--seed", "1.5"], "'1.5' is not a whole number."),
        (["--temperature", "hot"], "--temperature: 'hot' is not a number."),
        (["--weights", "int3"], "--weights: invalid choice: 'int3'"),
        (["--device", "tpu"], "choose from 'auto', 'cpu', 'cuda', 'mps'"),
        (["--model"], "expected one argument"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refusal(capsys, "-p", "Hi", *words)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--temperature -1", "temperature is -1.0, but it must be a number from 0 to 100."),
        ("--temperature nan", "temperature is nan"),
        ("--top-p 2", "top_p is 2.0"),
        ("--top-k -1", "top_k is -1"),
        ("--min-p -0.1", "min_p is -0.1"),
        ("--repetition-penalty 0", "repetition_penalty is 0.0"),
        ("--max-tokens 0", "max_tokens is 0, but it must be an integer >= 1."),
        ("--seed -1", "seed is -1, but it must be an integer >= 0."),
        ("--threads 0", "threads is 0, but it must be 1 to 1024."),
        ("--block-size 7", "block_size is 7, but it must be 8, 16, 32, 64, 128 or 256."),
        ("--window -4", "window is -4, but it must be 1 to 512 tokens."),
        ("--window 513", "window is 513"),
        (
            "--window 20 --sinks 500",
            "A window of 20 and 512 sinks, in whole blocks, are more than the 512 tokens",
        ),
        ("--sinks -1", "sinks is -1, but it cannot be negative."),
    ],
)
def test_a_number_out_of_range_is_one_sentence(
    words: str, part: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refusal(capsys, "-p", "Hi", "--model", str(tiny_model), *words.split())


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["-p", "tell", "me", "more"], 'kvchat -p "tell me more"'),
        (["tell", "me"], 'kvchat "tell me"'),
        (["--seed", "1", "tell", "me"], 'kvchat "tell me"'),
    ],
)
def test_a_text_without_quotes_is_told_how_to_quote_it(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"Put the text in quotes: {advice}." in refusal(capsys, *words)


def test_an_absent_device_names_the_devices_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kvchat.device.available_devices", lambda: ("cpu",))
    sentence = refusal(capsys, "-p", "Hi", "--device", "cuda")
    assert sentence == "kvchat: Device 'cuda' is not here; this machine has: cpu.\n"


def test_a_folder_without_a_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = refusal(capsys, "-p", "Hi", "--model", str(tmp_path), status=65)
    assert "config.json is missing" in sentence
    sentence = refusal(capsys, "-p", "Hi", "--model", str(tmp_path / "none"), status=65)
    assert "there is no such folder" in sentence


def test_settings_that_make_no_sense_are_refused_with_the_name_of_their_file(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_file.parent.mkdir()
    settings_file.write_text("temprature = 1\n")
    sentence = refusal(capsys, "-p", "Hi")
    assert "settings.toml" in sentence and "did you mean 'temperature'?" in sentence


def test_what_an_error_quotes_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sentence = refusal(capsys, "\x1b[2J", "\udcff\u202e")
    assert "␛[2J ⟨DCFF⟩⟨RLO⟩" in sentence


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["-p", "Hi", "--frobnicate"], "usage", 2),
        (["-p", ""], "usage", 2),
        (["-p", "Hi", "--seed", "-3"], "usage", 2),
        (["-p", "Hi", "--model", "/nonexistent"], "model_bad", 65),
    ],
)
def test_with_json_an_error_is_one_object_and_the_same_exit_status(
    words: list[str], code: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--json"]) == status
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["code"] == code
    assert err == f"kvchat: {found['error']}\n"


def test_a_text_opens_the_app_as_its_first_prompt(desk: Desk) -> None:
    assert desk.run("--theme", "light", "--ascii", "Hello you") == 0
    ((_, settings, prompt),) = desk.opened
    assert prompt == "Hello you"
    assert settings.ascii and settings.theme == "light"


def test_without_a_text_the_app_opens_with_none(desk: Desk) -> None:
    assert desk.run() == 0
    assert [prompt for _, _, prompt in desk.opened] == [None]


def test_a_command_word_after_two_dashes_is_a_text(desk: Desk) -> None:
    assert desk.run("--", "keys") == 0
    assert [prompt for _, _, prompt in desk.opened] == ["keys"]


def test_the_app_gets_the_runtime_that_the_options_describe(
    desk: Desk, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["--data-dir", str(tmp_path / "chats"), "--window", "200", "--temperature", "0.25"]
    assert desk.run("--model", str(tiny_model), *words) == 0
    ((make_runtime, _, _),) = desk.opened
    with make_runtime() as runtime:
        status = runtime.status()
        assert (status.model_name, status.default_window, status.saving) == ("tiny", 200, True)
        assert runtime.new_session().sampling.temperature == 0.25
    assert (tmp_path / "chats").is_dir()


def test_with_no_save_the_app_leaves_no_file(desk: Desk, tiny_model: Path, tmp_path: Path) -> None:
    chats = tmp_path / "chats"
    assert desk.run("--model", str(tiny_model), "--data-dir", str(chats), "--no-save") == 0
    ((make_runtime, _, _),) = desk.opened
    with make_runtime() as runtime:
        assert not runtime.status().saving
    assert not chats.exists()


def test_the_app_is_not_opened_without_a_keyboard(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.keyboard = io.TextIOWrapper(io.BytesIO(b"explain this"))
    assert desk.run("explain") == 2
    assert "use kvchat -p" in capsys.readouterr().err
    assert desk.opened == []


def test_the_chat_that_the_options_name_is_shown_first(
    desk: Desk, tiny_model: Path, tmp_path: Path
) -> None:
    words = ["--model", str(tiny_model), "--data-dir", str(tmp_path)]
    with ChatRuntime(tiny_model, data_dir=tmp_path) as runtime:
        named = runtime.new_session("Kept chat")
        runtime.new_session("other")
        assert desk.run(*words) == 0 and desk.first_session(runtime) is None
        assert desk.run(*words, "-r", "kept") == 0 and desk.first_session(runtime) is named
        assert desk.run(*words, "-r", "kept", "--fork") == 0
        fork = desk.first_session(runtime)
        assert fork is not None and fork.origin == named.id
        assert desk.run(*words, "--system", "Be kind.") == 0
        kind = desk.first_session(runtime)
        assert kind is not None and kind.system == "Be kind."


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--fork"], "--fork goes with a chat to fork"),
        (["-c", "-s", "Be kind."], "--system is for a new chat"),
        (["--save"], "--save goes with -p"),
        (["-p", "Hi", "--save", "--no-save"], "--no-save keeps no chat"),
        (["-p", "Hi", "-c", "--no-save"], "--no-save keeps no chat"),
        (["-p", "Hi", "--json", "-x"], "Choose one of --json, --stream-json and --extract."),
        (["-c", "-r", "x"], "not allowed with"),
    ],
)
def test_options_that_contradict_are_refused(
    words: list[str], part: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.run(*words) == 2
    assert part in capsys.readouterr().err
    assert desk.opened == []


def test_the_mouse_can_be_left_to_the_terminal(desk: Desk) -> None:
    assert desk.run("--no-mouse") == 0
    ((_, settings, _),) = desk.opened
    assert not settings.mouse


def test_keys_prints_the_keys_as_the_user_has_them(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys"]) == 0
    before = capsys.readouterr().out
    assert "/fork" in before and "Block panel" in before
    settings_file.parent.mkdir()
    settings_file.write_text('[keys]\n"view.blocks" = ["f8"]\n')
    assert main(["keys"]) == 0
    changed = set(capsys.readouterr().out.splitlines()) - set(before.splitlines())
    assert len(changed) == 1 and "f8" in changed.pop()


def test_closed_streams_do_not_end_in_a_traceback() -> None:
    """With 0, 1 and 2 closed, the first files opened would take their numbers."""
    command = f"exec {sys.executable} -m kvchat -p '' <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 2


def test_a_full_disk_behind_the_answer_is_told(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "kvchat", "keys"],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert found.returncode == 74
    assert found.stderr == "kvchat: Cannot write the answer: No space left on device.\n"


@pytest.mark.parametrize("words", [[], ["--plain"]])
def test_line_mode_is_asked_for_and_taken_by_a_terminal_that_cannot_draw(
    words: list[str],
    desk: Desk,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm" if words else "dumb")
    typed = iter(["/quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))

    assert desk.run("--model", str(tiny_model), "--data-dir", str(tmp_path), *words) == 0
    assert not desk.opened and list(typed) == []


@pytest.mark.parametrize(
    "words", [["doctor"], ["bench", "sessions"], ["bench", "start"], ["bench", "ui"]]
)
def test_an_unknown_option_of_any_command_is_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main([*words, "--roundz", "5"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("kvchat: '--roundz' is no option; ") and said.count("\n") == 1
