"""The beginning of a sibling block serves a prompt that goes on differently."""

import random

import pytest

from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.prefix_index import ROOT_KEY, PrefixIndex, block_key
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, MQA, PagedRun, TokenTensors, table_of

SIZE = 4
ONE = KVCacheSpec((GQA,))


def new_run(num_blocks: int = 20, spec: KVCacheSpec = ONE) -> PagedRun:
    return PagedRun(PagedKVCache(spec, num_blocks, block_size=SIZE), TokenTensors(spec))


def longest_in(index: PrefixIndex, token_ids: list[int]) -> int:
    """Return how many tokens a look at every published block finds, one left to compute."""
    entries = [index.entry(block) for block in range(1000) if block in index]
    parent, length = ROOT_KEY, 0
    while True:
        tokens = token_ids[length : length + SIZE]
        key = block_key(parent, tokens, b"")
        if len(tokens) < SIZE or (key, tuple(tokens)) not in entries:
            break
        parent, length = key, length + SIZE
    best = 0
    for key, found in entries:
        if key == block_key(parent, found, b""):
            equal = [one == other for one, other in zip(found, token_ids[length:], strict=False)]
            best = max(best, [*equal, False].index(False))
    return min(length + best, len(token_ids) - 1)


def test_another_end_of_the_same_beginning_copies_what_they_share() -> None:
    run = new_run()
    first, second = run.cache.open(), run.cache.open()
    run.step([(first, [1, 2, 3, 4, 5, 6, 7, 8])])
    taken = run.cache.pools[0].num_free
    prompt = [1, 2, 3, 4, 5, 6, 70, 80, 90]
    assert run.cache.adopt(second, prompt) == 6
    assert run.cache.pools[0].num_free == taken  # so far only a reference
    assert table_of(run.cache, second) == table_of(run.cache, first)
    copied = run.cache.num_copied_blocks
    run.step([(second, prompt[6:])])
    assert run.cache.num_copied_blocks == copied + 1
    run.check_rows(first, [1, 2, 3, 4, 5, 6, 7, 8])
    run.check_rows(second, prompt)


def test_of_several_siblings_the_one_with_most_in_common_is_taken() -> None:
    run = new_run()
    for block in ([1, 2, 3, 4], [1, 2, 9, 9], [1, 8, 8, 8]):
        run.step([(run.cache.open(), block)])
    sequence = run.cache.open()
    assert run.cache.adopt(sequence, [1, 2, 9, 4, 5]) == 3
    assert run.cache.adopt(run.cache.open(), [7, 1, 2, 3, 4]) == 0


def test_a_longer_sibling_replaces_the_part_a_sequence_has_itself() -> None:
    run = new_run()
    other, sequence = run.cache.open(), run.cache.open()
    run.step([(sequence, [1, 2])])
    run.step([(other, [1, 2, 3, 4])])
    assert run.cache.adopt(sequence, [1, 2, 3, 9, 9]) == 3
    run.cache.check_integrity()
    assert run.cache.adopt(sequence, [1, 2, 3, 9, 9]) == 3


def test_a_sibling_under_another_window_is_passed_over() -> None:
    """Its beginning saw less than this prompt does."""
    run = new_run()
    windowed = run.cache.open(window=4)
    run.feed(windowed, list(range(12)))
    assert run.cache.adopt(run.cache.open(), [*range(9), 50, 51]) == 4
    assert run.cache.adopt(run.cache.open(window=4), [*range(9), 50, 51]) == 9


def test_every_layer_group_must_have_the_beginning() -> None:
    run = new_run(spec=KVCacheSpec((GQA, MQA)))
    run.step([(run.cache.open(), [1, 2, 3, 4, 5, 6, 7, 8])])
    index = run.cache.pools[1].index
    for block in range(20):
        if block in index and index.entry(block)[1] == (5, 6, 7, 8):
            index.forget(block)
    assert run.cache.adopt(run.cache.open(), [1, 2, 3, 4, 5, 6, 0]) == 4


def test_the_group_with_the_shortest_beginning_decides() -> None:
    run = new_run(spec=KVCacheSpec((GQA, MQA)))
    run.step([(run.cache.open(), [1, 2, 3, 4])])
    run.step([(run.cache.open(), [1, 2, 9, 9])])
    index = run.cache.pools[1].index
    for block in range(20):
        if block in index and index.entry(block)[1] == (1, 2, 3, 4):
            index.forget(block)
    sequence = run.cache.open()
    assert run.cache.adopt(sequence, [1, 2, 3, 7, 7]) == 2
    run.check_rows(sequence, [1, 2])


def test_nothing_is_left_of_a_key_whose_blocks_are_gone() -> None:
    run = new_run()
    sequence = run.cache.open()
    run.step([(sequence, list(range(8)))])
    run.cache.release(sequence)
    run.cache.pools[0].drop_cached()
    assert run.cache.pools[0].index.children(ROOT_KEY) == ()
    assert run.cache.adopt(run.cache.open(), [0, 1, 9]) == 0


@pytest.mark.parametrize("num_blocks", [6, 12, 40])
@pytest.mark.parametrize("seed", range(4))
def test_any_prompt_finds_what_a_search_of_all_blocks_finds(seed: int, num_blocks: int) -> None:
    rng, run = random.Random(seed), new_run(num_blocks)
    cache, num_partial = run.cache, 0
    for _ in range(60):
        sequence = cache.open()
        prompt = [rng.choice([1, 1, 1, 2]) for _ in range(rng.randint(1, 22))]
        expected = longest_in(cache.pools[0].index, prompt)
        assert cache.adopt(sequence, prompt) == expected
        num_partial += expected % SIZE != 0 and expected < len(prompt) - 1
        run.check_rows(sequence, prompt[:expected])
        run.step([(sequence, prompt[expected:])])
        run.check_rows(sequence, prompt)
        cache.release(sequence)
        cache.check_integrity()
    assert num_partial >= 5
