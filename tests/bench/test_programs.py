"""Every benchmark in the list can be run, and says what it takes."""

import pytest

from kvchat.bench.programs import PROGRAMS, main
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
