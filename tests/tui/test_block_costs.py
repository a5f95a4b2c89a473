"""What an action at a block costs, as the pool then really changes."""

from typing import Any

import pytest

from kvchat.kv.pool_view import PoolView, SequenceView
from kvchat.tui.block_costs import fork_cost, rewind_cost, unload_cost


@pytest.fixture
def family(make_runtime: Any) -> Any:
    """A of 5 blocks, of which B shares 3 and has 1 more."""
    runtime = make_runtime(num_blocks=32, block_size=4)
    first = runtime.new_session("one")
    runtime.grow(first, 12)
    second = first.fork()
    runtime.grow(first, 7)
    runtime.grow(second, 3)
    return runtime


@pytest.mark.parametrize("num_tokens", [0, 3, 4, 8, 11, 12, 13, 18, 19])
def test_a_rewind_drops_and_keeps_what_its_cost_said(family: Any, num_tokens: int) -> None:
    before = family._pool_view()
    cost = rewind_cost(before, "session-0", num_tokens)
    first = family.open_sessions[0]
    dropped = set(first.table[-(-num_tokens // 4) :])
    family.shrink(first, num_tokens)
    after = family._pool_view()

    assert cost.num_dropped == after.num_cached - before.num_cached
    assert cost.num_staying == sum(after.ref_counts[block] > 0 for block in dropped)
    assert cost.stay_with == (("session-1",) if cost.num_staying else ())
    assert cost.num_reread == 0


def test_a_fork_takes_one_block_with_its_first_token(family: Any) -> None:
    for position, is_copy in ((8, False), (9, True)):
        cost = fork_cost(family._pool_view(), "session-0", position)
        assert (cost.num_first_blocks, cost.is_copy, cost.num_reread) == (1, is_copy, 0)


def test_unloading_frees_what_nobody_shares(family: Any) -> None:
    assert unload_cost(family._pool_view(), "session-0") == (2, 3)
    assert unload_cost(family._pool_view(), "session-1") == (1, 3)


def windowed(view: PoolView) -> PoolView:
    """A session of 40 tokens, a window of 8 and 4 sinks: blocks 1 to 7 are let go of."""
    from dataclasses import replace

    table = (0, *[-1] * 7, 1, 2)
    return replace(view, sequences=(SequenceView("w", table, 40, 2, 8, 4),))


@pytest.mark.parametrize(
    ("num_tokens", "num_reread"), [(40, 0), (37, 37), (12, 12), (4, 0), (1, 0), (0, 0)]
)
def test_a_rewind_behind_what_a_window_released_reads_again(
    make_runtime: Any, num_tokens: int, num_reread: int
) -> None:
    view = windowed(make_runtime(num_blocks=8, block_size=4)._pool_view())
    assert rewind_cost(view, "w", num_tokens).num_reread == num_reread
    assert fork_cost(view, "w", num_tokens).num_reread == num_reread


def test_a_session_without_blocks_costs_nothing_to_rewind(family: Any) -> None:
    view = family._pool_view()
    assert rewind_cost(view, "nobody", 7).num_dropped == 0
    assert fork_cost(view, "nobody", 7).num_reread == 7
