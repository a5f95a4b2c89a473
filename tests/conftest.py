"""Settings every test shares: one torch thread, printed seeds, no network."""

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kvchat.native.build_folder import BuildFolder
    from kvchat.native.kernels import Kernels

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores it, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a device that is not here."""
    if item.get_closest_marker("cuda") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device here")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made-up corpus, and a work folder with its tokenizer and token caches."""
    from kvchat.training.config import SMOKE
    from kvchat.training.trainer import Trainer

    corpus, work = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("work")
    names = ["Anna", "Ben", "Clara", "Dora", "Emil", "Fritz"]
    things = ["apple", "river", "window", "garden", "kitchen", "mountain", "letter", "bicycle"]
    texts: list[dict[str, object]] = []
    chats: list[dict[str, object]] = []
    for number in range(120):
        name, thing = names[number % 6], things[number % 8]
        text = f"{name} saw the {thing} at {number} o'clock.\nIt was a fine {thing}."
        texts.append({"text": text, "source": "tatoeba"})
        messages = [("user", f"hi, I am {name}"), ("assistant", f"Hello {name}!")]
        if number % 3 == 0:
            messages += [("user", f"where is the {thing}?"), ("assistant", f"{number} steps away.")]
        chat = [{"role": role, "content": content} for role, content in messages]
        chats.append({"messages": chat, "source": "kvchat-templates"})
    for stem, records in (("pretrain_text", texts), ("sft_chat", chats)):
        for split, chosen in (("train", records), ("val", records[:6])):
            lines = "".join(json.dumps(record) + "\n" for record in chosen)
            (corpus / f"{stem}.{split}.jsonl").write_text(lines, encoding="utf-8")
    Trainer(SMOKE, corpus, work).close()
    return corpus, work


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights and the bundled tokenizer: quick, real, and nonsense."""
    import shutil

    import torch
    from safetensors.torch import save_file

    from kvchat.model.config import ModelConfig
    from kvchat.model.transformer import Transformer
    from kvchat.paths import bundled_model_dir

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    bundled = bundled_model_dir()
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(bundled / name, folder / name)
    document = json.loads((bundled / "config.json").read_text())
    document |= {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(document))
    model = Transformer(ModelConfig.from_json(document))
    model.initialize(torch.Generator().manual_seed(0))
    tensors = {f"model.{name}": tensor * 4 for name, tensor in model.state_dict().items()}
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "model.safetensors",
    )
    return folder


@pytest.fixture(scope="session")
def kernel_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> "BuildFolder":
    """Where all tests of a run find the native kernels, which the first of them compiles."""
    from kvchat.native.build_folder import BuildFolder

    base = tmp_path_factory.getbasetemp()
    # Above the folders of the workers is one that they share.
    return BuildFolder((base if worker_id == "master" else base.parent) / "kernels")


@pytest.fixture(scope="session")
def kernel_library(kernel_folder: "BuildFolder") -> Path:
    from kvchat.native.toolchain import BuildFailed

    try:
        return kernel_folder.provide(lambda sentence: None)
    except BuildFailed as failure:
        pytest.skip(failure.sentence)


@pytest.fixture
def kernels(kernel_library: Path) -> "Kernels":
    from kvchat.native.kernels import load

    return load(kernel_library)
