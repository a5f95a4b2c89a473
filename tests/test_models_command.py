"""`kvchat models`: what it lists and says of folders good and bad, without torch and in one go."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from kvchat import cli, paths
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.model.folder import ModelFolder
from kvchat.model_report import inspect_model, kv_bytes_of, usable_problem
from tests.model.conftest import CONFIG, random_tensors
from tests.model_files import sharded_files, single_files

ROOT = Path(__file__).parents[1]


def write_model(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_model(tmp_path / "good", single_files())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        paths, "models_dir", lambda data=None: tmp_path / "own" if data is None else data / "models"
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.main(["models", *words]) == status
    return capsys.readouterr().out


def config(**changes: Any) -> bytes:  # values of JSON
    return json.dumps(CONFIG | changes).encode()


# List


def test_the_list_says_where_what_and_whether_it_is_usable(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(home / "own/org/tiny", single_files())
    write_model(home / "own/org/broken", single_files() | {"config.json": b"{"})
    snapshot = home / "hub/models--org--other/snapshots" / ("a" * 40)
    write_model(snapshot, {"config.json": b'{"model_type": "t5"}'})
    text = said(capsys)
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "comes with kvchat",
        "kvchat's models folder",
        "Hugging Face cache",
    ]
    (tiny,) = [line.split() for line in text.splitlines() if "org/tiny" in line]
    assert tiny[3:] == ["llama", "usable"]
    rows = {row["name"]: row for row in json.loads(said(capsys, "list", "--json"))}
    assert rows["bundled"]["usable"] and rows["org/tiny"]["weight_bytes"] > 5000
    assert rows["org/broken"]["problem"].startswith("config.json is damaged at line 1")
    assert (
        rows[f"org/other@{'a' * 12}"]["problem"] == "'t5' is not a decoder with a key/value cache."
    )
    assert json.loads(said(capsys, "--json")) == list(rows.values())


def test_a_download_that_did_not_end_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(home / "own/org/tiny/.partial", {"config.json.x": b"{}"})
    rows = json.loads(said(capsys, "--json"))
    assert rows[1]["problem"] == "its download did not end; kvchat models pull org/tiny goes on."


def test_names_from_folders_are_cleaned_for_the_screen(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(home / "own/a\x1b[2J", {"config.json": b'{"model_type": "\\u001b[2Jx"}'})
    assert "\x1b" not in said(capsys)


# Inspect


def test_a_report_says_what_a_model_holds_and_needs(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(said(capsys, "inspect", str(good), "--json"))
    opened = ModelFolder.open(good).config
    assert report["usable"] and report["problems"] == []
    assert (report["family"], report["architecture"]) == ("llama", "LlamaForCausalLM")
    assert report["num_parameters"] == opened.num_parameters == report["num_stored"]
    assert report["stored_as"] == {"F32": opened.num_parameters}
    assert (report["context"], report["vocab_size"], report["window"]) == (64, 40, None)
    assert report["tokenizer"] == "SentencePiece, tokenizer.model, 4096 pieces"
    assert report["template"] == "tokenizer_config.json, 14 characters"
    (group,) = report["groups"]
    assert (group["num_layers"], group["num_kv_heads"], group["key_dim"]) == (2, 2, 4)
    cache = PagedKVCache.create(opened, num_blocks=1, block_size=8)
    assert group["bytes_fp32"] == cache.nbytes // 8
    int8 = PagedKVCache.create(opened, num_blocks=1, block_size=8, kv_dtype="int8")
    assert group["bytes_int8"] == int8.nbytes // 8
    fits = {fit["weights"]: fit for fit in report["fits"]}
    assert fits["fp32"]["weight_bytes"] == 4 * opened.num_parameters
    assert fits["fp32"]["kv_bytes"] == {"64": 64 * group["bytes_fp32"]}
    left = report["memory_bytes"] - fits["bf16"]["weight_bytes"]
    assert fits["bf16"]["num_sessions"]["64"] == left // (64 * group["bytes_bf16"])


def test_the_text_of_a_report_names_the_same_figures(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "inspect", str(good)).splitlines()
    assert lines[0] == "model       good" and lines[-1] == "usable"
    assert "parameters  5200" in lines
    assert "template    tokenizer_config.json, 14 characters" in lines
    assert any(line.split()[:5] == ["2", "layers", "2", "x", "4"] for line in lines)


def test_a_long_context_is_told_at_the_usual_lengths(good: Path) -> None:
    (good / "config.json").write_bytes(config(max_position_embeddings=131072))
    report = inspect_model(good)
    assert all(list(fit.kv_bytes) == [4096, 8192, 32768] for fit in report.fits)
    (good / "config.json").write_bytes(config(max_position_embeddings=6000))
    assert list(inspect_model(good).fits[0].kv_bytes) == [4096, 6000]


def test_layers_with_a_window_take_only_that() -> None:
    from kvchat.kv.spec import KVCacheSpec, LayerSpec

    whole = LayerSpec(4, 2, 8, 8, 1.0)
    windowed = LayerSpec(4, 2, 8, 8, 1.0, window=100)
    spec = KVCacheSpec((whole, windowed, windowed))
    token = 2 * 2 * 8 * 2
    assert kv_bytes_of(spec, 1000, 2) == token * (1000 + 2 * 100)
    assert kv_bytes_of(spec, 50, 2) == token * 3 * 50


def test_shards_are_counted_together(tmp_path: Path) -> None:
    report = inspect_model(write_model(tmp_path / "shards", sharded_files()))
    assert report.is_usable and report.num_stored == report.num_parameters


def test_every_fault_is_told_not_only_the_first(good: Path) -> None:
    (good / "config.json").write_bytes(config(vocab_size=-1))
    (good / "model.safetensors").write_bytes(b"\0" * 20)
    (good / "tokenizer.model").unlink()
    report = inspect_model(good)
    assert len(report.problems) == 3
    assert report.problems[0].startswith("config.json: vocab_size is -1")
    assert report.problems[1].startswith("model.safetensors is damaged")
    assert report.problems[2] == "no tokenizer.model or tokenizer.json."
    assert report.template is not None and report.family == "llama"


def json_tokenizer(**model: Any) -> Callable[[Path], object]:
    document = {
        "model": {"vocab": {"a": 0, "b": 1}, "merges": []} | model,
        "decoder": {"type": "ByteLevel"},
        "pre_tokenizer": {"type": "ByteLevel"},
        "added_tokens": [],
    }

    def write(folder: Path) -> None:
        (folder / "tokenizer.model").unlink()
        (folder / "tokenizer.json").write_text(json.dumps(document))

    return write


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "quantised": (
        lambda f: (f / "config.json").write_bytes(
            config(quantization_config={"quant_method": "gptq"})
        ),
        "its weights are quantised with 'gptq'",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing."),
    "integers": (
        lambda f: (f / "model.safetensors").write_bytes(
            save(random_tensors() | {"x": torch.zeros(3, dtype=torch.int8)})
        ),
        "tensor 'x' is stored as I8; use the full-precision folder.",
    ),
    "too few": (
        lambda f: (f / "model.safetensors").write_bytes(save({"x": torch.zeros(3)})),
        "the weights hold 3 numbers, but config.json makes 5200.",
    ),
    "one missing": (
        lambda f: (f / "model.safetensors").write_bytes(
            save({k: v for k, v in random_tensors().items() if "1.mlp.up_proj" not in k})
        ),
        "tensor model.layers.1.mlp.up_proj.weight is missing.",
    ),
    "another shape": (
        lambda f: (f / "model.safetensors").write_bytes(
            save(random_tensors() | {"model.norm.weight": torch.zeros(17)})
        ),
        "tensor model.norm.weight has shape [17], expected [16].",
    ),
    "one more": (
        lambda f: (f / "model.safetensors").write_bytes(
            save(random_tensors() | {"model.extra.weight": torch.zeros(3)})
        ),
        "tensor 'model.extra.weight' is unexpected.",
    ),
    "WordPiece": (
        json_tokenizer(type="WordPiece"),
        "tokenizer.json: the model 'WordPiece' is not supported.",
    ),
    "tokenizer": (
        lambda f: (f / "tokenizer.model").write_bytes(b"no pieces"),
        "tokenizer.model is damaged: ",
    ),
    "advice": (
        lambda f: (f / "generation_config.json").write_bytes(b"["),
        "generation_config.json is damaged",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_unsupported_is_told_with_its_reason(
    good: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, expected = FAULTS[name]
    damage(good)
    lines = said(capsys, "inspect", str(good), status=65).splitlines()
    assert lines[-1].startswith("unsupported: ") and expected in lines[-1]
    assert (usable_problem(good) or "").startswith(expected)


def test_a_tokenizer_in_json_needs_its_library(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    json_tokenizer(type="BPE")(good)
    assert inspect_model(good).tokenizer == "byte-level, tokenizer.json, 2 pieces"
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (problem,) = inspect_model(good).problems
    assert problem.startswith("its tokenizer is tokenizer.json only; to read it, install")


def test_a_bad_template_is_a_warning(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (good / "chat_template.jinja").write_bytes(b"\xff")
    text = said(capsys, "inspect", str(good))
    assert "warning: its chat template cannot be used (it is not UTF-8 text); plain format." in text
    assert "template    none, the plain User:/Assistant: format" in text


def test_a_folder_that_is_not_there_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "inspect", str(home / "none")]) == 65
    assert capsys.readouterr().err.endswith("is not a model folder: there is no such folder.\n")
    assert usable_problem(home / "none") is not None


def test_a_name_finds_the_model_to_inspect(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(home / "own/org/tiny", single_files())
    report = json.loads(said(capsys, "inspect", "tiny", "--json"))
    assert report["path"] == str(folder)


def test_a_name_from_the_list_is_what_talks(
    home: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    (home / "own/org").mkdir(parents=True)
    (home / "own/org/small").symlink_to(tiny_model)
    words = ("-p", "Hi", "--json", "--max-tokens", "3", "--pool", "4MiB")
    assert cli.main(["--model", "small", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"].endswith("tiny")
    assert cli.main(["--model", "org/none", *words]) == 65
    assert "no model 'org/none'" in capsys.readouterr().err


def test_neither_torch_nor_the_network_is_needed() -> None:
    program = (
        "import sys\n"
        "from kvchat.cli import main\n"
        "assert main(['models', '--json']) == 0 and main(['models', 'inspect', 'bundled']) == 0\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'tokenizers', 'textual'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_a_data_dir_has_models_of_its_own_before_the_usual_ones(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = write_model(home / "own/org/tiny", single_files())
    write_model(home / "own/org/other", single_files())
    here = write_model(home / "data/models/org/tiny", single_files())
    for words in (("--data-dir", str(home / "data")), ("list", "--data-dir", str(home / "data"))):
        rows = json.loads(said(capsys, *words, "--json"))
        assert [row["path"] for row in rows[1:]] == [str(here), str(home / "own/org/other")]
    inspected = said(capsys, "inspect", "org/tiny", "--data-dir", str(home / "data"))
    assert str(here) in inspected
    assert str(usual) in said(capsys, "inspect", "org/tiny")
