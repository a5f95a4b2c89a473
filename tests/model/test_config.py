from typing import Any

import pytest
import torch

from kvchat.errors import ModelError
from kvchat.model.config import ModelConfig, shown, unknown_fields
from kvchat.model.rope_scaling import RopeConfig
from kvchat.model.transformer import Transformer

REQUIRED: dict[str, Any] = {  # values of JSON
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 4096,
}


def sentence(**fields: object) -> str:
    """Return the sentence with which a config with these fields is refused."""
    with pytest.raises(ModelError) as caught:
        ModelConfig.from_json(REQUIRED | fields)
    return caught.value.sentence


def test_missing_fields_mean_the_defaults_of_the_family() -> None:
    assert ModelConfig.from_json(REQUIRED) == ModelConfig(
        vocab_size=32000,
        hidden_size=64,
        intermediate_size=96,
        num_layers=2,
        num_heads=4,
        num_kv_heads=4,
        head_dim=16,
        max_position=2048,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        rope=RopeConfig(theta=10_000.0),
    )


def test_null_means_the_same_as_a_missing_field() -> None:
    names = (
        "num_key_value_heads head_dim max_position_embeddings rms_norm_eps tie_word_embeddings "
        "attention_bias mlp_bias rope_theta rope_scaling rope_parameters sliding_window "
        "quantization_config partial_rotary_factor"
    )
    nulls = dict.fromkeys(names.split())
    assert ModelConfig.from_json(REQUIRED | nulls) == ModelConfig.from_json(REQUIRED)


def test_given_fields_are_taken() -> None:
    config = ModelConfig.from_json(
        REQUIRED
        | {
            "num_key_value_heads": 2,
            "head_dim": 24,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
            "hidden_act": "swish",
            "rope_theta": 500000,
        }
    )
    assert (config.num_kv_heads, config.head_dim, config.max_position) == (2, 24, 512)
    assert (config.rms_norm_eps, config.rope.theta) == (1e-5, 500_000.0)
    assert config.tie_word_embeddings and config.attention_bias and config.mlp_bias


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_parameters_are_counted_without_building_the_model(tied: bool, biased: bool) -> None:
    fields = {
        "num_key_value_heads": 2,
        "head_dim": 24,
        "tie_word_embeddings": tied,
        "attention_bias": biased,
        "mlp_bias": biased,
    }
    config = ModelConfig.from_json(REQUIRED | fields)
    with torch.device("meta"):
        model = Transformer(config)
    assert config.num_parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"rope_theta": 5e5}, {"rope_theta": 5e5, "rope_type": "default"}),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}},
            {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000},
        ),
        ({"rope_theta": 5e5, "rope_scaling": LLAMA3}, {**LLAMA3, "rope_theta": 5e5}),
    ],
)
def test_both_dialects_of_rope_mean_the_same(
    older: dict[str, object], newer: dict[str, object]
) -> None:
    expected = ModelConfig.from_json(REQUIRED | {"rope_parameters": newer})
    assert ModelConfig.from_json(REQUIRED | older) == expected
    assert expected.rope.theta == newer["rope_theta"]
    assert expected.rope.kind == newer["rope_type"]


@pytest.mark.parametrize(
    ("theta", "older"),
    [
        (7.0, {"type": "linear", "factor": 3.0}),
        (9.0, {"type": "linear", "factor": 3.0}),
        (9.0, {"type": "dynamic", "factor": 5.0}),
        (9.0, {"rope_theta": 8.0, "rope_type": "linear", "factor": 5.0}),
        (7.0, {"rope_type": "linear", "factor": 5.0}),
        (9.0, {"rope_type": "default"}),
        (9.0, [1]),
    ],
)
def test_two_dialects_that_contradict_each_other_are_refused(theta: float, older: object) -> None:
    newer = {"rope_theta": 9.0, "rope_type": "linear", "factor": 5.0}
    with pytest.raises(ModelError, match="rope_scaling and rope_parameters contradict each other"):
        ModelConfig.from_json(
            REQUIRED | {"rope_theta": theta, "rope_scaling": older, "rope_parameters": newer}
        )


@pytest.mark.parametrize(
    ("theta", "older"),
    [
        (9.0, {"type": "linear", "factor": 5}),
        (9.0, {"type": "linear", "rope_type": "linear", "factor": 5.0}),
        (7.0, {"rope_theta": 9, "rope_type": "linear", "factor": 5.0, "beta_fast": None}),
        (7.0, {}),
        (7.0, None),
    ],
)
def test_two_dialects_that_agree_are_read(theta: float, older: object) -> None:
    newer = {"rope_theta": 9.0, "rope_type": "linear", "factor": 5.0}
    config = ModelConfig.from_json(
        REQUIRED | {"rope_theta": theta, "rope_scaling": older, "rope_parameters": newer}
    )
    assert config.rope == RopeConfig(9.0, "linear", 5.0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 512),
        ({"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 256}}, 256),
        ({"original_max_position_embeddings": 128, "rope_scaling": LLAMA3}, 128),
    ],
)
def test_the_original_length_is_looked_for_in_three_places(
    fields: dict[str, object], expected: int
) -> None:
    without = {key: LLAMA3[key] for key in list(LLAMA3)[:-1]}
    config = ModelConfig.from_json(
        REQUIRED | {"max_position_embeddings": 512, "rope_scaling": without} | fields
    )
    assert config.rope.original_max_position == expected


@pytest.mark.parametrize("name", [*list(REQUIRED)[1:], "num_key_value_heads", "head_dim"])
@pytest.mark.parametrize("value", [0, -1, True, 16.0, "16", [16], 1 << 40, 10**400])
def test_a_size_must_be_a_whole_number_in_its_range(name: str, value: object) -> None:
    text = sentence(**{name: value})
    assert text.startswith(f"config.json: {name} is ")
    assert "expected a whole number from 1 to " in text
    assert len(text) < 150


@pytest.mark.parametrize("name", list(REQUIRED)[1:])
def test_a_required_size_may_not_be_missing(name: str) -> None:
    without = {key: value for key, value in REQUIRED.items() if key != name}
    with pytest.raises(ModelError, match=f"config.json: {name} is missing, expected a whole"):
        ModelConfig.from_json(without)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_key_value_heads": 3}, "4 attention heads do not divide by 3 key/value heads."),
        ({"num_attention_heads": 3}, "hidden_size 64 does not divide by 3 attention heads"),
        ({"head_dim": 15}, "head_dim is 15, expected an even number."),
        ({"max_position_embeddings": 0}, "max_position_embeddings is 0, expected"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0, expected a number from 1e-12 to 0.1."),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps is '1e-5', expected a number"),
        ({"rms_norm_eps": True}, "rms_norm_eps is true, expected a number"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1, expected true or false."),
        ({"attention_bias": "no"}, "attention_bias is 'no', expected true or false."),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported."),
        ({"hidden_act": None}, "hidden_act null is not supported."),
        ({"rope_theta": 0}, "rope_theta is 0, expected a number"),
        ({"rope_scaling": 2.0}, "rope_scaling is 2.0, expected an object."),
        ({"rope_scaling": {"type": "mrope", "factor": 2}}, "rope type 'mrope' is not supported."),
        ({"rope_parameters": {"rope_type": ["default"]}}, 'rope type ["default"] is not'),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling.factor is missing, expected"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "rope_scaling.factor is 0.5"),
        ({"rope_scaling": {"factor": 2.0}}, "rope_scaling.factor=2.0 changes the maths"),
        (
            {"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}},
            "rope_scaling.low_freq_factor is 4, expected a number below high_freq_factor",
        ),
        (
            {"rope_scaling": LLAMA3 | {"attention_factor": 1.5}},
            "rope_scaling.attention_factor=1.5 changes the maths and is not supported for rope "
            "type 'llama3' of llama.",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "full_attention={"),
        ({"sliding_window": 4096}, "sliding_window=4096 changes the maths and is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 changes the maths"),
        ({"residual_multiplier": 0.22}, "residual_multiplier=0.22 changes the maths"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types=["),
        ({"layer_types": ["full_attention"]}, "layer_types=["),
        ({"vocab_size": 1 << 22, "hidden_size": 1 << 16, "head_dim": 64,
          "intermediate_size": 1 << 18, "num_hidden_layers": 512}, "parameters, at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_with_its_name(
    fields: dict[str, object], expected: str
) -> None:
    text = sentence(**fields)
    assert text.startswith("config.json: ")
    assert expected in text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model_type": "gpt9"}, "model_type 'gpt9' is not supported; supported: llama, "),
        ({"model_type": 7}, "config.json: model_type is 7, expected text."),
        ({"model_type": "bert"}, "'bert' is not a decoder with a key/value cache."),
        (
            {"model_type": "mine", "auto_map": {"AutoModel": "modeling.Mine"}},
            "it needs Python code from its folder (auto_map), which kvchat never runs.",
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "its weights are quantised with 'gptq'; use the full-precision folder.",
        ),
    ],
)
def test_foreign_models_are_refused_with_a_reason(fields: dict[str, object], expected: str) -> None:
    assert sentence(**fields).startswith(expected)


def test_neutral_values_of_foreign_fields_are_accepted() -> None:
    neutral = {
        "residual_multiplier": 1.0,
        "use_sliding_window": False,
        "layer_types": ["full_attention", "full_attention"],
        "partial_rotary_factor": 1.0,
        "rope_interleaved": False,
        "rope_scaling": {"type": "default", "factor": 1.0, "beta_fast": None},
    }
    assert ModelConfig.from_json(REQUIRED | neutral) == ModelConfig.from_json(REQUIRED)


def test_only_fields_nobody_knows_are_worth_a_warning() -> None:
    inert = ["architectures", "torch_dtype", "_name_or_path", "transformers_version", "auto_map"]
    document = REQUIRED | dict.fromkeys([*inert, "sliding_window", "wormhole", "alpha"])
    assert unknown_fields(document) == ("alpha", "wormhole")


def test_the_context_limit_is_no_part_of_the_maths() -> None:
    short = ModelConfig.from_json(REQUIRED | {"max_position_embeddings": 64})
    long = ModelConfig.from_json(REQUIRED | {"max_position_embeddings": 128})
    assert short.maths() == long.maths()
    changed = ModelConfig.from_json(REQUIRED | {"rope_theta": 11_000})
    assert changed.maths() != long.maths()


def test_values_are_shown_short_and_without_control_characters() -> None:
    assert shown("a\x1b[31m") == "'a\\x1b[31m'"
    assert shown(["\x1b"]) == '["\\u001b"]'
    assert len(shown("x" * 1000)) == 60
