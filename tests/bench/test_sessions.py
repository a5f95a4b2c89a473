"""The benchmark of restarts runs, and says what it measured."""

import json
from pathlib import Path

import pytest

from kvchat.bench import sessions


def test_it_prints_a_table_and_one_line_of_json(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_model), "--tokens", "300", "--rounds", "1", "--threads", "1"]
    assert sessions.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found["bench"] == "sessions" and found["equal_answers"]
    assert found["num_files"] >= 2 and found["num_bytes"] > 0
    assert 200 <= found["num_tokens"] <= 300
    assert found["restored_computed_tokens"] < 20
    assert len(found["restored_seconds"]) == len(found["computed_seconds"]) == 1
    assert any(line.startswith("without them") for line in lines)
