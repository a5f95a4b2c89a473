"""One row per model type: what a missing key means, which maths it has, how tensors are named.

Data only. A family whose arithmetic the modules of this folder already have is added by a row.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from kvchat.untrusted import JsonValue

Activation = Literal["silu", "gelu", "gelu_tanh"]

WindowRule = Literal["none", "all", "upper", "alternating", "pattern", "unrotated"]
"""Which layers have a window where no `layer_types` says so: none; all; the upper ones, from
`max_window_layers` on; every other one, beginning with the first; all but each n-th; those that do
not rotate."""


@dataclass(frozen=True, slots=True)
class NormNames:
    """Names of a layer's norms, by where they stand: around attention and around the MLP."""

    before_attention: str | None = "input_layernorm"
    after_attention: str | None = None
    before_mlp: str | None = "post_attention_layernorm"
    after_mlp: str | None = None


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """One stored tensor whose rows are those of several of our linears, in order."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Maths, defaults and tensor names of one `model_type`.

    defaults          what a key that is missing in config.json means, by its name there
    honours           fields that change the maths, beyond those of every family, that are read
    text_config       the field that holds the language model's config inside a larger one
    activation_fields where the activation is named; the first that is not null wins
    activations       names of activations that mean something else here than elsewhere
    window_rule       which layers have the window, where the config does not name them
    norms             which norms a layer has, and what they are called
    is_unit_offset    norms scale by 1 + weight (Gemma) instead of weight
    scales_embedding  embeddings are multiplied by sqrt(hidden_size)
    has_qkv_bias      q, k and v have a bias whatever the config says, o has none
    qk_norm           RMSNorm of queries and keys: of each head, or of all heads together
    has_partial_rotary  a part of each head may rest, `partial_rotary_factor`
    rope_aliases      rope types that mean another one here
    is_latent         attention is MLA
    is_interleaved    rotated channels are neighbors in the file, not halves of a head
    experts           how the config names its mixture of experts, if it has one
    packed            stored tensors that hold several of our linears
    renamed           parts of our parameter names -> what they are called in checkpoints
    ignorable         tensors that may be there and are not read
    """

    model_type: str
    defaults: Mapping[str, JsonValue]
    honours: frozenset[str] = frozenset()
    text_config: str | None = None
    activation_fields: tuple[str, ...] = ("hidden_act",)
    activations: Mapping[str, Activation] = field(default_factory=lambda: MappingProxyType({}))
    window_rule: WindowRule = "none"
    norms: NormNames = NormNames()
    is_unit_offset: bool = False
    scales_embedding: bool = False
    has_qkv_bias: bool = False
    qk_norm: Literal["head", "projection"] | None = None
    has_partial_rotary: bool = False
    rope_aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_interleaved: bool = False
    is_latent: bool = False
    experts: Literal["mixtral", "deepseek"] | None = None
    packed: tuple[PackedTensor, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    ignorable: re.Pattern[str] = re.compile(r"(?:.*\.)?rotary_emb\.inv_freq")


_LLAMA: dict[str, JsonValue] = {
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e4,
    "hidden_act": "silu",
}
_QWEN: dict[str, JsonValue] = _LLAMA | {
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
    "max_window_layers": 28,
}
_GEMMA: dict[str, JsonValue] = {
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e4,
    "tie_word_embeddings": True,
}
_QWEN_WINDOWS = frozenset(
    {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"}
)
_GEMMA_FIELDS = frozenset({"attention_bias", "sliding_window", "layer_types",
    "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"})  # fmt: skip
_LATENT_FIELDS = frozenset(
    {"q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"}
)
_FOUR_NORMS = NormNames(
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
_GEMMA_ACTIVATIONS = ("hidden_activation", "hidden_act")
_GEMMA3 = Family(
    "gemma3_text",
    _GEMMA
    | {
        "vocab_size": 262208,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131072,
        "rope_theta": 1e6,
        "rope_local_base_freq": 1e4,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 256,
    },
    _GEMMA_FIELDS | {"rope_local_base_freq", "sliding_window_pattern"},
    activation_fields=_GEMMA_ACTIVATIONS,
    window_rule="pattern",
    norms=_FOUR_NORMS,
    is_unit_offset=True,
    scales_embedding=True,
    qk_norm="head",
)

FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        Family("llama", _LLAMA, frozenset({"attention_bias", "mlp_bias"})),
        Family(
            "mistral",
            _LLAMA
            | {
                "num_key_value_heads": 8,
                "max_position_embeddings": 131072,
                "sliding_window": 4096,
            },
            frozenset({"sliding_window", "layer_types"}),
            window_rule="all",
        ),
        Family("qwen2", _QWEN, _QWEN_WINDOWS, window_rule="upper", has_qkv_bias=True),
        Family(
            "qwen3",
            _QWEN | {"head_dim": 128},
            _QWEN_WINDOWS | {"attention_bias"},
            window_rule="upper",
            qk_norm="head",
        ),
        Family(
            "gemma",
            _GEMMA | {"num_key_value_heads": 16, "hidden_act": "gelu_pytorch_tanh"},
            frozenset({"attention_bias"}),
            activation_fields=_GEMMA_ACTIVATIONS,
            # The first configs said 'gelu' and meant what the model was trained with.
            activations=MappingProxyType({"gelu": "gelu_tanh"}),
            is_unit_offset=True,
            scales_embedding=True,
        ),
        Family(
            "gemma2",
            _GEMMA
            | {
                "num_key_value_heads": 4,
                "hidden_activation": "gelu_pytorch_tanh",
                "sliding_window": 4096,
                "query_pre_attn_scalar": 256,
                "attn_logit_softcapping": 50.0,
                "final_logit_softcapping": 30.0,
            },
            _GEMMA_FIELDS,
            activation_fields=_GEMMA_ACTIVATIONS,
            window_rule="alternating",
            norms=_FOUR_NORMS,
            is_unit_offset=True,
            scales_embedding=True,
        ),
        _GEMMA3,
        Family(
            "phi3",
            _LLAMA
            | {
                "max_position_embeddings": 4096,
                "original_max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
            },
            frozenset({"sliding_window", "layer_types", "partial_rotary_factor"}),
            window_rule="all",
            has_partial_rotary=True,
            rope_aliases=MappingProxyType({"su": "longrope", "yarn": "longrope"}),
            packed=(
                PackedTensor(
                    "self_attn.qkv_proj",
                    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                ),
                PackedTensor("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
            ),
        ),
        replace(
            _GEMMA3,
            model_type="gemma3",
            defaults={
                **_GEMMA3.defaults,
                "hidden_size": 2304,
                "intermediate_size": 9216,
                "num_hidden_layers": 26,
                "num_attention_heads": 8,
            },
            text_config="text_config",
            ignorable=re.compile(
                r"(?:.*\.)?rotary_emb\.inv_freq"
                r"|(?:model\.)?(?:vision_tower|multi_modal_projector)\..*"
            ),
        ),
        Family(
            "smollm3",
            _LLAMA
            | {
                "num_key_value_heads": 4,
                "max_position_embeddings": 32768,
                "rope_theta": 2e6,
                "tie_word_embeddings": True,
                "no_rope_layer_interval": 4,
            },
            frozenset(
                {
                    "attention_bias",
                    "mlp_bias",
                    "no_rope_layers",
                    "no_rope_layer_interval",
                    "use_sliding_window",
                    "sliding_window",
                    "layer_types",
                }
            ),
            window_rule="unrotated",
        ),
        Family(
            "granite",
            _LLAMA
            | {
                "embedding_multiplier": 1.0,
                "residual_multiplier": 1.0,
                "attention_multiplier": 1.0,
                "logits_scaling": 1.0,
            },
            frozenset(
                {
                    "attention_bias",
                    "mlp_bias",
                    "embedding_multiplier",
                    "residual_multiplier",
                    "attention_multiplier",
                    "logits_scaling",
                }
            ),
        ),
        Family(
            "olmo2",
            _LLAMA | {"rms_norm_eps": 1e-5},
            frozenset({"attention_bias"}),
            norms=NormNames(None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
            qk_norm="projection",
        ),
        Family(
            "mixtral",
            _LLAMA
            | {
                "num_key_value_heads": 8,
                "max_position_embeddings": 131072,
                "rms_norm_eps": 1e-5,
                "rope_theta": 1e6,
                "num_local_experts": 8,
                "num_experts_per_tok": 2,
            },
            frozenset({"sliding_window", "num_local_experts", "num_experts_per_tok"}),
            window_rule="all",
            experts="mixtral",
            renamed=(
                (".mlp.", ".block_sparse_moe."),
                (".gate_proj.", ".w1."),
                (".down_proj.", ".w2."),
                (".up_proj.", ".w3."),
            ),
        ),
        Family(
            "minicpm3",
            _LLAMA
            | {
                "max_position_embeddings": 32768,
                "rms_norm_eps": 1e-5,
                "tie_word_embeddings": True,
                "q_lora_rank": 768,
                "kv_lora_rank": 256,
                "qk_nope_head_dim": 64,
                "qk_rope_head_dim": 32,
                "scale_emb": 12,
                "scale_depth": 1.4,
                "dim_model_base": 256,
            },
            _LATENT_FIELDS
            | {"attention_bias", "mlp_bias", "scale_emb", "scale_depth", "dim_model_base"},
            is_latent=True,
        ),
        Family(
            "deepseek_v2",
            _LLAMA
            | {
                "q_lora_rank": 1536,
                "kv_lora_rank": 512,
                "qk_nope_head_dim": 128,
                "qk_rope_head_dim": 64,
                "v_head_dim": 128,
                "n_routed_experts": 64,
                "n_shared_experts": 2,
                "moe_intermediate_size": 1407,
                "first_k_dense_replace": 0,
                "routed_scaling_factor": 1.0,
                "topk_method": "greedy",
            },
            _LATENT_FIELDS
            | {
                "attention_bias",
                "mlp_bias",
                "n_routed_experts",
                "n_shared_experts",
                "num_experts_per_tok",
                "moe_intermediate_size",
                "first_k_dense_replace",
                "routed_scaling_factor",
                "topk_method",
            },
            is_latent=True,
            is_interleaved=True,
            experts="deepseek",
        ),
    )
}
"""Every supported family by its `model_type`."""
