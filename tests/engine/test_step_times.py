from kvchat.engine.step_times import MAX_STEPS, StepTimes


def test_quantiles_are_those_of_the_steps_in_order_of_their_time() -> None:
    times = StepTimes()
    for number in (5, 1, 4, 2, 3):
        times.note(number / 1000)

    assert [times.quantile(part) for part in (0.0, 0.5, 0.95)] == [0.001, 0.003, 0.005]


def test_before_the_first_step_there_is_nothing() -> None:
    assert StepTimes().quantile(0.5) == 0.0


def test_only_the_last_steps_count() -> None:
    times = StepTimes()
    times.note(9.0)
    for _ in range(MAX_STEPS):
        times.note(0.5)

    assert times.quantile(1.0) == 0.5
