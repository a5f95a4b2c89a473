"""OwnEngine: kvchat's engine as it runs below a chat, without text: the contestant we are.

Scheduler, paged cache, sampler and records of tokens are all in it; only text is not.
"""

from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from kvchat.engine.engine import Engine
from kvchat.engine.model_runner import Model, ModelRunner
from kvchat.engine.request import Request, TokenEvent
from kvchat.errors import KVChatError
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.model.config import ModelConfig
from kvchat.native.kernels import Kernels
from kvchat.sampling_params import SamplingParams


class NoText:
    """A text stream that makes no text."""

    has_stopped = False

    def push(self, token_id: int) -> str:
        """Return nothing."""
        return ""

    def flush(self) -> str:
        """Return nothing."""
        return ""


def no_model_engine(cache: PagedKVCache, *, context_tokens: int) -> Engine:
    """Return an engine over a cache that forks and rewinds, and never computes."""

    def refuse(*_: object) -> Tensor:
        raise AssertionError("nothing is to be computed")

    runner = ModelRunner(refuse, "cpu")
    return Engine(runner, cache, context_tokens=context_tokens, vocab_size=4096)


class OwnEngine:
    """An engine of a model, with room for so many tokens in its pool."""

    def __init__(
        self,
        name: str,
        model: Model,
        config: ModelConfig,
        *,
        dtype: torch.dtype,
        num_bytes: int,
        pool_tokens: int,
        kernels: Kernels | None = None,
    ) -> None:
        self.name = name
        self.num_bytes = num_bytes
        self._model, self._config, self._dtype = model, config, dtype
        self._pool_tokens, self._kernels = pool_tokens, kernels
        num_blocks = -(-pool_tokens // 32)
        cache = PagedKVCache(config.kv_spec(), num_blocks, dtype=dtype, kernels=kernels)
        self.engine = Engine(
            ModelRunner(model, "cpu"),
            cache,
            context_tokens=config.max_position,
            vocab_size=config.vocab_size,
        )
        self._names = (f"stream {number}" for number in count())
        self._prompts: dict[str, list[int]] = {}
        self._requests: list[Request] = []
        self._error: str | None = None
        self._said: dict[str, list[int]] = {}

    def twin(self) -> "OwnEngine":
        """Return an engine with the same model and a pool of its own."""
        return OwnEngine(
            self.name,
            self._model,
            self._config,
            dtype=self._dtype,
            num_bytes=self.num_bytes,
            pool_tokens=self._pool_tokens,
            kernels=self._kernels,
        )

    def set_threads(self, num_threads: int) -> None:
        """Set torch's number of threads, and that of the native kernels."""
        torch.set_num_threads(num_threads)
        if self._kernels is not None:
            self._kernels.set_threads(num_threads)

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Open a sequence for each prompt."""
        self.end()
        for prompt in prompts:
            owner = next(self._names)
            self.engine.open(owner)
            self._prompts[owner] = list(prompt)
        self.restart()

    def begin_forks(self, prompt: Sequence[int], first_words: Sequence[int]) -> None:
        """Compute a prompt once, and fork it for each of the tokens that follow it."""
        self.end()
        parent = next(self._names)
        self.engine.open(parent)
        self._run([self._ask(parent, [*prompt], 1)])
        for token in first_words:
            owner = next(self._names)
            self.engine.fork(parent, owner, len(prompt))
            self._prompts[owner] = [*prompt, token]
        self.engine.close(parent)
        self.restart()

    def restart(self) -> None:
        """Submit every prompt again; what is computed of it is kept."""
        self._stop()
        self._requests = [self._ask(owner, prompt) for owner, prompt in self._prompts.items()]
        while not all(self._said[owner] for owner in self._prompts):
            self._step()

    def step(self) -> None:
        """Run one step of the engine."""
        self._step()

    def said(self) -> list[list[int]]:
        """Return the tokens since the last restart, a list for each stream."""
        return [self._said[owner] for owner in self._prompts]

    def end(self) -> None:
        """Close all sequences."""
        self._stop()
        for owner in self._prompts:
            self.engine.close(owner)
        self._prompts = {}

    def prefill(self, prompt: Sequence[int]) -> None:
        """Run a prompt that must be new, so that no block of it is found."""
        owner = next(self._names)
        self.engine.open(owner)
        self._run([self._ask(owner, list(prompt), 1)])
        self.engine.close(owner)

    def logits(self, prompt: Sequence[int]) -> list[float]:
        """Return the logits that follow a prompt, computed in chunks as the engine does."""
        cache, runner = self.engine.cache, self.engine._runner
        sequence = cache.open()
        for start in range(0, len(prompt), 512):
            chunk = list(prompt[start : start + 512])
            with cache.reserve([(sequence, len(chunk))], [chunk]) as step:
                found = runner.run([chunk], step.positions, cache)
        cache.release(sequence)
        return found[0].float().tolist()

    def close(self) -> None:
        """Close all sequences; memory goes with the object."""
        self.end()

    def _ask(self, owner: str, prompt: list[int], max_tokens: int | None = None) -> Request:
        said = self._said[owner] = []

        def hear(event: TokenEvent) -> None:
            if event.error is not None:
                self._error = event.error
            if event.token_id is not None:
                said.append(event.token_id)

        sampling = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        request = Request(owner, prompt, sampling, 0, frozenset(), hear, NoText())
        self.engine.submit(request)
        return request

    def _run(self, requests: Sequence[Request]) -> None:
        """Step until the first tokens of some requests are there."""
        while not all(self._said[request.owner] for request in requests):
            self._step()

    def _step(self) -> None:
        self.engine.step()
        if self._error is not None:
            raise KVChatError(f"The measured engine failed: {self._error}")

    def _stop(self) -> None:
        for request in self._requests:
            self.engine.cancel(request)
        self._requests = []
