"""The command that trains, resumes and exports."""

import time
from pathlib import Path

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
