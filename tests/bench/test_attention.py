"""The attention benchmark takes every way it knows, and times nothing that differs."""

import json

import pytest
from torch import Tensor

from kvchat.bench import attention
from kvchat.bench.attention import main
from kvchat.bench.attention_cells import SMALL, Cell, cells, tiny_cells
from kvchat.bench.attention_variants import FilledPool, Tensors
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.native.kernels import Kernels


@pytest.fixture(autouse=True)
def chosen(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "choose_kernels", lambda *_: kernels)


def test_every_topic_is_measured_and_the_last_line_is_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--tiny", "--rounds", "3", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {cell.topic for cell in tiny_cells()} == {
        each["title"].split(",")[0] for each in found["tables"]
    }
    ways = {key.split(" | ")[-1] for key in found["samples"]}
    assert ways >= {"folded", "enable_gqa", "repeat", "gather", "views", "kernel", "masked"}
    assert ways >= {"unshared", "kernel fp32", "views fp32"}
    assert all(each["num_samples"] == 3 for each in found["samples"].values())
    assert all(each["must"] and each["value"] for each in found["figures"])


def test_nothing_is_timed_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(outputs: dict[str, list[Tensor]]) -> dict[str, float]:
        return {name: float("nan") for name in outputs}

    monkeypatch.setattr(attention, "differences", wrong)
    monkeypatch.setattr(attention, "in_turns", lambda *_, **__: pytest.fail("timed"))
    with pytest.raises(KVChatError, match="nothing of it is timed"):
        main(["--tiny", "--rounds", "1"])


@pytest.mark.parametrize(("num_runs", "wanted"), [(1, 1), (4, 4), (0, 13)])
def test_a_sequence_lies_in_as_many_runs_as_the_cell_says(num_runs: int, wanted: int) -> None:
    cell = Cell("runs", SMALL, (400, 390), num_runs=num_runs)
    pool = FilledPool(cell, Tensors(cell))
    for sequence in pool.sequences:
        assert pool.cache._sequences[sequence].tables[0].num_runs() == wanted


def test_no_two_cells_of_a_topic_have_one_name() -> None:
    names = [(cell.topic, cell.name) for cell in cells(is_full=True)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--threads", "x"],
        ["--topics", "nothing"],
        ["--topics", "runs,nothing"],
        ["--topics", "runs,"],
        ["--topics", ""],
        ["--tiny", "--full"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "in_turns", lambda *_, **__: pytest.fail("timed"))
    with pytest.raises(InvalidArgument):
        main(arguments)
