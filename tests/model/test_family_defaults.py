"""What a config.json means that leaves out all it may: the same as to transformers."""

from typing import Any

import pytest

from kvchat.errors import ModelError
from kvchat.model.config import ModelConfig
from kvchat.model.families import FAMILIES
from tests.model.parity_kit import import_transformers

pytestmark = pytest.mark.xdist_group("oracle")

SIZES: dict[str, Any] = {  # values of JSON
    "vocab_size": 1000,
    "hidden_size": 2560,
    "intermediate_size": 512,
    "num_hidden_layers": 14,
    "num_attention_heads": 32,
}
REQUIRED: dict[str, dict[str, Any]] = {
    "minicpm3": {"num_attention_heads": 40},
    "deepseek_v2": {"num_experts_per_tok": 6},
}


def sizes_of(model_type: str) -> dict[str, Any]:
    return {"model_type": model_type, **SIZES, **REQUIRED.get(model_type, {})}


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if name != "gemma3"])
def test_missing_fields_mean_what_they_mean_to_the_oracle(model_type: str) -> None:
    config = import_transformers().AutoConfig.for_model(**sizes_of(model_type))
    full = ModelConfig.from_json(config.to_dict())
    assert ModelConfig.from_json(sizes_of(model_type)) == full


def refusal(model_type: str, **fields: Any) -> str:
    document = sizes_of(model_type) | fields
    with pytest.raises(ModelError) as caught:
        ModelConfig.from_json({name: value for name, value in document.items() if value is not ...})
    return caught.value.sentence


LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0] * 40,
    "long_factor": [1.0] * 40,
    "original_max_position_embeddings": 2048,
}


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        ("mistral", {"sliding_window": 0}, "sliding_window is 0, expected a whole number from 1"),
        ("mistral", {"sliding_window": "x"}, "sliding_window is 'x', expected a whole number"),
        ("mistral", {"layer_types": ["full_attention"]}, "layer_types is [\"full_attention\"]"),
        (
            "mistral",
            {"layer_types": ["full_attention"] * 13 + ["chunked_attention"]},
            "layer_types[13] is 'chunked_attention', expected 'full_attention' or",
        ),
        (
            "gemma2",
            {"layer_types": ["sliding_attention"] * 14, "sliding_window": None},
            "layer_types[0] is 'sliding_attention', but sliding_window is null.",
        ),
        ("qwen2", {"use_sliding_window": 1}, "use_sliding_window is 1, expected true or false."),
        ("qwen2", {"attention_bias": True}, "attention_bias=true changes the maths"),
        ("qwen3", {"mlp_bias": True}, "mlp_bias=true changes the maths"),
        ("llama", {"query_pre_attn_scalar": 256}, "query_pre_attn_scalar=256 changes the maths"),
        ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention=true"),
        ("gemma2", {"attn_logit_softcapping": 0}, "attn_logit_softcapping is 0, expected a"),
        ("gemma2", {"hidden_activation": "relu"}, "hidden_activation 'relu' is not supported."),
        ("gemma3_text", {"rope_local_base_freq": 0}, "rope_local_base_freq is 0, expected a"),
        (
            "gemma3_text",
            {"rope_parameters": {"full_attention": 3, "sliding_attention": {}}},
            "rope_parameters.full_attention is 3, expected an object.",
        ),
        (
            "gemma3_text",
            {"rope_parameters": {"full_attention": {}, "factor": 3}},
            "rope_parameters.factor=3 stands beside types of layers",
        ),
        ("phi3", {"partial_rotary_factor": 0.01}, "partial_rotary_factor is 0.01, which makes 0"),
        (
            "phi3",
            {"rope_scaling": LONGROPE | {"long_factor": [1.0] * 39}},
            "rope_scaling.long_factor has 39 numbers, expected 40.",
        ),
        (
            "phi3",
            {"rope_scaling": LONGROPE | {"short_factor": 1.0}},
            "rope_scaling.short_factor is 1.0, expected a list of 40 numbers.",
        ),
        (
            "phi3",
            {"rope_scaling": LONGROPE | {"short_factor": [1.0] * 39 + [0]}},
            "rope_scaling.short_factor[39] is 0, expected a number from",
        ),
        ("llama", {"rope_scaling": {"type": "su"}}, "rope type 'su' is not supported."),
        (
            "llama",
            {"rope_theta": 1.0, "rope_scaling": {"type": "yarn", "factor": 2.0}},
            "rope type 'yarn' does not work with rope_theta 1 and 80 channels",
        ),
        (
            "llama",
            {"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "rope type 'dynamic' does not work with rope_theta 10000 and 2 channels",
        ),
        ("smollm3", {"no_rope_layers": [1] * 13}, "expected a list of 14 numbers 0 or 1."),
        ("smollm3", {"no_rope_layers": [True] * 14}, "expected a list of 14 numbers 0 or 1."),
        ("granite", {"logits_scaling": 0}, "logits_scaling is 0, expected a number"),
        ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok is 9, but there are 8"),
        ("mixtral", {"num_local_experts": 0}, "num_local_experts is 0, expected a whole number"),
        ("minicpm3", {"num_key_value_heads": 8}, "num_key_value_heads is 8, expected 40 like"),
        ("minicpm3", {"qk_rope_head_dim": 31}, "qk_rope_head_dim is 31, expected an even number."),
        ("minicpm3", {"kv_lora_rank": 0}, "kv_lora_rank is 0, expected a whole number"),
        ("deepseek_v2", {"num_experts_per_tok": ...}, "num_experts_per_tok is missing, expected"),
        ("deepseek_v2", {"norm_topk_prob": True}, "norm_topk_prob=true changes the maths"),
        ("deepseek_v2", {"scoring_func": "sigmoid"}, "scoring_func='sigmoid' changes the maths"),
        ("deepseek_v2", {"moe_layer_freq": 2}, "moe_layer_freq=2 changes the maths"),
        ("deepseek_v2", {"topk_method": "noaux_tc"}, "topk_method is 'noaux_tc', expected"),
        (
            "deepseek_v2",
            {"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 9},
            "topk_group is 9, expected a whole number from 1 to 8.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_with_its_name(
    model_type: str, fields: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(model_type, **fields)


def test_null_and_missing_differ_where_a_family_says_so() -> None:
    def window(**fields: Any) -> int | None:
        return ModelConfig.from_json(sizes_of("mistral") | fields).windows.window

    assert window() == 4096
    assert window(sliding_window=None) is None
    qwen = ModelConfig.from_json(sizes_of("qwen3") | {"head_dim": None})
    assert (qwen.head_dim, ModelConfig.from_json(sizes_of("qwen3")).head_dim) == (80, 128)


def test_a_window_that_the_context_never_fills_makes_no_layer_group() -> None:
    document = sizes_of("mistral") | {"max_position_embeddings": 4096}
    assert len(ModelConfig.from_json(document).kv_spec().groups) == 1
    assert ModelConfig.from_json(document).kv_spec().groups[0].window is None
    document["max_position_embeddings"] = 4097
    assert ModelConfig.from_json(document).kv_spec().groups[0].window == 4096


def test_a_large_model_is_described_without_building_it() -> None:
    document = sizes_of("deepseek_v2") | {
        "num_hidden_layers": 27,
        "hidden_size": 2048,
        "num_attention_heads": 16,
        "intermediate_size": 10944,
        "vocab_size": 102400,
        "q_lora_rank": None,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
    }
    config = ModelConfig.from_json(document)
    assert round(config.num_parameters / 1e9, 2) == 15.71  # DeepSeek-V2-Lite
    assert config.kv_spec().bytes_per_token(2) == 27 * (512 + 64) * 2
