"""The number of torch's threads that steps of few tokens get."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from kvchat.engine.step_threads import RAREST_TRIAL, StepThreads


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Steps on a machine whose times are told; its clock goes on by what a step takes."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.counts: list[int] = []
        self.threads = StepThreads(lambda: self.now)

    def compute(self) -> Tensor:
        count = torch.get_num_threads()
        self.counts.append(count)
        self.now += self.seconds[count]
        return torch.tensor([1.0, 2.0])

    def run(self, num_steps: int, num_tokens: int = 1) -> list[int]:
        """Return with how many threads these steps were computed."""
        self.counts = []
        for _ in range(num_steps):
            assert torch.equal(self.threads.run(num_tokens, self.compute), torch.tensor([1.0, 2.0]))
            assert torch.get_num_threads() == 4
        return self.counts


QUIET = {4: 1.0, 3: 1.2, 2: 1.6, 1: 3.0}
BUSY = {4: 6.0, 3: 1.3, 2: 1.6, 1: 3.0}
ALL_STALL = {4: 9.0, 3: 8.0, 2: 7.0, 1: 3.0}


def test_all_threads_are_kept_where_they_are_quickest_and_others_tried_ever_more_rarely() -> None:
    machine = Machine(QUIET)
    machine.run(20)
    late = machine.run(4 * RAREST_TRIAL)[RAREST_TRIAL:]
    assert late.count(4) >= len(late) - 4


def test_a_processor_that_becomes_busy_is_left_within_four_steps_and_taken_again_later() -> None:
    machine = Machine(QUIET)
    machine.run(500)
    machine.seconds = BUSY
    assert machine.run(9)[4:].count(3) >= 4
    machine.seconds = QUIET
    assert machine.run(3 * RAREST_TRIAL)[-3:].count(4) >= 2


def test_one_slow_step_changes_nothing() -> None:
    machine = Machine(QUIET)
    machine.run(500)
    machine.seconds = BUSY
    machine.run(1)
    machine.seconds = QUIET
    assert machine.run(20).count(4) >= 19


def test_small_losses_do_not_add_up_to_one_thread() -> None:
    machine = Machine({4: 9.0, 3: 8.0, 2: 7.0, 1: 3.0})
    machine.run(100)
    machine.seconds = {4: 1.00, 3: 1.08, 2: 1.17, 1: 1.29}
    assert machine.run(6 * RAREST_TRIAL)[-20:].count(4) >= 18


def test_a_first_step_that_waits_for_weights_is_no_reason_to_take_fewer_threads() -> None:
    machine = Machine({4: 10.0})
    machine.run(1)
    machine.seconds = QUIET
    machine.run(1)
    assert machine.run(40).count(4) >= 35


def test_one_thread_is_found_where_all_others_stall() -> None:
    machine = Machine(ALL_STALL)
    assert machine.run(100)[-20:].count(1) >= 19


def test_steps_of_other_sizes_and_long_ones_are_judged_by_themselves() -> None:
    machine = Machine(BUSY)
    machine.run(60, num_tokens=1)
    assert machine.run(6, num_tokens=1)[-5:].count(3) >= 4
    assert machine.run(1, num_tokens=2) == [4]
    assert machine.run(5, num_tokens=17) == [4] * 5


def test_an_error_leaves_the_number_of_threads_as_it_was() -> None:
    machine = Machine(BUSY)
    machine.run(100)

    def fail() -> Tensor:
        raise RuntimeError("no")

    failing: Callable[[], Tensor] = fail
    with pytest.raises(RuntimeError):
        machine.threads.run(1, failing)
    assert torch.get_num_threads() == 4


def test_one_thread_is_all_there_is_to_choose_from() -> None:
    torch.set_num_threads(1)
    machine = Machine(QUIET)
    for _ in range(20):
        machine.threads.run(1, machine.compute)
    assert machine.counts == [1] * 20
