"""Samples are taken in turns, and judged by CPU time or by undisturbed wall time."""

import os
from functools import partial
from pathlib import Path

import pytest

from kvchat.bench import samples
from kvchat.bench.busy_core import BusyCore
from kvchat.bench.samples import MOST_WAITED, Sample, Samples, Turn, in_turns, ratio, taken


def test_a_call_is_timed_by_the_wall_and_by_the_processor() -> None:
    done: list[int] = []
    found = taken(lambda: done.append(sum(range(100_000))))
    assert len(done) == 1
    assert found.wall_seconds > 0 and found.cpu_seconds > 0 and found.num_switches >= 0


def test_one_thread_is_judged_by_cpu_time_however_often_it_was_interrupted() -> None:
    found = Samples(1, [Sample(9.0, 1.0, 5), Sample(9.0, 3.0, 5), Sample(9.0, 2.0, 5)])
    assert found.is_enough and found.median_seconds == 2.0


def test_samples_with_an_interruption_do_not_count_for_two_threads() -> None:
    clean = [Sample(seconds, 9.0, 0) for seconds in (1.0, 2.0, 3.0)]
    found = Samples(2, [*clean, Sample(50.0, 9.0, 1), Sample(60.0, 9.0, 2)])
    assert found.is_enough and found.median_seconds == 2.0
    assert found.document()["num_samples"] == 5 and found.document()["num_clean"] == 3


def test_samples_whose_threads_waited_for_a_processor_do_not_count_for_two_threads() -> None:
    short = [Sample(seconds, 9.0, 7, 0.05 * seconds) for seconds in (1.0, 2.0, 3.0)]
    found = Samples(2, [*short, Sample(0.5, 9.0, 0, 0.04), Sample(50.0, 9.0, 7, 4.0)])
    assert found.seconds == [1.0, 2.0, 3.0]
    assert found.document()["num_clean"] == 3
    assert Samples(1, [Sample(1.0, 0.5, 7, 1.0)]).seconds == [0.5]


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux counts what is read")
def test_a_thread_that_must_share_its_processor_is_seen_to_wait() -> None:
    allowed = os.sched_getaffinity(0)
    with BusyCore() as busy:
        os.sched_setaffinity(0, {busy.processor})
        try:
            # As long as it takes until the other process had its turn.
            rounds = (taken(lambda: sum(range(3_000_000))) for _ in range(1000))
            found = next(each for each in rounds if not each.is_clean(1))
        finally:
            os.sched_setaffinity(0, allowed)
    assert found.waited_seconds is not None
    assert found.waited_seconds > MOST_WAITED * found.wall_seconds


def test_where_waiting_is_not_counted_a_sample_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_TASKS", Path("/nowhere"))
    assert taken(lambda: None).waited_seconds is None


def test_there_is_no_ratio_of_fewer_than_three_clean_samples() -> None:
    enough = Samples(2, [Sample(1.0, 1.0, 0)] * 3)
    few = Samples(2, [Sample(1.0, 1.0, 0)] * 2 + [Sample(4.0, 1.0, 1)] * 3)
    assert ratio(enough, few) is None and ratio(few, enough) is None
    assert few.median_seconds == 4.0  # said of all of them, marked as disturbed
    assert ratio(enough, Samples(2, [Sample(3.0, 1.0, 0)] * 3)) == 3.0


def test_contestants_take_turns_in_reversed_order_every_other_round() -> None:
    said: list[str] = []
    turns = {
        name: Turn(partial(said.append, f"{name}?"), partial(said.append, name), 2) for name in "ab"
    }
    found = in_turns(turns, num_threads=1, num_rounds=3, num_warm=1)
    rounds = ["b? b b a? a a", "a? a a b? b b"] * 2
    assert " ".join(said) == " ".join(rounds)
    assert {len(each.all) for each in found.values()} == {6}


def test_rounds_are_added_while_too_few_samples_are_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100))

    def disturbed(call: object) -> Sample:
        return Sample(1.0, 1.0, int(next(numbers) < 4))

    monkeypatch.setattr(samples, "taken", disturbed)
    turn = Turn(lambda: None, lambda: None)
    found = in_turns({"a": turn}, num_threads=2, num_rounds=3, num_warm=1, max_extra=9)
    assert len(found["a"].all) == 6 and len(found["a"].seconds) == 3
    numbers = iter([0] * 100)
    found = in_turns({"a": turn}, num_threads=2, num_rounds=3, num_warm=1, max_extra=4)
    assert len(found["a"].all) == 7 and not found["a"].is_enough
