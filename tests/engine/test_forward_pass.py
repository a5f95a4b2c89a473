"""What a forward pass asks of logits before it samples."""

import pytest
import torch

from kvchat.engine.forward_pass import rows_are_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_row_with_one_number_that_is_not_finite_is_told_apart(bad: float) -> None:
    logits = torch.zeros(4, 300)
    logits[2, 17] = bad
    assert rows_are_finite(logits) == [True, True, False, True]


def test_infinities_that_cancel_each_other_are_found() -> None:
    logits = torch.zeros(2, 300)
    logits[0, 3], logits[0, 4] = float("inf"), float("-inf")
    assert rows_are_finite(logits) == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_sum_that_overflows_is_no_reason_to_end_a_reply(dtype: torch.dtype) -> None:
    logits = torch.full((2, 300), torch.finfo(dtype).max, dtype=dtype)
    assert rows_are_finite(logits) == [True, True]
