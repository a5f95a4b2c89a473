"""Line mode: what is written and what each line does, over a real runtime and under a terminal."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.plain_mode import PlainChat, talk
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageState


@pytest.fixture
def runtime(tiny_model: Path) -> Iterator[ChatRuntime]:
    sampling = SamplingParams(temperature=0, max_tokens=6).to_dict()
    with ChatRuntime(tiny_model, save=False, sampling=sampling) as runtime:
        yield runtime


@pytest.fixture
def chat(runtime: ChatRuntime) -> PlainChat:
    return PlainChat(runtime, None)


def test_a_message_is_answered_in_plain_lines(
    chat: PlainChat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.take("Hello")
    out = capsys.readouterr().out

    assert chat.session.messages[0].text == "Hello"
    assert chat.session.messages[1].text.strip() in out
    assert out.endswith("\n") and "\x1b" not in out and "\r" not in out


def test_commands_move_between_chats_and_turns(
    chat: PlainChat, capsys: pytest.CaptureFixture[str]
) -> None:
    first = chat.session
    for line in ("one", "two", "/fork other way", "/rewind 1"):
        chat.take(line)
    forked = chat.session
    assert forked.title == "other way" and forked.origin == first.id
    assert [message.text for message in forked.messages][:1] == ["one"]
    assert len(forked.messages) == 2 and len(first.messages) == 4
    chat.take("/undo")
    assert len(forked.messages) == 4
    chat.take("/switch 1")
    assert chat.session is first
    chat.take("/switch other")
    assert chat.session is forked
    chat.take("/new third")
    capsys.readouterr()
    chat.take("/sessions")

    assert capsys.readouterr().out == (
        "1. one, 4 messages\n2. other way, 4 messages\n3. third, 0 messages, this one\n"
    )


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("/nonsense", "/nonsense is not one command here"),
        ("/re", "there are /rewind, /retry"),
        ("/", "is not one command"),
        ("/rewind x", "x is no number of turns"),
        ("/rewind 3", "Cannot go back 3 turns"),
        ("/switch", "Name the chat"),
        ("/switch \x1b[2J", "No chat is called ␛[2J"),
        ("/retry", "no message to answer"),
    ],
)
def test_what_cannot_be_done_is_one_cleaned_sentence(
    line: str, part: str, chat: PlainChat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.take(line)
    out = capsys.readouterr().out

    assert out.startswith("Error: ") and out.count("\n") == 1
    assert part in out


def test_two_slashes_send_one_and_an_empty_line_nothing(chat: PlainChat) -> None:
    chat.take("//etc")
    chat.take("   ")

    assert [m.text for m in chat.session.messages if m.role == "user"] == ["/etc"]


def test_a_line_that_ends_in_a_backslash_goes_on(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["one\\", "two", "/quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    session = runtime.new_session()

    assert talk(runtime, session) == 0
    assert session.messages[0].text == "one\ntwo"


def test_the_end_of_input_leaves_and_control_c_needs_two(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(prompt: str) -> str:
        raise EOFError

    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", ended)
    assert talk(runtime, None) == 0
    monkeypatch.setattr("builtins.input", interrupted)
    assert talk(runtime, None) == 130
    assert capsys.readouterr().out.count("Control C again leaves") == 1


class PlainTerminal:
    """`kvchat --plain` under a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.output = ""
        self.child = subprocess.Popen(
            [sys.executable, "-m", "kvchat", "--plain", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "dumb"},
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, wanted: str) -> None:
        self._read(lambda: wanted in self.output)
        assert wanted in self.output, self.output[-2000:]

    def read_more(self, count: int) -> None:
        length = len(self.output) + count
        self._read(lambda: len(self.output) >= length)
        assert len(self.output) >= length, self.output[-2000:]

    def _read(self, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_enough() and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.output += os.read(self.master, 65_536).decode(errors="replace")
                except OSError:  # the other side is closed
                    break


def test_control_c_stops_the_reply_and_a_signal_ends_with_what_was_said_stored(
    tiny_model: Path, tmp_path: Path
) -> None:
    words = ["--model", str(tiny_model), "--data-dir", str(tmp_path), "--pool", "4MiB"]
    terminal = PlainTerminal(*words, "--window", "64", "--max-tokens", "99999")
    try:
        terminal.read_until("> ")
        terminal.type("go\r")
        terminal.read_until("go\r\n")
        terminal.read_more(200)
        terminal.child.send_signal(signal.SIGINT)
        terminal.read_until("Stopped; the text so far is kept.")
        terminal.type("more\r")  # which a reply that still ran would refuse
        terminal.read_until("more\r\n")
        terminal.read_more(60)
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.child.wait(30) == 128 + signal.SIGTERM
    finally:
        with contextlib.suppress(ProcessLookupError):
            terminal.child.kill()
        os.close(terminal.master)
    with ChatRuntime(tiny_model, data_dir=tmp_path) as runtime:
        (session,) = runtime.sessions()
        said, stopped, second, ended = session.messages
    assert "Error" not in terminal.output
    assert (said.text, second.text) == ("go", "more")
    assert stopped.text and stopped.state.name == "INTERRUPTED"
    assert ended.text and ended.state.name == "INTERRUPTED"


def test_a_stopped_model_is_started_again(
    chat: PlainChat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.take("one")
    with monkeypatch.context() as failing:
        failing.setattr(errors, "fault_hook", _stop_computing)
        chat.take("two")
        chat.runtime._engine._thread.join(60)
    capsys.readouterr()
    assert chat.runtime.status().state == "failed"
    chat.take("/restart")
    chat.take("/retry")
    out = capsys.readouterr().out
    assert "Loading" in out or "ready" in out
    assert chat.session.messages[-1].state is MessageState.DONE
    chat.take("/restart")
    assert chat.runtime.status().state == "ready"


def _stop_computing(point: str) -> None:
    if point == "runner.run":
        raise SystemExit
