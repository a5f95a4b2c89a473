"""Restoring or computing: whichever was measured to be cheaper."""

import pytest

from kvchat.engine.restore_costs import PRIOR_SECONDS_PER_BYTE, RestoreCosts


def test_before_anything_was_computed_restoring_counts_as_cheaper() -> None:
    assert RestoreCosts().prefers_disk(1, 1 << 40)


def test_the_cheaper_way_is_taken() -> None:
    costs = RestoreCosts(seconds_per_token=0.001, seconds_per_byte=1e-6, is_fixed=True)
    assert costs.prefers_disk(100, 100_000)
    assert not costs.prefers_disk(100, 100_001)


def test_steps_and_restores_are_measured() -> None:
    costs = RestoreCosts()
    costs.learn_prefill(2.0, 1000)
    assert costs.seconds_per_token == pytest.approx(0.002)
    costs.learn_prefill(1.0, 1000)
    assert 0.001 < (costs.seconds_per_token or 0) < 0.002
    costs.learn_restore(1.0, 1 << 20)
    assert PRIOR_SECONDS_PER_BYTE < costs.seconds_per_byte < 2**-20


def test_what_is_too_small_to_be_measured_is_not() -> None:
    costs = RestoreCosts()
    costs.learn_prefill(9.0, 1)
    costs.learn_restore(9.0, 1000)
    assert costs == RestoreCosts()


def test_fixed_costs_stay() -> None:
    costs = RestoreCosts(0.001, 1e-6, is_fixed=True)
    costs.learn_prefill(9.0, 1000)
    costs.learn_restore(9.0, 1 << 30)
    assert not costs.prefers_disk(1, 1 << 30)
    assert costs == RestoreCosts(0.001, 1e-6, is_fixed=True)


def test_a_disk_that_was_slow_once_is_tried_again() -> None:
    costs = RestoreCosts(seconds_per_token=0.001, seconds_per_byte=100 * PRIOR_SECONDS_PER_BYTE)
    num_bytes = int(0.1 / PRIOR_SECONDS_PER_BYTE / 2)
    num_refusals = 0
    while not costs.prefers_disk(100, num_bytes):
        num_refusals += 1
    assert 5 < num_refusals < 100
