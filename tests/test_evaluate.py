"""python -m kvchat.evaluate: reads a text the way the app would."""

import json
from pathlib import Path

import pytest

from kvchat import evaluate


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
