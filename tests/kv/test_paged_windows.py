"""A window changes while a sequence grows: what stays, what comes back, and who shares what."""

import pytest
import torch

from kvchat.errors import InvalidArgument
from kvchat.kv.block_table import HOLE
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec, SequenceId
from kvchat.kv.window_schedule import WindowChange

SIZE = 4
LAYER = LayerSpec(1, 1, 8, 8, 1.0)


def make_cache(num_blocks: int = 32) -> PagedKVCache:
    return PagedKVCache(KVCacheSpec((LAYER,)), num_blocks, block_size=SIZE)


def extend(cache: PagedKVCache, sequence: SequenceId, token_ids: list[int]) -> None:
    """Add tokens under the sequence's windows, as few at a time as they ask for."""
    while token_ids:
        count = cache.chunk_limit(sequence, len(token_ids))
        rows = torch.tensor(token_ids[:count]).float()[:, None, None].expand(-1, 1, 8)
        cache.append(sequence, rows, rows, token_ids=token_ids[:count])
        token_ids = token_ids[count:]
    cache.check_integrity()


def held(cache: PagedKVCache, sequence: SequenceId) -> list[int]:
    """Return which blocks of the sequence are in its table, by their index."""
    blocks = cache.paged_sequence(sequence).tables[0].blocks
    return [index for index, block in enumerate(blocks) if block != HOLE]


def test_a_smaller_window_gives_blocks_back_at_once() -> None:
    cache = make_cache()
    sequence = cache.open()
    extend(cache, sequence, list(range(30)))
    assert cache.set_window(sequence, 6, 4) == 30
    cache.check_integrity()
    assert held(cache, sequence) == [0, 6, 7] and cache.num_available == 32 - 3


def test_a_larger_window_takes_back_what_is_cached() -> None:
    cache = make_cache()
    sequence = cache.open(window=6)
    extend(cache, sequence, list(range(30)))
    table = cache.paged_sequence(sequence).tables[0]
    assert held(cache, sequence) == [6, 7]
    assert cache.set_window(sequence, 15) == 30
    assert held(cache, sequence) == [4, 5, 6, 7]
    assert cache.set_window(sequence, None) == 30
    assert held(cache, sequence) == list(range(8)) and len(table.blocks) == 8
    cache.check_integrity()
    keys, _ = cache.keys_values(sequence, 0)
    assert keys[:, 0, 0].tolist() == list(range(30))


def test_what_is_gone_from_the_pool_has_to_be_brought_again() -> None:
    cache = make_cache()
    sequence = cache.open(window=6)
    extend(cache, sequence, list(range(30)))
    cache.pools[0].drop_cached()
    assert cache.set_window(sequence, 15) == 0
    # What was computed under the smaller window is computed under it again.
    assert cache.schedule(sequence).at(29).window == 6
    extend(cache, sequence, list(range(30)))
    # Held for the change to come, although no query before it sees them.
    assert held(cache, sequence) == [4, 5, 6, 7]


def test_a_change_and_its_reverse_before_any_token_change_nothing() -> None:
    cache = make_cache()
    sequence = cache.open(window=10)
    extend(cache, sequence, list(range(30)))
    before = cache.schedule(sequence)
    cache.set_window(sequence, None)
    cache.set_window(sequence, 10)
    assert cache.schedule(sequence) == before and held(cache, sequence) == [5, 6, 7]


def test_equal_text_is_shared_up_to_the_first_token_that_saw_something_else() -> None:
    cache = make_cache(64)
    text = list(range(40))
    first = cache.open()
    extend(cache, first, text[:21])
    cache.set_window(first, 8)
    extend(cache, first, text[21:])
    plain, same, early = cache.open(), cache.open(), cache.open()
    assert cache.adopt(plain, text) == 20  # the block in which it changes is another one
    cache.set_windows(same, [WindowChange(0, None, 0), WindowChange(21, 8, 0)])
    assert cache.adopt(same, text) == 39
    cache.set_windows(early, [WindowChange(0, None, 0), WindowChange(13, 8, 0)])
    assert cache.adopt(early, text) == 13
    cache.check_integrity()


def test_other_windows_keep_the_tokens_that_saw_the_same() -> None:
    cache = make_cache()
    sequence = cache.open()
    extend(cache, sequence, list(range(20)))
    # Nothing is hidden from the first 12 tokens, whichever of the two holds.
    assert cache.set_windows(sequence, [WindowChange(0, 12, 0)]) == 12
    assert cache.token_ids(sequence) == list(range(12))
    cache.check_integrity()


def test_a_step_past_a_change_is_refused_and_says_how_many_may_follow() -> None:
    cache = make_cache()
    sequence = cache.open()
    cache.set_windows(sequence, [WindowChange(0, None, 0), WindowChange(5, 8, 0)])
    with pytest.raises(InvalidArgument, match="where the window changes; 5 may follow"):
        cache.reserve([(sequence, 6)])
    with pytest.raises(InvalidArgument, match="window is 0"):
        cache.set_window(sequence, 0)


def test_a_fork_inherits_the_schedule_and_goes_its_own_way() -> None:
    cache = make_cache()
    parent = cache.open()
    extend(cache, parent, list(range(16)))
    cache.set_window(parent, 4)
    child = cache.fork(parent)
    cache.set_window(child, None)
    assert held(cache, parent) == [3] and held(cache, child) == [0, 1, 2, 3]
    cache.check_integrity()
