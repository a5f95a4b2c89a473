"""A compiled model is one graph around `attend`, and computes what the model computes."""

from pathlib import Path

import pytest
import torch
from torch._inductor.utils import InputType

from kvchat.bench import compiled_model
from kvchat.bench.compiled_model import CompiledModel
from kvchat.engine.model_runner import ModelRunner
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.model.folder import ModelFolder


# torch warns of its own use of what it deprecates.
@pytest.mark.filterwarnings("ignore:.*is deprecated. Please switch to:DeprecationWarning")
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_logits_are_those_of_the_model_over_two_caches_with_one_graph_a_number_of_tokens(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    graphs: list[object] = []

    def counted(graph: torch.fx.GraphModule, inputs: list[InputType]) -> object:
        graphs.append(graph)
        return graph if backend == "eager" else torch._inductor.compile(graph, inputs)

    monkeypatch.setattr(compiled_model, "BACKEND", counted)
    folder = ModelFolder.open(tiny_model)
    model = folder.load(dtype=torch.float32, device="cpu")
    compiled = CompiledModel(model, folder.kv_spec())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(2):
            found = []
            for each in (model, compiled):
                cache, runner = PagedKVCache(folder.kv_spec(), 4), ModelRunner(each, "cpu")
                sequence = cache.open()
                for tokens in (list(range(9, 50)), [3], [4]):
                    with cache.reserve([(sequence, len(tokens))]) as step:
                        found.append(runner.run([tokens], step.positions, cache))
            for expected, logits in zip(found[:3], found[3:], strict=True):
                torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    finally:
        torch.set_num_threads(threads)
    assert len(graphs) == 2
    assert not compiled_model._current
