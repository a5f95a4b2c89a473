"""The table of families in docs/models.md is what the code says."""

from pathlib import Path
from typing import Any

import kvchat
from kvchat.kv.spec import LayerGroup, VisibleSet
from kvchat.model.config import ModelConfig
from kvchat.model.families import FAMILIES

PAGE = Path(kvchat.__file__).parent / "docs" / "models.md"
TOKENS = 8192
ITEM_BYTES = 2
BLOCK_SIZE = 32


def sizes(layers: int, hidden: int, heads: int, kv_heads: int | None, head_dim: int = 0) -> Any:
    document: dict[str, object] = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }
    return document | ({"head_dim": head_dim} if head_dim else {})


LATENT_27 = {
    "q_lora_rank": None,
    "num_experts_per_tok": 6,
    "max_position_embeddings": 163840,
}
EXAMPLES: list[tuple[str, str, str, dict[str, object]]] = [
    (
        "llama",
        "Llama 3.2 1B",
        "all kinds of rope; biases where the config has them",
        sizes(16, 2048, 32, 8),
    ),
    ("llama", "TinyLlama 1.1B", "nothing", sizes(22, 2048, 32, 4)),
    ("mistral", "Mistral 7B v0.1", "a window of 4096 in all layers", sizes(32, 4096, 32, 8)),
    ("qwen2", "Qwen2.5 1.5B", "bias of q, k, v; windows of upper layers", sizes(28, 1536, 12, 2)),
    ("qwen3", "Qwen3 0.6B", "norm of each q and k head", sizes(28, 1024, 16, 8, 128)),
    ("gemma", "Gemma 2B", "1 + weight in norms, scaled embedding", sizes(18, 2048, 8, 1, 256)),
    (
        "gemma2",
        "Gemma 2 2B",
        "four norms, two soft caps, a window in every other layer",
        sizes(26, 2304, 8, 4, 256),
    ),
    (
        "gemma3_text",
        "Gemma 3 1B",
        "five windowed layers of six, with their own rope base",
        sizes(26, 1152, 4, 1, 256) | {"sliding_window": 512, "max_position_embeddings": 32768},
    ),
    (
        "gemma3",
        "Gemma 3 4B",
        "the language model in it; pictures are not looked at",
        {"text_config": sizes(34, 2560, 8, 4, 256) | {"sliding_window": 1024}},
    ),
    (
        "phi3",
        "Phi-3-mini 4k",
        "packed weights, a window, LongRoPE in the 128k models",
        sizes(32, 3072, 32, 32) | {"sliding_window": 2047},
    ),
    (
        "phi3",
        "Phi-4-mini",
        "a part of each head does not rotate",
        sizes(32, 3072, 24, 8) | {"partial_rotary_factor": 0.75, "max_position_embeddings": 131072},
    ),
    ("smollm3", "SmolLM3 3B", "every fourth layer does not rotate", sizes(36, 2048, 16, 4)),
    ("granite", "Granite 3.3 2B", "four multipliers", sizes(40, 2048, 32, 8)),
    ("olmo2", "OLMo 2 1B", "norms behind, norm of all of q and of k", sizes(16, 2048, 16, 16)),
    ("mixtral", "Mixtral 8x7B", "two of eight experts", sizes(32, 4096, 32, 8)),
    ("minicpm3", "MiniCPM3 4B", "MLA, scales of depth and width", sizes(62, 2560, 40, 40)),
    (
        "deepseek_v2",
        "DeepSeek-V2-Lite",
        "MLA, routed and shared experts, yarn with mscale",
        sizes(27, 2048, 16, 16) | LATENT_27,
    ),
]


def table() -> str:
    """Return the table as it stands in the page."""
    lines = [
        "| `model_type` | for example | beyond a Llama decoder | KV per token | at 8192 tokens |",
        "|---|---|---|---|---|",
    ]
    for model_type, name, features, fields in EXAMPLES:
        rest = {"vocab_size": 1000, "intermediate_size": 64}
        config = ModelConfig.from_json(
            {"model_type": model_type, **rest, **fields}  # type: ignore[dict-item]
        )
        spec = config.kv_spec()
        per_token = spec.bytes_per_token(ITEM_BYTES) / 1024
        held = sum(group.bytes_per_token(ITEM_BYTES) * held_tokens(group) for group in spec.groups)
        lines.append(
            f"| `{model_type}` | {name} | {features} | {per_token:.4g} KiB |"
            f" {held / 2**20:.4g} MiB |"
        )
    return "\n".join(lines) + "\n"


def held_tokens(group: LayerGroup) -> int:
    """Return how many tokens a chat of TOKENS keeps in a layer group."""
    most = VisibleSet(group.window).most_blocks(BLOCK_SIZE)
    return TOKENS if most is None else min(TOKENS, most * BLOCK_SIZE)


def test_the_table_of_families_is_what_the_code_says() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), table()


def test_every_family_is_in_the_table() -> None:
    assert {model_type for model_type, *_ in EXAMPLES} == set(FAMILIES)
