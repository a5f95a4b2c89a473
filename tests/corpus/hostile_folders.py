"""Model folders that are damaged or mean harm, each one change away from a good one.

`HOSTILE` has one entry or more for each sentence that a model folder can be refused with. Tensors
are written by hand, since no library writes what is wrong here.
"""

import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Change = Callable[["HostileFolder"], object]
Header = dict[str, Any]  # values of JSON

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 480,
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
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
LFS = "is a Git LFS pointer in place of the file; run git lfs pull in that folder."


def shapes() -> dict[str, list[int]]:
    """Return the tensors of CONFIG."""
    found = {"model.embed_tokens": [480, 16], "lm_head": [480, 16], "model.norm": [16]}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        found |= {
            prefix + "self_attn.q_proj": [16, 16],
            prefix + "self_attn.k_proj": [8, 16],
            prefix + "self_attn.v_proj": [8, 16],
            prefix + "self_attn.o_proj": [16, 16],
            prefix + "mlp.gate_proj": [24, 16],
            prefix + "mlp.up_proj": [24, 16],
            prefix + "mlp.down_proj": [16, 24],
            prefix + "input_layernorm": [16],
            prefix + "post_attention_layernorm": [16],
        }
    return {name + ".weight": shape for name, shape in found.items()}


def safetensors(tensors: Mapping[str, list[int]], change: Callable[[Header], object] | None = None,
                *, data: bytes | None = None) -> bytes:  # fmt: skip
    """Return a file of float32 tensors whose header `change` had its way with."""
    header: Header = {}
    end = 0
    for name, shape in tensors.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    if data is None:
        count = end // 4
        data = struct.pack(f"<{count}f", *(math.sin(index) / 4 for index in range(count)))
    if change is not None:
        change(header)
    return framed(json.dumps(header).encode(), data)


def framed(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def byte_level_tokenizer(**changes: Any) -> bytes:
    """Return a tokenizer.json in which every byte is a piece."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    document: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {piece: index for index, piece in enumerate(alphabet)},
            "merges": [],
        },
    }
    return json.dumps(document | changes).encode()


class HostileFolder:
    """A folder that begins good, and ways to change one thing of it."""

    def __init__(self, path: Path, tokenizer_model: bytes) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.config()
        self.write(WEIGHTS, safetensors(shapes()))
        self.write("tokenizer.model", tokenizer_model)
        self.write("tokenizer_config.json", json.dumps({"legacy": False, "chat_template": "x"}))
        self.write("generation_config.json", json.dumps({"eos_token_id": 2}))

    def write(self, name: str, content: str | bytes) -> None:
        raw = content.encode() if isinstance(content, str) else content
        self.remove(name)
        (self.path / name).write_bytes(raw)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def config(self, **changes: Any) -> None:
        """Write config.json with fields replaced; the value ... leaves one out."""
        document = {name: value for name, value in (CONFIG | changes).items() if value is not ...}
        self.write("config.json", json.dumps(document))

    def header(self, change: Callable[[Header], object]) -> None:
        """Rewrite the header of the weights and leave their data."""
        self.write(WEIGHTS, safetensors(shapes(), change))

    def tensors(self, **changes: list[int] | None) -> None:
        """Write weights with tensors of other shapes, more of them, or without those None."""
        names = {name.replace("__", "."): shape for name, shape in changes.items()}
        found = {name: shape for name, shape in (shapes() | names).items() if shape is not None}
        self.write(WEIGHTS, safetensors(found))

    def index(self, weight_map: object) -> None:
        """Replace the weights by an index."""
        self.index_of(json.dumps({"weight_map": weight_map}))

    def index_of(self, content: str | bytes) -> None:
        """Replace the weights by what may be an index."""
        self.remove(WEIGHTS)
        self.write(INDEX, content)

    def sparse(self, name: str, start: bytes, num_bytes: int) -> None:
        """Write a file of that size which takes no room."""
        self.write(name, start)
        os.truncate(self.path / name, num_bytes)

    def link(self, name: str, target: str) -> None:
        self.remove(name)
        (self.path / name).symlink_to(target)

    def pipe(self, name: str) -> None:
        self.remove(name)
        os.mkfifo(self.path / name)

    def directory(self, name: str) -> None:
        self.remove(name)
        (self.path / name).mkdir()

    def json_tokenizer(self, **changes: Any) -> None:
        self.json_tokenizer_of(byte_level_tokenizer(**changes))

    def json_tokenizer_of(self, content: bytes) -> None:
        self.remove("tokenizer.model")
        self.write("tokenizer.json", content)


def offsets(begin: int, end: int) -> Callable[[Header], object]:
    """Return a change of where the last norm lies."""
    return lambda header: header["model.norm.weight"].update(data_offsets=[begin, end])


def entry(**changes: Any) -> Callable[[Header], object]:
    return lambda header: header["model.norm.weight"].update(changes)


def without_unknown_piece(folder: HostileFolder) -> None:
    raw = bytearray((folder.path / "tokenizer.model").read_bytes())
    behind = raw.index(b"<unk>") + 5  # then a tag, four bytes of score, a tag, the type
    assert raw[behind + 5 : behind + 7] == b"\x18\x02"
    raw[behind + 6] = 3
    folder.write("tokenizer.model", bytes(raw))


def many_tensors(folder: HostileFolder) -> None:
    each = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(each % index for index in range(25_000)) + b"}"
    folder.write(WEIGHTS, framed(header, b""))


def twice_in_header(folder: HostileFolder) -> None:
    one = b'"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    folder.write(WEIGHTS, framed(b"{" + one + b"," + one + b"}", bytes(4)))


def two_shards(folder: HostileFolder, *, both_have_all: bool) -> None:
    names = list(shapes())
    folder.write("a.safetensors", safetensors(shapes()))
    second = shapes() if both_have_all else {"model.norm.weight": [16]}
    folder.write("b.safetensors", safetensors(second))
    folder.index({name: "ab"[index % 2] + ".safetensors" for index, name in enumerate(names)})


def pickles_only(folder: HostileFolder) -> None:
    folder.remove(WEIGHTS)
    # Unpickled, this would make a file named `unpickled` where it is read.
    program = b"cos\nsystem\n(S'touch unpickled'\ntR."
    folder.write("pytorch_model.bin", program)


def write_python_files(folder: HostileFolder) -> None:
    """Write files that would be run if the folder were ever on the path."""
    for name in ("modeling_evil", "configuration_evil", "tokenizers", "json", "torch", "__init__"):
        folder.write(f"{name}.py", "raise SystemExit('code of a model folder ran')")


def code_of_its_own(folder: HostileFolder) -> None:
    write_python_files(folder)
    folder.config(
        model_type="evil",
        auto_map={"AutoConfig": "configuration_evil.EvilConfig", "AutoModel": "modeling_evil.Evil"},
    )


def blob_missing(folder: HostileFolder) -> None:
    folder.link(WEIGHTS, "../../blobs/0123")


HOSTILE: dict[str, tuple[Change, str]] = {
    # The folder and config.json
    "config missing": (lambda f: f.remove("config.json"), "config.json is missing."),
    "config empty": (lambda f: f.write("config.json", b""), "config.json is damaged at line 1"),
    "config of rubbish": (lambda f: f.write("config.json", b"\x80\x04."), "it is not UTF-8 text."),
    "config cut": (lambda f: f.write("config.json", b'{\n\n"a'), "is damaged at line 3"),
    "config a list": (lambda f: f.write("config.json", b"[]"), "it is not a JSON object."),
    "config deep": (lambda f: f.write("config.json", b"[" * 100_000), "deeper than 64 levels."),
    "config deep in strings": (
        lambda f: f.write("config.json", b'{"a":' * 100_000 + b"1"),
        "deeper than 64 levels.",
    ),
    "config huge": (lambda f: f.sparse("config.json", b"{", 100 << 20), "config.json is too large"),
    "config with a key twice": (
        lambda f: f.write("config.json", b'{"vocab_size": 1, "vocab_size": 2}'),
        "the key 'vocab_size' appears twice.",
    ),
    "config NaN": (lambda f: f.config(rms_norm_eps=float("nan")), "NaN is not a JSON number."),
    "config infinity": (lambda f: f.config(rope_theta=float("inf")), "is not a JSON number."),
    "config 1e999": (lambda f: f.write("config.json", b'{"a": 1e999}'), "is too large."),
    "config digits": (lambda f: f.write("config.json", b"9" * 100_000), "too many digits."),
    "config a pipe": (lambda f: f.pipe("config.json"), "config.json is not a regular file."),
    "config a directory": (lambda f: f.directory("config.json"), "is not a regular file."),
    "config a device": (lambda f: f.link("config.json", "/dev/zero"), "outside the folder"),
    "config a loop": (lambda f: f.link("config.json", "config.json"), "a blob that is not there"),
    "config elsewhere": (lambda f: f.link("config.json", "/etc/passwd"), "outside the folder"),
    "config of LFS": (lambda f: f.write("config.json", LFS_POINTER), f"config.json {LFS}"),
    # Types and ranges
    "vocab_size text": (lambda f: f.config(vocab_size="480"), "vocab_size is '480'"),
    "vocab_size fraction": (lambda f: f.config(vocab_size=480.5), "vocab_size is 480.5"),
    "vocab_size true": (lambda f: f.config(vocab_size=True), "vocab_size is true"),
    "vocab_size list": (lambda f: f.config(vocab_size=[480]), "vocab_size is [480]"),
    "vocab_size missing": (lambda f: f.config(vocab_size=...), "vocab_size is missing"),
    "vocab_size 2**63": (lambda f: f.config(vocab_size=2**63), "vocab_size is 9223372036854775808"),
    "hidden_size 0": (lambda f: f.config(hidden_size=0), "hidden_size is 0"),
    "hidden_size -1": (lambda f: f.config(hidden_size=-1), "hidden_size is -1"),
    "a billion layers": (
        lambda f: f.config(num_hidden_layers=10**9),
        "num_hidden_layers is 1000000000",
    ),
    "too many parameters": (
        lambda f: f.config(
            hidden_size=65536,
            num_attention_heads=512,
            num_key_value_heads=512,
            intermediate_size=262144,
            num_hidden_layers=512,
        ),
        "parameters, at most",
    ),
    "heads that do not divide": (
        lambda f: f.config(num_key_value_heads=3),
        "4 attention heads do not divide by 3 key/value heads.",
    ),
    "more key heads than heads": (
        lambda f: f.config(num_key_value_heads=8),
        "4 attention heads do not divide by 8 key/value heads.",
    ),
    "head_dim odd": (lambda f: f.config(head_dim=3), "head_dim is 3, expected an even number."),
    "head_dim 0": (lambda f: f.config(head_dim=0), "head_dim is 0"),
    "theta 0": (lambda f: f.config(rope_theta=0), "rope_theta is 0"),
    "theta -1": (lambda f: f.config(rope_theta=-1.0), "rope_theta is -1.0"),
    "eps 0": (lambda f: f.config(rms_norm_eps=0), "rms_norm_eps is 0"),
    "position 2**62": (lambda f: f.config(max_position_embeddings=2**62), "max_position_embedding"),
    "window -1": (lambda f: f.config(model_type="mistral", sliding_window=-1), "window is -1"),
    "window 0": (lambda f: f.config(model_type="mistral", sliding_window=0), "window is 0"),
    # Families and maths
    "no family": (lambda f: f.config(model_type=...), "model_type is null, expected text."),
    "unknown family": (lambda f: f.config(model_type="evil"), "'evil' is not supported; supported"),
    "long family": (lambda f: f.config(model_type="e" * 9999), "is not supported; supported"),
    "an encoder": (lambda f: f.config(model_type="bert"), "'bert' is not a decoder"),
    "recurrent": (lambda f: f.config(model_type="mamba"), "'mamba' is not a decoder"),
    "code of its own": (code_of_its_own, "it needs Python code from its folder (auto_map)"),
    "quantised": (
        lambda f: f.config(quantization_config={"quant_method": "os.system"}),
        "its weights are quantised with",
    ),
    "foreign maths": (
        lambda f: f.config(residual_multiplier=0.22),
        "residual_multiplier=0.22 changes the maths and is not supported for llama.",
    ),
    "rope of no kind": (
        lambda f: f.config(rope_scaling={"rope_type": "mrope"}),
        "rope type 'mrope' is not supported",
    ),
    "rope no object": (lambda f: f.config(rope_scaling=[1]), "expected an object."),
    "rope list too short": (
        lambda f: f.config(
            model_type="phi3",
            rope_scaling={"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
        ),
        "numbers, expected",
    ),
    "layer of no kind": (
        lambda f: f.config(model_type="qwen2", layer_types=["full_attention", "linear"]),
        "layer_types",
    ),
    "activation": (lambda f: f.config(hidden_act="relu6"), "hidden_act 'relu6' is not supported"),
    # Where the weights are
    "weights missing": (lambda f: f.remove(WEIGHTS), f"{WEIGHTS} is missing."),
    "pickles only": (pickles_only, "kvchat never opens pickle files."),
    "weights of LFS": (lambda f: f.write(WEIGHTS, LFS_POINTER), f"{WEIGHTS} {LFS}"),
    "weights a pipe": (lambda f: f.pipe(WEIGHTS), f"{WEIGHTS} is not a regular file."),
    "weights a directory": (lambda f: f.directory(WEIGHTS), f"{WEIGHTS} is not a regular file."),
    "weights a device": (lambda f: f.link(WEIGHTS, "/dev/zero"), "outside the folder"),
    "weights elsewhere": (lambda f: f.link(WEIGHTS, "/bin/sh"), "outside the folder"),
    "blob missing": (blob_missing, "points to a blob that is not there; download the model again."),
    "index of rubbish": (lambda f: f.index_of(b"{"), "is damaged at line"),
    "index without map": (lambda f: f.index(None), "it has no weight_map."),
    "index of numbers": (lambda f: f.index({"x": 5}), "the shard name 5 is not text."),
    "shard missing": (lambda f: f.index({"x": "a.safetensors"}), "'a.safetensors' is missing."),
    "shard above": (lambda f: f.index({"x": "../a.safetensors"}), "which is outside the folder."),
    "shard of the root": (lambda f: f.index({"x": "/etc/passwd"}), "which is outside the folder."),
    "shard by a way round": (lambda f: f.index({"x": "a/../../b.safetensors"}), "is outside the"),
    "shard of Windows": (lambda f: f.index({"x": "C:\\x.safetensors"}), "is outside the folder."),
    "shard with NUL": (lambda f: f.index({"x": "x\0.safetensors"}), "which is outside the folder."),
    "shard of home": (lambda f: f.index({"x": "~/x.safetensors"}), "which is outside the folder."),
    "shard is the folder": (lambda f: f.index({"x": "."}), "which is outside the folder."),
    "shard without a name": (lambda f: f.index({"x": ""}), "which is outside the folder."),
    "shard of 4 kB": (lambda f: f.index({"x": "x" * 4096 + ".safetensors"}), "is missing."),
    "shard of pickle": (lambda f: f.index({"x": "x.bin"}), "convert it to safetensors"),
    "shards without end": (
        lambda f: f.index({str(n): f"{n}.safetensors" for n in range(5000)}),
        "names 5000 shards, at most 1000 are read.",
    ),
    "a tensor in two shards": (lambda f: two_shards(f, both_have_all=True), "is in a.safetensors"),
    # Inside the weights
    "header of 0 bytes": (lambda f: f.write(WEIGHTS, framed(b"", b"")), f"{WEIGHTS} is damaged"),
    "file of 7 bytes": (lambda f: f.write(WEIGHTS, bytes(7)), "it ends early."),
    "header of 2**63": (lambda f: f.write(WEIGHTS, b"\0" * 7 + b"\x80" + bytes(9)), "too long"),
    "header of 99 MB": (
        lambda f: f.sparse(WEIGHTS, (99_000_000).to_bytes(8, "little"), 99_000_008),
        "header too long, 99000000 bytes",
    ),
    "header beyond the file": (
        lambda f: f.write(WEIGHTS, (5000).to_bytes(8, "little") + b"{}"),
        "it ends early, inside its header.",
    ),
    "header of rubbish": (lambda f: f.write(WEIGHTS, framed(b"\xff{}", b"")), "is not UTF-8 text"),
    "header a list": (lambda f: f.write(WEIGHTS, framed(b"[]", b"")), "is not a JSON object"),
    "header deep": (lambda f: f.write(WEIGHTS, framed(b"[" * 99, b"")), "deeper than 4 levels"),
    "too many tensors": (many_tensors, "it names 25000 tensors, at most 20000 are read."),
    "a tensor twice": (twice_in_header, "the key 'x' appears twice."),
    "overlap": (lambda f: f.header(offsets(0, 64)), "overlap at"),
    "hole": (
        lambda f: f.write(
            WEIGHTS,
            safetensors({"x": [4]}, lambda h: h["x"].update(data_offsets=[4, 20]), data=bytes(20)),
        ),
        "hole at 'x'.",
    ),
    "offsets below zero": (lambda f: f.header(offsets(-64, 0)), "impossible data_offsets."),
    "offsets backwards": (lambda f: f.header(offsets(64, 0)), "does not fit its shape."),
    "offsets of 2**70": (lambda f: f.header(offsets(2**70, 2**70 + 64)), "impossible data_offset"),
    "offsets text": (lambda f: f.header(entry(data_offsets="0")), "impossible data_offsets."),
    "shape of 2**64 numbers": (
        lambda f: f.header(entry(shape=[2**32, 2**32])),
        "not fit its shape",
    ),
    "shape of nine axes": (lambda f: f.header(entry(shape=[1] * 8 + [16])), "impossible shape."),
    "shape below zero": (lambda f: f.header(entry(shape=[-16])), "impossible shape."),
    "unknown type": (lambda f: f.header(entry(dtype="F99")), "has the unknown dtype 'F99'."),
    "type of integers": (lambda f: f.header(entry(dtype="I32")), "is stored as I32; use the full"),
    "entry without shape": (
        lambda f: f.header(lambda h: h["model.norm.weight"].pop("shape")),
        "does not have dtype, shape and data_offsets.",
    ),
    "metadata of numbers": (
        lambda f: f.header(lambda h: h.update(__metadata__={"a": 1})),
        "its metadata 'a' is not text.",
    ),
    "bytes at the end": (
        lambda f: f.write(WEIGHTS, safetensors(shapes()) + b"more"),
        "4 bytes at its end belong to no tensor.",
    ),
    "data cut": (lambda f: f.write(WEIGHTS, safetensors(shapes())[:-1]), "it ends early, inside"),
    "tensor missing": (
        lambda f: f.tensors(model__norm__weight=None),
        "tensor model.norm.weight is missing.",
    ),
    "head missing": (
        lambda f: f.tensors(lm_head__weight=None),
        "tensor lm_head.weight is missing and tie_word_embeddings is false.",
    ),
    "tensor unexpected": (
        lambda f: f.tensors(model__layers__9__x=[3]),
        "tensor 'model.layers.9.x' is unexpected.",
    ),
    "tensor misshapen": (
        lambda f: f.tensors(model__norm__weight=[17]),
        "tensor model.norm.weight has shape [17], expected [16].",
    ),
    "tensor empty": (
        lambda f: f.tensors(model__norm__weight=[0]),
        "tensor model.norm.weight has shape [0], expected [16].",
    ),
    "fewer rows than vocab_size": (
        lambda f: f.config(vocab_size=481),
        "has shape [480, 16], expected [481, 16].",
    ),
    # Text
    "no tokenizer": (
        lambda f: f.remove("tokenizer.model"),
        "no tokenizer.model or tokenizer.json.",
    ),
    "tokenizer empty": (lambda f: f.write("tokenizer.model", b""), "tokenizer.model is damaged"),
    "tokenizer of rubbish": (
        lambda f: f.write("tokenizer.model", b"\x80\x04K\x01."),
        "tokenizer.model is damaged",
    ),
    "tokenizer without unk": (
        without_unknown_piece,
        "tokenizer.model is damaged: it has no unknown piece.",
    ),
    "tokenizer huge": (
        lambda f: f.sparse("tokenizer.model", b"x", 90 << 20),
        "tokenizer.model is too large",
    ),
    "tokenizer a pipe": (lambda f: f.pipe("tokenizer.model"), "tokenizer.model is not a regular"),
    "tokenizer elsewhere": (
        lambda f: f.link("tokenizer.model", "/etc/passwd"),
        "tokenizer.model is a link to a place outside the folder",
    ),
    "template elsewhere": (
        lambda f: f.link("chat_template.jinja", "/etc/passwd"),
        "chat_template.jinja is a link to a place outside the folder",
    ),
    "tokenizer_config elsewhere": (
        lambda f: f.link("tokenizer_config.json", "/etc/passwd"),
        "tokenizer_config.json is a link to a place outside the folder",
    ),
    "added tokens elsewhere": (
        lambda f: f.link("added_tokens.json", "/etc/passwd"),
        "added_tokens.json is a link to a place outside the folder",
    ),
    "advice elsewhere": (
        lambda f: f.link("generation_config.json", "/etc/passwd"),
        "generation_config.json is a link to a place outside the folder",
    ),
    "tokenizer.json beside, elsewhere": (
        lambda f: f.link("tokenizer.json", "/etc/passwd"),
        "tokenizer.json is a link to a place outside the folder",
    ),
    "tokenizer of LFS": (
        lambda f: f.write("tokenizer.model", LFS_POINTER),
        "tokenizer.model is a Git LFS pointer",
    ),
    "tokenizer.json of rubbish": (
        lambda f: f.json_tokenizer_of(b"{{"),
        "tokenizer.json is damaged at line 1",
    ),
    "tokenizer.json of WordPiece": (
        lambda f: f.json_tokenizer(model={"type": "WordPiece", "vocab": {"a": 0}}),
        "tokenizer.json: the model 'WordPiece' is not supported.",
    ),
    "tokenizer.json decoder": (
        lambda f: f.json_tokenizer(decoder={"type": "CTC"}),
        "tokenizer.json: the decoder",
    ),
    "tokenizer.json without pieces": (
        lambda f: f.json_tokenizer(model={"type": "BPE", "vocab": {}, "merges": []}),
        "tokenizer.json is damaged: it has no pieces.",
    ),
    "tokenizer.json ids": (
        lambda f: f.json_tokenizer(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
        "tokenizer.json is damaged",
    ),
    "tokenizer.json id of 2**40": (
        lambda f: f.json_tokenizer(model={"type": "BPE", "vocab": {"a": 2**40}, "merges": []}),
        "tokenizer.json is damaged",
    ),
    "tokenizer beyond the embedding": (
        lambda f: f.write(
            "tokenizer_config.json",
            json.dumps(
                {
                    "eos_token": "<x>",
                    "added_tokens_decoder": {"5000": {"content": "<x>", "special": True}},
                }
            ),
        ),
        "token '<x>' has id 5000, but the model has 480 rows;",
    ),
    "tokenizer_config of rubbish": (
        lambda f: f.write("tokenizer_config.json", b"{\n,"),
        "tokenizer_config.json is damaged at line 2",
    ),
    "added tokens of rubbish": (
        lambda f: f.write("tokenizer_config.json", b'{"added_tokens_decoder": {"x": 5}}'),
        "a token is '5', expected text.",
    ),
    "advice with another type": (
        lambda f: f.write("generation_config.json", b'{"eos_token_id": true}'),
        "eos_token_id is 'True', expected token ids.",
    ),
    "advice of rubbish": (
        lambda f: f.write("generation_config.json", b"]"),
        "generation_config.json is damaged at line 1",
    ),
    "advice huge": (
        lambda f: f.sparse("generation_config.json", b"{", 1 << 30),
        "generation_config.json is too large",
    ),
}

HARMLESS: dict[str, Change] = {
    "as it is": lambda f: None,
    "tokenizer.json instead": lambda f: f.json_tokenizer(),
    "pickles beside": lambda f: f.write("pytorch_model.bin", b"cos\nsystem\n(S'touch x'\ntR."),
    "Python files beside": write_python_files,
    "template that reaches out": lambda f: f.write(
        "chat_template.jinja", "{% include '/etc/passwd' %}{{ ''.__class__.__mro__ }}"
    ),
    "template that never ends": lambda f: f.write(
        "chat_template.jinja",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    ),
    "template of binary": lambda f: f.write("chat_template.jinja", b"\xff\xfe"),
    "NaN in the weights": lambda f: f.write(
        WEIGHTS, safetensors(shapes(), data=b"\xff" * (4 * sum(map(math.prod, shapes().values()))))
    ),
    "stop ids out of range": lambda f: f.write(
        "generation_config.json", json.dumps({"eos_token_id": [2, -1, 2**40]})
    ),
}
"""Changes after which a folder still loads, whatever is said about it."""
