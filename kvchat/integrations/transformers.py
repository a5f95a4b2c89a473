"""PagedTransformersCache: `past_key_values=` of transformers models, over our block pool.

    from transformers import AutoModelForCausalLM
    from kvchat.integrations.transformers import PagedTransformersCache

    model = AutoModelForCausalLM.from_pretrained(folder)
    cache = PagedTransformersCache.create(model, pool_bytes=1 << 30)
    ids = model.generate(prompt, past_key_values=cache, max_new_tokens=50)
    other = cache.fork()                    # shares every block, copies nothing
    cache.rewind(prompt.shape[1] - 1)       # another answer to the same prompt, no prefill

The models attend by themselves, so what they may see is handed out as plain tensors: a view of the
pool where one row lies in one run of blocks, a copy elsewhere, as concatenation makes one at every
step. Tested with transformers 4.57.1 and 5.23.

Importing this module needs transformers (extra `hf`); nothing else in kvchat imports it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.integrations.paged_batch import PagedBatch
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec

try:
    from transformers.cache_utils import Cache, CacheLayerMixin
except ImportError as error:
    raise ModuleNotFoundError(
        "kvchat.integrations.transformers needs transformers 4.57 or later; install it with:"
        " pip install 'kvchat[hf]'.",
        name="transformers",
    ) from error

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_WINDOWED = ("sliding_attention",)
_FULL = ("full_attention",)


class PagedTransformersCache(Cache):  # type: ignore[misc]  # transformers is not type-checked
    """A batch of growing sequences in a PagedKVCache, as a cache of transformers.

    pool   blocks for this model (`create` makes one); caches of one pool share its memory, and
           forks share blocks in it

    Give it to `generate()` or to a forward pass, again and again: like any cache it goes on from
    the tokens it has. Rows may be padded; beams are reordered, and candidates of assisted
    generation cropped, by block tables. `copy.deepcopy` is `fork`. When the pool is full, a pass
    raises PoolTooSmall and the cache is as before it. Not thread-safe, and neither is its pool.
    """

    def __init__(self, pool: PagedKVCache) -> None:
        self._hold(PagedBatch(pool))

    @classmethod
    def create(
        cls,
        model: "PreTrainedModel",
        *,
        pool_bytes: int | None = None,
        num_blocks: int | None = None,
        block_size: int = 32,
        kv_dtype: KVDtype = "auto",
        max_sequences: int = 16,
    ) -> Self:
        """Return an empty cache with a pool of its own, in the type and on the device of `model`.

        The sizes are those of `PagedKVCache.create`. Raises InvalidArgument for a model with
        layers that do not keep keys and values of one size, or with another kind of window.
        """
        pool = PagedKVCache.create(
            kv_spec_of(model.config),
            pool_bytes=pool_bytes,
            num_blocks=num_blocks,
            block_size=block_size,
            dtype=model.dtype,
            device=str(model.device),
            kv_dtype=kv_dtype,
            max_sequences=max_sequences,
        )
        # Models attend by themselves here, so nothing is gained by finding what rows share.
        pool.is_cascading = False
        return cls(pool)

    @property
    def pool(self) -> PagedKVCache:
        """The pool, with `memory()` and `pool_view()` to look at."""
        return self._batch.pool

    @property
    def batch(self) -> PagedBatch:
        """The rows, as sequences of the pool."""
        return self._batch

    def fork(self, length: int | None = None) -> Self:
        """Return a cache of the first `length` tokens, by default all, that shares every block.

        Either side copies the one block it shares half full when it first writes there. Where
        windows of layers have let go of what the shorter rows would see, the fork is empty, and
        `generate()` with the whole text fills it again.
        """
        child = type(self).__new__(type(self))
        child._hold(self._batch.fork(length))
        return child

    def rewind(self, length: int) -> int:
        """Go back to the first `length` tokens of every row; return how many are kept.

        Fewer, namely none, where windows of layers have let go of what the shorter rows would see;
        `generate()` with the whole text then fills the cache again. `activate_past_recording()`
        before keeps everything, at the price of its blocks.
        """
        return self._batch.truncate(length)

    def release(self) -> None:
        """Give all blocks back now, and not when the cache is garbage; it is empty then."""
        self._batch.release()

    # The interface of transformers

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values; return those it may see; see PagedBatch.update."""
        return self._batch.update(layer_idx, key_states, value_states)

    def get_seq_length(self, layer_idx: int = 0, *_: object) -> int:
        """Return the number of tokens of every row."""
        return self._batch.length

    def crop(self, tokens_to_remove: int) -> None:
        """Remove as many tokens as a negative number says; a positive one is the new length.

        0 removes nothing; in any case what windows have left behind is given back. Raises
        InvalidArgument, changing nothing, where a window has let go of what would be seen.
        """
        length = self._batch.length
        target = length + tokens_to_remove if tokens_to_remove <= 0 else tokens_to_remove
        target = max(0, min(length, target))
        if not all(self.pool.can_rewind(row, target) for row in self._batch.rows):
            raise InvalidArgument(
                f"A layer with a window has let go of what token {target} sees; call"
                " activate_past_recording() before what may be cropped."
            )
        self._batch.truncate(target)
        self._batch.shrink()

    def activate_past_recording(self) -> None:
        """Keep what windows leave behind until the next `crop`, so that it succeeds."""
        self._batch.record()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Make row i a fork of what row `beam_idx[i]` was; beam_idx [B] int64."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows named, in that order; indices [B'] int64, or [B] bool."""
        indices = torch.as_tensor(indices)
        if indices.dtype == torch.bool:
            indices = indices.nonzero()[:, 0]
        self._batch.select([int(index) for index in indices.tolist()])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row `repeats` times, as forks that share every block."""
        self._batch.select(
            [index for index in range(len(self._batch.rows)) for _ in range(repeats)]
        )

    def reset(self) -> None:
        """Forget all tokens and give their blocks back."""
        self._batch.release()

    @property
    def batch_size(self) -> int:
        """Number of rows; -1 while the cache is empty."""
        return len(self._batch.rows) or -1

    def __iter__(self) -> Iterator[tuple[Tensor | None, Tensor | None, None]]:
        """Yield each layer's keys and values as its next query sees them, and None."""
        for layer in self.layers:
            yield layer.keys, layer.values, None

    def __deepcopy__(self, memo: object) -> Self:
        """Return a fork."""
        return self.fork()

    def __copy__(self) -> Self:
        """Return a fork as well: two caches of the same rows would both write to them."""
        return self.fork()

    def _hold(self, batch: PagedBatch) -> None:
        self._batch = batch
        layers = [_PagedLayer(batch, index) for index in range(len(batch.pool.spec.layers))]
        super().__init__(layers=layers)


class _PagedLayer(CacheLayerMixin):  # type: ignore[misc]  # as above
    """What transformers asks of one layer; whatever changes rows is done by the cache for all."""

    is_compileable = False
    is_croppable = True
    supports_early_init = False
    is_initialized = True

    def __init__(self, batch: PagedBatch, layer_index: int) -> None:
        # The base class would set `keys` and `values`, which are read from the pool here.
        self._batch = batch
        self._layer_index = layer_index
        window = batch.pool.spec.layers[layer_index].window
        self.is_sliding = window is not None
        if window is not None:
            self.sliding_window = window

    @property
    def keys(self) -> Tensor | None:
        """Keys that the next query sees, [B, K, S, D]; None while the cache is empty."""
        found = self._batch.read(self._layer_index)
        return None if found is None else found[0]

    @property
    def values(self) -> Tensor | None:
        """Values that the next query sees, [B, K, S, D]; None while the cache is empty."""
        found = self._batch.read(self._layer_index)
        return None if found is None else found[1]

    @property
    def record_past(self) -> bool:
        """Whether all layers keep what windows leave behind; setting it false ends that."""
        return self._batch.is_recording

    @record_past.setter
    def record_past(self, value: bool) -> None:
        if value != self._batch.is_recording:
            (self._batch.record if value else self._batch.stop_recording)()

    def lazy_initialization(self, *_: Tensor) -> None:
        """Do nothing: the pool was allocated when it was made."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store the layer's new keys and values; see PagedBatch.update."""
        return self._batch.update(self._layer_index, key_states, value_states)

    def get_seq_length(self, *_: object) -> int:
        """Return the number of tokens of every row."""
        return self._batch.length

    def get_mask_sizes(self, query_length: "int | Tensor") -> tuple[int, int]:
        """Return how many keys the next pass returns, and the position of the first one.

        query_length  number of new tokens; transformers 4 gives their positions instead
        """
        num_new = query_length if isinstance(query_length, int) else len(query_length)
        first = self._batch.first_visible(self._layer_index)
        return self._batch.length - first + num_new, first

    def get_max_length(self) -> int:
        """Return the window, or -1 where there is none: only the pool limits rows."""
        return getattr(self, "sliding_window", -1)

    get_max_cache_shape = get_max_length  # its name in transformers 4


def kv_spec_of(config: "PretrainedConfig") -> KVCacheSpec:
    """Return what a token stores in every layer of a model, by its configuration.

    Raises InvalidArgument for models whose layers do not all keep keys and values of one size for
    all tokens or for the last ones: those with recurrent or chunked layers, or with MLA.
    """
    config = config.get_text_config(decoder=True)
    num_heads = config.num_attention_heads
    if getattr(config, "kv_lora_rank", None) or getattr(config, "num_kv_shared_layers", 0):
        raise InvalidArgument(
            f"The layers of {config.model_type} do not keep one key and one value per head, so a"
            " paged cache cannot serve it."
        )
    num_kv_heads = getattr(config, "num_key_value_heads", None) or num_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // num_heads
    layers = [
        LayerSpec(num_heads, num_kv_heads, head_dim, head_dim, head_dim**-0.5, window=window)
        for window in _windows(config)
    ]
    return KVCacheSpec(tuple(layers))


def _windows(config: "PretrainedConfig") -> Iterable[int | None]:
    """Yield the window of each layer, None where it sees everything."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds: list[str] | None = getattr(config, "layer_types", None)
    if kinds is None:
        kinds = [*(_WINDOWED if window else _FULL)] * config.num_hidden_layers
        if getattr(config, "attention_chunk_size", None):
            kinds = ["chunked_attention"] * config.num_hidden_layers
    for kind in kinds:
        if kind not in (*_WINDOWED, *_FULL):
            raise InvalidArgument(
                f"{config.model_type} has layers of kind {kind!r}; a paged cache serves"
                " full_attention and sliding_attention."
            )
        yield window if kind in _WINDOWED else None
