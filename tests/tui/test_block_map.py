from typing import Any

import pytest

from kvchat.kv.pool_view import PoolView
from kvchat.tui.block_marks import blocks_per_cell
from kvchat.tui.block_rows import Owner
from kvchat.tui.glyphs import UNICODE
from kvchat.tui.pool_figures import byte_size, pool_figures
from kvchat.tui.widgets.block_map import MapGrid, map_lines


@pytest.fixture
def three_sessions(make_runtime: Any) -> Any:
    runtime = make_runtime(num_blocks=16, block_size=4)
    first = runtime.new_session("one")
    runtime.grow(first, 14)
    first.fork()
    third = runtime.new_session("three")
    runtime.grow(third, 8)
    runtime.shrink(third, 4)
    return runtime


def owners(writing: str = "") -> dict[str, Owner]:
    return {
        f"session-{index}": Owner(tag, index, tag == writing) for index, tag in enumerate("ABC")
    }


def drawn(view: PoolView, width: int, height: int, writing: str = "") -> list[str]:
    grid = MapGrid.fit(view.num_blocks, width, height)
    lines = map_lines(view, owners(writing), grid, UNICODE)
    return ["".join(text for text, _ in line) for line in lines]


def test_every_block_is_a_cell_with_its_letter(three_sessions: Any) -> None:
    assert drawn(three_sessions._pool_view(), 8, 2) == ["2222c░··", "········"]


def test_the_block_being_written_is_a_capital_once_it_is_private(three_sessions: Any) -> None:
    first = three_sessions.open_sessions[0]
    assert drawn(three_sessions._pool_view(), 16, 1, writing="A") == ["2222c░··········"]
    three_sessions.grow(first, 1)
    assert drawn(three_sessions._pool_view(), 16, 1, writing="A") == ["222bc░A·········"]


def test_several_blocks_share_a_cell_and_the_majority_shows(three_sessions: Any) -> None:
    view = three_sessions._pool_view()
    assert drawn(view, 4, 2) == ["22c·", "····"]
    assert drawn(view, 4, 1) == ["2···"]


def test_a_block_being_written_shows_in_a_cell_of_many(three_sessions: Any) -> None:
    three_sessions.grow(three_sessions.open_sessions[0], 1)
    assert drawn(three_sessions._pool_view(), 4, 1, writing="A") == ["2A··"]


def test_a_shared_block_shows_when_as_many_are_private(make_runtime: Any) -> None:
    runtime = make_runtime(num_blocks=2, block_size=4)
    runtime.grow(runtime.new_session("one"), 4)
    second = runtime.new_session("two")
    runtime.grow(second, 4)
    second.fork()
    assert drawn(runtime._pool_view(), 1, 1) == ["2"]


@pytest.mark.parametrize(
    ("blocks", "cells", "size"), [(1, 1, 1), (64, 64, 1), (65, 64, 2), (640, 160, 4), (9, 0, 16)]
)
def test_cells_hold_powers_of_two(blocks: int, cells: int, size: int) -> None:
    assert blocks_per_cell(blocks, cells) == size


def test_totals_add_up(three_sessions: Any) -> None:
    figures = pool_figures(three_sessions._pool_view())

    assert figures.num_used + figures.num_cached + figures.num_free == figures.num_total == 16
    assert figures.num_rows - figures.num_saved == figures.num_used == 5
    assert [each.num_own for each in figures.sequences] == [0, 0, 1]


def test_shared_counts_above_nine_are_a_plus(make_runtime: Any) -> None:
    runtime = make_runtime(num_blocks=4, block_size=4)
    first = runtime.new_session("one")
    runtime.grow(first, 4)
    for _ in range(8):
        first.fork()
    assert drawn(runtime._pool_view(), 4, 1)[0][0] == "9"
    first.fork()
    assert drawn(runtime._pool_view(), 4, 1)[0][0] == "+"


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 B"), (65_536, "64 KiB"), (1 << 20, "1 MiB"), (1_572_864, "1.5 MiB")]
)
def test_bytes_are_written_in_the_unit_that_reads_best(count: int, text: str) -> None:
    assert byte_size(count) == text
