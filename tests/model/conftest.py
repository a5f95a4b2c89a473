"""A tiny random model folder, written without any code that is tested here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG: dict[str, Any] = {  # values of JSON
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}


def random_tensors(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the tensors of CONFIG by their names in checkpoints."""
    shapes = {"model.embed_tokens": (40, 16), "lm_head": (40, 16), "model.norm": (16,)}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "self_attn.q_proj": (16, 16),
            prefix + "self_attn.k_proj": (8, 16),
            prefix + "self_attn.v_proj": (8, 16),
            prefix + "self_attn.o_proj": (16, 16),
            prefix + "mlp.gate_proj": (24, 16),
            prefix + "mlp.up_proj": (24, 16),
            prefix + "mlp.down_proj": (16, 24),
            prefix + "input_layernorm": (16,),
            prefix + "post_attention_layernorm": (16,),
        }
    generator = torch.Generator().manual_seed(0)
    return {
        name + ".weight": torch.randn(shape, generator=generator).to(dtype)
        for name, shape in shapes.items()
    }


@dataclass
class TinyFolder:
    """A good folder, and ways to write a single thing of it anew."""

    path: Path

    def config(self, **changes: Any) -> None:
        """Write config.json with fields replaced; the value ... leaves a field out."""
        document = {name: value for name, value in (CONFIG | changes).items() if value is not ...}
        self.write("config.json", json.dumps(document))

    def write(self, name: str, content: str | bytes) -> None:
        """Replace a file."""
        raw = content.encode() if isinstance(content, str) else content
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).write_bytes(raw)

    def tensors(self, change: Callable[[dict[str, Tensor]], object] | None = None) -> None:
        """Write model.safetensors, after `change` had its way with the tensors."""
        tensors = random_tensors()
        if change is not None:
            change(tensors)
        save_file(tensors, self.path / "model.safetensors", metadata={"format": "pt"})

    def shards(self) -> None:
        """Write two shards and their index instead of the single file."""
        (self.path / "model.safetensors").unlink()
        names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
        tensors = sorted(random_tensors().items())
        halves = dict(tensors[:9]), dict(tensors[9:])
        for name, half in zip(names, halves, strict=True):
            save_file(half, self.path / name)
        weight_map = {key: name for name, half in zip(names, halves, strict=True) for key in half}
        self.write("model.safetensors.index.json", json.dumps({"weight_map": weight_map}))


@pytest.fixture
def tiny(tmp_path: Path) -> TinyFolder:
    folder = TinyFolder(tmp_path / "tiny")
    folder.path.mkdir()
    folder.config()
    folder.tensors()
    folder.write("tokenizer.model", b"pieces")
    folder.write("tokenizer_config.json", json.dumps({"bos_token": "<s>", "chat_template": "x"}))
    return folder
