"""The benchmark of restarts runs, and says what it measured."""

import json
from pathlib import Path

import pytest

from kvchat.bench import sessions
from kvchat.bench.result import read_document
from kvchat.errors import InvalidArgument


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
    assert found["ratio"] == found["computed_seconds"][0] / found["restored_seconds"][0]
    assert found["machine"]["processor"]


def test_a_shape_is_made_of_random_weights_and_written_as_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--shape", "tiny", "--tokens", "300", "--rounds", "1", "--threads", "1"]
    file = tmp_path / "found.json"
    assert sessions.main([*arguments, "--json", "--out", str(file)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert read_document(file) == found
    assert found["shape"] == "tiny" and found["equal_answers"]


def test_different_answers_are_no_result(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(9))

    def start(*_: object) -> sessions.Start:
        return sessions.Start(1.0, 9, 1, f"answer {next(numbers)}")

    monkeypatch.setattr(sessions, "_start", start)
    arguments = ["--model", str(tiny_model), "--tokens", "100", "--rounds", "1", "--threads", "1"]
    assert sessions.main(arguments) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["equal_answers"] is False


@pytest.mark.parametrize(
    "arguments", [["--shape", "9b"], ["--rounds", "0"], ["--tokens", "0"], ["--weights", "zz"]]
)
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        sessions.main(arguments)
