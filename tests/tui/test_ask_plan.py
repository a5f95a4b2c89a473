from typing import Any

import pytest

from kvchat.tui.ask_plan import plan_for


class View:
    block_size = 32
    num_free = 20
    num_cached = 0


def plan(tables: list[tuple[int, ...]], view: Any = View) -> Any:
    return plan_for("x" * 96, tables, view, None)


def test_blocks_are_shared_up_to_the_first_that_differs() -> None:
    made = plan([(1, 2, 3, 7), (1, 2, 4, 7), (1, 2)])
    assert (made.num_shared_blocks, made.num_shared_tokens) == (2, 64)


def test_one_branch_alone_shares_nothing() -> None:
    assert plan([(1, 2, 3)]).num_shared_blocks == 0


def test_a_block_the_window_let_go_of_ends_what_is_shared() -> None:
    assert plan([(1, -1, 3), (1, -1, 3)]).num_shared_blocks == 1


@pytest.mark.parametrize(("count", "waiting"), [(4, 0), (5, 1), (8, 4)])
def test_who_does_not_fit_into_the_free_blocks_waits(count: int, waiting: int) -> None:
    made = plan([()] * count)
    assert made.num_new_blocks == 5 * count  # 32 tokens of question and 128 of answer
    assert made.num_waiting == waiting


def test_without_a_view_of_the_pool_nobody_is_said_to_wait() -> None:
    assert plan([()] * 9, None).num_waiting == 0
