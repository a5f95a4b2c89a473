"""What a forward pass asks of logits before it samples."""

import torch

from kvchat.engine.forward_pass import only_choices


def test_ids_that_are_no_choice_are_never_likely_and_nothing_else_changes() -> None:
    logits = torch.randn(3, 12)
    before = logits.clone()
    allowed = only_choices(logits, 10)
    assert torch.equal(allowed[:, :10], before[:, :10]) and torch.equal(logits, before)
    assert bool((allowed[:, 10:] == float("-inf")).all())
    assert only_choices(logits, 12) is logits and only_choices(logits, 20) is logits
