"""What a forward pass asks of logits before it samples."""

import pytest
import torch

from kvchat.engine.forward_pass import only_choices, rows_are_finite


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


def test_ids_that_are_no_choice_are_never_likely_and_nothing_else_changes() -> None:
    logits = torch.randn(3, 12)
    before = logits.clone()
    allowed = only_choices(logits, 10)
    assert torch.equal(allowed[:, :10], before[:, :10]) and torch.equal(logits, before)
    assert bool((allowed[:, 10:] == float("-inf")).all())
    assert only_choices(logits, 12) is logits and only_choices(logits, 20) is logits
