import math

import pytest
import torch

from kvchat.model.row_codes import LARGEST_CODE, SMALLEST_PEAK, RowCodes


def test_codes_times_scales_are_within_half_a_step_of_the_rows() -> None:
    rows = torch.randn(9, 70, generator=torch.Generator().manual_seed(1)) * 3
    coded = RowCodes.of(rows)
    assert coded.codes.dtype == torch.int8 and coded.scales.shape == (9, 1)
    errors = (coded.codes.double() * coded.scales - rows).abs()
    assert bool((errors <= coded.scales * 0.5001).all())
    assert coded.codes.abs().amax(-1).tolist() == [LARGEST_CODE] * 9


def test_a_row_has_its_codes_whatever_is_beside_it() -> None:
    rows = torch.randn(5, 33, generator=torch.Generator().manual_seed(2))
    rows[3] *= 1e6
    rows[4, 0] = math.nan
    together = RowCodes.of(rows)
    for index in range(4):
        alone = RowCodes.of(rows[index : index + 1])
        assert torch.equal(alone.codes[0], together.codes[index])
        assert torch.equal(alone.scales[0], together.scales[index])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_with_what_is_no_number_has_no_scale_and_zero_codes(value: float) -> None:
    rows = torch.ones(2, 8)
    rows[0, 3] = value
    coded = RowCodes.of(rows)
    assert math.isnan(float(coded.scales[0])) and not coded.codes[0].any()
    assert coded.codes[1].tolist() == [LARGEST_CODE] * 8


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, SMALLEST_PEAK / 2])
def test_a_row_that_is_nearly_zero_is_zero(value: float) -> None:
    coded = RowCodes.of(torch.full((1, 8), value))
    assert not coded.codes.any() and float(coded.scales) == 0.0


@pytest.mark.parametrize("value", [SMALLEST_PEAK, 3.4e38])
def test_the_ends_of_the_range_have_codes(value: float) -> None:
    coded = RowCodes.of(torch.tensor([[value, -value, value / 2]]))
    assert coded.codes.tolist() == [[LARGEST_CODE, -LARGEST_CODE, 64]]
    assert float(coded.scales) == pytest.approx(value / LARGEST_CODE, rel=1e-6)
