"""The race runs end to end on a toy model, is checked first, and refuses wrong results."""

import json
from pathlib import Path

import pytest
import torch

from kvchat.bench import llama_peer, throughput, transformers_peer
from kvchat.bench.agreement import BOUNDS, check_contestant
from kvchat.bench.lineup import open_lineup
from kvchat.bench.own_engine import OwnEngine
from kvchat.bench.result import read_document
from kvchat.bench.samples import Sample, Samples
from kvchat.bench.throughput import Cell, Task
from kvchat.bench.throughput_targets import throughput_figures
from kvchat.errors import InvalidArgument, KVChatError

SMALL = ["--shape", "tiny", "--context", "20", "--prefill", "40", "--threads", "1"]
PROMPTS = [[5, 6, 7, 8, 9, 10], [900, 30, 31, 7, 8, 2000]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def test_every_cell_is_told_and_saved(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, "--precision", "fp32,int8", "--rounds", "1", "--kernel", "torch"]
    arguments += ["--models", str(weights), "--out", str(tmp_path / "found.json")]
    assert throughput.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found == read_document(tmp_path / "found.json")
    tasks = ["1 stream", "8 streams", "16 streams", "prefill 40"]
    for name in ("kvchat fp32", "kvchat int8"):
        for task in tasks:
            assert found["samples"][f"{name} | {task} | 1"]["median_seconds"] > 0
    (speeds, agreement) = found["tables"]
    assert speeds["columns"] == ["", *tasks]
    assert [row[0] for row in agreement["rows"]].count("kvchat fp32") == 1
    forks = [figure for figure in found["figures"] if "8 forks of 40" in figure["name"]]
    assert len(forks) == 2 and all(figure["value"] > 0 for figure in forks)
    if transformers_peer.is_installed():
        assert found["samples"]["transformers fp32 | 8 streams | 1"]["num_samples"] == 4
    if not llama_peer.is_installed():
        assert llama_peer.HOW_TO_INSTALL in found["notes"]


def test_peers_that_are_not_installed_are_left_out_with_a_sentence(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for peer in (llama_peer, transformers_peer):
        monkeypatch.setattr(peer, "is_installed", lambda: False)
    with open_lineup(weights, "tiny", "fp32", pool_tokens=1024, with_peers=True) as lineup:
        assert [each.name for each in lineup.all] == ["kvchat fp32"]
        assert lineup.notes == [transformers_peer.HOW_TO_INSTALL, llama_peer.HOW_TO_INSTALL]


@pytest.mark.parametrize("precision", BOUNDS)
def test_we_compute_at_every_precision_what_dense_attention_does(
    weights: Path, precision: str
) -> None:
    with open_lineup(weights, "tiny", precision, pool_tokens=1024, with_peers=False) as lineup:
        (ours,) = lineup.own
        found = check_contestant(ours, lineup.dense, PROMPTS, BOUNDS[precision], num_known=3000)
    assert found.name == f"kvchat {precision}"


def test_a_contestant_with_other_weights_is_not_timed(weights: Path) -> None:
    with open_lineup(weights, "tiny", "int4", pool_tokens=1024, with_peers=False) as lineup:
        (ours,) = lineup.own
        with torch.no_grad():
            head = lineup.dense.get_parameter("lm_head.weight")
            lineup.dense.lm_head = torch.nn.Linear(32, 5000, bias=False)
            lineup.dense.lm_head.weight.data = head.flip(1).clone()
        with pytest.raises(KVChatError, match="computes something else, so nothing is timed"):
            check_contestant(ours, lineup.dense, PROMPTS, BOUNDS["int4"], num_known=3000)


def test_a_contestant_that_chooses_badly_in_a_batch_is_not_timed(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_lineup(weights, "tiny", "fp32", pool_tokens=1024, with_peers=False) as lineup:
        (ours,) = lineup.own
        monkeypatch.setattr(OwnEngine, "said", lambda _self: [[11, 12], [13, 14]])
        with pytest.raises(KVChatError, match="regret"):
            check_contestant(ours, lineup.dense, PROMPTS, BOUNDS["fp32"], num_known=3000)


def test_streams_go_on_where_their_prompts_end_after_each_restart(weights: Path) -> None:
    with open_lineup(weights, "tiny", "fp32", pool_tokens=2048, with_peers=True) as lineup:
        said = {}
        for each in lineup.all:
            each.begin(PROMPTS)
            rounds = []
            for _ in range(2):
                each.restart()
                for _ in range(5):
                    each.step()
                rounds.append([list(words) for words in each.said()])
            assert rounds[0] == rounds[1] and all(len(words) == 6 for words in rounds[0])
            said[each.name] = rounds[0]
            each.end()
        assert len({str(words) for words in said.values()}) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--shape", "9b"],
        ["--precision", "fp64"],
        ["--threads", "3"],
        ["--kernel", "cuda"],
        ["--rounds", "0"],
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        throughput.main(arguments)


def cell(name: str, precision: str, task: Task, seconds: float) -> Cell:
    return Cell(precision, name, task, 1, Samples(1, [Sample(seconds, seconds, 0)] * 3))


def test_our_best_kernel_is_held_against_each_peer_beside_it() -> None:
    one = Task(1, 1)
    figures = list(
        throughput_figures(
            [
                cell("kvchat int8", "int8", one, 2.0),
                cell("kvchat int8 native", "int8", one, 1.0),
                cell("llama.cpp Q8_0", "int8", one, 1.5),
                cell("transformers fp32", "fp32", one, 9.0),
            ]
        )
    )
    (figure,) = figures
    assert figure.name == "kvchat int8 native ÷ llama.cpp Q8_0, 1 stream, 1 thread"
    assert (figure.value, figure.must, figure.verdict) == (1.5, 1.0, "met")
