"""The folder of random weights: made whole or not at all, and refused in a sentence."""

from pathlib import Path

import pytest

from kvchat.bench.lineup import model_folder
from kvchat.errors import InvalidArgument
from kvchat.paths import bundled_model_dir


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match=r"file: .*; name another folder"):
        model_folder(tmp_path / "file", "tiny")


def test_nothing_is_left_of_weights_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fill_the_disk)
    with pytest.raises(InvalidArgument, match="No space left"):
        model_folder(tmp_path, "tiny")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_there_are_taken_again(tmp_path: Path) -> None:
    made = model_folder(tmp_path, "tiny")
    config = bundled_model_dir() / "tokenizer_config.json"
    assert (made / config.name).read_bytes() == config.read_bytes()
    time = made.stat().st_mtime_ns
    assert model_folder(tmp_path, "tiny") == made and made.stat().st_mtime_ns == time
    assert list(tmp_path.iterdir()) == [made]
