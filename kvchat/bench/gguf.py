"""GGUF: the weights of a Llama-family folder in the file format of llama.cpp, in float32.

llama.cpp rotates neighbouring channels where checkpoints rotate halves, so the rows of the query
and key projections are put in its order. The file has no words: tokens are numbers.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer

ALIGNMENT = 32
_UINT32, _FLOAT32, _STRING = 4, 6, 8
_TYPE_F32 = 0
_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, model: Transformer) -> None:
    """Write a model of float32 weights as GGUF, version 3; copies one tensor at a time."""
    tensors = list(_tensors(model))
    pairs = [_pair(name, value) for name, value in _facts(model.config)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs)
    at = 0
    for name, tensor, _ in tensors:
        sizes = tensor.shape[::-1]  # the fastest first
        head += _text(name) + struct.pack("<I", len(sizes))
        head += struct.pack(f"<{len(sizes)}QIQ", *sizes, _TYPE_F32, at)
        at += _padded(tensor.numel() * 4)
    with path.open("wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for _, tensor, num_heads in tensors:
            values = tensor if num_heads is None else _interleaved(tensor, num_heads)
            content = values.float().contiguous().numpy()
            file.write(content.data)
            file.write(bytes(_padded(content.nbytes) - content.nbytes))


def _facts(config: ModelConfig) -> Iterator[tuple[str, str | int | float]]:
    yield "general.architecture", "llama"
    yield "general.alignment", ALIGNMENT
    yield "llama.vocab_size", config.vocab_size
    yield "llama.context_length", config.max_position
    yield "llama.embedding_length", config.hidden_size
    yield "llama.block_count", config.num_layers
    yield "llama.feed_forward_length", config.intermediate_size
    yield "llama.rope.dimension_count", config.head_dim
    yield "llama.attention.head_count", config.num_heads
    yield "llama.attention.head_count_kv", config.num_kv_heads
    yield "llama.attention.key_length", config.head_dim
    yield "llama.attention.value_length", config.head_dim
    yield "llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps
    yield "llama.rope.freq_base", float(config.rope.theta)
    yield "tokenizer.ggml.model", "no_vocab"


def _tensors(model: Transformer) -> Iterator[tuple[str, Tensor, int | None]]:
    """Yield names of llama.cpp, weights, and the number of heads whose channels are reordered."""
    config = model.config
    heads = {"self_attn.q_proj": config.num_heads, "self_attn.k_proj": config.num_kv_heads}
    yield "token_embd.weight", model.embed_tokens.weight.detach(), None
    for name, parameter in model.named_parameters():
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            place = rest.removesuffix(".weight")
            yield f"blk.{layer}.{_NAMES[place]}.weight", parameter.detach(), heads.get(place)
    yield "output_norm.weight", model.norm.weight.detach(), None
    if model.lm_head is not None:
        yield "output.weight", model.get_parameter("lm_head.weight").detach(), None


def _interleaved(weight: Tensor, num_heads: int) -> Tensor:
    """Return rows with the channels that rotate together beside each other."""
    rows, columns = weight.shape
    return (
        weight.view(num_heads, 2, rows // num_heads // 2, columns)
        .transpose(1, 2)
        .reshape(rows, columns)
    )


def _pair(name: str, value: str | int | float) -> bytes:
    if isinstance(value, str):
        return _text(name) + struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, int):
        return _text(name) + struct.pack("<II", _UINT32, value)
    return _text(name) + struct.pack("<If", _FLOAT32, value)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
