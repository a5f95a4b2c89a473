"""Print mode: what goes to stdout, what to stderr, and the exit status."""

import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from kvchat.cli import main
from kvchat.engine.request import FinishReason, Timing, TokenEvent
from kvchat.errors import EngineStopped, InvalidArgument, KVChatError, ModelError
from kvchat.print_mode import (
    MAX_STDIN_BYTES,
    Form,
    first_code_block,
    print_answer,
    quick_interrupt,
    read_prompt,
)
from kvchat.runtime import ChatRuntime, RuntimeStatus
from kvchat.session.message import MessageNode
from kvchat.session.reply import Reply
from kvchat.session.session import Session


class ScriptedRuntime:
    """A runtime and its one session, whose reply is written before it is asked for."""

    def __init__(
        self,
        *pieces: str,
        reason: FinishReason = FinishReason.STOP,
        error: str | None = None,
        cause: KVChatError | None = None,
        window: int | None = None,
        num_prompt_tokens: int = 3,
    ) -> None:
        self.window, self.num_sink_tokens = window, 0
        self.prompts: list[str] = []
        self.systems: list[str | None] = []
        node = MessageNode("m", "t", None, "assistant", [])
        self.reply = Reply("s", node, 1, lambda reply: None)
        timing = Timing(num_prompt_tokens, 0, len(pieces), 0.5, 0.5)
        for piece in pieces:
            self.take(TokenEvent(1, piece, timing))
        self.reply.cause = cause
        self.take(TokenEvent(None, "", timing, reason, error))

    def take(self, event: TokenEvent) -> None:
        self.reply.note(event)
        self.reply.tell(event)

    def new_session(self, *, system: str | None) -> "ScriptedRuntime":
        self.systems.append(system)
        return self

    def send(self, text: str) -> Reply:
        self.prompts.append(text)
        return self.reply

    def status(self) -> RuntimeStatus:
        return RuntimeStatus("ready", "", "m", "cpu", "fp32", 512, None, False)

    def answer(self, form: Form = "text") -> int:
        return print_answer(cast(ChatRuntime, self), cast(Session, self), "Hi", form=form)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def pipe_in(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of nobody, and nothing on standard input."""
    monkeypatch.setattr("kvchat.paths.settings_path", lambda: tmp_path / "settings.toml")
    pipe_in(monkeypatch, b"")


# -- what is said


@pytest.mark.parametrize(
    ("text", "piped", "prompt"),
    [
        ("Hi", b"", "Hi"),
        ("-", b"from a pipe\n", "from a pipe"),
        ("", b"from a pipe\r\n", "from a pipe"),
        ("explain", b"\nline 1\nline 2\n\n", "line 1\nline 2\n\nexplain"),
        ("-", b"  indented\n", "  indented"),
        ("-", b"\xff\xfeHi\xc3", "��Hi�"),
        ("-", b"\xef\xbb\xbfHi", "Hi"),
        ("-", b"a\0b", "a\0b"),
    ],
)
def test_the_prompt_is_the_text_what_is_piped_or_both(
    text: str, piped: bytes, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe_in(monkeypatch, piped)
    assert read_prompt(text) == prompt


def test_a_terminal_is_read_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    assert read_prompt("Hi") == "Hi"
    with pytest.raises(InvalidArgument, match="nothing to answer"):
        read_prompt("")


@pytest.mark.parametrize("piped", [b"", b"\n\n", b"  \t\n"])
def test_an_empty_prompt_is_refused(piped: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, piped)
    with pytest.raises(InvalidArgument, match="nothing to answer"):
        read_prompt("-")


def test_too_long_a_pipe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, b"x" * MAX_STDIN_BYTES)
    assert len(read_prompt("-")) == MAX_STDIN_BYTES
    pipe_in(monkeypatch, b"x" * (MAX_STDIN_BYTES + 1))
    with pytest.raises(InvalidArgument, match="longer than 5 MB"):
        read_prompt("-")


# -- what is printed


def test_a_pipe_gets_the_exact_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert ScriptedRuntime("a\x1b[2J", "\u202eb\r\n").answer() == 0
    assert capsys.readouterr() == ("a\x1b[2J\u202eb\r\n", "")


def test_a_terminal_gets_text_that_can_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert ScriptedRuntime("a\x1b[2J", "\u202eb").answer() == 0
    assert screen.getvalue() == "a␛[2J⟨RLO⟩b\n"


def test_the_answer_ends_with_one_newline(capsys: pytest.CaptureFixture[str]) -> None:
    ScriptedRuntime("Hi", "!").answer()
    ScriptedRuntime("Hi\n").answer()
    ScriptedRuntime().answer()
    assert capsys.readouterr().out == "Hi!\nHi\n"


def test_a_terminal_that_cannot_show_a_character_gets_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Latin(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Latin(raw, encoding="latin-1"))
    assert ScriptedRuntime("é 😀").answer() == 0
    assert raw.getvalue() == b"\xe9 ?\n"


def test_a_pipe_is_written_in_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    assert ScriptedRuntime("é 😀").answer() == 0
    assert raw.getvalue() == "é 😀\n".encode()


def test_a_failed_reply_keeps_its_text_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    failed = ScriptedRuntime("half", reason=FinishReason.FAILED, error="No\x1b room.")
    assert failed.answer() == 1
    assert capsys.readouterr() == ("half\n", "kvchat: No␛ room.\n")


def test_a_failed_reply_is_one_json_object_with_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = ScriptedRuntime("half", reason=FinishReason.FAILED, error="No room.")
    assert failed.answer("json") == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["text"], found["error"], found["code"]) == ("half", "No room.", "turn_failed")
    assert err == "kvchat: No room.\n"


def caused(cause: KVChatError) -> KVChatError:
    stopped = EngineStopped(cause.sentence)
    stopped.__cause__ = cause
    return stopped


@pytest.mark.parametrize(
    ("cause", "code", "status"),
    [
        (EngineStopped("It stopped."), "engine_stopped", 70),
        (caused(ModelError("A bad tensor.")), "model_bad", 65),
        (caused(InvalidArgument("Too large a pool.")), "usage", 2),
    ],
)
def test_the_exit_status_is_that_of_what_made_the_reply_fail(
    cause: KVChatError, code: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = ScriptedRuntime(reason=FinishReason.FAILED, error=cause.sentence, cause=cause)
    assert failed.answer("json") == status
    assert json.loads(capsys.readouterr().out)["code"] == code


def test_a_prompt_longer_than_the_window_is_answered_with_a_notice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ScriptedRuntime("a", window=10, num_prompt_tokens=11).answer() == 0
    out, err = capsys.readouterr()
    assert out == "a\n" and "11 tokens" in err and "last 10 " in err
    assert ScriptedRuntime("a", window=10, num_prompt_tokens=10).answer() == 0
    assert capsys.readouterr().err == ""


def test_an_answer_that_the_context_ended_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert ScriptedRuntime("a", reason=FinishReason.CONTEXT).answer() == 0
    assert "512 tokens of the context" in capsys.readouterr().err


def test_a_process_told_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with quick_interrupt():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_means_what_it_meant_once_the_answer_is_printed() -> None:
    before = signal.getsignal(signal.SIGINT)
    with quick_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


# -- with a model


def answer(capsys: pytest.CaptureFixture[str], model: Path, *words: str) -> str:
    assert main(["--model", str(model), "--pool", "4MiB", "--max-tokens", "12", *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_same_seed_says_the_same_words(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-p", "Hi", "--temperature", "1.5", "--top-k", "0", "--seed")
    first = answer(capsys, tiny_model, *options, "7")
    assert first == answer(capsys, tiny_model, *options, "7")
    assert first != answer(capsys, tiny_model, *options, "8")


def test_json_has_text_token_counts_and_both_speeds(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--json", "--seed", "3", "--temperature", "0")
    pipe_in(monkeypatch, b"one two")
    found = json.loads(answer(capsys, tiny_model, "-p", "-", *words))
    assert found["error"] is None and found["code"] is None and found["seed"] == 3
    assert found["model"] == "tiny" and found["device"] and found["weights"]
    assert found["finish_reason"] in ("length", "stop")
    assert 0 < found["generated_tokens"] <= 12
    assert found["prefill_tokens_per_second"] > 0 and found["decode_tokens_per_second"] >= 0
    pipe_in(monkeypatch, b"")
    with_system = json.loads(answer(capsys, tiny_model, "-p", "one two", "-s", "Be kind.", *words))
    assert with_system["prompt_tokens"] > found["prompt_tokens"] > 0
    pipe_in(monkeypatch, b"one")
    both = json.loads(answer(capsys, tiny_model, "-p", "two", *words))
    assert both["prompt_tokens"] > found["prompt_tokens"]


def test_an_answer_needs_no_data_directory_and_takes_none_away(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chats = tmp_path / "chats"
    with ChatRuntime(tiny_model, data_dir=chats, threads=1, pool_bytes=4 << 20):
        assert answer(capsys, tiny_model, "-p", "Hi", "--data-dir", str(chats)).strip()
    untouched = tmp_path / "untouched"
    answer(capsys, tiny_model, "-p", "Hi", "--data-dir", str(untouched))
    assert not untouched.exists()


def test_without_a_terminal_a_text_is_answered_and_no_app_is_opened(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = answer(capsys, tiny_model, "Hi", "--temperature", "0")
    assert text == answer(capsys, tiny_model, "-p", "Hi", "--temperature", "0") != ""


@pytest.mark.parametrize(
    ("prompt", "words", "part", "code", "status"),
    [
        ("Hi", ["--pool", "900TiB"], "A pool of 900 TiB does not fit", "usage", 2),
        ("word " * 600, ["--window", "0"], "The prompt has 606 tokens", "context_full", 1),
    ],
)
def test_what_only_the_engine_can_refuse_has_its_own_sentence_and_status(
    prompt: str,
    words: list[str],
    part: str,
    code: str,
    status: int,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-p", prompt, "--model", str(tiny_model), "--json", *words]) == status
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert part in found["error"] and found["code"] == code
    assert err == f"kvchat: {found['error']}\n"


def test_an_engine_that_stops_in_the_middle_ends_with_a_status_of_its_own(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(engine: object) -> None:
        raise AssertionError("secret")

    monkeypatch.setattr("kvchat.engine.engine.Engine.step", step)
    assert main(["-p", "Hi", "--model", str(tiny_model), "--json"]) == 70
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "engine_stopped"
    assert "Traceback" not in err and "secret" not in err


def test_weights_that_cannot_be_loaded_end_with_the_status_of_a_bad_model(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for each in tiny_model.iterdir():
        raw = each.read_bytes()
        (folder / each.name).write_bytes(raw[:-8] if each.suffix == ".safetensors" else raw)
    assert main(["-p", "Hi", "--model", str(folder)]) == 65
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("kvchat: ") and err.count("\n") == 1
    assert "model.safetensors" in err


def test_a_template_that_cannot_be_used_is_said_once(
    capsys: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text("{% for %}")
    assert main(["-p", "Hi", "--model", str(folder), "--max-tokens", "2"]) == 0
    assert capsys.readouterr().err.count("using the plain format") == 1


@pytest.fixture
def talking(tiny_model: Path, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that prints a long answer, after its first byte."""
    words = ["-p", "Hi", "--model", str(tiny_model), "--threads", "1", "--pool", "4MiB"]
    with subprocess.Popen(
        [sys.executable, "-m", "kvchat", *words, "--temperature", "3", "--max-tokens", "100000"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        try:
            yield process
        finally:
            process.kill()


def ended_quietly(process: "subprocess.Popen[bytes]") -> int:
    assert process.stderr is not None
    assert process.stderr.read() == b""
    return process.wait(60)


def test_ctrl_c_ends_with_status_130_and_no_traceback(talking: "subprocess.Popen[bytes]") -> None:
    talking.send_signal(signal.SIGINT)
    assert ended_quietly(talking) == 130


def test_a_closed_pipe_ends_quietly(talking: "subprocess.Popen[bytes]") -> None:
    assert talking.stdout is not None
    talking.stdout.close()
    assert ended_quietly(talking) == 0


# -- chats that are kept, and other forms


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a\n```py\nx = 1\n```\nb\n```\ny\n```", "x = 1\n"),
        ("~~~\n```\nx\n```\n~~~~\n", "```\nx\n```\n"),
        ("````\n```\nx\n````", "```\nx\n"),
        ("```py\ncut off", "cut off\n"),
        ("```py", ""),
        ("``` `no` ```\ntext", None),
        ("x = ```1```", None),
        ("nothing", None),
    ],
)
def test_the_first_code_block_is_found(text: str, code: str | None) -> None:
    assert first_code_block(text) == code


def test_only_the_code_is_printed_when_it_is_extracted(capsys: pytest.CaptureFixture[str]) -> None:
    assert ScriptedRuntime("Sure:\n```\n", "ls\n", "```\nDone.").answer("code") == 0
    assert capsys.readouterr() == ("ls\n", "")


def test_an_answer_without_code_says_so_and_ends_with_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ScriptedRuntime("No code.").answer("code") == 1
    out, err = capsys.readouterr()
    assert out == "" and "has no code block" in err


def test_streamed_json_is_one_object_a_line_and_its_text_is_the_answer(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--temperature", "0", "-p", "Hi")
    lines = answer(capsys, tiny_model, "--stream-json", *options).splitlines()
    events = [json.loads(line) for line in lines]
    tokens = [event["text"] for event in events if event["type"] == "token"]

    assert [events[0]["type"], events[-2]["type"], events[-1]["type"]] == ["init", "stats", "end"]
    assert "".join(tokens) == events[-1]["text"]
    assert events[-2]["generated_tokens"] > 0
    assert events[-1]["text"].rstrip("\n") == answer(capsys, tiny_model, *options).rstrip("\n")


def test_a_kept_chat_goes_on_where_it_ended(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ("--data-dir", str(tmp_path), "--temperature", "0")
    answer(capsys, tiny_model, "-p", "first", "--save", *kept)
    answer(capsys, tiny_model, "-p", "second", "-c", *kept)
    answer(capsys, tiny_model, "-p", "third", "-r", "first", "--fork", *kept)
    with ChatRuntime(tiny_model, data_dir=tmp_path) as runtime:
        said = [
            [message.text for message in session.messages if message.role == "user"]
            for session in runtime.sessions()
        ]

    assert said == [["first", "second"], ["first", "second", "third"]]


def test_a_chat_that_is_not_there_is_told_with_its_status(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(tiny_model), "--data-dir", str(tmp_path), "-p", "Hi"]
    assert main([*words, "-c"]) == 66
    assert "There is no chat yet" in capsys.readouterr().err
    assert main([*words, "-r", "none"]) == 66
    assert "There is no chat yet" in capsys.readouterr().err


def test_a_data_directory_in_use_ends_with_status_75(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatRuntime(tiny_model, data_dir=tmp_path):
        words = ["--model", str(tiny_model), "--data-dir", str(tmp_path)]
        assert main([*words, "-p", "Hi", "--save"]) == 75
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["--json", "--stream-json"])
def test_json_tells_the_probability_of_every_token(
    form: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-p", "Hi", "--model", str(tiny_model), "--max-tokens", "5", "--logprobs", "2", form]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1 if form == "--json" else -2])
    assert len(found["logprobs"]) == found["generated_tokens"]
    for token in found["logprobs"]:
        assert token["logprob"] <= token["top"][0]["logprob"] <= 0 and len(token["top"]) == 2
    assert found["notice"] is None


def test_a_plain_answer_refuses_logprobs(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-p", "Hi", "--logprobs", "2"], ["-p", "Hi", "--json", "--logprobs", "11"]):
        assert main(words) == 2
    assert "--logprobs needs 0 to 10" in capsys.readouterr().err


def test_the_notice_of_a_reply_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    runtime = ScriptedRuntime("Hi")
    runtime.reply.notice = "History rewritten by the template: re-reading 4 tokens."
    assert runtime.answer() == 0
    notice = "kvchat: History rewritten by the template: re-reading 4 tokens.\n"
    assert capsys.readouterr() == ("Hi\n", notice)
