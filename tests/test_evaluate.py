"""python -m kvchat.evaluate: reads a text the way the app would."""

import json
from pathlib import Path

import pytest

from kvchat import ChatRuntime, SamplingParams, evaluate, paths
from kvchat.text.tokenizer import Tokenizer


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, float]:
    assert evaluate.main([str(argument) for argument in arguments]) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
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


def test_a_text_longer_than_the_context_needs_a_window(
    tiny_model: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--model", str(tiny_model), "--text", str(text)]) == 70
    assert "--window" in capsys.readouterr().err
    assert evaluate.main(["--model", str(tiny_model), "--text", str(text / "no")]) == 66


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
    ids = tokenizer.encode(words)[: evaluate.STRETCH_TOKENS]
    assert len(ids) == evaluate.STRETCH_TOKENS
    text = tmp_path / "rounds.txt"
    text.write_text(" ".join([tokenizer.decode(ids)] * 11), encoding="utf-8")
    found = report(capsys, "--text", text, "--window", 512, "--tokens", 20_000, "--threads", 1)
    assert found["tokens"] == 20_000
    assert found["max_blocks"] <= (512 + 4 + 2 * evaluate.CHUNK_TOKENS) // 32 + 4
    assert found["final_blocks"] <= 512 // 32 + 2
    assert abs(found["perplexity_after_2000"] / found["perplexity_first_2000"] - 1) <= 0.05
