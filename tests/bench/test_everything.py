"""All benchmarks run one after the other into files, go on where they were, and make a page."""

import json
from pathlib import Path

import pytest

from kvchat.bench import everything, report
from kvchat.bench.everything import MODELS, Part, main, parts, run_part
from kvchat.bench.programs import PROGRAMS
from kvchat.bench.result import read_document
from kvchat.errors import InvalidArgument, KVChatError

QUICK = Part(
    "overhead",
    (
        "overhead",
        "--shape",
        "tiny",
        "--kernel",
        "torch",
        "--rounds",
        "1",
        "--tokens",
        "512",
        "--models",
        MODELS,
    ),
)
BROKEN = Part("broken", ("caches", "--rounds", "0"))
MACHINE = {"processor": "a processor", "num_cpus": 2, "load": 0.1, "torch": "2", "python": "3"}


def test_a_part_that_fails_is_told_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(everything, "parts", lambda **_: [BROKEN, QUICK])
    folder = tmp_path / "found"
    arguments = ["--out", str(folder), "--models", str(tmp_path / "models")]
    assert main(arguments) == 1
    written = capsys.readouterr()
    found = json.loads(written.out.splitlines()[-1])
    assert found["failed"] == ["broken"] and "must be at least 1" in written.err
    assert [path.name for path in folder.iterdir()] == ["overhead.json"]
    assert found["parts"]["overhead"] == read_document(folder / "overhead.json")
    # Once more: what has a file is not measured again.
    monkeypatch.setattr(everything, "parts", lambda **_: [QUICK])
    assert written.out.startswith("broken ") and " GiB at most" in written.out
    monkeypatch.setattr(everything, "run_part", None)
    assert main([*arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["parts"]["overhead"] == found["parts"]["overhead"]


@pytest.mark.parametrize("is_full", [False, True])
def test_every_part_is_a_benchmark_there_is_and_has_a_file_of_its_own(is_full: bool) -> None:
    found = parts(shape="125m", is_full=is_full, rounds=3)
    assert len({part.name for part in found}) == len(found)
    assert {part.arguments[0] for part in found} <= PROGRAMS.keys()
    assert any("1b" in part.arguments for part in found) == is_full
    assert any("--compile" in part.arguments for part in found) == is_full


def test_the_large_shape_has_a_file_for_each_precision_and_number_of_threads() -> None:
    found = parts(shape="125m", is_full=True, rounds=3, large="tiny")
    large = [part for part in found if part.arguments[1:3] == ("--shape", "tiny")]
    assert len(large) == 9 and large[-1].arguments[0] == "sessions"
    assert {part.arguments[part.arguments.index("--threads") + 1] for part in large[:-1]} == {
        "1", "2",
    }  # fmt: skip


def test_progress_is_passed_on_while_a_part_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--rounds", "1", "--tokens", "200", "--threads", "1", "--shape", "tiny")
    document = run_part(
        Part("s", ("sessions", *words)), tmp_path / "s.json", tmp_path, is_quiet=False
    )
    assert document == read_document(tmp_path / "s.json") and document["shape"] == "tiny"
    assert "  s: round 1: " in capsys.readouterr().err


def test_a_part_that_is_killed_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(KVChatError, match="ended by signal 9"):
        run_part(QUICK, tmp_path / "x.json", tmp_path)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--rounds", "0"], ["--only", "nothing"], ["--shape", "nothing"], ["--large", "nothing"]],
)
def test_what_cannot_be_run_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        main(arguments)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(everything, "run_part", None)
    with pytest.raises(InvalidArgument, match="file cannot be written"):
        main(["--out", str(tmp_path / "file")])


def test_a_file_that_was_cut_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(part: Part, path: Path, _models: Path, *, is_quiet: bool) -> dict[str, object]:
        assert (part, path.name, is_quiet) == (QUICK, "overhead.json", True)
        return {"machine": MACHINE}

    monkeypatch.setattr(everything, "parts", lambda **_: [QUICK])
    monkeypatch.setattr(everything, "run_part", measure)
    (tmp_path / "overhead.json").write_text('{"machine": {"proc')
    assert main(["--out", str(tmp_path), "--json"]) == 0
    written = capsys.readouterr()
    assert json.loads(written.out)["parts"] == {"overhead": {"machine": MACHINE}}
    assert "overhead.json is damaged" in written.err


@pytest.mark.parametrize(
    "document",
    [
        {"figures": [{}], "tables": []},
        {"figures": [1], "tables": []},
        {"figures": [], "tables": [{"title": "x"}]},
        {"figures": {"echo": {}}},
        {"restored_seconds": []},
        {"median_seconds": {"listed": "soon"}},
    ],
)
def test_a_file_of_another_version_is_named(tmp_path: Path, document: dict[str, object]) -> None:
    save(tmp_path, "race", **document)
    with pytest.raises(InvalidArgument, match=r"race\.json holds no result"):
        report.main([str(tmp_path)])


def save(folder: Path, name: str, **document: object) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"machine": MACHINE, **document}))


def test_a_page_says_first_where_we_lose(tmp_path: Path) -> None:
    figures = [
        {"name": "kvchat ÷ llama.cpp Q8_0", "value": 0.8, "must": None, "verdict": ""},
        {"name": "kvchat ÷ transformers", "value": 1.8, "must": 1.0, "verdict": "met"},
        {"name": "sampling", "value": 3.0, "must": 2.0, "verdict": "MISSED", "at_least": False},
    ]
    full = [{"unit": "x", "aim": None, "at_least": True, "note": "", **each} for each in figures]
    table = {"title": "speeds", "columns": ["", "1 stream"], "rows": [["kvchat", "5 | 6"]]}
    picture = {"decode": "<svg/>"}
    save(tmp_path, "race", title="a race", figures=full, tables=[table], plots=picture)
    save(tmp_path, "sessions", restored_seconds=[0.1], computed_seconds=[0.9], ratio=9.0)
    save(tmp_path, "start", median_seconds={"listed": 0.5})
    save(tmp_path, "kernels", rows=[{"rows": 8, "speed": 1.25}])
    save(
        tmp_path,
        "ui",
        figures={
            "echo": {"measured": 0.1, "budget": 0.05, "is_good": False},
            "speed": {"measured": 0.97, "budget": 0.95, "is_good": True},
            "size": {"measured": 7.0, "budget": None, "is_good": None},
        },
    )
    page = tmp_path / "page.md"
    assert report.main([str(tmp_path), "--out", str(page)]) == 0
    text = page.read_text()
    assert (tmp_path / "page-race.svg").read_text() == "<svg/>" and "](page-race.svg)" in text
    lost = text[text.index("## Where it loses") : text.index("## kernels")]
    assert "llama.cpp Q8_0" in lost and "sampling" in lost and "transformers" not in lost
    assert "| kvchat | 5 \\| 6 |" in text and "| 8 | 1.25 |" in text
    assert "computed ÷ restored | 9x" in text and "| size | 7 |  |" in text
    assert "| ui | echo | 0.1 | ≤ 0.05 |" in lost and "| speed | 0.97 | ≥ 0.95 |  | met |" in text
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("|"))


def test_a_folder_without_results_makes_no_page(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="run kvchat bench all first"):
        report.main([str(tmp_path)])
