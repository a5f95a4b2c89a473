"""A folder with random weights loads like any other, and says only what the tokenizer knows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kvchat.bench.random_model import SHAPES, check_room, model_size, write_random_model
from kvchat.errors import InvalidArgument
from kvchat.model.checkpoint import load_transformer
from kvchat.model.config import ModelConfig
from kvchat.model.folder import ModelFolder
from kvchat.model.transformer import Transformer
from kvchat.paths import bundled_model_dir
from kvchat.untrusted import JsonValue


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_loads_and_its_unknown_tokens_are_never_likeliest(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    folder = tmp_path / "tiny"
    num_parameters = write_random_model(folder, "tiny", bundled_model_dir(), dtype)
    opened = ModelFolder.open(folder)
    model = load_transformer(opened, dtype=dtype, device="cpu")
    assert sum(each.numel() for each in model.parameters()) == num_parameters
    head = dict(model.named_parameters())["lm_head.weight"]
    known = ModelFolder.open(bundled_model_dir()).config.vocab_size
    assert len(head) == 5000 > known
    assert not head[known:].any() and head[:known].any(1).all()


def test_the_large_shape_has_a_billion_parameters() -> None:
    document: dict[str, JsonValue] = {
        "model_type": "llama",
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        **SHAPES["1b"],
    }
    config = ModelConfig.from_json(document)
    with torch.device("meta"):
        model = Transformer(config)
    sizes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    assert 1.09e9 < model_size(sizes) < 1.11e9


def test_weights_a_disk_has_no_room_for_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 5 << 30
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=free))
    check_room(tmp_path, "1b")
    free = 4 << 30
    with pytest.raises(InvalidArgument, match=r"take 4\.1 GiB, but .* has 4\.0 free"):
        check_room(tmp_path, "1b")
    check_room(tmp_path, "1b", torch.bfloat16)
