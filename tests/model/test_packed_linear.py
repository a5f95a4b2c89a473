"""The native layers, bit for bit beside the plain ones."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from kvchat.model.int4_linear import Int4Linear, Int4Weights
from kvchat.model.int8_linear import Int8Linear, Int8Weights
from kvchat.model.packed_linear import PackedLinear
from kvchat.native.int_linear import IntLinearFunctions
from kvchat.native.kernels import Kernels

SHAPES = [(1, 32), (16, 64), (7, 96), (50, 128), (100, 1024), (33, 4128)]
ROWS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 24, 25, 30, 70]


@pytest.fixture
def functions(kernels: Kernels) -> IntLinearFunctions:
    return IntLinearFunctions(kernels)


@pytest.fixture(params=[1, 3], ids=["one-thread", "three-threads"])
def threads(request: pytest.FixtureRequest, kernels: Kernels) -> Iterator[None]:
    before = kernels.num_threads
    kernels.set_threads(request.param)
    yield
    kernels.set_threads(before)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pair(
    functions: IntLinearFunctions, kind: str, weight: Tensor, bias: nn.Parameter | None = None
) -> tuple[nn.Module, nn.Module]:
    """Return the native layer and the plain one over the same codes."""
    if kind == "int8":
        int8 = Int8Weights.of(weight)
        return PackedLinear(functions, int8, bias), Int8Linear(int8, bias)
    int4 = Int4Weights.of(weight)
    return PackedLinear(functions, int4, bias), Int4Linear(int4, bias)


KINDS = pytest.mark.parametrize("kind", ["int8", "int4"])


@KINDS
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", SHAPES)
def test_any_number_of_rows_gives_the_bits_of_the_plain_layer(
    functions: IntLinearFunctions, kind: str, shape: tuple[int, int]
) -> None:
    bias = nn.Parameter(random(shape[0], seed=2), requires_grad=False)
    native, plain = pair(functions, kind, random(*shape), bias)
    for num_rows in ROWS:
        rows = random(num_rows, shape[1], seed=num_rows) * 10 ** (num_rows % 5)
        found = native(rows)
        assert found.shape == (num_rows, shape[0])
        assert torch.equal(found, plain(rows)), num_rows


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 33), (40, 130)])
def test_int8_takes_sizes_that_fill_no_tile(
    functions: IntLinearFunctions, shape: tuple[int, int]
) -> None:
    native, plain = pair(functions, "int8", random(*shape))
    for num_rows in (1, 2, 14):
        rows = random(num_rows, shape[1], seed=num_rows)
        assert torch.equal(native(rows), plain(rows))


@KINDS
@pytest.mark.parametrize("value", [0.0, 1e-40, 3e38, math.nan, math.inf, -math.inf])
def test_rows_of_hard_numbers_are_alike_and_poison_no_other(
    functions: IntLinearFunctions, kind: str, value: float
) -> None:
    native, plain = pair(functions, kind, random(20, 64))
    for num_rows in (3, 10):
        rows = random(num_rows, 64, seed=1)
        clean = native(rows)
        rows[1] = 0
        rows[1, 5] = value
        found, others = native(rows), [index for index in range(num_rows) if index != 1]
        assert torch.equal(found[others], clean[others])
        assert torch.equal(found.nan_to_num(777), plain(rows).nan_to_num(777))
        assert bool(found[1].isnan().all()) == (not math.isfinite(value))


@KINDS
def test_halves_between_two_codes_round_alike(functions: IntLinearFunctions, kind: str) -> None:
    native, plain = pair(functions, kind, random(20, 256))
    rows = (torch.arange(256) - 127.5).repeat(2, 1)
    rows[:, 0] = 127
    rows[1] = -rows[1]
    assert torch.equal(native(rows), plain(rows))


@KINDS
def test_numbers_next_to_the_middle_of_two_codes_round_alike(
    functions: IntLinearFunctions, kind: str
) -> None:
    """The last bit of a row's factor decides them."""
    native, plain = pair(functions, kind, random(20, 128))
    peaks = random(400, 1, seed=1).abs() + 0.1
    rows = torch.cat([peaks, peaks * (torch.arange(127) + 0.5) / 127], 1)
    assert torch.equal(native(rows), plain(rows))


@KINDS
def test_the_largest_codes_do_not_saturate(functions: IntLinearFunctions, kind: str) -> None:
    weight = torch.ones(20, 4096)
    weight[::2] = -1
    native, plain = pair(functions, kind, weight)
    rows = torch.ones(5, 4096)
    rows[1::2] = -1
    assert torch.equal(native(rows), plain(rows))


@KINDS
def test_rows_may_lie_apart_and_be_of_any_type(functions: IntLinearFunctions, kind: str) -> None:
    native, plain = pair(functions, kind, random(20, 64))
    wide = random(6, 200, seed=1)
    for rows in (wide[:, 30:94], wide[::2, :64], random(64, 6).t(), wide[:, :64].bfloat16()):
        found = native(rows)
        assert found.dtype == rows.dtype
        assert torch.equal(found, plain(rows))


@KINDS
def test_packing_in_slices_changes_nothing(
    functions: IntLinearFunctions, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvchat.model.packed_linear._SLICE_PANELS", 2)
    native, plain = pair(functions, kind, random(100, 64))
    rows = random(3, 64, seed=1)
    assert torch.equal(native(rows), plain(rows))
