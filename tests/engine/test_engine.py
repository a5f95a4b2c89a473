"""The engine against runs without cache; what it makes of prompts."""

import random
from collections.abc import Sequence

import pytest
import torch

from kvchat.engine.request import FinishReason
from kvchat.errors import InvalidArgument, SessionNotFound
from kvchat.hash_model import HashModel
from kvchat.kv.contiguous import DynamicCache
from kvchat.kv.window_schedule import WindowChange
from kvchat.model.config import ModelConfig
from kvchat.model.transformer import Transformer
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    CountingModel,
    HashOracle,
    Reader,
    ask,
    letters,
    make_engine,
    random_tokens,
    run,
    seeds,
    solo_tokens,
)
from tests.engine.programs import Program


def hash_program(seed: int) -> Program:
    print(f"KVCHAT_SEED={seed}")
    rng = random.Random(seed)
    sizes = [8, 9, 12, 20, 60, 200]
    size = rng.choice(sizes)
    engine = make_engine(
        num_blocks=[size, rng.choice([size, rng.choice(sizes)])],
        block_size=rng.choice([1, 4, 8, 32]),
        budget=rng.choice([3, 16, 64, 512]),
        max_rows=rng.choice([1, 2, 4, 32]),
        context_tokens=rng.choice([170, 10_000]),
        kv_dtype=rng.choice(["auto", "int8"]),
    )
    oracle = HashOracle(HashModel(VOCAB_SIZE))
    return Program(rng, engine, oracle, max_chats=rng.choice([1, 3, 6, 12]))


@pytest.mark.parametrize("seed", seeds(14))
def test_any_program_gives_the_tokens_of_a_run_without_cache(seed: int) -> None:
    hash_program(seed).run(150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(400, first=1000))
def test_any_long_program_gives_the_tokens_of_a_run_without_cache(seed: int) -> None:
    hash_program(seed).run(600)


class FloatOracle:
    """What a Transformer answers over the whole text at once; words within the margin are equal."""

    MARGIN = 1e-3

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self.num_skipped = 0

    def wrong_tokens(
        self, reader: Reader, generated: Sequence[int], windows: Sequence[WindowChange]
    ) -> list[int]:
        token_ids = [*reader.request.token_ids, *generated]
        cache = DynamicCache(self._model.config.kv_spec())
        sequence = cache.open()
        parts = []
        ends = [*(change.start for change in windows[1:]), len(token_ids)]
        for (start, window, sinks), end in zip(windows, ends, strict=True):
            cache.set_window(sequence, window, sinks)
            # Plain caches do not split a chunk where a window begins to slide.
            border = start if window is None else min(max(start, window + sinks), end)
            for first, behind in ((start, border), (border, end)):
                if first == behind:
                    continue
                step = cache.reserve([(sequence, behind - first)])
                with torch.inference_mode():
                    ids = torch.tensor(token_ids[first:behind])
                    parts.append(self._model(ids, torch.tensor(step.positions), cache))
                step.commit()
        logits = torch.cat(parts)
        wrong = []
        for place, token_id in enumerate(generated):
            best, second = logits[len(reader.request.token_ids) + place - 1].topk(2).values.tolist()
            if best - second < self.MARGIN:
                self.num_skipped += 1
            elif logits[len(reader.request.token_ids) + place - 1].argmax() != token_id:
                wrong.append(place)
        return wrong


def tiny_transformer() -> Transformer:
    config = ModelConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
    )
    model = Transformer(config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            center = 1.0 if parameter.ndim < 2 else 0.0
            scale = 0.2 if parameter.ndim < 2 else 1.2 / parameter.shape[1] ** 0.5
            parameter.normal_(center, scale, generator=generator)
    return model


@pytest.mark.parametrize("seed", seeds(6))
def test_any_program_of_a_transformer_gives_the_words_of_a_run_without_cache(seed: int) -> None:
    print(f"KVCHAT_SEED={seed}")
    rng = random.Random(seed)
    model = tiny_transformer()
    engine = make_engine(
        num_blocks=rng.choice([8, 20, 60]),
        block_size=rng.choice([4, 8]),
        model=model,
        spec=model.config.kv_spec(),
        budget=rng.choice([16, 64]),
        max_rows=rng.choice([2, 32]),
    )
    oracle = FloatOracle(model)
    program = Program(rng, engine, oracle, max_chats=6, max_tokens=100, is_greedy=True)
    program.run(120)
    assert oracle.num_skipped < 0.1 * program.num_checked_tokens


# Prompts


@pytest.mark.parametrize("token_ids", [[VOCAB_SIZE], [-1], [3, 2**40]])
def test_token_ids_the_model_does_not_know_end_the_request_at_once(token_ids: list[int]) -> None:
    engine = make_engine()
    engine.open("a")
    reader = ask(engine, "a", token_ids)
    assert reader.error is not None and "token ids" in reader.error
    assert not engine.has_work


def test_an_empty_prompt_ends_the_request_at_once() -> None:
    engine = make_engine()
    engine.open("a")
    reader = ask(engine, "a", [])
    assert reader.reason is FinishReason.FAILED and not engine.has_work


def test_a_prompt_that_fills_the_context_is_refused_and_one_less_generates_one() -> None:
    engine = make_engine(context_tokens=12)
    engine.open("a")
    refused = ask(engine, "a", [1] * 12)
    assert refused.error is not None and "12 tokens" in refused.error
    assert refused.code == "context_full"
    reader = ask(engine, "a", [1] * 11)
    run(engine)
    assert reader.reason is FinishReason.CONTEXT and len(reader.tokens) == 1


def test_a_reply_ends_where_the_context_is_full() -> None:
    engine = make_engine(context_tokens=12)
    engine.open("a")
    reader = ask(engine, "a", [1] * 7, SamplingParams(temperature=0.0, max_tokens=50))
    run(engine)
    assert reader.reason is FinishReason.CONTEXT
    assert reader.tokens == solo_tokens([1] * 7, SamplingParams(temperature=0.0, max_tokens=5))


def test_a_window_talks_past_the_end_of_the_context() -> None:
    engine = make_engine(context_tokens=24)
    engine.open("a", window=16, sinks=3)
    sampling = SamplingParams(temperature=0.0, max_tokens=40)
    reader = ask(engine, "a", [1] * 30, sampling)
    run(engine)
    assert reader.reason is FinishReason.LENGTH
    assert reader.tokens == solo_tokens([1] * 30, sampling, window=16, sinks=4)
    with pytest.raises(InvalidArgument, match="24"):
        engine.open("b", window=21, sinks=1)


def test_a_stop_token_ends_the_reply_and_is_not_part_of_its_text() -> None:
    engine = make_engine()
    engine.open("a")
    expected = solo_tokens([4, 5, 6])
    reader = ask(engine, "a", [4, 5, 6], stop_ids=frozenset([expected[3]]))
    run(engine)
    assert reader.reason is FinishReason.STOP
    assert reader.tokens == expected[:4]
    assert reader.text == letters(expected[:3])


def test_a_stop_string_ends_the_reply_before_it() -> None:
    engine = make_engine()
    engine.open("a")
    expected = letters(solo_tokens([4, 5, 6]))
    stop = expected[3:5]
    assert expected.index(stop) == 3
    reader = ask(engine, "a", [4, 5, 6], stop=stop)
    run(engine)
    assert reader.reason is FinishReason.STOP
    assert reader.text == expected[:3]


def test_text_that_was_held_back_is_told_at_the_end() -> None:
    engine = make_engine()
    engine.open("a")
    reader = ask(engine, "a", [4, 5, 6], stop="never to be said")
    run(engine)
    assert reader.reason is FinishReason.LENGTH
    assert reader.text == letters(reader.tokens)


@pytest.mark.parametrize("num_tokens", [7, 8, 9])
def test_the_same_prompt_again_computes_one_token_only(num_tokens: int) -> None:
    model = CountingModel(HashModel(VOCAB_SIZE))
    engine = make_engine(model=model)
    prompt = random_tokens(random.Random(5), num_tokens)
    engine.open("a")
    first = ask(engine, "a", prompt, SamplingParams(temperature=1.0, max_tokens=6), seed=1)
    run(engine)
    model.counts.clear()
    again = ask(engine, "a", prompt, SamplingParams(temperature=1.0, max_tokens=6), seed=1)
    run(engine)
    assert model.counts == [1] * 6
    assert again.tokens == first.tokens
    assert again.events[-1].timing.num_cached_tokens == num_tokens - 1
    assert again.events[-1].timing.num_prompt_tokens == num_tokens


def test_a_regenerated_reply_behind_a_window_computes_one_token_only() -> None:
    model = CountingModel(HashModel(VOCAB_SIZE))
    engine = make_engine(model=model)
    prompt = random_tokens(random.Random(6), 41)
    sampling = SamplingParams(temperature=1.0, max_tokens=30)
    engine.open("a", window=9, sinks=4)
    ask(engine, "a", prompt, sampling, seed=1)
    run(engine)
    model.counts.clear()
    again = ask(engine, "a", prompt, sampling, seed=2)
    run(engine)
    assert model.counts == [1] * 30
    assert again.tokens == solo_tokens(prompt, sampling, seed=2, window=9, sinks=4)


@pytest.mark.parametrize("window", [None, 9, 33])
def test_a_prompt_cached_to_its_last_token_computes_exactly_one(window: int | None) -> None:
    model = CountingModel(HashModel(VOCAB_SIZE))
    engine = make_engine(model=model)
    prompt = random_tokens(random.Random(7), 12 * 4)
    once = SamplingParams(temperature=0.0, max_tokens=1)
    engine.open("a", window=window)
    engine.open("b", window=window)
    first = ask(engine, "a", prompt, once)
    run(engine)
    model.counts.clear()
    second = ask(engine, "b", prompt, once)
    run(engine)
    assert model.counts == [1]
    assert second.tokens == first.tokens
    assert second.events[-1].timing.num_cached_tokens == 47


def test_sessions_with_other_windows_share_only_what_looked_alike_to_both() -> None:
    engine = make_engine()
    prompt = random_tokens(random.Random(12), 41)
    windows: list[tuple[int | None, int]] = [(None, 0), (9, 4), (13, 4), (9, 8), (9, 4)]
    cached = []
    for number, (window, sinks) in enumerate(windows):
        engine.open(str(number), window=window, sinks=sinks)
        reader = ask(engine, str(number), prompt)
        run(engine)
        assert reader.tokens == solo_tokens(prompt, window=window, sinks=sinks)
        cached.append(reader.events[-1].timing.num_cached_tokens)
    # Positions 0 .. sinks + window - 1 see everything, so blocks wholly before are shared.
    assert cached == [0, 12, 16, 16, 40]


def test_forks_while_the_parent_generates_share_its_past_and_not_its_future() -> None:
    engine = make_engine()
    engine.open("parent")
    prompt = random_tokens(random.Random(8), 10)
    sampling = SamplingParams(temperature=0.9, max_tokens=20)
    reader = ask(engine, "parent", prompt, sampling, seed=3)
    for _ in range(6):
        engine.step()
    so_far = [*prompt, *reader.tokens]
    # The last token was chosen, not computed yet.
    assert engine.fork("parent", "child") == len(so_far) - 1
    child = ask(engine, "child", so_far, sampling, seed=4)
    run(engine)
    assert reader.tokens == solo_tokens(prompt, sampling, seed=3)
    assert child.tokens == solo_tokens(so_far, sampling, seed=4)


# Names, figures


def test_a_name_is_open_once_and_found_while_it_is() -> None:
    engine = make_engine()
    engine.open("a")
    with pytest.raises(InvalidArgument, match="open already"):
        engine.open("a")
    with pytest.raises(InvalidArgument, match="open already"):
        engine.fork("a", "a")
    with pytest.raises(SessionNotFound):
        engine.fork("b", "c")
    with pytest.raises(InvalidArgument):
        engine.rewind("a", -1)
    assert engine.is_open("a") and not engine.is_open("c")


def test_places_in_line_go_by_arrival_and_the_focused_one_first() -> None:
    engine = make_engine(num_blocks=5)
    for name in "abcd":
        engine.open(name)
        ask(engine, name, [ord(name) % VOCAB_SIZE] * 9, SamplingParams(0.0, max_tokens=6))
    engine.step()
    engine.scheduler.focus = "d"
    places = {stats.owner: (stats.queue_place, stats.queue_length) for stats in engine.stats()}
    assert places == {"a": (0, 3), "d": (1, 3), "b": (2, 3), "c": (3, 3)}


def test_timing_counts_prompt_cached_and_generated_tokens() -> None:
    seconds = iter(range(1000))
    engine = make_engine(budget=16, clock=lambda: float(next(seconds)))
    engine.open("a")
    reader = ask(engine, "a", [1] * 40, SamplingParams(temperature=0.0, max_tokens=4))
    run(engine)
    timing = reader.events[-1].timing
    assert (timing.num_prompt_tokens, timing.num_cached_tokens) == (40, 0)
    assert timing.num_generated_tokens == 4
    # Three chunks of 16, 16 and 8 tokens, then three tokens; each step takes a second.
    assert (timing.prefill_seconds, timing.decode_seconds) == (3.0, 3.0)


@pytest.mark.parametrize("num_tokens", [1, 3])
def test_a_notice_comes_once_with_the_first_event_of_a_reply(num_tokens: int) -> None:
    engine = make_engine()
    engine.open("a")
    sampling = SamplingParams(temperature=0.0, max_tokens=num_tokens)
    reader = ask(engine, "a", [1, 2, 3], sampling)
    engine._find("a").notice = "Something took longer."
    run(engine)
    assert [event.notice for event in reader.events] == [
        "Something took longer.",
        *[None] * (len(reader.events) - 1),
    ]
    again = ask(engine, "a", [4, 5, 6], sampling)
    run(engine)
    assert [event.notice for event in again.events] == [None] * len(again.events)


@pytest.mark.parametrize("change", [[], [1], [1] * 30], ids=["same", "one more", "many more"])
def test_what_a_rewound_chat_still_has_is_told_whatever_comes_next(change: list[int]) -> None:
    engine = make_engine(num_blocks=40, block_size=4)
    prompt = random_tokens(random.Random(4), 50)
    engine.open("a")
    ask(engine, "a", prompt, SamplingParams(max_tokens=3))
    run(engine)
    assert engine.rewind("a", 30) == 30
    cost = engine.resume_cost("a", [*prompt[:30], *change])
    assert (cost.num_resident_tokens, cost.num_disk_tokens) == (30, 0)
    assert cost.num_prefill_tokens == len(change)
    other = engine.resume_cost("a", [*prompt[:17], *change])
    assert (other.num_resident_tokens, other.num_prefill_tokens) == (17, len(change))
