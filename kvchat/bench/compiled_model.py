"""CompiledModel: a model under torch.compile, as one graph, over any cache.

A cache is Python that changes from token to token, which no graph can hold. So `attend` is one
operator that the compiler does not look into, and everything between two of them is compiled; the
graph is the same for every cache. Traced through instead, it breaks at each layer, and that takes
twice as long as without torch.compile.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from kvchat.engine.model_runner import Model
from kvchat.kv.cache import KVCache
from kvchat.kv.spec import KVCacheSpec

BACKEND = "inductor"
_current: list[KVCache] = []
"""The cache of the call in progress; operators take tensors and numbers only."""


@torch.library.custom_op("kvchat_bench::attend", mutates_args=())
def _attend(layer_index: int, value_dim: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend over the cache of the call in progress; writes there, as `KVCache.attend` does."""
    return _current[-1].attend(layer_index, query, key, value).contiguous()


@_attend.register_fake
def _attended_shape(
    layer_index: int, value_dim: int, query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    return query.new_empty(query.shape[0], query.shape[1], value_dim)


class _OpaqueCache:
    """What the compiler sees of a cache."""

    def __init__(self, spec: KVCacheSpec) -> None:
        self._value_dims = [layer.value_dim for layer in spec.layers]

    def attend(self, layer_index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Call the operator."""
        found: Tensor = _attend(layer_index, self._value_dims[layer_index], query, key, value)
        return found


class CompiledModel:
    """Computes what `model` computes; each number of tokens is compiled at its first call.

    For models that rotate keys alike at every length and store values, on one thread.

    Raises torch's own errors where compiling fails, as without a compiler for C++.
    """

    def __init__(self, model: Model, spec: KVCacheSpec) -> None:
        assert not spec.depends_on_length
        self._cache = _OpaqueCache(spec)
        quick = torch.compile(model, dynamic=False, fullgraph=True, backend=BACKEND)
        self._call = cast(Callable[[Tensor, Tensor, object, Tensor], Tensor], quick)

    def __call__(
        self, token_ids: Tensor, positions: Tensor, cache: KVCache, rows: Tensor
    ) -> Tensor:
        """Compute logits as the model does; see `Transformer.forward`."""
        _current.append(cache)
        try:
            with _one_thread_told():
                return self._call(token_ids, positions, self._cache, rows)
        finally:
            _current.pop()


def _one() -> int:
    return 1


@contextmanager
def _one_thread_told() -> Iterator[None]:
    """Tell how many threads there are by a function that can be traced, which torch's cannot."""
    assert torch.get_num_threads() == 1
    told, torch.get_num_threads = torch.get_num_threads, _one
    try:
        yield
    finally:
        torch.get_num_threads = told
