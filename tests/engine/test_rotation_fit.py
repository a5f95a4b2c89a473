"""A model with LongRoPE in the engine: chats that cross the length of training, and come back."""

import random
from collections.abc import Sequence

import pytest
import torch

from kvchat.engine.engine import Engine
from kvchat.engine.rotation_fit import NOTICE
from kvchat.kv.contiguous import NoCache
from kvchat.model.config import ModelConfig
from kvchat.model.rope_scaling import RopeConfig
from kvchat.model.transformer import Transformer
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    CountingModel,
    ask,
    assert_all_blocks_come_back,
    make_engine,
    random_tokens,
    run,
)

TRAINED = 32
ROPE = RopeConfig(
    1e4,
    "longrope",
    4.0,
    original_max_position=TRAINED,
    attention_factor=1.2,
    short_factor=(1.0, 1.1, 1.2, 1.3),
    long_factor=(1.0, 2.0, 4.0, 8.0),
)


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = ModelConfig(VOCAB_SIZE, 16, 24, 2, 2, 1, 8, max_position=4 * TRAINED, rope=ROPE)
    model = Transformer(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1.5 / parameter.shape[1] ** 0.5, generator=generator)
    return model.requires_grad_(False)


@pytest.fixture
def engine(model: Transformer) -> Engine:
    return make_engine(96, model=model, spec=model.config.kv_spec(), context_tokens=4 * TRAINED)


def solo(
    model: Transformer, prompt: Sequence[int], count: int, window: int | None = None
) -> list[int]:
    """Return the tokens of a run without cache; each text is read whole, for its own length."""
    text = list(prompt)
    cache = NoCache(model.config.kv_spec())
    for _ in range(count):
        length = cache.spec.scheme_length(min(len(text), window or len(text)))
        sequence = cache.open(window=window, scheme_length=length)
        step = cache.reserve([(sequence, len(text))])
        logits = model(torch.tensor(text), torch.tensor(step.positions), cache)
        step.commit()
        text.append(int(logits[-1].argmax()))
    return text[len(prompt) :]


def greedy(count: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, max_tokens=count)


def test_a_reply_that_crosses_the_trained_length_has_the_tokens_of_a_run_without_cache(
    model: Transformer, engine: Engine
) -> None:
    prompt = random_tokens(random.Random(1), 20)
    engine.open("a")
    reader = ask(engine, "a", prompt, greedy(40))
    run(engine)
    assert reader.tokens == solo(model, prompt, 40)
    assert [event.notice for event in reader.events if event.notice] == [NOTICE]
    assert reader.events[-1].timing.num_cached_tokens == 0


def test_crossing_costs_one_reading_of_the_chat(model: Transformer, engine: Engine) -> None:
    prompt = random_tokens(random.Random(2), TRAINED - 1)
    engine.open("a")
    ask(engine, "a", prompt, greedy(2))
    run(engine)
    assert engine.cache.length(engine._find("a").cache_id) == TRAINED
    steps = engine.num_steps
    text = engine._find("a").token_ids
    ask(engine, "a", text, greedy(10))
    run(engine)
    assert engine.num_steps - steps == 10  # one for the whole chat, and nine tokens


def test_a_chat_that_comes_back_finds_its_short_blocks(model: Transformer, engine: Engine) -> None:
    prompt = random_tokens(random.Random(3), 24)
    engine.open("a")
    ask(engine, "a", prompt, greedy(30))
    run(engine)
    engine.rewind("a", 20)
    again = [*prompt[:20], 1, 2, 3]
    assert engine.resume_cost("a", again).num_resident_tokens == 20
    reader = ask(engine, "a", again, greedy(5))
    run(engine)
    assert reader.tokens == solo(model, again, 5)
    assert reader.events[-1].timing.num_cached_tokens == 20


def test_crossing_again_finds_what_was_read_for_the_first_crossing(model: Transformer) -> None:
    counting = CountingModel(model)
    spec = model.config.kv_spec()
    engine = make_engine(96, model=counting, spec=spec, context_tokens=4 * TRAINED)
    prompt = random_tokens(random.Random(8), 20)
    engine.open("a")
    first = ask(engine, "a", prompt, greedy(20))
    run(engine)
    assert max(counting.counts) > TRAINED
    counting.counts.clear()
    again = ask(engine, "a", prompt, greedy(20))
    run(engine)
    assert again.tokens == first.tokens
    assert max(counting.counts) <= engine.cache.block_size + 1


def test_a_cut_chat_whose_keys_are_rotated_for_a_long_one_is_not_told_to_be_resident(
    model: Transformer, engine: Engine
) -> None:
    prompt = random_tokens(random.Random(7), 40)
    engine.open("a")
    ask(engine, "a", prompt, greedy(2))
    run(engine)
    engine.rewind("a", 20)
    assert engine.cache.length(engine._find("a").cache_id) == 20
    cost = engine.resume_cost("a", prompt[:20])
    assert (cost.num_resident_tokens, cost.num_prefill_tokens) == (0, 20)


def test_the_cost_of_coming_back_is_told_before(model: Transformer, engine: Engine) -> None:
    prompt = random_tokens(random.Random(7), 40)
    engine.open("a")
    ask(engine, "a", prompt, greedy(2))
    run(engine)
    engine.rewind("a", 20)
    again = [*prompt[:20], 1, 2, 3]
    cost = engine.resume_cost("a", again)  # its blocks are all rotated for a long chat
    assert (cost.num_resident_tokens, cost.num_prefill_tokens) == (0, 23)
    reader = ask(engine, "a", again, greedy(5))
    run(engine)
    assert reader.tokens == solo(model, again, 5)
    assert reader.events[-1].timing.num_cached_tokens == 0


def test_a_fork_behind_the_crossing_and_its_parent_go_on_in_their_own_ways(
    model: Transformer, engine: Engine
) -> None:
    prompt = random_tokens(random.Random(4), 28)
    engine.open("a")
    ask(engine, "a", prompt, greedy(20))
    run(engine)
    text = list(engine._find("a").token_ids)
    engine.fork("a", "long")
    engine.fork("a", "short", 25)
    prompts = {"a": [*text, 5], "long": [*text, 6], "short": [*text[:25], 7]}
    readers = {owner: ask(engine, owner, ids, greedy(12)) for owner, ids in prompts.items()}
    run(engine)
    for owner, ids in prompts.items():
        assert readers[owner].tokens == solo(model, ids, 12), owner
    assert_all_blocks_come_back(engine)


def test_a_window_within_the_trained_length_is_never_read_again(
    model: Transformer, engine: Engine
) -> None:
    prompt = random_tokens(random.Random(5), 20)
    engine.open("a", window=16)
    reader = ask(engine, "a", prompt, greedy(40))
    run(engine)
    assert reader.tokens == solo(model, prompt, 40, window=16)
    assert not any(event.notice for event in reader.events)


def test_neighbors_that_cross_at_other_times_keep_their_tokens(model: Transformer) -> None:
    spec = model.config.kv_spec()
    engine = make_engine(40, model=model, spec=spec, context_tokens=4 * TRAINED)  # a tight pool
    rng = random.Random(6)
    prompts = {f"chat {index}": random_tokens(rng, rng.randrange(2, 60)) for index in range(6)}
    readers = {}
    for owner, prompt in prompts.items():
        engine.open(owner)
        readers[owner] = ask(engine, owner, prompt, greedy(24))
    run(engine)
    for owner, prompt in prompts.items():
        assert readers[owner].tokens == solo(model, prompt, 24), owner
    assert_all_blocks_come_back(engine)
