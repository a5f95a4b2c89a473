"""Lanes: the tokens of each session from left to right."""

from dataclasses import replace
from typing import Any

import pytest

from kvchat.tui.block_place import BlockPlace
from kvchat.tui.block_rows import Owner, SessionRow, family_order
from kvchat.tui.cells import line_width
from kvchat.tui.glyphs import ASCII, UNICODE
from kvchat.tui.widgets.block_lanes import lane_grid, lane_lines, lane_place, lanes_of


@pytest.fixture
def runtime(make_runtime: Any) -> Any:
    """A of 5 blocks, of which B shares 3; C of 2."""
    runtime = make_runtime(num_blocks=32, block_size=4)
    first = runtime.new_session("one")
    runtime.grow(first, 12)
    second = first.fork()
    runtime.grow(first, 7)
    runtime.grow(second, 3)
    runtime.grow(runtime.new_session("three"), 8)
    return runtime


def rows(**changes: Any) -> dict[str, SessionRow]:
    made = {}
    for number, tag in enumerate("ABC"):
        row = SessionRow(f"title {tag}", Owner(tag, number, False), now="idle")
        made[f"session-{number}"] = replace(row, **changes.get(tag, {}))
    made["session-1"] = replace(made["session-1"], origin="session-0")
    return made


def drawn(view: Any, about: dict[str, SessionRow], width: int = 60, **options: Any) -> list[str]:
    lanes = lanes_of(view, about, UNICODE, list(about))
    grid = lane_grid(lanes, width, 8, zoom=options.pop("zoom", 0), place=options.get("place"))
    lines = lane_lines(view, lanes, about, grid, width, UNICODE, **options)
    assert all(line_width(line) <= width for line in lines)
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_a_fork_stands_below_its_origin_and_shows_what_they_share(runtime: Any) -> None:
    lines = drawn(runtime._pool_view(), rows())
    assert [line.split()[-2:] for line in lines[1:]] == [["222aa", "5"], ["222b", "4"], ["cc", "2"]]
    assert lines[2].startswith(" └ B title B")


def test_what_a_window_released_is_a_gap_and_what_is_on_disk_or_unread_stands_behind(
    runtime: Any,
) -> None:
    view = runtime._pool_view()
    table = view.sequences[2].table
    windowed = replace(view.sequences[2], table=(table[0], -1, -1, table[1]), length=16)
    view = replace(view, sequences=(*view.sequences[:2], windowed))
    about = rows(C={"num_tokens": 30, "num_disk_tokens": 8})
    assert drawn(view, about)[3].split()[-2:] == ["c__c==??", "2"]


def test_a_session_that_is_only_on_disk_has_a_lane(runtime: Any) -> None:
    view = replace(runtime._pool_view(), sequences=runtime._pool_view().sequences[:2])
    about = rows(C={"num_tokens": 9, "num_disk_tokens": 8, "now": "8 on disk"})
    line = drawn(view, about, 120)[3]
    assert "==?" in line and "8 on disk" in line and "0 B" in line


def test_the_block_being_written_is_a_capital_also_in_a_cell_of_many(runtime: Any) -> None:
    about = rows(A={"owner": Owner("A", 0, True)})
    assert drawn(runtime._pool_view(), about)[1].split()[-2] == "222aA"
    runtime.grow(runtime.open_sessions[0], 4 * 15)
    assert drawn(runtime._pool_view(), about, 60, zoom=-2)[1].split()[-2] == "2aaaA"


def test_zoomed_in_the_lane_scrolls_with_the_cursor(runtime: Any) -> None:
    runtime.grow(runtime.open_sessions[2], 4 * 18)
    view = runtime._pool_view()
    lanes = lanes_of(view, rows(), UNICODE, list(rows()))
    far = BlockPlace("session-2", 19, 0)
    assert lane_grid(lanes, 20, 8).size == 2
    zoomed = lane_grid(lanes, 20, 8, zoom=1, place=far)
    assert (zoomed.size, zoomed.first_cell) == (1, 20 - zoomed.width)


def test_the_cell_under_the_mouse_is_a_lane_and_a_block(runtime: Any) -> None:
    view = runtime._pool_view()
    lanes = lanes_of(view, rows(), UNICODE, list(rows()))
    grid = lane_grid(lanes, 60, 8)
    for row, column in ((0, 4), (1, 0), (2, 1)):
        found = lane_place(lanes, grid, grid.left + column, row)
        assert found is not None
        assert (found[0].session_id, found[1]) == (f"session-{row}", column)
    assert lane_place(lanes, grid, grid.left + 5, 0) is None
    assert lane_place(lanes, grid, grid.left, 3) is None
    assert lane_place(lanes, grid, 0, 0) is None


def test_in_ascii_a_fork_is_drawn_in_ascii(runtime: Any) -> None:
    about = rows()
    lanes = lanes_of(runtime._pool_view(), about, ASCII, list(about))
    grid = lane_grid(lanes, 60, 8)
    lines = lane_lines(runtime._pool_view(), lanes, about, grid, 60, ASCII)
    assert all(text.isascii() for line in lines for text, _ in line)


def test_each_session_stands_once_in_the_order_whatever_the_origins_say() -> None:
    about = rows(A={"origin": "session-2"}, C={"origin": "session-0"})
    order = family_order(about)
    assert sorted(key for key, _, _ in order) == sorted(about)


def test_forks_of_forks_are_indented_and_the_last_is_known() -> None:
    about = rows(C={"origin": "session-1"})
    assert family_order(about) == [
        ("session-0", 0, False), ("session-1", 1, True), ("session-2", 2, True),
    ]  # fmt: skip
