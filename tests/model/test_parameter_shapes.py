"""Shapes without torch, against the model; test_families.py compares every family."""

from typing import Any

import pytest
import torch

from kvchat.model.config import ModelConfig
from kvchat.model.parameter_shapes import parameter_shapes
from kvchat.model.transformer import Transformer
from tests.model.conftest import CONFIG

CONFIGS: dict[str, dict[str, Any]] = {  # values of JSON
    "llama": {},
    "with biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3", "head_dim": 6},
    "olmo2": {"model_type": "olmo2"},
    "mixtral": {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2},
}


def assert_same(config: ModelConfig) -> None:
    with torch.device("meta"):
        model = Transformer(config)
    expected = {name: tuple(each.shape) for name, each in model.named_parameters()}
    assert parameter_shapes(config) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_names_and_shapes_are_those_of_the_model(name: str) -> None:
    assert_same(ModelConfig.from_json(CONFIG | CONFIGS[name]))
