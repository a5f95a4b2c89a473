"""The GGUF file has llama.cpp's names, shapes and order of rotated channels, to the byte."""

import struct
from pathlib import Path

import torch

from kvchat.bench.gguf import ALIGNMENT, write_gguf
from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer


class Reader:
    """Reads what llama.cpp would read, after the format's description."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def number(self, kind: str) -> int | float:
        (value,) = struct.unpack_from(f"<{kind}", self.content, self.at)
        self.at += struct.calcsize(kind)
        return value  # type: ignore[no-any-return]  # as `kind` says

    def text(self) -> str:
        size = int(self.number("Q"))
        self.at += size
        return self.content[self.at - size : self.at].decode()


def read(path: Path) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    reader = Reader(path.read_bytes())
    assert reader.content[:4] == b"GGUF"
    reader.at = 4
    assert reader.number("I") == 3
    num_tensors, num_facts = int(reader.number("Q")), int(reader.number("Q"))
    facts: dict[str, object] = {}
    for _ in range(num_facts):
        name, kind = reader.text(), reader.number("I")
        facts[name] = reader.text() if kind == 8 else reader.number("I" if kind == 4 else "f")
    places = []
    for _ in range(num_tensors):
        name = reader.text()
        sizes = [int(reader.number("Q")) for _ in range(int(reader.number("I")))]
        assert reader.number("I") == 0, "float32"
        places.append((name, sizes[::-1], int(reader.number("Q"))))
    start = -(-reader.at // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, sizes, offset in places:
        assert offset % ALIGNMENT == 0
        count = torch.Size(sizes).numel()
        values = torch.frombuffer(
            bytearray(reader.content), dtype=torch.float32, count=count, offset=start + offset
        )
        tensors[name] = values.view(sizes)
    return facts, tensors


def test_every_weight_is_there_under_its_name(tmp_path: Path) -> None:
    config = ModelConfig(64, 24, 40, 2, 4, 2, 6)
    model = Transformer(config)
    model.initialize(torch.Generator().manual_seed(0))
    write_gguf(tmp_path / "model.gguf", model)
    facts, tensors = read(tmp_path / "model.gguf")
    assert facts["general.architecture"] == "llama" and facts["llama.attention.head_count_kv"] == 2
    assert facts["llama.vocab_size"] == 64 and facts["tokenizer.ggml.model"] == "no_vocab"
    assert len(tensors) == len(list(model.parameters()))
    weights = dict(model.named_parameters())
    assert torch.equal(tensors["token_embd.weight"], weights["embed_tokens.weight"])
    assert torch.equal(tensors["output.weight"], weights["lm_head.weight"])
    assert torch.equal(tensors["blk.1.ffn_down.weight"], weights["layers.1.mlp.down_proj.weight"])
    assert torch.equal(
        tensors["blk.0.ffn_norm.weight"], weights["layers.0.post_attention_layernorm.weight"]
    )


def test_channels_that_rotate_together_stand_beside_each_other(tmp_path: Path) -> None:
    model = Transformer(ModelConfig(64, 24, 40, 1, 4, 2, 6))
    model.initialize(torch.Generator().manual_seed(0))
    write_gguf(tmp_path / "model.gguf", model)
    _, tensors = read(tmp_path / "model.gguf")
    weights = dict(model.named_parameters())
    key = weights["layers.0.self_attn.k_proj.weight"]
    for head in range(2):
        for pair in range(3):
            found = tensors["blk.0.attn_k.weight"][6 * head + 2 * pair :][:2]
            assert torch.equal(found, key[[6 * head + pair, 6 * head + pair + 3]])
    value = weights["layers.0.self_attn.v_proj.weight"]
    assert torch.equal(tensors["blk.0.attn_v.weight"], value)
