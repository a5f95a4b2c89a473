"""What a benchmark found is told to people and to programs, and says what it missed."""

import argparse
import json
from pathlib import Path

import pytest

from kvchat.bench.figure import Figure
from kvchat.bench.result import Result, Table, read_document
from kvchat.errors import InvalidArgument


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("speed", 1.2, "x"), ""),
        (Figure("speed", 1.2, "x", must=1.0), "met"),
        (Figure("speed", 0.9, "x", must=1.0, aim=1.5), "MISSED"),
        (Figure("speed", 1.2, "x", must=1.0, aim=1.5), "met, aim missed"),
        (Figure("speed", 1.6, "x", must=1.0, aim=1.5), "met, aim met"),
        (Figure("cost", 0.2, " ms", must=0.1, at_least=False), "MISSED"),
        (Figure("cost", 0.1, " ms", must=0.1, at_least=False), "met"),
        (Figure("speed", None, "x", must=1.0), "not measured"),
    ],
)
def test_a_figure_says_whether_it_is_what_it_must_be(figure: Figure, verdict: str) -> None:
    assert figure.verdict == verdict
    assert figure.document()["verdict"] == verdict and figure.cells()[4] == verdict


def test_a_table_is_aligned_by_its_widest_cells() -> None:
    table = Table("speeds", ["", "one", "two"], [["kvchat", "1", "22222"], ["x", "1000", "3"]])
    assert table.lines()[2:] == [
        "         one    two",
        "kvchat     1  22222",
        "x       1000      3",
    ]


def test_the_last_line_is_the_object_that_is_written_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result("trial", "a trial", figures=[Figure("speed", 0.9, "x", must=1.0)])
    path = tmp_path / "new" / "trial.json"
    assert result.tell(argparse.Namespace(json=False, out=path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == read_document(path)
    assert any("MISSED" in line for line in lines[:-1])
    assert result.tell(argparse.Namespace(json=True, out=None)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["bench"] == "trial" and json.loads(line)["machine"]["processor"]


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"a": 1}', '{"machine": null}', "[" * 100_000]
)
def test_a_file_that_no_benchmark_wrote_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "found.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidArgument, match="holds no result"):
        read_document(path)


def test_a_place_that_cannot_be_written_costs_one_sentence_and_no_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        Result("trial", "a trial").tell(
            argparse.Namespace(json=True, out=tmp_path / "file" / "below.json")
        )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bench"] == "trial"
