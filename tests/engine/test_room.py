"""The engine in pools that are too small for everybody."""

import random

import pytest

from kvchat.engine.engine import Engine
from kvchat.engine.request import FinishReason
from kvchat.engine.sequence import SequenceState
from kvchat.hash_model import HashModel
from kvchat.kv.window_schedule import WindowChange
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    HashOracle,
    Reader,
    ask,
    make_engine,
    random_tokens,
    run,
    solo_tokens,
)


def test_more_streams_than_the_pool_holds_all_finish_with_the_words_of_a_solo_run() -> None:
    engine = make_engine(num_blocks=10)
    sampling = SamplingParams(temperature=0.8, max_tokens=25)
    prompts = {f"chat {seed}": random_tokens(random.Random(seed), 5) for seed in range(6)}
    readers = {}
    for seed, (name, prompt) in enumerate(prompts.items()):
        engine.open(name)
        readers[name] = ask(engine, name, prompt, sampling, seed=seed)
    run(engine)
    assert engine.num_preemptions > 0
    for seed, (name, prompt) in enumerate(prompts.items()):
        assert readers[name].tokens == solo_tokens(prompt, sampling, seed=seed)


def test_the_oldest_stream_is_never_preempted() -> None:
    engine = make_engine(num_blocks=10)
    sampling = SamplingParams(temperature=0.0, max_tokens=30)
    for name in "abcdef":
        engine.open(name)
        ask(engine, name, [ord(name) % VOCAB_SIZE] * 5, sampling)
    states = []
    while engine.has_work:
        engine.step()
        states.append({stats.owner: stats.state for stats in engine.stats()}["a"])
    assert engine.num_preemptions > 0
    running = states[: states.index(SequenceState.IDLE)]
    assert set(running[1:]) == {SequenceState.DECODE}


def test_nobody_is_admitted_between_a_preemption_and_an_end() -> None:
    engine = make_engine(num_blocks=10)
    sampling = SamplingParams(temperature=0.0, max_tokens=30)
    readers = {}
    for name in "abcdef":
        engine.open(name)
        readers[name] = ask(engine, name, [ord(name) % VOCAB_SIZE] * 5, sampling)
    while not engine.num_preemptions:
        engine.step()
    # There is room for it, and it would be the next in line.
    engine.open("small")
    engine.scheduler.focus = "small"
    small = ask(engine, "small", [1], SamplingParams(temperature=0.0, max_tokens=1))
    while not any(reader.reason for reader in readers.values()):
        assert small.reason is None
        engine.step()
    engine.step()
    assert small.reason is FinishReason.LENGTH


@pytest.mark.parametrize("window", [None, 200])
def test_a_prompt_larger_than_the_pool_is_refused_with_the_numbers(window: int | None) -> None:
    engine = make_engine(num_blocks=8, block_size=4)
    engine.open("large", window=window)
    reader = ask(engine, "large", [1] * 32)
    assert reader.reason is FinishReason.FAILED
    assert reader.error is not None and "9 blocks" in reader.error and "has 8" in reader.error
    assert reader.code == "pool_too_small"
    assert not engine.has_work
    fitting = ask(engine, "large", [1] * 31, SamplingParams(temperature=0.0, max_tokens=1))
    run(engine)
    assert fitting.reason is FinishReason.LENGTH


def test_a_reply_that_outgrows_the_pool_stops_with_its_text() -> None:
    engine = make_engine(num_blocks=2, block_size=4)
    engine.open("a")
    reader = ask(engine, "a", [5, 6, 7], SamplingParams(temperature=0.0, max_tokens=20))
    run(engine)
    assert reader.reason is FinishReason.FAILED
    assert reader.error is not None and "2 blocks is full" in reader.error
    assert reader.code == "pool_too_small"
    # Eight tokens lie in the pool; the ninth needs no room of its own.
    sampling = SamplingParams(temperature=0.0, max_tokens=6)
    assert reader.tokens == solo_tokens([5, 6, 7], sampling)


@pytest.mark.parametrize(("window", "sinks", "num_blocks"), [(16, 4, 6), (15, 0, 5), (1, 4, 2)])
def test_a_long_prompt_runs_in_the_least_pool_that_holds_its_window(
    window: int, sinks: int, num_blocks: int
) -> None:
    prompt = random_tokens(random.Random(1), 90)
    # A layer with a window of its own (33) would need more.
    model = HashModel(VOCAB_SIZE, layer_windows=(None, None))
    engine = make_engine(num_blocks=num_blocks, model=model, spec=model.spec)
    engine.open("a", window=window, sinks=sinks)
    reader = ask(engine, "a", prompt)
    run(engine)
    assert reader.reason is FinishReason.LENGTH
    windows = [WindowChange(0, window, sinks)]
    assert not HashOracle(model).wrong_tokens(reader, reader.tokens, windows)
    engine.open("b", window=window + 4, sinks=sinks)
    refused = ask(engine, "b", prompt)
    assert refused.error is not None and f"{num_blocks + 1} blocks" in refused.error


def test_a_fork_at_a_full_pool_succeeds_and_both_sides_go_on() -> None:
    engine = make_engine(num_blocks=4, block_size=4)
    engine.open("parent")
    prompt = random_tokens(random.Random(2), 10)
    reader = ask(engine, "parent", prompt, SamplingParams(temperature=0.0, max_tokens=5))
    run(engine)
    assert reader.reason is FinishReason.LENGTH
    assert engine.cache.num_available == 0
    assert engine.fork("parent", "child", 9) == 9
    engine.cache.check_integrity()
    assert engine.cache.pool_view().sequences[0].length == 14
    short = SamplingParams(temperature=0.0, max_tokens=2)
    child = ask(engine, "child", [*prompt[:9], 50, 51], short)
    run(engine)
    parent = ask(engine, "parent", [*prompt, *reader.tokens], SamplingParams(0.0, max_tokens=1))
    run(engine)
    assert child.tokens == solo_tokens([*prompt[:9], 50, 51], short)
    assert parent.tokens == solo_tokens([*prompt, *reader.tokens])[:1]


def test_a_stream_forked_in_a_full_pool_goes_on_once_nobody_shares_its_tail() -> None:
    engine = make_engine(num_blocks=2, block_size=4)
    engine.open("parent")
    prompt = random_tokens(random.Random(3), 5)
    sampling = SamplingParams(temperature=0.0, max_tokens=3)
    reader = ask(engine, "parent", prompt, sampling)
    engine.step()
    # The idle child cannot free a block for a copy, since it has none of its own; it can let go.
    assert engine.fork("parent", "child") == 5
    run(engine)
    assert reader.reason is FinishReason.LENGTH
    assert reader.tokens == solo_tokens(prompt, sampling)


def test_a_rewound_sequence_in_a_full_pool_can_always_go_on() -> None:
    engine = make_engine(num_blocks=3, block_size=4)
    engine.open("a")
    prompt = random_tokens(random.Random(4), 11)
    ask(engine, "a", prompt, SamplingParams(temperature=0.0, max_tokens=1))
    run(engine)
    for length in (10, 6, 3, 2):
        prompt = [*prompt[:length], *random_tokens(random.Random(length), 11 - length)]
        reader = ask(engine, "a", prompt, SamplingParams(temperature=0.0, max_tokens=1))
        run(engine)
        assert reader.tokens == solo_tokens(prompt)[:1]


def test_the_last_used_idle_sequence_keeps_its_blocks_longest() -> None:
    engine = make_engine(num_blocks=12, block_size=4)
    for name in "abc":
        engine.open(name)
        ask(engine, name, [ord(name) % VOCAB_SIZE] * 11, SamplingParams(0.0, max_tokens=1))
        run(engine)
    ask(engine, "a", [ord("a") % VOCAB_SIZE] * 11, SamplingParams(0.0, max_tokens=1))
    run(engine)
    engine.open("new")
    ask(engine, "new", [1] * 18, SamplingParams(0.0, max_tokens=1))
    run(engine)
    computed = {stats.owner: stats.num_computed_tokens for stats in engine.stats()}
    assert computed["a"] == computed["c"] == 11
    assert computed["b"] < 11


# Layer groups of different sizes: the second one sees the last 33 tokens, 9 or 10 blocks of 4.


def start(engine: Engine, lengths: dict[str, int], max_tokens: int = 20) -> dict[str, Reader]:
    """Ask in chats of so many tokens, each of another text."""
    sampling = SamplingParams(temperature=0.0, max_tokens=max_tokens)
    readers = {}
    for name, length in lengths.items():
        engine.open(name)
        readers[name] = ask(engine, name, random_tokens(random.Random(name), length), sampling)
    return readers


def assert_solo_words(readers: dict[str, Reader]) -> None:
    for reader in readers.values():
        expected = solo_tokens(reader.request.token_ids, reader.request.sampling)
        assert reader.tokens == expected


@pytest.mark.parametrize(("num_blocks", "full"), [((100, 20), 1), ((30, 100), 0)])
def test_streams_finish_where_only_one_layer_group_is_full(
    num_blocks: tuple[int, int], full: int
) -> None:
    engine = make_engine(num_blocks=num_blocks)
    readers = start(engine, dict.fromkeys("abcd", 30))
    least = list(num_blocks)
    while engine.has_work:
        engine.step()
        engine.cache.check_integrity()
        for index, pool in enumerate(engine.cache.pools):
            least[index] = min(least[index], pool.num_free)
    assert least[full] == 0 < least[1 - full]
    assert_solo_words(readers)


def test_a_long_prompt_runs_in_the_least_group_that_holds_the_window_of_its_layers() -> None:
    engine = make_engine(num_blocks=(26, 9))
    readers = start(engine, {"a": 95}, max_tokens=6)
    run(engine)
    assert_solo_words(readers)
    smaller = make_engine(num_blocks=(26, 8))
    (refused,) = start(smaller, {"a": 95}).values()
    assert refused.error is not None and "9 blocks" in refused.error and "has 8" in refused.error
    (refused,) = start(make_engine(num_blocks=(23, 9)), {"a": 95}).values()
    assert refused.error is not None and "24 blocks" in refused.error and "has 23" in refused.error


def test_a_prompt_waits_for_room_in_the_group_that_lacks_it() -> None:
    engine = make_engine(num_blocks=(200, 20), budget=512)
    readers = start(engine, {"a": 40, "b": 40, "c": 3})
    engine.step()
    states = [stats.state for stats in engine.stats()]
    # Two windows of 9 blocks, one block each to grow and the watermark are more than there is.
    assert states[0] is SequenceState.DECODE
    assert states[1:] == [SequenceState.WAITING] * 2
    run(engine)
    assert engine.num_preemptions == 0
    assert_solo_words(readers)


def test_a_chunk_becomes_smaller_before_a_stream_is_preempted_for_a_window() -> None:
    engine = make_engine(num_blocks=(200, 26), budget=512)
    readers = start(engine, {"a": 20, "b": 160}, max_tokens=12)
    engine.step()
    engine.step()
    # All 40 blocks of the prompt would never fit, but its window does.
    assert all(stats.state is not SequenceState.WAITING for stats in engine.stats())
    run(engine)
    assert engine.num_preemptions == 0
    assert_solo_words(readers)


def test_room_in_a_full_group_comes_from_the_chat_used_longest_ago() -> None:
    engine = make_engine(num_blocks=(200, 30), budget=64)
    start(engine, dict.fromkeys("abc", 38), max_tokens=1)
    run(engine)
    start(engine, {"new": 38}, max_tokens=1)
    run(engine)
    computed = {stats.owner: stats.num_computed_tokens for stats in engine.stats()}
    # A window goes as a whole; what it held in the other group stays cached.
    assert computed == {"a": 0, "b": 38, "c": 38, "new": 38}
    assert engine.cache.pools[0].num_cached == 9
