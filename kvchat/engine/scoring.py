"""Scoring: what the model thinks of tokens that it did not generate, by reading them once.

A chunk at a time between two steps, on a sequence of its own that is dropped afterwards.
"""

from kvchat.engine.model_runner import ModelRunner
from kvchat.engine.room import Room
from kvchat.engine.sampler import records_of
from kvchat.engine.sequence import Sequence
from kvchat.errors import OutOfBlocks, PoolTooSmall
from kvchat.kv.paged_cache import PagedKVCache

CHUNK_TOKENS = 256


def score_chunk(
    runner: ModelRunner, cache: PagedKVCache, room: Room, sequence: Sequence, vocab_size: int
) -> dict[int, bytes]:
    """Compute the next tokens of an idle sequence; return packed records by token position.

    The record at a position is of the token that stands there; nothing is returned when only the
    last token is left. Raises PoolTooSmall when others cannot give up enough blocks.
    """
    token_ids = sequence.token_ids
    start = cache.length(sequence.cache_id)
    count = min(CHUNK_TOKENS, len(token_ids) - 1 - start)
    if count <= 0:
        return {}
    count = cache.chunk_limit(sequence.cache_id, count)
    row = token_ids[start : start + count]
    try:
        step = cache.reserve([(sequence.cache_id, count)], [row])
    except OutOfBlocks:
        room.make_room(cache.blocks_by_group(sequence.cache_id, count), keep=sequence)
        try:
            step = cache.reserve([(sequence.cache_id, count)], [row])
        except OutOfBlocks as error:
            raise PoolTooSmall(
                "There is no room in the pool to read this message again."
            ) from error
    try:
        logits = runner.run_all(row, step.positions, cache)[:, :vocab_size]
        next_ids = token_ids[start + 1 : start + count + 1]
        records = records_of(logits, next_ids)
    except BaseException:
        step.rollback()
        raise
    step.commit()
    return dict(enumerate(records, start + 1))
