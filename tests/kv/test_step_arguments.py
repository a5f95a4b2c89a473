"""What callers bring to a step: what does not fit is refused, and the cache is as before."""

import pytest
import torch
from torch import Tensor

from kvchat.errors import InvalidArgument
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, HEAD_DIM

HEADS = GQA.num_kv_heads


@pytest.fixture
def cache() -> PagedKVCache:
    return PagedKVCache.create(KVCacheSpec((GQA, GQA)), num_blocks=12, block_size=4)


def ones(count: int, heads: int = HEADS, dim: int = HEAD_DIM) -> Tensor:
    return torch.ones(2, count, heads, dim)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (ones(3), ones(2)),
        (ones(3, HEADS - 1), ones(3, HEADS + 1)),  # together as many heads as there are
        (ones(3, dim=1), ones(3, dim=1)),
        (ones(3), ones(3).double()),
        (ones(3), ones(3).int()),
        (ones(3).half(), ones(3).half()),
        (ones(3), ones(3).to("meta")),
        (ones(3).numpy(), ones(3).numpy()),
        ([ones(3)[0], ones(1)[0]], [ones(3)[0], ones(1)[0]]),
        (ones(3), None),
    ],
)
def test_tensors_of_other_tokens_are_refused_and_nothing_is_taken(
    cache: PagedKVCache, key: Tensor, value: Tensor
) -> None:
    sequence = cache.open()
    cache.append(sequence, ones(6), ones(6))
    with pytest.raises(InvalidArgument):
        cache.append(sequence, key, value)
    assert cache.append(sequence, ones(1), ones(1)) == 7
    cache.check_integrity()


@pytest.mark.parametrize(
    "token_ids",
    [[1], [1, 2, 3, 4, 5], [1, 2, 3, -1], [1, 2, 3, 2**31], [1.5] * 4, "abcd", [None] * 4],
    ids=str,
)
def test_ids_that_name_no_tokens_are_refused_and_the_next_step_begins(
    cache: PagedKVCache, token_ids: list[int]
) -> None:
    sequence = cache.open()
    with pytest.raises(InvalidArgument):
        cache.append(sequence, ones(4), ones(4), token_ids=token_ids)
    cache.append(sequence, ones(4), ones(4), token_ids=[7, 8, 9, 2**31 - 1])
    assert cache.token_ids(sequence) == [7, 8, 9, 2**31 - 1]
    cache.check_integrity()


def test_ids_may_come_as_a_tensor_and_are_integers_from_then_on(cache: PagedKVCache) -> None:
    sequence, other = cache.open(), cache.open()
    ids = torch.arange(5)
    cache.append(sequence, ones(5), ones(5), token_ids=ids)  # type: ignore[arg-type]
    assert cache.token_ids(sequence) == [0, 1, 2, 3, 4]
    assert cache.adopt(other, [0, 1, 2, 3, 4]) == 4


@pytest.mark.parametrize("counts", [[0], [-1], [2, 0]])
def test_a_row_has_a_token(cache: PagedKVCache, counts: list[int]) -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        cache.reserve([(cache.open(), count) for count in counts])
    assert cache.memory().held_bytes == 0


def test_rows_are_different_sequences_with_ids_for_each(cache: PagedKVCache) -> None:
    sequence = cache.open()
    with pytest.raises(InvalidArgument, match="only once"):
        cache.reserve([(sequence, 1), (sequence, 1)])
    with pytest.raises(InvalidArgument, match="Ids of 0 rows"):
        cache.reserve([(sequence, 1)], [])
    assert cache.memory().held_bytes == 0


def test_a_row_ends_where_sinks_begin_to_turn(cache: PagedKVCache) -> None:
    sequence = cache.open(window=4, sinks=4)
    with pytest.raises(InvalidArgument, match="; 8 may follow"):
        cache.reserve([(sequence, 9)])
    cache.reserve([(sequence, 8)]).commit()
    assert cache.length(sequence) == 8


@pytest.mark.parametrize("layer_index", [-1, 2])
def test_there_are_no_other_layers(cache: PagedKVCache, layer_index: int) -> None:
    sequence = cache.open()
    query, new = torch.ones(1, GQA.num_heads, HEAD_DIM), ones(1)[0]
    with pytest.raises(InvalidArgument, match="no layer"):
        cache.keys_values(sequence, layer_index)
    with cache.reserve([(sequence, 1)]):
        with pytest.raises(InvalidArgument, match="no layer"):
            cache.attend(layer_index, query, new, new)
        with pytest.raises(InvalidArgument, match="no layer"):
            cache.write(layer_index, new, new)


def test_queries_have_the_heads_of_the_layer(cache: PagedKVCache) -> None:
    new = ones(2)[0]
    query = torch.ones(2, 2 * GQA.num_heads, HEAD_DIM)
    with cache.reserve([(cache.open(), 2)]), pytest.raises(InvalidArgument, match="queries"):
        cache.attend(0, query, new, new)


def test_ids_that_differ_from_those_of_the_sequence_are_not_adopted(cache: PagedKVCache) -> None:
    sequence, bare = cache.open(), cache.open()
    cache.append(sequence, ones(2), ones(2), token_ids=[1, 2])
    cache.append(bare, ones(2), ones(2))
    for ids in ([1, 3, 4], [1]):
        with pytest.raises(InvalidArgument, match="begin with"):
            cache.adopt(sequence, ids)
    with pytest.raises(InvalidArgument, match="without ids"):
        cache.token_ids(bare)


@pytest.mark.parametrize(("window", "sinks"), [(1.5, 0), (4, 1.5)])
def test_parts_of_tokens_are_no_window(cache: PagedKVCache, window: int, sinks: int) -> None:
    with pytest.raises(InvalidArgument):
        cache.open(window=window, sinks=sinks)
