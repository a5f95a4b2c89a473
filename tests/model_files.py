"""The files of a tiny model folder as bytes, whole or in shards: to be copied, or damaged."""

import json
from pathlib import Path

from safetensors.torch import save

from tests.model.conftest import CONFIG, random_tensors

TOKENIZER = Path(__file__).parents[1] / "weights/tokenizer.model"
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def text_files() -> dict[str, bytes]:
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.model": TOKENIZER.read_bytes(),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
        "generation_config.json": b'{"eos_token_id": 2}',
        "LICENSE": b"MIT",
    }


def single_files() -> dict[str, bytes]:
    return text_files() | {"model.safetensors": save(random_tensors())}


def sharded_files() -> dict[str, bytes]:
    tensors = sorted(random_tensors().items())
    halves = dict(tensors[:9]), dict(tensors[9:])
    weight_map = {key: name for name, half in zip(SHARDS, halves, strict=True) for key in half}
    files = {name: save(half) for name, half in zip(SHARDS, halves, strict=True)}
    return text_files() | files | {INDEX: json.dumps({"weight_map": weight_map}).encode()}
