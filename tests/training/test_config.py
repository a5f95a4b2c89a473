"""A budget is spent when it says."""

import pytest

from kvchat.training.config import Budget


def test_a_budget_until_a_moment_is_spent_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    budget, share = Budget(until=1100.0), 0.0
    for seconds in (10.0, 10.0, 30.0):
        now += seconds
        share = budget.advance(share, 0, seconds)
    assert share == pytest.approx(0.5)
    now += 40.0  # nothing ran: a pause
    now += 5.0
    share = budget.advance(share, 0, 5.0)
    assert share == pytest.approx(0.75)
    now += 5.0
    assert budget.advance(share, 0, 5.0) == 1.0


def test_a_budget_in_minutes_counts_training_time_only() -> None:
    budget = Budget(minutes=2.0)
    assert budget.advance(0.25, 0, 30.0) == pytest.approx(0.5)
    assert budget.advance(0.9, 0, 30.0) == 1.0
