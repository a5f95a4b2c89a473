"""The layers that WeightIntake puts in the place of `nn.Linear`, against plain products."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kvchat.model import linear
from kvchat.model.int4_linear import Int4Linear, Int4Weights
from kvchat.model.int8_linear import Int8Linear, Int8Weights
from kvchat.model.linear import Float32Linear, is_quicker_doubled, weights_come_first
from kvchat.native.float_linear import FloatLinearFunction
from kvchat.native.kernels import Kernels


def int8(weight: Tensor, bias: nn.Parameter | None = None) -> Int8Linear:
    return Int8Linear(Int8Weights.of(weight), bias)


def int4(weight: Tensor, bias: nn.Parameter | None = None) -> Int4Linear:
    return Int4Linear(Int4Weights.of(weight), bias)


Make = Callable[..., nn.Module]
ROUNDED = pytest.mark.parametrize("make", [int8, int4])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@ROUNDED
@settings(max_examples=60, deadline=None)
@given(
    num_rows=st.integers(2, 70),
    num_outputs=st.integers(1, 50),
    num_groups=st.integers(1, 5),
    seed=st.integers(0, 1 << 20),
    data=st.data(),
)
def test_a_row_gives_the_same_bits_alone_and_in_a_batch(
    make: Make, num_rows: int, num_outputs: int, num_groups: int, seed: int, data: st.DataObject
) -> None:
    layer = make(random(num_outputs, num_groups * 32, seed=seed))
    rows = random(num_rows, num_groups * 32, seed=seed + 1)
    rows[data.draw(st.integers(0, num_rows - 1))] *= 1e4
    whole = layer(rows)
    cut = data.draw(st.integers(1, num_rows - 1))
    assert torch.equal(torch.cat([layer(rows[:cut]), layer(rows[cut:])]), whole)
    place = data.draw(st.integers(0, num_rows - 1))
    assert torch.equal(layer(rows[place : place + 1])[0], whole[place])


@ROUNDED
@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38])
def test_a_poisoned_row_poisons_no_other(make: Make, value: float) -> None:
    layer, rows = make(random(20, 64)), random(4, 64, seed=1)
    clean = layer(rows)
    rows[1, 5] = value
    found = layer(rows)
    assert torch.equal(found[[0, 2, 3]], clean[[0, 2, 3]])
    if not math.isfinite(value):
        assert bool(found[1].isnan().all())


@ROUNDED
def test_no_rows_give_no_rows(make: Make) -> None:
    assert make(random(20, 64))(torch.empty(0, 64)).shape == (0, 20)


@ROUNDED
def test_zero_rows_give_the_bias(make: Make) -> None:
    bias = nn.Parameter(random(20, seed=3))
    found = make(random(20, 64), bias)(torch.zeros(2, 64))
    assert torch.equal(found, torch.stack([bias, bias]))


@pytest.mark.parametrize(("make", "bound"), [(int8, 0.015), (int4, 0.11)])
@pytest.mark.parametrize("shape", [(100, 64), (33, 512)])
def test_the_error_is_small_beside_the_output(
    make: Make, bound: float, shape: tuple[int, int]
) -> None:
    weight, rows = random(*shape), random(40, shape[1], seed=1)
    exact = rows.double() @ weight.double().t()
    error = (make(weight)(rows) - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert float(error) < bound


def test_int8_takes_matrices_of_any_shape() -> None:
    for shape in ((1, 1), (3, 17), (50, 33)):
        weight, rows = random(*shape), random(3, shape[1], seed=1)
        exact = rows @ weight.t()
        assert torch.allclose(int8(weight)(rows), exact, atol=0.03 * math.sqrt(shape[1]))


@ROUNDED
def test_rows_keep_their_type(make: Make) -> None:
    weight, rows = random(8, 32), random(2, 32).bfloat16()
    assert make(weight)(rows).dtype == torch.bfloat16
    assert torch.equal(make(weight)(rows), make(weight)(rows.float()).bfloat16())


@ROUNDED
def test_outputs_without_weights_are_zero_and_those_with_nan_are_nan(make: Make) -> None:
    weight = random(3, 32)
    weight[1] = 0
    weight[2, 7] = math.nan
    found = make(weight)(random(2, 32, seed=1))
    assert not found[:, 1].any() and bool(found[:, 2].isnan().all())
    assert bool(found[:, 0].isfinite().all())


@ROUNDED
def test_rounding_in_slices_changes_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, rows = random(50, 64), random(3, 64, seed=1)
    whole = make(weight)(rows)
    monkeypatch.setattr("kvchat.model.int8_linear.SLICE_ELEMENTS", 64 * 7)
    assert torch.equal(make(weight)(rows), whole)


def test_int4_codes_are_the_multiples_of_its_steps() -> None:
    weights = Int4Weights.of(random(6, 96))
    codes = weights.codes(slice(0, 6)).int().view(6, 3, 32)
    steps = weights.steps.int()[..., None]
    assert bool((codes % steps == 0).all())
    quotients = codes // steps
    assert int(quotients.min()) == -8 and int(quotients.max()) <= 7
    assert int(codes.abs().max()) <= 120


def test_weights_that_int4_can_say_come_back_exactly() -> None:
    codes = torch.randint(-8, 8, (5, 2, 32), generator=torch.Generator().manual_seed(0))
    codes[..., 0] = -8
    steps = torch.tensor([[15, -3], [15, 1], [-15, 15], [15, 7], [15, -15]])[..., None]
    weight = (codes * steps).flatten(1)
    weights = Int4Weights.of(weight * 0.25)
    assert torch.equal(weights.codes(slice(0, 5)).long(), weight)
    assert weights.scales.tolist() == pytest.approx([0.25] * 5)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_float32_gives_one_product_in_either_order(
    first: bool, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "weights_come_first", lambda *_: first)
    weight, bias = random(30, 20), nn.Parameter(random(30, seed=2)) if with_bias else None
    rows = random(5, 20, seed=1)
    found = Float32Linear(nn.Parameter(weight), bias)(rows)
    exact = rows.double() @ weight.double().t() + (0 if bias is None else bias)
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), exact.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (7, 15), (30, 16), (50, 100), (700, 600)])
def test_the_native_product_of_a_row_is_the_same_alone_and_in_a_batch(
    shape: tuple[int, int], num_threads: int, kernels: Kernels
) -> None:
    before = kernels.num_threads
    kernels.set_threads(num_threads)
    weight, bias = random(*shape), nn.Parameter(random(shape[0], seed=2), requires_grad=False)
    layer = Float32Linear(weight, bias, FloatLinearFunction(kernels))
    rows = random(16, shape[1], seed=1)
    exact = rows.double() @ weight.double().t() + bias
    alone = torch.cat([layer(rows[index : index + 1]) for index in range(16)])
    torch.testing.assert_close(alone.double(), exact, atol=1e-4, rtol=1e-5)
    for num_rows in (0, 2, 3, 5, 7, 8, 9, 11, 16):
        assert torch.equal(layer(rows[:num_rows]), alone[:num_rows])
    wide = random(4, 3 * shape[1], seed=3)
    middle = wide[:, shape[1] : 2 * shape[1]]
    assert torch.equal(layer(middle), layer(middle.contiguous()))
    kernels.set_threads(before)


def test_many_rows_and_turned_ones_take_the_library(kernels: Kernels) -> None:
    layer = Float32Linear(random(30, 20), None, FloatLinearFunction(kernels))
    for rows in (random(17, 20), random(20, 3).t()):
        exact = rows.double() @ layer.weight.double().t()
        torch.testing.assert_close(layer(rows).double(), exact, atol=1e-5, rtol=1e-5)


def test_the_order_depends_on_processor_shape_and_rows_alone() -> None:
    big, small = (5632, 2048), (3072, 768)
    assert weights_come_first(8, big, "GenuineIntel")
    assert not weights_come_first(8, small, "GenuineIntel")
    assert not weights_come_first(8, big, "AuthenticAMD")
    assert weights_come_first(4, small, "AuthenticAMD")
    assert not any(weights_come_first(1, big, name) for name in ("GenuineIntel", "AuthenticAMD"))
    assert not any(weights_come_first(rows, big, "") for rows in (1, 2, 8, 64))


@pytest.mark.parametrize("has_bias", [False, True])
def test_one_row_doubled_gives_the_product_of_one(
    has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "is_quicker_doubled", lambda *_: True)
    generator = torch.Generator().manual_seed(0)
    weight, row = torch.randn(40, 24, generator=generator), torch.randn(1, 24, generator=generator)
    bias = torch.randn(40, generator=generator) if has_bias else None
    found = Float32Linear(weight, bias)(row)
    assert found.shape == (1, 40) and found.is_contiguous()
    torch.testing.assert_close(found, torch.nn.functional.linear(row, weight, bias))


def test_only_one_row_of_few_columns_on_one_thread_is_doubled() -> None:
    few, many = (2048, 768), (768, 2048)
    assert is_quicker_doubled(1, few, "AuthenticAMD", 1)
    assert not is_quicker_doubled(1, many, "AuthenticAMD", 1)
    assert not is_quicker_doubled(1, few, "AuthenticAMD", 2)
    assert not is_quicker_doubled(2, few, "AuthenticAMD", 1)
    assert not is_quicker_doubled(1, few, "GenuineIntel", 1)
