"""Every way to keep keys and values is compared, checked first, on a toy model."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from kvchat.bench import caches
from kvchat.bench.cache_variants import GatheringKVCache, ScatterStaticCache, attend_fused
from kvchat.bench.caches import INT8, NO_CACHE, RUNS, Decoder, cache_makers, main
from kvchat.bench.line_plot import line_plot
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.kv.contiguous import NoCache
from kvchat.kv.spec import LayerSpec
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Transformer:
    loaded = ModelFolder.open(tiny_model).load(dtype=torch.float32, device="cpu")
    assert isinstance(loaded, Transformer)
    return loaded


def test_all_tables_the_plot_and_the_object_are_there(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plot.svg"
    arguments = ["-m", str(tiny_model), "--most", "128", "--rounds", "1", "--plot", str(plot)]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    decode, memory, reading, batch = found["tables"]
    assert decode["columns"] == memory["columns"] == ["", "64", "128"]
    names = [row[0] for row in decode["rows"]]
    assert names == [row[0] for row in reading["rows"]] and len(names) == 8
    assert batch["rows"][0][0] == "paged, packed"
    # Four in each of three rounds: one without a cache takes a single one a round, and wants three.
    assert found["samples"]["dynamic | decode at 64"]["num_samples"] == 12
    ElementTree.fromstring(plot.read_text())
    assert plot.read_text() == found["plots"]["decode"]


@pytest.mark.parametrize(
    "name",
    [
        "dynamic",
        "dynamic, grown by 1.5",
        "static, index_copy_",
        "static, scatter_",
        "paged, gather",
        RUNS,
        INT8,
    ],
)
def test_each_cache_gives_the_logits_of_none(model: Transformer, name: str) -> None:
    makers = cache_makers(model.config.kv_spec(), 64)
    tokens = list(range(10, 47))
    truth, ours = (Decoder(model, makers[each](), tokens) for each in (NO_CACHE, name))
    truth.step()
    for _ in range(3):  # again and again the same token
        ours.step()
        caches.check_logits(name, ours.logits, truth.logits)
    before = ours.num_bytes
    ours.read()
    caches.check_logits(name, ours.logits, truth.logits)
    assert truth.num_bytes == 0 < before <= ours.num_bytes * 2


def test_logits_that_are_off_are_no_result(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget_first(query: Tensor, keys: Tensor, values: Tensor, layer: LayerSpec) -> Tensor:
        skip = int(len(query) == 1)
        return attend_fused(query, keys[skip:], values[skip:], layer)

    monkeypatch.setattr("kvchat.bench.cache_variants.attend_fused", forget_first)
    with pytest.raises(KVChatError, match="so nothing is timed"):
        main(["-m", str(tiny_model), "--most", "64", "--rounds", "1"])


def test_a_step_over_several_rows_gathers_each_of_them(model: Transformer) -> None:
    spec = model.config.kv_spec()
    truth, gathering = NoCache(spec), GatheringKVCache(spec, 8)
    scattered = ScatterStaticCache(spec, 40)
    prompts = [[5, 6, 7], list(range(40, 75))]
    found = []
    for cache in (truth, gathering, scattered):
        rows = [(cache.open(), len(prompt)) for prompt in prompts]
        step = cache.reserve(rows)
        packed = torch.tensor([token for prompt in prompts for token in prompt])
        with torch.inference_mode():
            found.append(model(packed, torch.tensor(step.positions), cache))
        step.commit()
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[2], found[0], atol=1e-4, rtol=1e-4)


def test_a_plot_has_a_line_for_each_series_and_its_name() -> None:
    picture = line_plot("a < b", "x", "y", {"one": [(1, 1), (10, 100)], "two": [(1, 3), (10, 5)]})
    root = ElementTree.fromstring(picture)
    texts = ["".join(each.itertext()) for each in root.iter() if each.tag.endswith("text")]
    assert {"a < b", "one", "two", "10", "100"} <= set(texts)
    lines = [each for each in root.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 2 and all(len(each.attrib["points"].split()) == 2 for each in lines)
    first, last = (point.split(",") for point in lines[0].attrib["points"].split())
    assert float(first[0]) < float(last[0]) and float(first[1]) > float(last[1])


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--most", "5"]])
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        main(arguments)


def test_each_cache_is_timed_with_and_without_the_compiler(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kvchat.bench.compiled_model.BACKEND", "eager")  # traced, and no more
    arguments = ["-m", str(tiny_model), "--most", "64", "--rounds", "1", "--compile"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = found["tables"][-1]
    assert table["title"].startswith("with torch.compile")
    assert [row[0] for row in table["rows"]] == [row[0] for row in found["tables"][0]["rows"]]
    assert found["notes"] == []


def test_without_a_working_compiler_the_rest_is_told_all_the_same(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(graph: object, inputs: object) -> object:
        raise OSError("no compiler for C++")

    monkeypatch.setattr("kvchat.bench.compiled_model.BACKEND", broken)
    assert main(["-m", str(tiny_model), "--most", "64", "--rounds", "1", "--compile"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "torch.compile does not work here" in found["notes"][0]
    assert len(found["tables"]) == 4
