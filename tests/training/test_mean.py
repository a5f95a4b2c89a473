"""The mean of two model folders is a model folder, and what is no pair is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kvchat.model.folder import ModelFolder
from kvchat.training.mean import main
from kvchat.training.trainer import Trainer
from tests.training.test_trainer import make_trainer


def export(trainer: Trainer, folder: Path) -> Path:
    from kvchat.training.export import export_model

    export_model(trainer.model, trainer.tokenizer_path, folder)
    return folder


def test_the_mean_of_two_runs_is_a_model_that_loads(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_run, tmp_path / "work")
    first = export(trainer, tmp_path / "first")
    with torch.no_grad():
        for parameter in trainer.parameters:
            parameter.add_(0.5)
    second = export(trainer, tmp_path / "second")
    trainer.close()
    out = tmp_path / "mean"
    assert main([str(first), str(second), "--out", str(out)]) == 0
    weights = [load_file(str(each / "model.safetensors")) for each in (first, second, out)]
    for name, found in weights[2].items():
        expected = (weights[0][name].float() + weights[1][name].float()) / 2
        assert torch.equal(found, expected.bfloat16())
    assert sorted(path.name for path in out.iterdir()) == sorted(p.name for p in second.iterdir())
    ModelFolder.open(out).load(dtype=torch.float32, device="cpu")


def test_other_shapes_and_damaged_folders_are_refused_in_a_sentence(
    tiny_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(tiny_run, tmp_path / "work")
    first, second = export(trainer, tmp_path / "first"), export(trainer, tmp_path / "second")
    trainer.close()
    weights = load_file(str(second / "model.safetensors"))
    name = next(iter(weights))
    save_file({**weights, name: weights[name][:1]}, str(second / "model.safetensors"))
    out = tmp_path / "out"
    assert main([str(first), str(second), "--out", str(out)]) != 0
    assert "no two runs of one model" in capsys.readouterr().err
    (second / "model.safetensors").write_bytes(b"no tensors")
    assert main([str(first), str(second), "--out", str(out)]) != 0
    assert "cannot be read" in capsys.readouterr().err
    assert main([str(first), str(tmp_path / "nothing"), "--out", str(out)]) != 0
    assert not out.exists()
