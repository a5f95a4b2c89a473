"""Who may start: a prompt that another is computing right now waits for it."""

import random

import pytest

from kvchat.engine.engine import Engine
from kvchat.engine.request import FinishReason
from kvchat.engine.sequence import SequenceState
from kvchat.hash_model import HashModel
from kvchat.kv.cache import SequenceId
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    CountingModel,
    FailingModel,
    Reader,
    ask,
    make_engine,
    random_tokens,
    run,
    solo_tokens,
)

PROMPT = random_tokens(random.Random(1), 101)
ONCE = SamplingParams(temperature=0.0, max_tokens=3)


def send(engine: Engine, *owners: str, prompt: list[int] = PROMPT) -> list[Reader]:
    readers = []
    for owner in owners:
        engine.open(owner)
        readers.append(ask(engine, owner, prompt, ONCE))
    return readers


def states(engine: Engine) -> dict[str, SequenceState]:
    return {stats.owner: stats.state for stats in engine.stats()}


@pytest.mark.parametrize("num_sends", [2, 5])
def test_the_same_long_prompt_sent_at_once_is_computed_once(num_sends: int) -> None:
    model = CountingModel(HashModel(VOCAB_SIZE))
    engine = make_engine(model=model, budget=16, num_blocks=200)
    readers = send(engine, *map(str, range(num_sends)))
    run(engine)
    assert all(reader.tokens == solo_tokens(PROMPT, ONCE) for reader in readers)
    # All but its last token lie in full blocks; each reply has two more steps.
    assert sum(model.counts) == 101 + (num_sends - 1) + 2 * num_sends


def test_a_prompt_waits_only_as_far_as_it_is_the_same() -> None:
    model = CountingModel(HashModel(VOCAB_SIZE))
    engine = make_engine(model=model, budget=16, num_blocks=200)
    other = [*PROMPT[:50], *random_tokens(random.Random(2), 30)]
    first, second = send(engine, "a"), send(engine, "b", prompt=other)
    engine.step()
    assert states(engine)["b"] is SequenceState.WAITING
    while states(engine)["b"] is SequenceState.WAITING:
        engine.step()
    assert states(engine)["a"] is SequenceState.PREFILL
    run(engine)
    assert first[0].tokens == solo_tokens(PROMPT, ONCE)
    assert second[0].tokens == solo_tokens(other, ONCE)
    # Twelve blocks are the same to their end.
    assert sum(model.counts) == 101 + 80 - 48 + 2 * 2


def test_whoever_has_another_prompt_does_not_wait_behind_one_who_does() -> None:
    engine = make_engine(budget=16, num_blocks=200)
    send(engine, "a", "same")
    send(engine, "other", prompt=random_tokens(random.Random(3), 20))
    engine.step()
    assert states(engine)["same"] is SequenceState.WAITING
    assert states(engine)["other"] is not SequenceState.WAITING
    run(engine)


def test_a_session_with_another_window_does_not_wait() -> None:
    engine = make_engine(budget=16, num_blocks=200)
    send(engine, "a")
    engine.open("windowed", window=20)
    reader = ask(engine, "windowed", PROMPT, ONCE)
    engine.step()
    assert states(engine)["windowed"] is SequenceState.PREFILL
    run(engine)
    assert reader.tokens == solo_tokens(PROMPT, ONCE, window=20)


@pytest.mark.parametrize("leaves", ["cancel", "close"])
def test_a_prompt_goes_on_when_the_one_it_waits_for_leaves(leaves: str) -> None:
    engine = make_engine(budget=16, num_blocks=200)
    first, second, third = send(engine, "a", "b", "c")
    engine.step()
    engine.step()
    if leaves == "cancel":
        engine.cancel(first.request)
    else:
        engine.close("a")
    run(engine)
    assert first.reason is FinishReason.CANCELLED
    assert second.tokens == third.tokens == solo_tokens(PROMPT, ONCE)


def test_a_prompt_goes_on_when_the_one_it_waits_for_fails() -> None:
    shared = [6 if token == 5 else token for token in PROMPT[:60]]
    failing, following = [*shared, 5, 7, 8, 9], [*shared, 6, 7, 8, 9]
    engine = make_engine(
        model=FailingModel(HashModel(VOCAB_SIZE), 5, RuntimeError()), budget=16, num_blocks=200
    )
    (first,) = send(engine, "a", prompt=failing)
    (second,) = send(engine, "b", prompt=following)
    engine.step()
    assert states(engine)["b"] is SequenceState.WAITING
    run(engine)
    assert first.reason is FinishReason.FAILED
    assert second.tokens == solo_tokens(following, ONCE)


def test_a_prompt_goes_on_when_the_one_it_waits_for_is_preempted() -> None:
    engine = make_engine(budget=8, num_blocks=34)
    sampling = SamplingParams(temperature=0.0, max_tokens=60)
    engine.open("stream")
    stream = ask(engine, "stream", [1], sampling)
    engine.step()
    first, second = send(engine, "a", "b", prompt=PROMPT[:80])
    states_of_b = []
    while engine.has_work:
        engine.step()
        engine.cache.check_integrity()
        if engine.num_preemptions == 0 and states(engine)["a"] is SequenceState.PREFILL:
            states_of_b.append(states(engine)["b"])
            if len(states_of_b) == 3:
                engine._room.preempt(engine._find("a"))
    assert states_of_b == [SequenceState.WAITING] * 3
    assert stream.tokens == solo_tokens([1], sampling)
    assert first.tokens == second.tokens == solo_tokens(PROMPT[:80], ONCE)


def test_the_one_a_focused_prompt_waits_for_goes_first() -> None:
    engine = make_engine(budget=64, num_blocks=400)
    prompt = random_tokens(random.Random(5), 400)
    send(engine, "oldest", prompt=random_tokens(random.Random(6), 600))
    send(engine, "leader", prompt=prompt)
    engine.step()
    send(engine, "focused", prompt=prompt)
    send(engine, "short", prompt=random_tokens(random.Random(7), 30))
    before = {stats.owner: stats.num_computed_tokens for stats in engine.stats()}
    engine.scheduler.focus = "focused"
    engine.step()
    computed = {
        stats.owner: stats.num_computed_tokens - before[stats.owner] for stats in engine.stats()
    }
    # What was computed of its prompt before is its own as well.
    assert computed == {"oldest": 16, "leader": 48, "focused": 48, "short": 0}


def test_a_waiting_prompt_is_not_looked_up_again_while_nothing_was_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = make_engine(num_blocks=30, block_size=16)
    sampling = SamplingParams(temperature=0.0, max_tokens=100)
    engine.open("stream")
    ask(engine, "stream", random_tokens(random.Random(8), 16 * 20), sampling)
    while states(engine)["stream"] is not SequenceState.DECODE:
        engine.step()
    lookups: list[SequenceId] = []
    adopt = engine.cache.adopt

    def counting(sequence: SequenceId, token_ids: list[int]) -> int:
        lookups.append(sequence)
        return adopt(sequence, token_ids)

    monkeypatch.setattr(engine.cache, "adopt", counting)
    send(engine, "waiting", prompt=random_tokens(random.Random(9), 16 * 20))
    for _ in range(64):
        engine.step()
    assert states(engine)["waiting"] is SequenceState.WAITING
    # Once when it came, then after each of the three blocks that the stream had filled by then.
    assert len(lookups) == 4
