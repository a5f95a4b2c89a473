"""Every benchmark in the list can be run, and says what it takes."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

from kvchat.bench.programs import PROGRAMS, Program, main
from kvchat.errors import InvalidArgument


def test_the_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, program in PROGRAMS.items():
        assert sum(line.split()[:1] == [name] and program.line in line for line in lines) == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_benchmark_says_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"kvchat bench {name}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["speed"], ["-x"]])
def test_what_is_not_in_the_list_is_refused_with_the_list(words: list[str]) -> None:
    with pytest.raises(InvalidArgument, match=f"{next(iter(PROGRAMS))}, .* or "):
        main(words)


def test_a_benchmark_that_is_ended_puts_its_folder_away_and_says_by_which_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_arguments: Sequence[str]) -> int:
        with TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    module = ModuleType("kvchat.bench.endless")
    monkeypatch.setattr(module, "main", measure, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(PROGRAMS, "endless", Program("endless", "is ended"))
    # Were it not caught, then not by the end of the whole run of tests either.
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        assert main(["endless"]) == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []
