"""Sizes of weights from arithmetic, against what loading the bundled model takes."""

import pytest
import torch

from kvchat import paths
from kvchat.model.checkpoint import load_transformer
from kvchat.model.folder import ModelFolder
from kvchat.model.weight_sizes import weight_sizes


def test_sizes_are_those_that_loading_takes() -> None:
    folder = ModelFolder.open(paths.bundled_model_dir())
    for name, weight_bytes in weight_sizes(folder.config).items():
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
        rounding = name if name.startswith("int") else "float"
        model = load_transformer(folder, dtype=dtype, device="cpu", weights=rounding)
        taken = {
            tensor.data_ptr(): tensor.nbytes
            for module in model.modules()
            for owner in (vars(module), module._parameters, module._buffers)
            for tensor in owner.values()
            if isinstance(tensor, torch.Tensor)
        }
        assert sum(taken.values()) == pytest.approx(weight_bytes, rel=0.03)
