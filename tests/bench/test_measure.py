"""Ratios of medians, and what is said about them."""

from kvchat.bench.measure import Comparison, machine, spread


def test_the_ratio_is_that_of_the_medians() -> None:
    times = Comparison((1.0, 2.0, 9.0), (20.0, 30.0, 10.0))
    assert times.ratio == 10.0
    assert times.rounds == (20.0, 15.0, 10.0 / 9.0)


def test_a_spread_names_least_and_most() -> None:
    assert spread([0.003, 0.001, 0.002], " ms", 1000) == "2.0 ms (1.0 to 3.0)"


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["processor"] and found["num_cpus"] and found["torch"]
