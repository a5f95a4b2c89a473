"""The command that trains, resumes and exports."""

import time
from pathlib import Path

import pytest

from kvchat import train


def test_the_command_trains_resumes_and_exports(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "weights"
    arguments = ["--corpus", str(tiny_run[0]), "--work", str(tmp_path), "--out", str(out)]
    assert train.main([*arguments, "--smoke", "--steps", "2"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    ]
    first = (out / "model.safetensors").read_bytes()
    assert train.main([*arguments, "--smoke", "--export-only"]) == 0
    assert (out / "model.safetensors").read_bytes() == first
    assert "validation, bits per byte" in (tmp_path / "train.log").read_text()


def test_a_clock_time_is_the_next_one_to_come() -> None:
    moment = train.parse_moment("12:34")
    assert 0 < moment - time.time() <= 24 * 3600
    assert time.gmtime(moment)[3:5] == (12, 34)


@pytest.mark.parametrize("option", ["--extend", "--export-only"])
def test_what_was_never_trained_is_neither_extended_nor_exported(
    tiny_run: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
) -> None:
    out = tmp_path / "out"
    words = ["--corpus", str(tiny_run[0]), "--work", str(tmp_path), "--out", str(out), "--smoke"]
    length = [] if option == "--export-only" else ["--steps", "2"]
    assert train.main([*words, *length, option]) == 2
    assert "has no checkpoint for " + option in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(
    tiny_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    words = ["--corpus", str(tiny_run[0]), "--smoke", "--steps", "2", "--work"]
    assert train.main([*words, str(tmp_path / "work"), "--out", str(tmp_path / "file")]) == 74
    assert train.main([*words, str(tmp_path / "file"), "--out", str(tmp_path / "out")]) == 74
    assert capsys.readouterr().err.count("file cannot be written") == 2
    assert not (tmp_path / "work").exists()


def test_a_corpus_without_records_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--smoke", "--steps", "2", "--corpus", str(tmp_path / "none")]
    assert train.main([*words, "--work", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has nothing to train on" in capsys.readouterr().err


def test_a_tiny_model_takes_the_sizes_that_are_named() -> None:
    words = ["--corpus", "x", "--work", "x", "--out", "x", "--steps", "1", "--smoke"]
    shape = train._shape(train._parser().parse_args([*words, "--num-layers", "1"]))
    assert (shape.num_layers, shape.hidden_size, shape.vocab_size) == (1, 32, 512)


@pytest.mark.parametrize(
    "words",
    [
        ["--smoke", "--hidden-size", "33"],
        ["--hidden-size", "33"],
        ["--num-heads", "3"],
        ["--vocab-size", "100"],
        ["--vocab-size", "70000"],
    ],
)
def test_a_shape_that_makes_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    place = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert train.main(["--corpus", str(tmp_path), "--steps", "1", *place, *words]) == 2
    assert words[-2] in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "words", [["--steps", "0"], ["--minutes", "nan"], ["--minutes", "inf"], ["--until", "25:00"]]
)
def test_a_length_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(["--corpus", "corpus", *words])
    assert f"argument {words[0]}: {words[1]!r} is no" in capsys.readouterr().err
