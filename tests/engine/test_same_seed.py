"""The same commands give the same log of everything: tokens, states, tables, pool events.

With a fixed token budget nothing may depend on time, on addresses or on the order of sets.
"""

import hashlib
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kvchat.engine.engine import Engine
from kvchat.hash_model import HashModel
from tests.engine.engine_kit import VOCAB_SIZE, HashOracle, make_engine, seeds
from tests.engine.programs import Program

ROOT = Path(__file__).resolve().parents[2]
NUM_COMMANDS = 60


def event_log(seed: int, seconds_per_call: float) -> list[object]:
    """Run a random program, with a clock of its own, and return what there was after each step."""
    rng = random.Random(seed)
    ticks = itertools.count()
    engine = make_engine(
        rng.choice([12, 30, 64]),
        rng.choice([1, 4, 8]),
        budget=rng.choice([8, 64]),
        max_rows=6,
        clock=lambda: next(ticks) * seconds_per_call,
    )
    log: list[object] = []
    step = engine.step

    def logged_step() -> None:
        step()
        log.append(_state(engine))

    engine.step = logged_step  # type: ignore[method-assign]
    program = Program(rng, engine, HashOracle(HashModel(VOCAB_SIZE)))
    program.run(NUM_COMMANDS)
    log.append([str(reason) for reason in program.reasons])
    return log


def _state(engine: Engine) -> object:
    cache = engine.cache
    return (
        [str(stats) for stats in engine.stats()],
        [(event.number, event.kind, event.text) for event in cache.pool_view().events[-6:]],
        [
            (state.token_ids, [table.blocks for table in state.tables])
            for state in cache._sequences.values()
        ],
        [(pool.num_free, pool.num_cached, list(pool.ref_counts)) for pool in cache.pools],
    )


def digest(chosen: list[int]) -> str:
    """Return one number for the logs of some seeds, for a comparison between processes."""
    logs = [event_log(seed, 0.001) for seed in chosen]
    return hashlib.sha256(repr(logs).encode()).hexdigest()


@pytest.mark.parametrize("seed", seeds(20))
def test_the_same_seed_gives_the_same_log_whatever_the_clock_says(seed: int) -> None:
    first = event_log(seed, 0.0001)
    assert repr(first) == repr(event_log(seed, 30.0))
    assert len(first) > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(200, first=20))
def test_two_hundred_seeds_give_the_same_logs(seed: int) -> None:
    assert repr(event_log(seed, 0.0001)) == repr(event_log(seed, 30.0))


def test_another_process_with_other_hashes_gives_the_same_log() -> None:
    program = "from tests.engine.test_same_seed import digest; print(digest([1, 2, 3]))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == digest([1, 2, 3])
