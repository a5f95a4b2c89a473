"""python -m kvchat.evaluate: chats as a user would, and reads a text the way the app would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kvchat import ChatRuntime, SamplingParams, evaluate, paths
from kvchat.evaluation import interview
from kvchat.evaluation.model_card import BEGIN, END
from kvchat.evaluation.prompt_list import PromptList
from kvchat.evaluation.text_reading import CHUNK_TOKENS, STRETCH_TOKENS
from kvchat.text.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[1]


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Run the command; its last line is any JSON object."""
    assert evaluate.main([str(argument) for argument in arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The river ran past the old mill, and nobody spoke. " * 160, encoding="utf-8")
    return path


def test_a_window_holds_a_flat_number_of_blocks_however_long_the_text(
    tiny_model: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--model", tiny_model, "--text", text, "--window", 64, "--threads", 1)
    short = report(capsys, *common, "--tokens", 400)
    long = report(capsys, *common, "--tokens", 1600)
    assert long["tokens"] > 1500 and long["max_blocks"] <= short["max_blocks"] + 1
    assert long["final_blocks"] <= 4


def test_a_window_larger_than_the_text_changes_nothing(
    tiny_model: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--model", tiny_model, "--text", text, "--tokens", 300, "--threads", 1)
    whole = report(capsys, *common)
    windowed = report(capsys, *common, "--window", 400)
    assert whole["perplexity"] == windowed["perplexity"]


def test_rounded_weights_read_a_little_differently(
    tiny_model: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--model", tiny_model, "--text", text, "--tokens", 300, "--threads", 1)
    whole = report(capsys, *common)
    rounded = report(capsys, *common, "--weights", "int8")
    assert (whole["weights"], rounded["weights"]) == ("fp32", "int8")
    assert rounded["perplexity"] != whole["perplexity"]
    assert rounded["perplexity"] == pytest.approx(whole["perplexity"], rel=0.1)


@pytest.mark.parametrize(
    "option",
    [
        *("--card=x", "--markdown=x", "--transcripts=x", "--corpus=x", "--seeds=1,2,3"),
        *("--greedy", "--temperature=0.5", "--json=no/such/folder"),
    ],
)
def test_an_option_that_does_nothing_beside_a_text_is_refused(
    text: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--text", str(text), option]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--tokens=5", "--window=8", "--sinks=0"])
def test_an_option_of_a_text_is_refused_where_none_is_read(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([option]) == 2
    assert "name one with --text" in capsys.readouterr().err


def test_the_figures_of_a_text_are_written_as_a_file(
    tiny_model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    common = ("--model", tiny_model, "--text", text, "--tokens", 40, "--threads", 1)
    assert report(capsys, *common, "--json", file) == json.loads(file.read_text())


def test_a_text_longer_than_the_context_needs_a_window(
    tiny_model: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--model", str(tiny_model), "--text", str(text)]) == 70
    assert "--window" in capsys.readouterr().err
    assert evaluate.main(["--model", str(tiny_model), "--text", str(text / "no")]) == 66


def test_a_folder_that_is_no_model_is_refused_in_one_sentence(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--text", str(text)]):
        status = evaluate.main(["--model", str(tmp_path / "none"), *more])
        said = capsys.readouterr()
        assert status not in (0, 1) and said.out == ""
        assert said.err.count("\n") == 1 and "none" in said.err


def test_a_reader_who_goes_away_is_no_error(tiny_model: Path, text: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "kvchat.evaluate", "--model", str(tiny_model)]
    command += ["--text", str(text), "--tokens", "100", "--threads", "1"]
    ended = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_cannot_be_kept_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "ChatRuntime", None)
    card = tmp_path / "card.md"
    card.write_text("# A card without marks\n")
    for option, path, said in (
        ("--card", card, "needs a line"),
        ("--card", tmp_path / "none.md", "cannot be read"),
        ("--json", tmp_path / "none" / "x.json", "cannot be written"),
        ("--transcripts", tmp_path, "cannot be written"),
    ):
        assert evaluate.main([option, str(path)]) == 2
        assert said in capsys.readouterr().err
    assert card.read_text() == "# A card without marks\n"


def test_a_short_text_gives_an_object_that_every_program_can_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.txt"
    path.write_text("Hello there.")
    common = ["--model", str(tiny_model), "--threads", "1", "--text", str(path)]
    assert evaluate.main(common) == 0
    (line,) = capsys.readouterr().out.splitlines()[-1:]
    assert "NaN" not in line and json.loads(line)["perplexity_after_2000"] is None
    path.write_text("")
    assert evaluate.main(common) == 2
    assert "has no text to read" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--threads", "--tokens"])
def test_numbers_below_one_are_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit):
        evaluate.main([option, "0"])
    assert f"argument {option}: it is 0" in capsys.readouterr().err


@pytest.fixture
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model never stops."""
    monkeypatch.setattr(interview, "MAX_TOKENS", 6)


@pytest.mark.usefixtures("few_tokens")
def test_a_model_that_babbles_answers_no_prompt_acceptably_and_every_file_is_written(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, card = tmp_path / "corpus", tmp_path / "MODEL_CARD.md"
    corpus.mkdir()
    chat = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello!"}]
    record = json.dumps({"source": "x", "messages": chat}) + "\n"
    (corpus / "sft_chat.val.jsonl").write_text(record, encoding="utf-8")
    card.write_text(f"# Card\n{BEGIN}\n{END}\n", encoding="utf-8")
    files = {name: tmp_path / f"{name}.out" for name in ("json", "markdown", "transcripts")}
    arguments = [f"--{name}={path}" for name, path in files.items()]
    arguments += [f"--card={card}", f"--corpus={corpus}", "--seeds=2", "--threads=1"]
    found = report(capsys, "--model", tiny_model, *arguments)
    assert found["acceptable"] == 0 and found["num_prompts"] == 100 and found["seeds"] == [2]
    assert found["stopped"] == 0 and found["known_prompts"] == 1 and found["tokens"] == 6
    assert json.loads(files["json"].read_text(encoding="utf-8")) == found
    page = files["markdown"].read_text(encoding="utf-8")
    assert "**0.0 of 100**" in page and page.strip() in card.read_text(encoding="utf-8")
    assert files["transcripts"].read_text(encoding="utf-8").count("\n### ") == 100


@pytest.fixture
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = PromptList.load().groups
    monkeypatch.setattr(PromptList, "load", lambda: PromptList(groups[:1]))


@pytest.mark.usefixtures("few_tokens", "few_prompts")
def test_several_values_of_a_setting_are_compared(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", tiny_model, "--threads", 1, "--seeds", 1]
    found = report(capsys, *common, "--temperature", "0.2,0.8", "--top-p", 0.9)
    assert [each["temperature"] for each in found["trials"]] == [0.2, 0.8]
    assert found["best"] in found["trials"]


@pytest.mark.usefixtures("few_tokens", "few_prompts")
def test_greedy_chats_take_one_run(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "--model", tiny_model, "--threads", 1, "--greedy")
    assert found["seeds"] == [1] and found["sampling"]["temperature"] == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--temperature", "0.2,0.4", "--card", "x.md"], "combinations"),
        (["--temperature", "0.2,-1"], "temperature"),
        (["--corpus", "nowhere"], "nowhere"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_the_first_chat(
    arguments: list[str],
    word: str,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(evaluate, "interview")
    assert evaluate.main(["--model", str(tiny_model), *arguments]) == 2
    said = capsys.readouterr()
    assert word in said.err and said.out == ""


@pytest.mark.slow
def test_twenty_thousand_tokens_in_a_window_read_as_well_as_the_first_two_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same stories again and again, so that only their position differs.

    A round of them is longer than the window: an earlier one cannot be looked up.
    """
    with ChatRuntime(save=False, threads=1) as runtime:
        chat = runtime.new_session()
        sampling = SamplingParams(seed=1, temperature=1.0, max_tokens=200)
        replies = runtime.ask(chat, "Please tell me a long story.", 28, sampling)
        words = " ".join(reply.wait().text for reply in replies)
    tokenizer = Tokenizer.load(paths.bundled_model_dir())
    ids = tokenizer.encode(words)[:STRETCH_TOKENS]
    assert len(ids) == STRETCH_TOKENS
    text = tmp_path / "rounds.txt"
    text.write_text(" ".join([tokenizer.decode(ids)] * 11), encoding="utf-8")
    found = report(capsys, "--text", text, "--window", 512, "--tokens", 20_000, "--threads", 1)
    assert found["tokens"] == 20_000
    assert found["max_blocks"] <= (512 + 4 + 2 * CHUNK_TOKENS) // 32 + 4
    assert found["final_blocks"] <= 512 // 32 + 2
    assert abs(found["perplexity_after_2000"] / found["perplexity_first_2000"] - 1) <= 0.05
