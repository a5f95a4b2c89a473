"""Folders loaded in every kind of weights."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kvchat.kv.contiguous import NoCache
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.int4_linear import Int4Linear
from kvchat.model.int8_linear import Int8Linear
from kvchat.model.packed_linear import PackedLinear
from kvchat.model.transformer import Transformer
from kvchat.model.weight_intake import StoredEmbedding
from kvchat.native.kernels import Kernels
from kvchat.paths import bundled_model_dir
from kvchat.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tests.model.conftest import TinyFolder


def load(path: Path, weights: str, kernels: Kernels | None = None) -> Transformer:
    return load_transformer(
        ModelFolder.open(path), dtype=torch.float32, device="cpu", weights=weights, kernels=kernels
    )


def logits(model: Transformer, token_ids: list[int]) -> Tensor:
    cache = NoCache(model.config.kv_spec())
    sequence = cache.open()
    step = cache.reserve([(sequence, len(token_ids))])
    with torch.inference_mode():
        output: Tensor = model(torch.tensor(token_ids), torch.arange(len(token_ids)), cache)
    step.commit()
    return output


@pytest.mark.parametrize(("weights", "bound"), [("int8", 5e-3), ("int4", 0.15)])
def test_the_rounded_model_that_comes_along_says_nearly_the_same(
    weights: str, bound: float
) -> None:
    """Its logits give nearly the same probabilities: the mean divergence is in nats."""
    words = "The old man walked home and saw a light."
    ids = [1, *Tokenizer.load(bundled_model_dir()).encode(words)]
    exact, found = (
        logits(load(bundled_model_dir(), kind), ids).log_softmax(-1) for kind in ("float", weights)
    )
    divergence = (exact.exp() * (exact - found)).sum(-1).mean()
    assert 0 < float(divergence) < bound


@pytest.mark.parametrize(("weights", "kind"), [("int8", Int8Linear), ("int4", Int4Linear)])
def test_every_linear_layer_is_rounded_and_the_tied_table_stays_as_stored(
    tiny_model: Path, weights: str, kind: type[nn.Module]
) -> None:
    model = load(tiny_model, weights)
    layers = [module for name, module in model.named_modules() if name.endswith("_proj")]
    assert len(layers) == 14 and all(isinstance(module, kind) for module in layers)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert isinstance(model.lm_head, Int8Linear)
    assert isinstance(model.embed_tokens, StoredEmbedding)
    stored = load(tiny_model, "float").embed_tokens.weight
    assert torch.equal(model.embed_tokens.table, stored)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_matrices_of_odd_shapes_and_an_untied_head_load(tiny: "TinyFolder", weights: str) -> None:
    model, exact = load(tiny.path, weights), load(tiny.path, "float")
    assert isinstance(model.lm_head, Int8Linear)
    assert isinstance(model.get_submodule("layers.1.mlp.down_proj"), Int8Linear)
    found, wanted = logits(model, [1, 2, 3, 4]), logits(exact, [1, 2, 3, 4])
    assert float((found - wanted).square().mean().sqrt() / wanted.std()) < 0.1


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_native_kernels_say_the_same_to_the_last_bit(
    tiny: "TinyFolder", weights: str, kernels: Kernels
) -> None:
    model = load(tiny.path, weights, kernels)
    assert sum(isinstance(module, PackedLinear) for module in model.modules()) == 15
    assert not any(isinstance(module, Int8Linear | Int4Linear) for module in model.modules())
    for ids in ([1], [1, 2, 3, 4], [5] * 40):
        assert torch.equal(logits(model, ids), logits(load(tiny.path, weights), ids))


def test_biases_go_with_their_rounded_matrices(tiny: "TinyFolder", kernels: Kernels) -> None:
    tiny.config(attention_bias=True)

    def add_biases(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if ".self_attn." in name]:
            size = tensors[name].shape[0]
            tensors[name.replace(".weight", ".bias")] = torch.linspace(-1, 1, size)

    tiny.tensors(add_biases)
    model, exact = load(tiny.path, "int8"), load(tiny.path, "float")
    projection = model.get_submodule("layers.0.self_attn.q_proj")
    assert isinstance(projection, Int8Linear) and projection.bias is not None
    found, wanted = logits(model, [1, 2, 3]), logits(exact, [1, 2, 3])
    assert float((found - wanted).square().mean().sqrt() / wanted.std()) < 0.1
    assert torch.equal(logits(load(tiny.path, "int8", kernels), [1, 2, 3]), found)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_rounding_needs_little_more_memory_than_the_rounded_weights(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts what this process has allocated, not what it has mapped of the file."""
    status = Path("/proc/self/status")
    if not status.exists() or "RssAnon" not in status.read_text():
        pytest.skip("this system does not say how much memory is allocated")

    def allocated() -> int:
        return 1024 * int(status.read_text().split("RssAnon:")[1].split()[0])

    folder = tmp_path / "model"
    folder.mkdir()
    document = {
        "model_type": "llama", "vocab_size": 40, "hidden_size": 1024, "intermediate_size": 4096,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 8,
        "max_position_embeddings": 64, "tie_word_embeddings": True, "rope_theta": 1e4,
        "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(document))
    with torch.device("meta"):
        shapes = {
            f"model.{name}": tuple(parameter.shape)
            for name, parameter in Transformer(
                ModelFolder.open(_with_weights(folder)).config
            ).named_parameters()
        }
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, folder / _FILE)
    num_parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    load(folder, weights)  # what a first call allocates for good
    peaks = []
    before = allocated()
    model = load_transformer(
        ModelFolder.open(folder),
        dtype=torch.float32,
        device="cpu",
        weights=weights,
        progress=lambda _: peaks.append(allocated() - before),
    )
    assert model.layers
    per_weight = {"int8": 1.0, "int4": 0.54}[weights]
    assert max(peaks) < per_weight * num_parameters + (24 << 20)
    assert 4 * num_parameters > max(peaks) + (60 << 20)


_FILE = "model.safetensors"


def _with_weights(folder: Path) -> Path:
    save_file({}, folder / _FILE)
    return folder
