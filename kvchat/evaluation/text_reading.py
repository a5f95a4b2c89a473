"""Reading: how well a model predicts a text, through the paged cache as the app would read it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from kvchat.errors import KVChatError
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVDtype
from kvchat.model.transformer import Transformer

CHUNK_TOKENS = 256
STRETCH_TOKENS = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model read a text: the loss of each token in nats, and how many blocks it held."""

    losses: list[float]
    max_blocks: int
    final_blocks: int


def read_text(
    model: Transformer,
    token_ids: Sequence[int],
    *,
    window: int | None,
    sinks: int,
    kv_dtype: KVDtype,
    block_size: int = 32,
) -> Reading:
    """Predict every token of one sequence from those before it, in chunks.

    Without a window the text must fit the context. Raises KVChatError otherwise.
    """
    limit = model.config.max_position
    if window is None and len(token_ids) > limit:
        raise KVChatError(
            f"The text has {len(token_ids)} tokens and the context {limit}; give --window or a "
            "smaller --tokens."
        )
    held = len(token_ids) if window is None else window + sinks + 2 * CHUNK_TOKENS
    cache = PagedKVCache(
        model.config.kv_spec(),
        held // block_size + 4,
        block_size=block_size,
        dtype=model.norm.weight.dtype,
        kv_dtype=kv_dtype,
    )
    sequence = cache.open(window=window, sinks=sinks)
    losses: list[float] = []
    max_blocks, position = 0, 0
    with torch.inference_mode():
        while position < len(token_ids) - 1:
            count = min(CHUNK_TOKENS, len(token_ids) - 1 - position)
            count = cache.chunk_limit(sequence, count)
            chunk = list(token_ids[position : position + count])
            step = cache.reserve([(sequence, count)], [chunk])
            logits = model(torch.tensor(chunk), torch.tensor(step.positions), cache)
            step.commit()
            wanted = torch.tensor(token_ids[position + 1 : position + count + 1])
            losses += functional.cross_entropy(logits.float(), wanted, reduction="none").tolist()
            position += count
            max_blocks = max(max_blocks, cache.pools[0].num_private)
    return Reading(losses, max_blocks, cache.pools[0].num_private)


def perplexity(losses: Sequence[float]) -> float:
    """Return the perplexity of tokens with these losses in nats; NaN for none."""
    return math.exp(sum(losses) / len(losses)) if losses else math.nan


def bits_per_byte(losses: Sequence[float], num_bytes: int) -> float:
    """Return losses in nats as bits over the bytes of the text they belong to; NaN for none."""
    return sum(losses) / math.log(2) / num_bytes if num_bytes else math.nan
