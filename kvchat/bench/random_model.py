"""A model folder of a known shape with random weights: real in all but what it says.

For benchmarks of sizes that nobody wants to download: time and memory do not depend on the values
of weights. It takes the bundled tokenizer, so only that many tokens can be said.
"""

import json
import math
import shutil
import struct
from pathlib import Path

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer

SHAPES: dict[str, dict[str, int]] = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
    "125m": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "head_dim": 64,
        "vocab_size": 32000,
        "max_position_embeddings": 8192,
    },
    "null": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 12,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "vocab_size": 4096,
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 5000,
        "max_position_embeddings": 2048,
    },
}
"""1b is the shape of TinyLlama, 1.1 billion parameters; 125m has 12 layers, 768 wide, 134 million
with both word matrices; null has its 12 layers and next to no maths in them; tiny is for trying a
benchmark out."""


_ROOM_LEFT = 1 << 28


def write_random_model(
    folder: Path, shape: str, tokenizer_folder: Path, dtype: torch.dtype = torch.float32
) -> int:
    """Write config, tokenizer and weights of a shape; return the number of parameters.

    Takes the memory of one tensor at a time. Rows of the output matrix that have no token are zero,
    so that greedy decoding never says what the tokenizer does not know.
    """
    folder.mkdir(parents=True)
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(tokenizer_folder / name, folder / name)
    document = json.loads((tokenizer_folder / "config.json").read_text())
    num_known = document["vocab_size"]
    names = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
    document |= SHAPES[shape] | {"tie_word_embeddings": False, "torch_dtype": names[dtype]}
    (folder / "config.json").write_text(json.dumps(document))
    with torch.device("meta"):
        model = Transformer(ModelConfig.from_json(document))
    shapes = {
        name if name.startswith("lm_head") else f"model.{name}": tuple(parameter.shape)
        for name, parameter in model.named_parameters()
    }
    header, path = _header(shapes, dtype), folder / "model.safetensors"
    num_bytes = len(header) + model_size(shapes) * dtype.itemsize
    with path.open("wb") as file:
        file.write(header)
        file.truncate(num_bytes)
    mapped = torch.from_file(str(path), shared=True, size=num_bytes, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    at = len(header)
    for name, size in shapes.items():
        tensor = _random(size, generator)
        if name == "lm_head.weight":
            tensor[num_known:] = 0
        values = tensor.to(dtype).flatten().view(torch.uint8)
        mapped[at : at + len(values)] = values
        at += len(values)
    return model_size(shapes)


def check_room(directory: Path, shape: str, dtype: torch.dtype = torch.float32) -> None:
    """Raise InvalidArgument where a disk has no room for a shape's weights.

    They are written through a mapping, which would end the program there.
    """
    document = SHAPES[shape]
    width, depth = document["hidden_size"], document["num_hidden_layers"]
    kv_size = document["num_key_value_heads"] * document["head_dim"]
    of_layer = 2 * width * (width + kv_size) + 3 * width * document["intermediate_size"]
    wanted = (depth * of_layer + 2 * width * document["vocab_size"]) * dtype.itemsize
    free = shutil.disk_usage(directory).free
    if free < wanted + _ROOM_LEFT:
        raise InvalidArgument(
            f"The weights of the shape {shape} take {wanted / 2**30:.1f} GiB, but the disk of"
            f" {directory} has {free / 2**30:.1f} free; name another folder with --models."
        )


def model_size(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the number of parameters of these shapes."""
    return sum(torch.Size(size).numel() for size in shapes.values())


def _random(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return weights whose products neither grow nor vanish; vectors are norms, near one."""
    if len(size) == 1:
        return torch.ones(size)
    return torch.randn(size, generator=generator) / math.sqrt(size[-1])


def _header(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    """Return the header of a safetensors file with these tensors one after the other."""
    names = {torch.float32: "F32", torch.bfloat16: "BF16"}
    entries: dict[str, object] = {}
    at = 0
    for name, size in shapes.items():
        end = at + torch.Size(size).numel() * dtype.itemsize
        entries[name] = {"dtype": names[dtype], "shape": size, "data_offsets": (at, end)}
        at = end
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % 64)  # weights off this boundary would be copied, not mapped
    return struct.pack("<Q", len(text)) + text
