"""One fault, cancel or broken reader at a time ends one reply and changes no word of another."""

import random
from collections.abc import Callable, Sequence

import pytest
import torch

from kvchat import errors
from kvchat.engine.engine import Engine
from kvchat.engine.request import FinishReason, TokenEvent
from kvchat.hash_model import HashModel
from kvchat.sampling_params import SamplingParams
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    FailingModel,
    LetterText,
    Reader,
    ask,
    assert_all_blocks_come_back,
    letters,
    make_engine,
    random_tokens,
    run,
    solo_tokens,
)


def start_three(engine: Engine, bad_prompt: Sequence[int]) -> tuple[Reader, Reader, Reader]:
    for name in ("before", "bad", "after"):
        engine.open(name)
    return (
        ask(engine, "before", [11, 12, 13]),
        ask(engine, "bad", bad_prompt),
        ask(engine, "after", [14, 15]),
    )


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RuntimeError("secret"), "RuntimeError"),
        (MemoryError(), "Memory ran out"),
        (ValueError("secret"), "ValueError"),
        (torch.OutOfMemoryError("secret"), "Memory ran out"),
        (None, "invalid numbers"),
    ],
)
def test_a_row_that_fails_ends_alone(error: Exception | None, word: str) -> None:
    # Only the last prompt holds token 96, and no reply of the others does.
    model = FailingModel(HashModel(VOCAB_SIZE), 96, error)
    engine = make_engine(model=model)
    before, bad, after = start_three(engine, [1, 2, 96])
    run(engine)
    assert bad.reason is FinishReason.FAILED
    assert bad.error is not None and word in bad.error and "secret" not in bad.error
    assert before.tokens == solo_tokens([11, 12, 13])
    assert after.tokens == solo_tokens([14, 15])
    assert engine.fork("bad", "child") == 0
    assert_all_blocks_come_back(engine)


def test_neighbors_of_a_row_that_fails_have_every_bit_of_a_run_without_it() -> None:
    def stored(prompts: dict[str, list[int]]) -> dict[str, list[torch.Tensor]]:
        engine = make_engine(model=FailingModel(HashModel(VOCAB_SIZE), 96, RuntimeError()))
        for name, prompt in prompts.items():
            engine.open(name)
            ask(engine, name, prompt, SamplingParams(temperature=0.9, max_tokens=8), seed=3)
        run(engine)
        return {
            name: [
                tensor
                for layer in range(len(engine.cache.spec.layers))
                for tensor in engine.cache.keys_values(engine._find(name).cache_id, layer)
            ]
            for name in ("before", "after")
        }

    good = {"before": [11, 12, 13], "after": [14, 15]}
    alone, beside = stored(good), stored({**good, "bad": [1, 2, 96]})
    for name, tensors in alone.items():
        assert all(map(torch.equal, tensors, beside[name]))


def test_sampling_parameters_that_cannot_be_used_end_their_own_reply_only() -> None:
    engine = make_engine()
    before, bad, after = start_three(engine, [1, 2])
    params = SamplingParams(temperature=1.0, max_tokens=8)
    object.__setattr__(params, "temperature", "hot")  # past the check of the constructor
    bad.request.sampling = params
    run(engine)
    assert bad.reason is FinishReason.FAILED and bad.tokens == []
    assert bad.error is not None and "its text is kept" in bad.error
    assert before.tokens == solo_tokens([11, 12, 13])
    assert after.tokens == solo_tokens([14, 15])


def test_numbers_behind_the_vocabulary_are_padding_and_may_be_anything() -> None:
    hash_model = HashModel(VOCAB_SIZE + 3)

    def padded(*arguments: object) -> torch.Tensor:
        logits = hash_model(*arguments)  # type: ignore[arg-type]  # passed on as they are
        logits[:, VOCAB_SIZE:] = torch.inf
        return logits

    engine = make_engine(model=padded)
    engine.open("a")
    reader = ask(engine, "a", [3, 4])
    run(engine)
    assert reader.tokens == solo_tokens([3, 4])


def test_a_decoder_that_fails_ends_its_own_reply_only() -> None:
    class BrokenText(LetterText):
        def push(self, token_id: int) -> str:
            if token_id == solo_tokens([1, 2])[2]:
                raise KeyError(token_id)
            return super().push(token_id)

    engine = make_engine()
    before, bad, after = start_three(engine, [1, 2])
    bad.request.text_stream = BrokenText()
    run(engine)
    assert bad.error is not None and "KeyError" in bad.error
    assert bad.tokens == solo_tokens([1, 2])[:3]
    assert before.tokens == solo_tokens([11, 12, 13])
    assert after.tokens == solo_tokens([14, 15])


def test_an_end_is_told_even_if_the_decoder_cannot_finish() -> None:
    class BrokenText(LetterText):
        def flush(self) -> str:
            raise KeyError("end")

    engine = make_engine()
    before, bad, after = start_three(engine, [1, 2])
    bad.request.text_stream = BrokenText()
    run(engine)
    assert bad.reason is FinishReason.LENGTH
    assert before.reason is after.reason is FinishReason.LENGTH


def test_a_reader_that_raises_loses_its_reply_and_nobody_elses() -> None:
    engine = make_engine()
    before, bad, after = start_three(engine, [1, 2])
    told: list[TokenEvent] = []

    def refuse(event: TokenEvent) -> None:
        told.append(event)
        raise LookupError

    bad.request.on_event = refuse
    run(engine)
    assert told[-1].finish_reason is FinishReason.CANCELLED and len(told) == 2
    assert before.tokens == solo_tokens([11, 12, 13])
    assert after.tokens == solo_tokens([14, 15])


ONCE = SamplingParams(temperature=0.0, max_tokens=1)
FOUR = SamplingParams(temperature=0.0, max_tokens=4)


def start_workload(engine: Engine) -> list[Reader]:
    """Four chats in a small pool: a shared prefix, a copy on write, a window, a chunked prompt."""
    prompt = random_tokens(random.Random(9), 10)
    engine.open("a")
    ask(engine, "a", prompt, ONCE)
    run(engine)
    engine.fork("a", "b", 10)
    engine.open("c", window=5, sinks=4)
    engine.open("d")
    return [
        ask(engine, "a", [*prompt, 20], FOUR),
        ask(engine, "b", [*prompt, 21], FOUR),
        ask(engine, "c", prompt[:9], FOUR),
        ask(engine, "d", random_tokens(random.Random(10), 25), FOUR),
    ]


class FaultAt:
    """Counts fault points and does something at one of them."""

    def __init__(self, number: int, action: Callable[[], None]) -> None:
        self.points: list[str] = []
        self._number = number
        self._action = action

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if len(self.points) == self._number:
            self._action()


@pytest.fixture(scope="module")
def words() -> list[list[int]]:
    """What the workload's four chats say, computed without a cache."""
    readers = start_workload(make_engine(num_blocks=17, budget=16))
    windows: list[tuple[int | None, int]] = [(None, 0), (None, 0), (5, 4), (None, 0)]
    return [
        solo_tokens(reader.request.token_ids, FOUR, window=window, sinks=sinks)
        for reader, (window, sinks) in zip(readers, windows, strict=True)
    ]


def run_workload(
    number: int, action: Callable[[list[Reader]], None]
) -> tuple[FaultAt, Engine, list[Reader]]:
    """Run the workload with an action at the fault point of this number, from 1 on."""
    engine = make_engine(num_blocks=17, budget=16)
    readers = start_workload(engine)
    plan = FaultAt(number, lambda: action(readers))
    errors.fault_hook = plan
    run(engine)
    errors.fault_hook = None
    return plan, engine, readers


def test_the_workload_meets_every_fault_point_of_a_step(words: list[list[int]]) -> None:
    plan, _, readers = run_workload(0, lambda readers: None)
    assert [reader.tokens for reader in readers] == words
    assert {"pool.take", "cache.copy", "cache.attend", "runner.run"} <= set(plan.points)


def test_one_fault_anywhere_changes_no_word(words: list[list[int]]) -> None:
    kinds = (MemoryError(), RuntimeError(), OSError(28, "no space"), ValueError())

    def fail(readers: list[Reader]) -> None:
        raise kinds[number % len(kinds)]

    number = num_points = 1
    while number <= num_points:
        plan, engine, readers = run_workload(number, fail)
        num_points = max(num_points, len(plan.points))
        failed = [reader for reader in readers if reader.reason is FinishReason.FAILED]
        # Only a row that was alone in its step owns the fault.
        assert len(failed) <= 1
        for reader, expected in zip(readers, words, strict=True):
            assert reader.tokens == expected[: len(reader.tokens)]
            if reader in failed:
                reader = ask(engine, reader.request.owner, reader.request.token_ids, FOUR)
                run(engine)
            assert reader.tokens == expected
        assert_all_blocks_come_back(engine)
        number += 1
    assert number > 50


def test_a_cancel_at_every_fault_point_leaves_nothing_behind(words: list[list[int]]) -> None:
    told: list[int] = []

    def cancel(readers: list[Reader]) -> None:
        victim = readers[number % 4]
        victim.request.is_cancelled = True
        told[:] = victim.tokens

    number = num_points = 1
    while number <= num_points:
        plan, engine, readers = run_workload(number, cancel)
        num_points = max(num_points, len(plan.points))
        for place, (reader, expected) in enumerate(zip(readers, words, strict=True)):
            if place == number % 4 and reader.reason is FinishReason.CANCELLED:
                # The step that was running is discarded: not one word more.
                assert reader.tokens == told == expected[: len(told)]
            else:
                assert reader.reason is FinishReason.LENGTH and reader.tokens == expected
        assert_all_blocks_come_back(engine)
        number += 1
    assert number > 50


def test_cancel_is_harmless_at_any_time() -> None:
    engine = make_engine()
    engine.open("a")
    reader = ask(engine, "a", [1, 2])
    engine.cancel(reader.request)
    engine.cancel(reader.request)
    assert [event.finish_reason for event in reader.events] == [FinishReason.CANCELLED]
    second = ask(engine, "a", [1, 2])
    engine.cancel(reader.request)
    run(engine)
    assert second.reason is FinishReason.LENGTH
    engine.close("a")
    engine.cancel(second.request)
    engine.close("a")
    assert second.events[-1].finish_reason is FinishReason.LENGTH


def test_abandon_tells_every_reader_an_end() -> None:
    engine = make_engine(num_blocks=5)
    for name in "abc":
        engine.open(name)
    readers = [ask(engine, name, [ord(name) % VOCAB_SIZE] * 9, stop="never") for name in "abc"]
    for _ in range(3):
        engine.step()
    engine.abandon("The engine stopped.")
    assert not engine.has_work
    for reader in readers:
        assert reader.reason is FinishReason.FAILED and reader.error == "The engine stopped."
        assert reader.text == letters(reader.tokens)
