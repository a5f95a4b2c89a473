"""How the bytes of a pool are split over layer groups."""

from dataclasses import replace

import pytest

from kvchat.errors import InvalidArgument
from kvchat.kv.pool_budget import PoolShape, split_pool
from kvchat.kv.spec import KVCacheSpec, LayerSpec

GQA = LayerSpec(4, 2, 8, 8, 1.0)
MQA = LayerSpec(4, 1, 8, 8, 1.0)


@pytest.mark.parametrize("budget", [3_000, 20_000, 100_000, 1_000_000])
@pytest.mark.parametrize("windows", [(None,), (None, 7), (7, 33), (None, 5, 100)])
def test_a_budget_is_split_so_that_nothing_larger_fits(
    windows: tuple[int | None, ...], budget: int
) -> None:
    layers = tuple(replace(GQA, window=window) for window in windows)
    groups = KVCacheSpec((*layers, MQA)).groups
    size = [group.elements_per_token * 4 for group in groups]
    counts = split_pool(PoolShape(groups, size, 1, 2), budget)
    used = sum(map(int.__mul__, counts, size))
    assert used <= budget
    longest = max(counts)
    for group, count in zip(groups, counts, strict=True):
        cap = longest if group.window is None else min(longest, 4 * (group.window + 1))
        assert count == cap
    open_groups = [s for s, group in zip(size, groups, strict=True) if group.window is None]
    capped = [4 * ((g.window or 0) + 1) for g in groups]
    growing = [
        s
        for s, group, cap, count in zip(size, groups, capped, counts, strict=True)
        if group.window is None or count < cap
    ]
    assert open_groups and used + sum(growing) > budget


def test_no_group_gets_more_blocks_than_asked_for() -> None:
    spec = KVCacheSpec((GQA, replace(GQA, window=9)))
    shape = PoolShape.of(spec, 4, "auto", block_size=4, max_sequences=2)
    assert split_pool(shape, 1 << 30, 10) == [10, 10]
    assert split_pool(shape, 1 << 30, 50) == [50, 2 * 2 * 4]


def test_a_budget_for_one_context_holds_it_in_every_group() -> None:
    spec = KVCacheSpec((GQA, replace(GQA, window=9), MQA))
    shape = PoolShape.of(spec, 2, "int8", block_size=4, max_sequences=2)
    counts = split_pool(shape, shape.num_bytes(70))
    assert counts == shape.counts(70) == [70, 16, 70]
    assert split_pool(shape, shape.num_bytes(70) - 1)[0] == 69


def test_a_budget_below_one_block_a_group_is_refused() -> None:
    shape = PoolShape.of(KVCacheSpec((GQA, MQA)), 4, "auto", block_size=4, max_sequences=2)
    assert split_pool(shape, shape.num_bytes(1)) == [1, 1]
    with pytest.raises(InvalidArgument, match="does not hold one block"):
        split_pool(shape, shape.num_bytes(1) - 1)
