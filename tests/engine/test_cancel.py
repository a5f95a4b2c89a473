"""A cancel is done within a step, wherever it comes, and leaves nothing behind."""

import random

import pytest
from torch import Tensor

from kvchat import errors
from kvchat.engine.engine import Engine
from kvchat.engine.request import FinishReason
from kvchat.hash_model import HashModel
from kvchat.kv.cache import KVCache
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    Reader,
    ask,
    assert_all_blocks_come_back,
    make_engine,
    random_tokens,
    run,
    solo_tokens,
)

CANCELS_OF_A_SEED = 50


class CancellingModel:
    """Cancels a request while a step is computed, as another thread would."""

    def __init__(self) -> None:
        self._model = HashModel(VOCAB_SIZE)
        self.victim: Reader | None = None

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor
    ) -> Tensor:
        if self.victim is not None:
            self.victim.request.is_cancelled = True
        return self._model(token_ids, positions, cache, rows)


def keep_asking(engine: Engine, rng: random.Random, readers: dict[str, Reader]) -> None:
    """Let every chat that is silent ask something, some as another chat did."""
    sampling = SamplingParams(temperature=0.0, max_tokens=rng.choice([3, 12]))
    for name, reader in list(readers.items()):
        if reader.reason is not None:
            other = rng.choice(list(readers.values())).request.token_ids
            prompt = rng.choice([other[: rng.randint(1, len(other))], []])
            prompt = [*prompt[:40], *random_tokens(rng, rng.randint(1, 30))]
            readers[name] = ask(engine, name, prompt, sampling)


@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_cancels_at_random_points_are_done_within_a_step(seed: int) -> None:
    rng = random.Random(seed)
    model = CancellingModel()
    engine = make_engine(
        model=model,
        num_blocks=rng.choice([24, 40, 200]),
        budget=rng.choice([8, 64]),
        max_rows=rng.choice([2, 32]),
    )
    readers: dict[str, Reader] = {}
    for number in range(5):
        name = str(number)
        engine.open(name, window=rng.choice([None, None, 16]))
        readers[name] = ask(engine, name, random_tokens(rng, 9))
    num_cancels = 0
    while num_cancels < CANCELS_OF_A_SEED:
        for _ in range(rng.choice([0, 0, 1, 2, 7])):
            keep_asking(engine, rng, readers)
            engine.step()
        running = [reader for reader in readers.values() if reader.reason is None]
        if not running:
            continue
        victim = rng.choice(running)
        told = len(victim.tokens)
        if rng.random() < 0.5:
            model.victim = victim
            engine.step()
            model.victim = None
            if not victim.request.is_cancelled:
                continue  # nothing was computed
        elif rng.random() < 0.5:
            engine.cancel(victim.request)
        else:
            victim.request.is_cancelled = True
            engine.step()
        num_cancels += 1
        assert victim.reason is FinishReason.CANCELLED and len(victim.tokens) == told
        engine.cache.check_integrity()
    run(engine)
    assert_all_blocks_come_back(engine)


def test_a_step_whose_rows_are_all_cancelled_ends_between_two_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = make_engine()
    for name in "ab":
        engine.open(name)
    readers = [ask(engine, name, [ord(name) % VOCAB_SIZE] * 9) for name in "ab"]
    layers = 0

    def hook(point: str) -> None:
        nonlocal layers
        if point == "cache.attend":
            layers += 1
            readers[layers % 2].request.is_cancelled = True

    monkeypatch.setattr(errors, "fault_hook", hook)
    engine.step()
    # The first layer cancels one of them, the second the other; there is no third.
    assert layers == 2 < len(engine.cache.spec.layers)
    assert [reader.reason for reader in readers] == [FinishReason.CANCELLED] * 2
    assert not engine.has_work
    monkeypatch.setattr(errors, "fault_hook", None)
    again = ask(engine, "a", [1, 2, 3])
    run(engine)
    assert again.tokens == solo_tokens([1, 2, 3])
    assert_all_blocks_come_back(engine)
