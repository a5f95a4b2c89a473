import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kvchat.errors import ModelError
from kvchat.model.folder import GenerationDefaults, ModelFolder

if TYPE_CHECKING:
    from tests.model.conftest import TinyFolder

INDEX = "model.safetensors.index.json"
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def index_of(*names: object) -> str:
    return json.dumps({"weight_map": {f"tensor {i}": name for i, name in enumerate(names)}})


def without_weights(tiny: "TinyFolder", **files: str) -> None:
    (tiny.path / "model.safetensors").unlink()
    for name, content in files.items():
        tiny.write(name.replace("__", "."), content)


def linked(tiny: "TinyFolder", name: str, target: Path | str) -> None:
    (tiny.path / name).unlink(missing_ok=True)
    (tiny.path / name).symlink_to(target)


def pipe(tiny: "TinyFolder", name: str) -> None:
    (tiny.path / name).unlink()
    os.mkfifo(tiny.path / name)


def make_directory(tiny: "TinyFolder") -> None:
    (tiny.path / "model.safetensors").unlink()
    (tiny.path / "model.safetensors").mkdir()


DAMAGES: dict[str, tuple[Callable[["TinyFolder"], object], str]] = {
    "empty config": (lambda t: t.write("config.json", ""), "config.json is damaged at line 1: "),
    "config no object": (lambda t: t.write("config.json", "[1]"), "it is not a JSON object."),
    "config cut": (lambda t: t.write("config.json", '{\n"a":'), "config.json is damaged at line 2"),
    "config not text": (lambda t: t.write("config.json", b"\xff\xfe{}"), "is not UTF-8 text"),
    "config deep": (lambda t: t.write("config.json", "[" * 100), "nested deeper than 64 levels."),
    "config twice": (
        lambda t: t.write("config.json", '{"vocab_size": 1, "vocab_size": 2}'),
        "the key 'vocab_size' appears twice.",
    ),
    "config NaN": (lambda t: t.write("config.json", '{"a": NaN}'), "NaN is not a JSON number."),
    "config digits": (lambda t: t.write("config.json", "9" * 9999), "too many digits."),
    "config large": (lambda t: t.write("config.json", " " * (2 << 20)), "config.json is too large"),
    "config pipe": (lambda t: pipe(t, "config.json"), "config.json is not a regular file."),
    "config LFS": (lambda t: t.write("config.json", LFS_POINTER), "is a Git LFS pointer"),
    "config family": (lambda t: t.config(model_type="rwkv"), "'rwkv' is not a decoder"),
    "config field": (lambda t: t.config(vocab_size=-5), "vocab_size is -5, expected"),
    "no weights": (without_weights, "model.safetensors is missing."),
    "only pickle": (
        lambda t: without_weights(t, pytorch_model__bin="x"),
        "only pytorch_model.bin found; convert it to safetensors, kvchat never opens pickle files.",
    ),
    "only GGUF": (
        lambda t: without_weights(t, model_q8__gguf="x"),
        "only 'model_q8.gguf' found; kvchat reads safetensors, so use the folder that file was",
    ),
    "weights LFS": (
        lambda t: t.write("model.safetensors", LFS_POINTER),
        "model.safetensors is a Git LFS pointer in place of the file; run git lfs pull in that",
    ),
    "weights pipe": (lambda t: pipe(t, "model.safetensors"), "is not a regular file."),
    "weights directory": (make_directory, "model.safetensors is not a regular file."),
    "weights dangling": (
        lambda t: linked(t, "model.safetensors", "../../blobs/0"),
        "model.safetensors points to a blob that is not there; download the model again.",
    ),
    "weights loop": (
        lambda t: linked(t, "model.safetensors", "model.safetensors"),
        "model.safetensors points to a blob that is not there",
    ),
    "weights outside": (
        lambda t: linked(t, "model.safetensors", sys.executable),
        "model.safetensors is a link to a place outside the folder; copy the file there.",
    ),
    "index damaged": (
        lambda t: without_weights(t, **{INDEX: "{"}),
        f"{INDEX} is damaged at line 1: ",
    ),
    "index empty": (lambda t: without_weights(t, **{INDEX: "{}"}), "it has no weight_map."),
    "index of lists": (
        lambda t: without_weights(t, **{INDEX: index_of(["a"])}),
        'the shard name ["a"] is not text.',
    ),
    "shard missing": (
        lambda t: without_weights(t, **{INDEX: index_of("a.safetensors")}),
        "shard 'a.safetensors' is missing.",
    ),
    "shard above": (
        lambda t: without_weights(t, **{INDEX: index_of("../a.safetensors")}),
        "the index names '../a.safetensors', which is outside the folder.",
    ),
    "shard absolute": (
        lambda t: without_weights(t, **{INDEX: index_of("/etc/passwd")}),
        "the index names '/etc/passwd', which is outside the folder.",
    ),
    "shard with NUL": (
        lambda t: without_weights(t, **{INDEX: index_of("a\0.safetensors")}),
        "which is outside the folder.",
    ),
    "shard of pickle": (
        lambda t: without_weights(t, **{INDEX: index_of("model.bin")}, model__bin="x"),
        "the index names 'model.bin'; convert it to safetensors",
    ),
    "shards without end": (
        lambda t: without_weights(t, **{INDEX: index_of(*map(str, range(2000)))}),
        "names 2000 shards, at most 1000 are read.",
    ),
    "shard long": (
        lambda t: without_weights(t, **{INDEX: index_of("x" * 9999 + ".safetensors")}),
        "is missing.",
    ),
    "advice damaged": (
        lambda t: t.write("generation_config.json", "{]"),
        "generation_config.json is damaged at line 1: ",
    ),
    "tokenizer LFS": (
        lambda t: t.write("tokenizer.model", LFS_POINTER),
        "tokenizer.model is a Git LFS pointer",
    ),
    "tokenizer dangling": (
        lambda t: linked(t, "tokenizer.model", "nowhere"),
        "tokenizer.model points to a blob that is not there",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_with_one_sentence(tiny: "TinyFolder", name: str) -> None:
    damage, expected = DAMAGES[name]
    damage(tiny)
    with pytest.raises(ModelError) as caught:
        ModelFolder.open(tiny.path)
    sentence = caught.value.sentence
    assert sentence.startswith(f"Cannot load {tiny.path}: ")
    assert expected in sentence
    assert sentence.endswith(".") and sentence.isprintable()
    assert len(sentence) < 250 + len(str(tiny.path))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "there is no such folder."),
        (lambda path: path.write_bytes(b""), "it is not a directory."),
        (lambda path: path.mkdir(), "config.json is missing."),
    ],
)
def test_what_is_no_model_folder_is_said_so(
    tmp_path: Path, make: Callable[[Path], object], expected: str
) -> None:
    path = tmp_path / "it"
    make(path)
    with pytest.raises(ModelError) as caught:
        ModelFolder.open(path)
    assert caught.value.sentence == f"{path} is not a model folder: {expected}"


def test_a_good_folder_opens(tiny: "TinyFolder") -> None:
    folder = ModelFolder.open(str(tiny.path))
    assert folder.name == "tiny"
    assert folder.config.num_kv_heads == 2
    assert folder.weight_files == (tiny.path / "model.safetensors",)
    assert folder.generation == GenerationDefaults(stop_token_ids=(2,))
    assert folder.warnings == ()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_byte_order_mark_is_passed_over(tiny: "TinyFolder", name: str) -> None:
    path = tiny.path / name
    content = path.read_bytes() if path.exists() else b'{"eos_token_id": [2, 3]}'
    path.write_bytes(content)
    before = ModelFolder.open(tiny.path)
    digest = before.digest("float32")
    path.write_bytes(b"\xef\xbb\xbf" + content)

    assert ModelFolder.open(tiny.path) == before
    assert ModelFolder.open(tiny.path).digest("float32") == digest


def test_shards_are_those_of_the_index(tiny: "TinyFolder") -> None:
    tiny.shards()
    tiny.write("stray.safetensors", "never looked at")
    names = [path.name for path in ModelFolder.open(tiny.path).weight_files]
    assert names == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def test_the_single_file_is_taken_where_there_are_shards_too(tiny: "TinyFolder") -> None:
    tiny.shards()
    tiny.tensors()
    tiny.write("pytorch_model.bin", "never looked at")
    assert [path.name for path in ModelFolder.open(tiny.path).weight_files] == ["model.safetensors"]


def test_links_of_the_hubs_cache_are_followed(tiny: "TinyFolder", tmp_path: Path) -> None:
    repository = tmp_path / "models--some--model"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(tiny.path.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    folder = ModelFolder.open(snapshot)
    assert folder.name == "some/model"
    assert len(folder.digest("fp32")) == 64


def test_a_linked_folder_opens(tiny: "TinyFolder", tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tiny.path)
    assert ModelFolder.open(tmp_path / "link").path == tiny.path


@pytest.mark.parametrize(
    ("config_ids", "advice_ids", "expected", "num_warnings"),
    [
        (2, None, (2,), 0),
        ([5, 2], 7, (2, 5, 7), 0),
        (None, [3, 3], (3,), 0),
        (2, [40, -1, 3], (2, 3), 1),
        (True, "x", (), 2),
    ],
)
def test_stop_ids_are_the_usable_ones_of_both_files(
    tiny: "TinyFolder",
    config_ids: object,
    advice_ids: object,
    expected: tuple[int, ...],
    num_warnings: int,
) -> None:
    tiny.config(eos_token_id=config_ids)
    tiny.write("generation_config.json", json.dumps({"eos_token_id": advice_ids}))
    folder = ModelFolder.open(tiny.path)
    assert folder.generation.stop_token_ids == expected
    assert len(folder.warnings) == num_warnings


ADVICE = {
    "temperature": 0.6,
    "top_k": 20,
    "top_p": 0.9,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
}


def test_sampling_advice_is_taken_if_the_model_samples(tiny: "TinyFolder") -> None:
    tiny.write("generation_config.json", json.dumps(ADVICE | {"do_sample": True}))
    expected = GenerationDefaults(**ADVICE, stop_token_ids=(2,))  # type: ignore[arg-type]
    assert ModelFolder.open(tiny.path).generation == expected


@pytest.mark.parametrize("do_sample", [False, None, "true"])
def test_sampling_advice_is_ignored_if_the_model_does_not_sample(
    tiny: "TinyFolder", do_sample: object
) -> None:
    tiny.write("generation_config.json", json.dumps(ADVICE | {"do_sample": do_sample}))
    expected = GenerationDefaults(stop_token_ids=(2,))
    assert ModelFolder.open(tiny.path).generation == expected


def test_unusable_advice_is_a_warning(tiny: "TinyFolder") -> None:
    advice = {"do_sample": True, "temperature": -1, "top_p": "high", "top_k": True, "min_p": 0.1}
    tiny.write("generation_config.json", json.dumps(advice))
    folder = ModelFolder.open(tiny.path)
    assert folder.generation == GenerationDefaults(min_p=0.1, stop_token_ids=(2,))
    assert folder.warnings == (
        "generation_config.json: top_k=true ignored.",
        "generation_config.json: temperature=-1 ignored.",
        "generation_config.json: top_p='high' ignored.",
    )


def test_fields_nobody_knows_are_one_warning(tiny: "TinyFolder") -> None:
    tiny.config(wormhole=1, alpha="\x1b")
    expected = "config.json: unknown fields ignored: alpha, wormhole."
    assert ModelFolder.open(tiny.path).warnings == (expected,)


def test_a_folder_opens_without_torch(tiny: "TinyFolder") -> None:
    program = (
        "import sys; from kvchat.model.folder import ModelFolder;"
        "ModelFolder.open(sys.argv[1]).digest('fp32');"
        "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, tiny.path], check=True)


# The digest


def digest(tiny: "TinyFolder") -> str:
    return ModelFolder.open(tiny.path).digest("fp32")


CHANGES: dict[str, Callable[["TinyFolder"], object]] = {
    "weights": lambda t: t.tensors(lambda tensors: tensors["model.norm.weight"].add_(1e-3)),
    "a number of the config": lambda t: t.config(rms_norm_eps=1e-5),
    "rope": lambda t: t.config(rope_scaling={"type": "linear", "factor": 2.0}),
    "tokenizer": lambda t: t.write("tokenizer.model", b"piecez"),
    "another tokenizer file": lambda t: t.write("added_tokens.json", "{}"),
    "a token's name": lambda t: t.write("tokenizer_config.json", '{"bos_token": "<b>"}'),
    "added tokens": lambda t: t.write(
        "tokenizer_config.json", '{"bos_token": "<s>", "added_tokens_decoder": {"7": {}}}'
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_what_the_model_says(tiny: "TinyFolder", name: str) -> None:
    before = digest(tiny)
    CHANGES[name](tiny)
    assert digest(tiny) != before


def move(tiny: "TinyFolder") -> None:
    tiny.path = tiny.path.rename(tiny.path.with_name("elsewhere"))


NO_CHANGES: dict[str, Callable[["TinyFolder"], object]] = {
    "moving the folder": move,
    "the other dialect": lambda t: t.config(
        rope_theta=..., rope_parameters={"rope_theta": 10000, "rope_type": "default"}
    ),
    "spelling out defaults": lambda t: t.config(head_dim=4, mlp_bias=False, rms_norm_eps=1e-6),
    "the template": lambda t: t.write("tokenizer_config.json", '{"bos_token": "<s>"}'),
    "sampling advice": lambda t: t.write("generation_config.json", '{"do_sample": true}'),
    "the context limit": lambda t: t.config(max_position_embeddings=32),
}


@pytest.mark.parametrize("name", NO_CHANGES)
def test_the_digest_does_not_change_with_what_leaves_the_model_alone(
    tiny: "TinyFolder", name: str
) -> None:
    before = digest(tiny)
    NO_CHANGES[name](tiny)
    assert digest(tiny) == before


def test_the_digest_covers_the_precision(tiny: "TinyFolder") -> None:
    folder = ModelFolder.open(tiny.path)
    assert folder.digest("fp32") != folder.digest("bf16")


def test_one_file_cannot_pretend_to_be_two(tiny: "TinyFolder") -> None:
    tiny.write("tokenizer.model", b"a")
    tiny.write("tokenizer.json", b"b")
    before = digest(tiny)
    (tiny.path / "tokenizer.json").unlink()
    tiny.write("tokenizer.model", b"atokenizer.json\nb")
    assert digest(tiny) != before


def test_a_file_that_is_gone_when_the_digest_is_made_is_a_model_error(tiny: "TinyFolder") -> None:
    folder = ModelFolder.open(tiny.path)
    (tiny.path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="No such file"):
        folder.digest("fp32")


def test_the_bundled_model_opens() -> None:
    from kvchat.paths import bundled_model_dir

    folder = ModelFolder.open(bundled_model_dir())
    advice: Any = folder.generation
    assert folder.warnings == ()
    assert len(advice.stop_token_ids) >= 1
