"""What tests of the engine share: readers, text without a tokenizer, and the programs' oracle."""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor

from kvchat.engine.engine import Engine
from kvchat.engine.model_runner import Model, ModelRunner
from kvchat.engine.request import FinishReason, Request, TokenEvent
from kvchat.engine.sampler import SamplerRow, sample
from kvchat.engine.scheduler import Scheduler, TokenBudget
from kvchat.hash_model import HashModel
from kvchat.kv.cache import KVCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype
from kvchat.kv.window_schedule import WindowChange
from kvchat.sampling_params import SamplingParams

VOCAB_SIZE = 97
SPEC = HashModel(VOCAB_SIZE).spec
GREEDY = SamplingParams(temperature=0.0, max_tokens=8)


def seeds(count: int, first: int = 0) -> list[int]:
    """Return the seeds of a fuzz test: `count` of them, or the one in KVCHAT_SEED."""
    chosen = os.environ.get("KVCHAT_SEED")
    return list(range(first, first + count)) if chosen is None else [int(chosen)]


def letters(token_ids: Sequence[int]) -> str:
    """Return the text that LetterText makes of these tokens."""
    return "".join(chr(ord("a") + token_id % 26) for token_id in token_ids)


class LetterText:
    """A TextStream: one letter per token; holds back what may become the stop string."""

    def __init__(self, stop: str = "") -> None:
        self.has_stopped = False
        self._stop = stop
        self._held = ""

    def push(self, token_id: int) -> str:
        self._held += letters([token_id])
        if self._stop and self._stop in self._held:
            text, self._held, self.has_stopped = self._held.split(self._stop)[0], "", True
            return text
        keep = max(0, len(self._stop) - 1)
        text = self._held[: len(self._held) - keep]
        self._held = self._held[len(text) :]
        return text

    def flush(self) -> str:
        text, self._held = self._held, ""
        return text


@dataclass(eq=False)
class Reader:
    """A request and everything that was told about it."""

    request: Request
    events: list[TokenEvent] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return [event.token_id for event in self.events if event.token_id is not None]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)

    @property
    def reason(self) -> FinishReason | None:
        return self.events[-1].finish_reason if self.events else None

    @property
    def code(self) -> str | None:
        return self.events[-1].code if self.events else None

    @property
    def error(self) -> str | None:
        return self.events[-1].error if self.events else None


def ask(
    engine: Engine,
    owner: str,
    token_ids: Sequence[int],
    sampling: SamplingParams = GREEDY,
    *,
    seed: int = 0,
    stop_ids: frozenset[int] = frozenset(),
    stop: str = "",
    windows: Sequence[WindowChange] | None = None,
) -> Reader:
    """Submit a request and return its reader."""
    events: list[TokenEvent] = []
    request = Request(
        owner,
        list(token_ids),
        sampling,
        seed,
        stop_ids,
        events.append,
        LetterText(stop),
        windows=windows,
    )
    reader = Reader(request, events)
    engine.submit(request)
    return reader


def run(engine: Engine, max_steps: int = 20_000) -> None:
    """Step until nothing is left to do, checking the pool after each step."""
    for _ in range(max_steps):
        if not engine.has_work:
            return
        engine.step()
        engine.cache.check_integrity()
    raise AssertionError(f"still working after {max_steps} steps")


def make_engine(
    num_blocks: int | Sequence[int] = 64,
    block_size: int = 4,
    *,
    model: Model | None = None,
    spec: KVCacheSpec = SPEC,
    budget: int | None = 64,
    max_rows: int = 32,
    context_tokens: int = 10_000,
    kv_dtype: KVDtype = "auto",
    clock: Callable[[], float] = perf_counter,
) -> Engine:
    """Return an engine over HashModel, or over another model of VOCAB_SIZE tokens."""
    return Engine(
        ModelRunner(HashModel(VOCAB_SIZE) if model is None else model, "cpu"),
        PagedKVCache(spec, num_blocks, block_size=block_size, kv_dtype=kv_dtype),
        context_tokens=context_tokens,
        vocab_size=VOCAB_SIZE,
        scheduler=Scheduler(max_rows, TokenBudget(budget)),
        clock=clock,
    )


def random_tokens(rng: random.Random, count: int) -> list[int]:
    """Return a text of random token ids."""
    return [rng.randrange(VOCAB_SIZE) for _ in range(count)]


def assert_all_blocks_come_back(engine: Engine) -> None:
    """Close every sequence and check that nothing is left in any pool."""
    for stats in engine.stats():
        engine.close(stats.owner)
    engine.cache.check_integrity()
    for pool in engine.cache.pools:
        pool.drop_cached()
        assert pool.num_free == pool.num_blocks and len(pool.index) == 0


class HashOracle:
    """What HashModel answers without cache and batch: exact."""

    def __init__(self, model: HashModel) -> None:
        self._model = model

    def wrong_tokens(
        self, reader: Reader, generated: Sequence[int], windows: Sequence[WindowChange]
    ) -> list[int]:
        """Return the places of generated tokens that differ."""
        request = reader.request
        token_ids = [*request.token_ids, *generated]
        states = self._model.list_states(token_ids, changes=windows)
        wrong = []
        for place, token_id in enumerate(generated):
            position = len(request.token_ids) + place
            logits = torch.tensor([self._model.list_logits(states[position - 1])])
            row = SamplerRow(request.sampling, request.seed, position, token_ids[:position])
            if sample(logits, [row]) != [token_id]:
                wrong.append(place)
        return wrong


def solo_tokens(
    token_ids: Sequence[int],
    sampling: SamplingParams = GREEDY,
    *,
    seed: int = 0,
    window: int | None = None,
    sinks: int = 0,
) -> list[int]:
    """Return what HashModel generates without cache, one token after the other."""
    model, text = HashModel(VOCAB_SIZE), list(token_ids)
    for _ in range(sampling.max_tokens or 0):
        logits = torch.tensor([model.list_logits(model.list_states(text, window, sinks)[-1])])
        text += sample(logits, [SamplerRow(sampling, seed, len(text), text)])
    return text[len(token_ids) :]


class CountingModel:
    """Counts the tokens each step computes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.counts: list[int] = []

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor
    ) -> Tensor:
        self.counts.append(len(token_ids))
        return self._model(token_ids, positions, cache, rows)


class FailingModel:
    """A model that fails, or computes NaN, wherever it meets a certain token."""

    def __init__(self, model: Model, token_id: int, error: BaseException | None = None) -> None:
        self._model = model
        self._token_id = token_id
        self._error = error

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor
    ) -> Tensor:
        is_bad = token_ids == self._token_id
        if self._error is not None and bool(is_bad.any()):
            raise self._error
        logits = self._model(token_ids, positions, cache, rows)
        ends = [int(row) + 1 for row in rows]
        for row, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if bool(is_bad[start:end].any()):
                logits[row, 3] = torch.nan
        return logits
