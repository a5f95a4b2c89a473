"""The language model inside a Gemma 3 that also sees, under both prefixes its files have had."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from kvchat.errors import ModelError
from kvchat.model.config import ModelConfig
from kvchat.model.folder import ModelFolder
from tests.model.parity_kit import (
    BASE,
    Case,
    import_transformers,
    load,
    plain,
    randomize,
)

pytestmark = pytest.mark.xdist_group("oracle")


@pytest.fixture(scope="module")
def oracle() -> Any:
    transformers = import_transformers()
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    text = {**BASE, "sliding_window": 12, "sliding_window_pattern": 2}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=210
    )
    config._attn_implementation = "eager"
    oracle = transformers.Gemma3ForConditionalGeneration(config).eval()
    randomize(oracle, seed=3, norm_center=0.0)
    return oracle


@pytest.fixture(scope="module")
def case(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case.of(oracle, tmp_path_factory.mktemp("gemma3"), 60)


def test_its_text_part_gives_the_oracles_logits(case: Case) -> None:
    assert ModelFolder.open(case.folder).warnings == ()
    case.assert_close(plain(case.model, case.token_ids))


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_either_prefix_of_its_tensors_is_read(case: Case, tmp_path: Path, prefix: str) -> None:
    tensors = {}
    for name, tensor in load_file(case.folder / "model.safetensors").items():
        inner = name.removeprefix("language_model.model.").removeprefix("model.language_model.")
        is_text = inner != name
        tensors[prefix + inner if is_text else name] = tensor
    assert any(name.startswith(prefix) for name in tensors)
    assert any("vision_tower." in name for name in tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((case.folder / "config.json").read_text())
    case.assert_close(plain(load(tmp_path), case.token_ids))


def test_sizes_its_text_part_leaves_out_are_those_of_the_family(case: Case) -> None:
    document = json.loads((case.folder / "config.json").read_text())
    document["text_config"] = {"model_type": "gemma3_text", "num_hidden_layers": 34}
    config = ModelConfig.from_json(document)
    assert (config.hidden_size, config.num_layers, config.num_heads) == (2304, 34, 8)
    assert (config.num_kv_heads, config.head_dim, config.vocab_size) == (4, 256, 262208)
    assert config.rope.theta == 1e6 and config.local_rope is not None
    assert config.local_rope.theta == 1e4
    assert config.windows.windowed_layers[:6] == (0, 1, 2, 3, 4, 6)


def test_a_text_part_that_is_no_object_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match="text_config is 7, expected an object"):
        ModelConfig.from_json({"model_type": "gemma3", "text_config": 7})
