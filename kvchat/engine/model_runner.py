"""ModelRunner: the rows of a step become packed tensors, then logits of each row's last token."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from kvchat.engine.one_thread import one_thread
from kvchat.engine.step_threads import StepThreads
from kvchat.errors import fault
from kvchat.kv.cache import KVCache
from kvchat.model.native_decoder import NativeDecoder


class Model(Protocol):
    """What runs: a Transformer, or whatever else computes logits over a cache."""

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor, /
    ) -> Tensor:
        """Map packed ids and positions, [T] int64 each, to logits of the tokens `rows`."""


class ModelRunner:
    """Runs a model over packed rows, in one native call where the model and its cache are fit.

    Which way is decided once for a cache.
    """

    def __init__(self, model: Model, device: str) -> None:
        self._model = model
        self._device = device
        self._decoder: NativeDecoder | None = None
        self._decided_for: KVCache | None = None
        self._threads = StepThreads()

    def run(
        self, rows: Sequence[Sequence[int]], positions: Sequence[int], cache: KVCache
    ) -> Tensor:
        """Compute the logits that follow each row.

        rows       token ids of each row, in the order of the step that `cache` reserved
        positions  absolute position of each packed token
        return     [len(rows), vocab_size]
        """
        fault("runner.run")
        packed = [token_id for row in rows for token_id in row]
        lasts, end = [], 0
        for row in rows:
            end += len(row)
            lasts.append(end - 1)
        with torch.inference_mode():
            return self._logits(
                torch.tensor(packed, device=self._device),
                torch.tensor(positions, device=self._device),
                cache,
                torch.tensor(lasts, device=self._device),
            )

    def run_all(self, row: Sequence[int], positions: Sequence[int], cache: KVCache) -> Tensor:
        """Compute the logits that follow each token of the one row that `cache` reserved.

        return  [len(row), vocab_size]
        """
        with torch.inference_mode():
            return self._logits(
                torch.tensor(row, device=self._device),
                torch.tensor(positions, device=self._device),
                cache,
                torch.arange(len(row), device=self._device),
            )

    def _logits(self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor) -> Tensor:
        if cache is not self._decided_for:
            self._decoder = NativeDecoder.of(self._model, cache)
            self._decided_for = cache
        if self._decoder is not None:
            with one_thread():
                logits = self._decoder.logits(token_ids, positions, rows)
            if logits is not None:
                return logits

        def compute() -> Tensor:
            return self._model(token_ids, positions, cache, rows)

        return self._threads.run(len(token_ids), compute) if self._device == "cpu" else compute()
