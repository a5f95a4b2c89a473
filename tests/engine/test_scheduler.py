"""Who runs next, in integers; and that idle sequences are never in the way."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.engine.scheduler import (
    MAX_BUDGET,
    MIN_BUDGET,
    STEP_SECONDS,
    ScheduledRow,
    Scheduler,
    TokenBudget,
)
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.kv.cache import SequenceId
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    ask,
    make_engine,
    random_tokens,
    run,
    solo_tokens,
)

ONCE = SamplingParams(temperature=0.0, max_tokens=1)


class Queue:
    """Running sequences and what they still need, as the engine would keep them."""

    def __init__(self, max_rows: int = 32, budget: int = 64) -> None:
        self.scheduler = Scheduler(max_rows, TokenBudget(budget))
        self.remaining: dict[Sequence, int] = {}
        self._ticks = 0

    def add(self, owner: str, num_tokens: int | None = None) -> Sequence:
        """Add a prompt of so many tokens, or a stream."""
        self._ticks += 1
        state = SequenceState.DECODE if num_tokens is None else SequenceState.PREFILL
        sequence = Sequence(owner, SequenceId(self._ticks), state=state)
        sequence.arrival = sequence.last_used = self._ticks
        self.remaining[sequence] = num_tokens or 1
        return sequence

    def step(self) -> dict[str, int]:
        """Schedule a step, and return how many tokens each owner got."""
        rows = self.scheduler.pick(list(self.remaining), dict(self.remaining))
        for row in rows:
            self._ticks += 1
            row.sequence.last_used = self._ticks
            if row.sequence.state is SequenceState.PREFILL:
                self.remaining[row.sequence] -= row.num_new_tokens
                if not self.remaining[row.sequence]:
                    row.sequence.state = SequenceState.DECODE
                    self.remaining[row.sequence] = 1
        return counts(rows)


def counts(rows: list[ScheduledRow]) -> dict[str, int]:
    return {row.sequence.owner: row.num_new_tokens for row in rows}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_step_keeps_to_rows_budget_and_need(data: st.DataObject) -> None:
    max_rows, budget = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 600))
    queue = Queue(max_rows, budget)
    for number in range(data.draw(st.integers(0, 8))):
        queue.add(f"stream {number}")
    prompts = [
        queue.add(f"prompt {number}", data.draw(st.integers(1, 700)))
        for number in range(data.draw(st.integers(0, 8)))
    ]
    num_streams = len(queue.remaining) - len(prompts)
    queue.scheduler.focus = data.draw(st.sampled_from([None, "prompt 0", "prompt 3", "stream 0"]))
    rows = queue.scheduler.pick(list(queue.remaining), dict(queue.remaining))
    found = counts(rows)
    assert len(found) == len(rows)
    streams = [owner for owner in found if owner.startswith("stream")]
    assert len(streams) == min(num_streams, max_rows)
    assert list(found)[: len(streams)] == streams
    assert all(1 <= row.num_new_tokens <= queue.remaining[row.sequence] for row in rows)
    granted = sum(count for owner, count in found.items() if owner.startswith("prompt"))
    assert granted <= budget
    assert (granted > 0) == bool(prompts)
    # A prompt has a row even where streams fill all of them.
    assert len(rows) <= max(max_rows, len(streams) + 1)


def test_a_budget_larger_than_all_prompts_finishes_all_of_them() -> None:
    queue = Queue(budget=100)
    for owner, num_tokens in (("a", 30), ("b", 50), ("c", 20)):
        queue.add(owner, num_tokens)
    assert queue.step() == {"a": 30, "b": 50, "c": 20}


def test_a_quarter_goes_to_the_oldest_prompt_and_the_rest_to_the_shortest() -> None:
    queue = Queue(budget=100)
    for owner, num_tokens in (("oldest", 500), ("long", 400), ("short", 60)):
        queue.add(owner, num_tokens)
    assert queue.step() == {"oldest": 25, "short": 60, "long": 15}


def test_the_focused_prompt_comes_before_shorter_ones() -> None:
    queue = Queue(budget=100)
    for owner, num_tokens in (("oldest", 500), ("focused", 400), ("short", 60)):
        queue.add(owner, num_tokens)
    queue.scheduler.focus = "focused"
    assert queue.step() == {"oldest": 25, "focused": 75}


def test_a_long_prompt_ends_although_shorter_ones_never_stop_coming() -> None:
    queue = Queue(budget=64)
    long = queue.add("long", 1600)
    for number in range(100):
        queue.add(f"short {number}", 64)
        assert long.state is SequenceState.DECODE or queue.step()["long"] >= 16
    assert long.state is SequenceState.DECODE


def test_the_only_free_row_gets_the_whole_budget() -> None:
    queue = Queue(max_rows=2, budget=64)
    queue.add("stream")
    queue.add("oldest", 640)
    queue.add("short", 10)
    assert queue.step() == {"stream": 1, "oldest": 64}


def test_a_long_prompt_ends_although_streams_take_every_row() -> None:
    queue = Queue(max_rows=2, budget=64)
    for number in range(6):
        queue.add(f"stream {number}")
    long = queue.add("long", 640)
    for _ in range(10):
        assert queue.step()["long"] == 64
    assert long.state is SequenceState.DECODE


@pytest.mark.parametrize(("num_streams", "max_rows"), [(1, 1), (5, 2), (9, 4), (64, 32), (7, 7)])
def test_every_stream_gets_a_token_within_its_share_of_steps(
    num_streams: int, max_rows: int
) -> None:
    queue = Queue(max_rows)
    waits = {queue.add(str(number)).owner: 0 for number in range(num_streams)}
    queue.add("prompt", 1000)
    longest_wait = -(-num_streams // max_rows)
    for _ in range(3 * longest_wait):
        served = queue.step()
        for owner in waits:
            waits[owner] = 0 if owner in served else waits[owner] + 1
            assert waits[owner] < longest_wait


def test_a_long_prompt_ends_although_focused_ones_never_stop_coming() -> None:
    queue = Queue(budget=64)
    long = queue.add("long", 1600)
    for _ in range(100):
        if all(sequence.owner == "long" for sequence in queue.remaining):
            queue.add("focused", 640)
        queue.scheduler.focus = "focused"
        queue.step()
        for sequence in list(queue.remaining):
            if sequence.owner == "focused" and sequence.state is SequenceState.DECODE:
                del queue.remaining[sequence]
    assert long.state is SequenceState.DECODE


# The budget


def test_a_step_is_large_while_nobody_reads_a_stream() -> None:
    assert TokenBudget().tokens(is_streaming=False) == MAX_BUDGET


def test_a_step_is_careful_before_any_cost_is_known() -> None:
    assert MIN_BUDGET < TokenBudget().tokens(is_streaming=True) < MAX_BUDGET


def test_a_prompt_takes_what_is_left_of_a_tenth_of_a_second() -> None:
    budget = TokenBudget()
    budget.learn(1.0, 0, 1000)
    assert budget.tokens(is_streaming=True) == round(STEP_SECONDS * 1000)


def test_a_prompt_at_most_doubles_a_slow_step() -> None:
    budget = TokenBudget()
    budget.learn(1.0, 0, 1000)
    for _ in range(60):
        budget.learn(0.3, 8, 0)
    assert 290 <= budget.tokens(is_streaming=True) <= 300


@pytest.mark.parametrize(("seconds", "expected"), [(1000.0, MIN_BUDGET), (1e-9, MAX_BUDGET)])
def test_the_budget_stays_within_its_bounds(seconds: float, expected: int) -> None:
    budget = TokenBudget()
    budget.learn(seconds, 1, 10)
    assert budget.tokens(is_streaming=True) == expected


def test_a_fixed_budget_learns_nothing() -> None:
    budget = TokenBudget(33)
    budget.learn(100.0, 1, 10)
    assert budget.tokens(is_streaming=True) == budget.tokens(is_streaming=False) == 33


# With an engine


def test_fifty_idle_sessions_do_not_stop_a_new_prompt() -> None:
    engine = make_engine(num_blocks=20, block_size=4)
    once = SamplingParams(temperature=0.0, max_tokens=1)
    for number in range(50):
        engine.open(f"idle {number}")
        ask(engine, f"idle {number}", random_tokens(random.Random(number), 11), once)
        run(engine)
    assert engine.cache.num_available < 15
    engine.open("new")
    prompt = random_tokens(random.Random(50), 70)
    reader = ask(engine, "new", prompt)
    run(engine)
    assert reader.tokens == solo_tokens(prompt)
    # And whoever gave way goes on as if nothing had happened.
    first = random_tokens(random.Random(0), 11)
    again = ask(engine, "idle 0", first)
    run(engine)
    assert again.tokens == solo_tokens(first)


def test_the_same_commands_give_the_same_schedule() -> None:
    def history() -> list[tuple[str, int | None]]:
        engine = make_engine(num_blocks=12, budget=16)
        readers = []
        for number in range(5):
            engine.open(str(number))
            prompt = random_tokens(random.Random(number), 9 + number)
            readers.append(ask(engine, str(number), prompt))
        events: list[tuple[str, int | None]] = []
        while engine.has_work:
            seen = [len(reader.events) for reader in readers]
            engine.step()
            for reader, start in zip(readers, seen, strict=True):
                events += [
                    (reader.request.owner, event.token_id) for event in reader.events[start:]
                ]
        return events

    assert history() == history()


@pytest.mark.parametrize(("num_streams", "max_rows", "num_blocks"), [(7, 2, 200), (6, 32, 60)])
def test_no_admitted_stream_waits_more_than_two_steps_for_each_that_was_admitted(
    num_streams: int, max_rows: int, num_blocks: int
) -> None:
    """Prompts of all lengths come and go meanwhile."""
    rng = random.Random(num_streams)
    engine = make_engine(num_blocks=num_blocks, max_rows=max_rows, budget=16)
    sampling = SamplingParams(temperature=0.0, max_tokens=20)
    streams = []
    for number in range(num_streams):
        engine.open(f"stream {number}")
        prompt = random_tokens(rng, 5)
        streams.append(ask(engine, f"stream {number}", prompt, sampling))
    waits = dict.fromkeys(range(num_streams), 0)
    num_prompts = 0
    while any(reader.reason is None for reader in streams):
        if rng.random() < 0.2:
            num_prompts += 1
            engine.open(f"prompt {num_prompts}")
            prompt = random_tokens(rng, rng.randint(1, 90))
            ask(engine, f"prompt {num_prompts}", prompt, SamplingParams(0.0, max_tokens=1))
        before = [len(reader.events) for reader in streams]
        states = {stats.owner: stats.state for stats in engine.stats()}
        num_admitted = sum(
            state in (SequenceState.PREFILL, SequenceState.DECODE) for state in states.values()
        )
        engine.step()
        for number, reader in enumerate(streams):
            is_decoding = states[f"stream {number}"] is SequenceState.DECODE
            is_served = len(reader.events) > before[number]
            waits[number] = 0 if is_served or not is_decoding else waits[number] + 1
            assert waits[number] <= 2 * max(1, num_admitted)
    assert num_prompts > 5


def test_a_focused_session_that_always_asks_again_passes_the_others_only_once() -> None:
    engine = make_engine(num_blocks=5)
    readers = {}
    for name in "abc":
        engine.open(name)
        readers[name] = ask(engine, name, [ord(name) % VOCAB_SIZE] * 9, ONCE)
    engine.open("eager")
    engine.scheduler.focus = "eager"
    ends: list[str] = []
    eager = ask(engine, "eager", [1] * 9, ONCE)
    while len(ends) < 5:
        engine.step()
        ends += [name for name, reader in readers.items() if reader.reason and name not in ends]
        if eager.reason is not None:
            ends.append("eager")
            eager = ask(engine, "eager", [len(ends) + 1] * 9, ONCE)
    assert ends == ["eager", "a", "b", "c", "eager"]
