"""The time view, the words of events, and the forecast."""

from typing import Any

import pytest

from kvchat.kv.pool_history import PoolSample
from kvchat.kv.pool_view import PoolEvent
from kvchat.tui.block_rows import Owner, SessionRow
from kvchat.tui.block_words import event_lines, forecast, sample_at, used_bars
from kvchat.tui.cells import line_width
from kvchat.tui.glyphs import ASCII, UNICODE
from kvchat.tui.widgets.block_time import seconds_shown, time_lines

ROWS = {"session-0": SessionRow("one", Owner("A", 0, False))}


@pytest.fixture
def runtime(make_runtime: Any) -> Any:
    """A pool of 20 blocks: for two minutes 10 of A, then 4 of A, 6 shared and 5 cached."""
    runtime = make_runtime(num_blocks=20, block_size=4)
    runtime.grow(runtime.new_session("one"), 16)
    now = runtime.now
    runtime.history = [
        PoolSample(now - 240, 10, 0, 0, 0, (("session-0", 10),)),
        PoolSample(now - 120, 5, 5, 6, 0, (("session-0", 4),)),
    ]
    return runtime


def drawn(runtime: Any, width: int = 69, height: int = 13, **options: Any) -> list[str]:
    view = runtime._pool_view()
    lines = time_lines(view, ROWS, width, height, UNICODE, runtime.now, **options)
    assert all(line_width(line) <= width for line in lines)
    return ["".join(text for text, _ in line) for line in lines]


def column(lines: list[str], place: int) -> str:
    return "".join(line[7 + place] for line in reversed(lines[:10])).rstrip()


def test_a_column_is_the_pool_at_that_time_from_shared_to_cached(runtime: Any) -> None:
    lines = drawn(runtime)
    assert column(lines, 0) == ""
    assert column(lines, 20) == "aaaaa"
    assert column(lines, 60) == "222aa░░" or column(lines, 60) == "222aa░░░"
    assert lines[0].startswith(" 100%") and lines[9].startswith("   0%")


def test_between_samples_the_last_one_holds(runtime: Any) -> None:
    samples = runtime.history
    assert sample_at(samples, samples[0].at - 1) is None
    assert sample_at(samples, samples[1].at - 1) is samples[0]
    assert sample_at(samples, samples[1].at + 100) is samples[1]


def test_events_are_letters_at_their_time(runtime: Any) -> None:
    runtime.events.append(PoolEvent(1, "fork", "B goes on", 0, runtime.now - 300))
    runtime.events.append(PoolEvent(2, "evict", "made room", 3, runtime.now))
    runtime.events.append(PoolEvent(3, "copy", "long ago", 1, runtime.now - 301 - 9))
    letters = drawn(runtime)[-1][7:]
    assert letters[0] == "f" and letters.rstrip()[-1] == "e" and "c" not in letters
    assert drawn(runtime, kind="fork")[-1][7:].split() == ["f"]


def test_zoomed_in_less_time_is_shown(runtime: Any) -> None:
    assert [seconds_shown(zoom) for zoom in (0, 1, 2)] == [300, 150, 75]
    assert column(drawn(runtime, zoom=2), 0)[:3] == "222"


def test_an_event_says_when_what_and_how_many_bytes() -> None:
    events = [
        PoolEvent(1, "copy", "B writes [/] into", 1, 1_700_000_000.0),
        PoolEvent(2, "evict", "made room; its text stays", 3, 1_700_000_001.0),
    ]
    lines = event_lines(events, "", 1 << 20, 80, UNICODE)
    texts = ["".join(text for text, _ in line) for line in lines]
    assert "evict" in texts[0] and "its text stays" in texts[0] and "−3 MiB" in texts[0]
    assert "B writes [/] into" in texts[1] and "1 blk" in texts[1] and "+1 MiB" in texts[1]
    assert len(event_lines(events, "copy", 1, 80, UNICODE)) == 1
    assert all(line_width(line) <= 30 for line in event_lines(events, "", 1, 30, UNICODE))


def test_the_forecast_follows_the_order_of_eviction_and_ends_well(runtime: Any) -> None:
    view = runtime._pool_view()
    assert forecast(view, ROWS, runtime.now) == (
        "not filling: the tail of A (idle longest) goes first; no session fails"
    )
    runtime.history = [
        PoolSample(runtime.now - 60, 16, 0, 0, 0, (("session-0", 4),)),
        PoolSample(runtime.now, 12, 0, 0, 0, (("session-0", 8),)),
    ]
    words = forecast(runtime._pool_view(), ROWS, runtime.now)
    assert words.startswith("at this rate full in ~3 min:")


def test_bars_show_the_part_in_use(runtime: Any) -> None:
    bars = used_bars(runtime._pool_view(), 6, UNICODE, runtime.now)
    assert bars == " ▅▅▅▅▅"
    assert used_bars(runtime._pool_view(), 6, ASCII, runtime.now).isascii()
