"""Every way to multiply is checked, then timed, and told."""

import json

import pytest
import torch
from torch import Tensor

from kvchat.bench import linear
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.model.int8_linear import Int8Linear
from kvchat.native.build_folder import BuildFolder

QUICK = ["--shape", "tiny", "--rows", "1", "3", "--rounds", "1", "--cache-mib", "0"]


@pytest.mark.usefixtures("kernel_library")
def test_all_ways_are_told_by_shape_and_rows(
    kernel_folder: BuildFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kvchat.native.kernels.build_folder", lambda: kernel_folder)
    assert linear.main(QUICK) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    ways = {key.split(" | ")[2] for key in found["samples"]}
    kinds = {"fp32, torch", "fp32, kvchat", "bf16, torch", "int8, torch", "int4, torch"}
    assert ways == kinds | {"fp32, native", "int8, native", "int4, native"}
    for num_rows in (1, 3):
        assert found["samples"][f"64 x 96 | {num_rows} rows | int8, native"]["milliseconds"] > 0
    assert len(found["tables"][0]["rows"]) == 8 and len(found["figures"]) == 6


def test_a_wrong_product_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "choose_kernels", lambda *_: None)

    def wrong(self: Int8Linear, rows: Tensor) -> Tensor:
        return torch.zeros(rows.shape[0], self.out_features)

    monkeypatch.setattr(Int8Linear, "forward", wrong)
    with pytest.raises(KVChatError, match="int8, torch is wrong for 64 x 96 and 1 rows"):
        linear.main(QUICK)


@pytest.mark.usefixtures("kernel_library")
def test_kernels_that_differ_by_a_bit_are_no_figure(
    kernel_folder: BuildFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvchat.native.kernels.build_folder", lambda: kernel_folder)
    right = Int8Linear.forward

    def nearly(self: Int8Linear, rows: Tensor) -> Tensor:
        return right(self, rows) * (1 + 2**-23)

    monkeypatch.setattr(Int8Linear, "forward", nearly)
    with pytest.raises(KVChatError, match="int8, native and int8, torch differ"):
        linear.main(QUICK)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        linear.main(["--rounds", "0"])
