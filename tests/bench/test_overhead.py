"""What surrounds the maths is measured end to end on a toy model, and saved."""

import json

import pytest

from kvchat.bench import overhead
from kvchat.bench.bookkeeping import bookkeeping_figures
from kvchat.bench.overhead import main
from kvchat.errors import InvalidArgument, KVChatError


def test_every_part_is_told_with_what_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shape", "tiny", "--kernel", "torch", "--rounds", "1", "--tokens", "1024"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = [figure["name"] for figure in found["figures"]]
    for part in ("Python and dispatch", "sampling 16 rows", "fork of 1024", "rewind from 1024"):
        assert any(name.startswith(part) for name in names)
    assert found["samples"]["kvchat fp32, 16 rows | step"]["num_samples"] == 4


def test_forks_and_short_chats_take_what_they_must() -> None:
    figures = {figure.name: figure for figure in bookkeeping_figures(512)}
    (forks,) = (each for name, each in figures.items() if name.endswith("one chat: blocks"))
    (grown,) = (each for name, each in figures.items() if name.startswith("blocks taken"))
    (saved,) = (each for name, each in figures.items() if name.startswith("memory saved"))
    assert (forks.value, grown.value) == (1.0, 1.0)
    assert saved.verdict == "met"


def test_rows_that_are_sampled_otherwise_together_are_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = iter(range(1000))

    def choose(_logits: object, rows: list[object], _reader: object) -> list[int]:
        return [next(numbers) for _ in rows]

    monkeypatch.setattr(overhead, "choose", choose)
    with pytest.raises(KVChatError, match="sampled together differ"):
        main(["--shape", "tiny", "--kernel", "torch", "--rounds", "1", "--tokens", "512"])


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--tokens", "4"], ["--shape", "9b"], ["--weights", "q"]]
)
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        main(arguments)
