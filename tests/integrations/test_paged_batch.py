"""PagedBatch: what it hands out is what concatenation would, through forks, rewinds and errors."""

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kvchat.errors import InvalidArgument, PoolTooSmall
from kvchat.integrations.paged_batch import PagedBatch
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec
from tests.kv.token_tensors import GQA, HEAD_DIM, MQA

WINDOW = 6
SPEC = KVCacheSpec((GQA, replace(MQA, window=WINDOW), GQA))
LAYERS = range(len(SPEC.layers))
Stored = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, [B, K, n, D] each."""


@pytest.fixture
def pool() -> Iterator[PagedKVCache]:
    pool = PagedKVCache.create(SPEC, num_blocks=40, block_size=4)
    yield pool
    pool.check_integrity()


def tokens(num_rows: int, count: int, seed: int) -> Stored:
    generator = torch.Generator().manual_seed(seed)

    def numbers(num_heads: int) -> Tensor:
        return torch.randn(num_rows, num_heads, count, HEAD_DIM, generator=generator)

    return [(numbers(each.num_kv_heads), numbers(each.num_kv_heads)) for each in SPEC.layers]


def joined(*parts: Stored) -> Stored:
    return [
        (
            torch.cat([part[index][0] for part in parts], 2),
            torch.cat([p[index][1] for p in parts], 2),
        )
        for index in LAYERS
    ]


def first(stored: Stored, length: int) -> Stored:
    return [(key[:, :, :length], value[:, :, :length]) for key, value in stored]


def forward(batch: PagedBatch, new: Stored) -> Stored:
    return [batch.update(index, *new[index]) for index in LAYERS]


def check_forward(batch: PagedBatch, before: Stored | None, new: Stored) -> Stored:
    """Bring new tokens, compare all that comes back, and return what the batch now holds."""
    whole = new if before is None else joined(before, new)
    end, count = whole[0][0].shape[2], new[0][0].shape[2]
    for index, found in enumerate(forward(batch, new)):
        window = SPEC.layers[index].window
        start = 0 if window is None else max(0, end - count - window + 1)
        for got, expected in zip(found, whole[index], strict=True):
            assert torch.equal(got, expected[:, :, start:])
    assert batch.length == end
    batch.pool.check_integrity()
    return whole


@pytest.mark.parametrize("num_rows", [1, 3])
def test_it_returns_what_concatenating_returns_within_windows(
    pool: PagedKVCache, num_rows: int
) -> None:
    batch = PagedBatch(pool)
    whole = None
    for seed, count in enumerate([7, 1, 1, 4, 1, 11, 1]):
        whole = check_forward(batch, whole, tokens(num_rows, count, seed))


def test_one_row_in_one_run_is_read_without_a_copy(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    key, value = forward(batch, tokens(1, 9, seed=1))[0]
    stored = pool.storages[0].arrays[0][0]
    assert key.untyped_storage().data_ptr() == stored.untyped_storage().data_ptr()
    assert value.untyped_storage().data_ptr() == stored.untyped_storage().data_ptr()


def test_a_fork_shares_every_block_and_both_go_on_alone(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 10, seed=1))
    available = pool.available
    child = batch.fork()
    assert pool.available == available
    check_forward(child, whole, tokens(2, 3, seed=2))
    check_forward(batch, whole, tokens(2, 5, seed=3))


def test_a_fork_may_begin_anywhere_the_windows_still_allow(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 10, seed=1))
    check_forward(batch.fork(9), first(whole, 9), tokens(2, 3, seed=2))
    nothing = batch.fork(3)
    assert nothing.length == 0
    check_forward(nothing, None, tokens(5, 3, seed=2))


def test_rewound_tokens_are_replaced_by_the_next(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 10, seed=1))
    assert batch.truncate(9) == 9
    check_forward(batch, first(whole, 9), tokens(2, 4, seed=2))


def test_a_rewind_behind_a_window_empties_the_batch(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    check_forward(batch, None, tokens(2, 20, seed=1))
    assert batch.truncate(5) == 0
    check_forward(batch, None, tokens(3, 5, seed=2))  # of any size, since no row is left


def test_while_recording_any_rewind_succeeds(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    batch.record()
    whole = check_forward(batch, None, tokens(2, 20, seed=1))
    assert batch.truncate(5) == 5
    whole = check_forward(batch, first(whole, 5), tokens(2, 12, seed=2))
    batch.shrink()
    pool.check_integrity()
    assert batch.truncate(5) == 0


def test_a_shrunk_recording_goes_on_from_where_it_stands(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    batch.record()
    whole = check_forward(batch, None, tokens(2, 12, seed=1))
    batch.shrink()
    check_forward(batch, whole, tokens(2, 13, seed=2))
    child = batch.fork()
    assert child.truncate(12) == 12
    assert batch.truncate(12) == 12
    batch.stop_recording()
    pool.check_integrity()
    check_forward(batch, whole, tokens(2, 13, seed=3))
    assert batch.truncate(12) == 0
    check_forward(child, whole, tokens(2, 13, seed=4))
    available = pool.available
    child.shrink()  # a fork of a recording records
    assert pool.available != available


def test_rows_are_chosen_repeated_and_dropped_by_table(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(3, 9, seed=1))
    batch.select([2, 0, 2, 2])
    pool.check_integrity()
    chosen = [(key[[2, 0, 2, 2]], value[[2, 0, 2, 2]]) for key, value in whole]
    check_forward(batch, chosen, tokens(4, 3, seed=2))
    with pytest.raises(InvalidArgument, match="not all among 4"):
        batch.select([4])
    batch.release()
    assert pool.available == pool.size


def test_what_it_holds_can_be_read_between_passes(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    assert batch.read(0) is None
    whole = check_forward(batch, None, tokens(2, 9, seed=1))
    for index in LAYERS:
        found = batch.read(index)
        assert found is not None
        start = 0 if SPEC.layers[index].window is None else 9 - WINDOW + 1
        for got, expected in zip(found, whole[index], strict=True):
            assert torch.equal(got, expected[:, :, start:])


def test_a_pass_that_breaks_off_leaves_no_trace(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 9, seed=1))
    batch.update(0, *tokens(2, 2, seed=2)[0])
    assert batch.length == 9
    whole = check_forward(batch, whole, tokens(2, 2, seed=3))
    batch.update(0, *tokens(2, 2, seed=4)[0])
    assert batch.truncate(9) == 9
    check_forward(batch, first(whole, 9), tokens(2, 1, seed=5))


def test_a_pass_of_another_batch_of_the_pool_undoes_one_that_broke_off(pool: PagedKVCache) -> None:
    broken, other = PagedBatch(pool), PagedBatch(pool)
    broken.update(0, *tokens(2, 2, seed=2)[0])
    whole = check_forward(other, None, tokens(1, 5, seed=3))
    check_forward(broken, None, tokens(2, 4, seed=4))
    check_forward(other, whole, tokens(1, 1, seed=5))


@pytest.mark.parametrize(
    "new",
    [
        (torch.zeros(3, 2, 1, HEAD_DIM), torch.zeros(3, 2, 1, HEAD_DIM)),
        (torch.zeros(2, 2, 1, 3), torch.zeros(2, 2, 1, 3)),
        (torch.zeros(2, 2, 1, HEAD_DIM).double(), torch.zeros(2, 2, 1, HEAD_DIM).double()),
        (torch.zeros(2, 2, 0, HEAD_DIM), torch.zeros(2, 2, 0, HEAD_DIM)),
    ],
    ids=["rows", "size", "type", "nothing"],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    pool: PagedKVCache, new: tuple[Tensor, Tensor]
) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 9, seed=1))
    available = pool.available
    with pytest.raises(InvalidArgument):
        batch.update(0, *new)
    assert pool.available == available
    pool.check_integrity()
    check_forward(batch, whole, tokens(2, 2, seed=2))


@pytest.mark.parametrize("length", [-1, 10])
def test_a_position_outside_is_refused(pool: PagedKVCache, length: int) -> None:
    batch = PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 9, seed=1))
    for change in (batch.truncate, batch.fork):
        with pytest.raises(InvalidArgument, match="outside the batch, whose rows have 9 tokens"):
            change(length)
    check_forward(batch, whole, tokens(2, 2, seed=2))


def test_a_full_pool_is_one_sentence_and_leaves_the_batch_as_it_was(pool: PagedKVCache) -> None:
    batch, other = PagedBatch(pool), PagedBatch(pool)
    whole = check_forward(batch, None, tokens(2, 9, seed=1))
    forward(other, tokens(2, 60, seed=2))
    with pytest.raises(PoolTooSmall) as caught:
        forward(batch, tokens(2, 20, seed=3))
    assert caught.value.sentence == (
        "20 tokens in each of 2 rows need more than the 4 blocks of 4 tokens that are left; release"
        " other caches, or make the pool larger."
    )
    with pytest.raises(PoolTooSmall):
        forward(PagedBatch(pool), tokens(3, 20, seed=3))
    pool.check_integrity()
    other.release()
    check_forward(batch, whole, tokens(2, 20, seed=3))


def test_a_batch_that_is_garbage_gives_its_blocks_back(pool: PagedKVCache) -> None:
    batch = PagedBatch(pool)
    check_forward(batch, None, tokens(1, 9, seed=1))
    available = pool.available
    for seed in range(50):
        check_forward(batch.fork(), first([*batch_parts(batch)], 9), tokens(1, 3, seed=seed))
    lost = PagedBatch(pool)
    lost.update(0, *tokens(4, 3, seed=2)[0])  # a pass that nobody will end
    del lost
    gc.collect()
    PagedBatch(pool)
    assert pool.available == available
    batch.release()
    assert pool.available == pool.size


def batch_parts(batch: PagedBatch) -> Iterator[tuple[Tensor, Tensor]]:
    """All keys and values of each layer of a batch of one row, also those behind a window."""
    for index in LAYERS:
        key, value = batch.pool.keys_values(batch.rows[0], index, released=0.0)
        yield key.transpose(0, 1)[None], value.transpose(0, 1)[None]


def test_codes_are_handed_out_as_numbers() -> None:
    pool = PagedKVCache.create(SPEC, num_blocks=40, block_size=4, kv_dtype="int8")
    for num_rows in (1, 2):
        batch = PagedBatch(pool)
        new = tokens(num_rows, 9, seed=1)
        for found, expected in zip(forward(batch, new), new, strict=True):
            for got, wanted in zip(found, expected, strict=True):
                assert torch.allclose(got, wanted, atol=0.02) and not torch.equal(got, wanted)
