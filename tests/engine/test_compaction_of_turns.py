"""Chats that grew side by side are moved into one piece when their next turn begins."""

import random

from kvchat import errors
from kvchat.engine.engine import Engine
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import Reader, ask, make_engine, random_tokens, run, solo_tokens

SAMPLING = SamplingParams(temperature=0.7, max_tokens=30)
NAMES = ("a", "b", "c")


def interleaved_chats() -> tuple[Engine, dict[str, list[int]]]:
    """Return an engine in which three chats lie in many pieces, and their texts."""
    engine = make_engine(num_blocks=128)
    for pool in engine.cache.pools:
        pool.free._headroom = 0
    texts = {}
    readers: dict[str, Reader] = {}
    for seed, name in enumerate(NAMES):
        engine.open(name, label=name)
        texts[name] = random_tokens(random.Random(seed), 6)
        readers[name] = ask(engine, name, texts[name], SAMPLING, seed=seed)
    run(engine)
    return engine, {name: texts[name] + readers[name].tokens for name in NAMES}


def num_runs(engine: Engine) -> list[int]:
    return [sequence.num_runs for sequence in engine.cache.pool_view().sequences]


def num_compactions(engine: Engine) -> int:
    return sum(event.kind == "compact" for event in engine.cache.pool_view().events)


def test_a_scattered_chat_is_moved_when_its_turn_begins_and_says_the_same() -> None:
    engine, texts = interleaved_chats()
    assert min(num_runs(engine)) > 3
    prompt = [*texts["b"], 5, 6, 7]
    reader = ask(engine, "b", prompt, SAMPLING, seed=9)
    engine.step()
    assert num_runs(engine)[1] == 1
    assert min(num_runs(engine)[0], num_runs(engine)[2]) > 3
    run(engine)
    assert reader.tokens == solo_tokens(prompt, SAMPLING, seed=9)


def test_at_most_one_chat_is_moved_in_a_step() -> None:
    engine, texts = interleaved_chats()
    before = num_runs(engine)
    readers = [ask(engine, name, [*texts[name], 1], SAMPLING, seed=7) for name in NAMES]
    engine.step()
    assert num_compactions(engine) == 1
    assert sum(now < then for now, then in zip(num_runs(engine), before, strict=True)) == 1
    run(engine)
    for name, reader in zip(NAMES, readers, strict=True):
        assert reader.tokens == solo_tokens([*texts[name], 1], SAMPLING, seed=7)


def test_a_move_that_fails_costs_nobody_a_word() -> None:
    engine, texts = interleaved_chats()

    def hook(point: str) -> None:
        if point == "cache.copy" and engine.cache._step is None:
            raise MemoryError(point)

    prompt = [*texts["c"], 3]
    reader = ask(engine, "c", prompt, SAMPLING, seed=4)
    errors.fault_hook = hook
    try:
        engine.step()
    finally:
        errors.fault_hook = None
    assert num_compactions(engine) == 0
    run(engine)
    assert reader.tokens == solo_tokens(prompt, SAMPLING, seed=4)
