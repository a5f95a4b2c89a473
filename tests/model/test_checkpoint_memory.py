"""How much memory loading takes, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc/self/status of Linux"
)

DOCUMENT: dict[str, Any] = {  # values of JSON
    "model_type": "phi3",
    "vocab_size": 2000,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
}
LOADING = """
import sys, torch
from kvchat.model import checkpoint
from kvchat.model.folder import ModelFolder

checkpoint._MAPPED_BYTES = 2 << 20  # in proportion to a small file
def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
folder = ModelFolder.open(sys.argv[1])
(torch.ones(64, 64).bfloat16().float() @ torch.ones(64, 64)).sum()
before, peak = resident(), 0
def note(part):
    global peak
    peak = max(peak, resident())
dtype = getattr(torch, sys.argv[2])
model = checkpoint.load_transformer(folder, dtype=dtype, device="cpu", progress=note)
size = sum(each.nbytes for each in model.parameters())
print((max(peak, resident()) - before) / size)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(DOCUMENT))
    with torch.device("meta"):
        shapes = {
            name: each.shape
            for name, each in Transformer(ModelConfig.from_json(DOCUMENT)).named_parameters()
        }
    packed = {"q_proj": "qkv_proj", "gate_proj": "gate_up_proj"}
    tensors = {}
    for name, shape in shapes.items():
        rows = shape[0]
        for ours, theirs in packed.items():
            if ours in name:
                name, rows = name.replace(ours, theirs), rows * (3 if ours == "q_proj" else 2)
        if not any(f".{part}_proj" in name for part in ("k", "v", "up")):
            name = name if name.startswith("lm_head") else f"model.{name}"
            tensors[name] = torch.full((rows, *shape[1:]), 0.5, dtype=torch.bfloat16)
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_loading_takes_little_more_memory_than_the_weights(folder: Path, dtype: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(folder), dtype],
        capture_output=True,
        text=True,
        check=True,
    )
    # A mapped file is weights itself where it needs no conversion.
    assert float(done.stdout) <= 1.2
