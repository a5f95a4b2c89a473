"""Events and forecasts of the pool in plain words: what happened, and what stays safe."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kvchat.tui.block_rows import SessionRow
from kvchat.tui.cells import Line, fit, shorten
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.pool_figures import byte_size
from kvchat.tui.safe import safe_line

if TYPE_CHECKING:
    from kvchat.kv.pool_history import PoolSample
    from kvchat.kv.pool_view import PoolEvent, PoolView

LETTERS = {
    "fork": "f", "copy": "c", "hit": "h", "release": "w", "evict": "e", "spill": "s",
    "restore": "r", "rebuild": "b", "compact": "k", "preempt": "p", "save": "v", "unload": "u",
    "reject": "j", "rewind": "z", "free": "q",
}  # fmt: skip
"""The letter of each kind of event in the time view."""
NAMES = {"free": "close"}
TAKES = frozenset({"copy", "restore"})
GIVES = frozenset({"evict", "release", "unload", "spill"})
FORECAST_SECONDS = 60.0
MAX_FORECAST_MINUTES = 60


def event_lines(
    events: "Sequence[PoolEvent]",
    kind: str,
    block_bytes: int,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return a line for each event, newest first; `kind` leaves only those of one kind."""
    lines: list[Line] = []
    for event in reversed(events):
        if kind and event.kind != kind:
            continue
        when = time.strftime("%H:%M:%S", time.localtime(event.at))
        name = safe_line(NAMES.get(event.kind, event.kind))
        size = byte_size(event.num_blocks * block_bytes)
        if event.kind in TAKES:
            size = f"+{size}"
        elif event.kind in GIVES:
            size = f"{glyphs.minus}{size}"
        elif event.kind == "fork":
            size = "0 B"
        else:
            size = ""
        count = f"{event.num_blocks} blk" if event.num_blocks else ""
        room = width - 9 - 8 - 1
        right = f" {count:>7} {size:>8}" if room >= 56 else f" {size:>8}" if room >= 34 else ""
        text = fit(safe_line(event.text), room - len(right), glyphs.ellipsis)
        lines.append(((f"{when} ", "dim"), (f"{name:<8}", "accent"), (text, ""), (right, "dim")))
    return lines


def used_bars(view: "PoolView", width: int, glyphs: Glyphs, now: float) -> str:
    """Return the part of the pool in use over the last minutes, as bars."""
    samples = view.history
    if not samples or width < 1:
        return ""
    bars, total = glyphs.sparks, sampled_blocks(view)
    text = ""
    for column in range(width):
        sample = sample_at(samples, now - 300.0 * (width - 1 - column) / max(width - 1, 1))
        if sample is None:
            text += " "
            continue
        used = total - sample.num_free - sample.num_cached
        text += bars[min(len(bars) * used // max(total, 1), len(bars) - 1)]
    return text


def sampled_blocks(view: "PoolView") -> int:
    """Return the size of the layer group that history samples are of, the first."""
    return view.groups[0].num_blocks if view.groups else view.num_blocks


def sample_at(samples: "Sequence[PoolSample]", at: float) -> "PoolSample | None":
    """Return the last sample not after a time, None before the first."""
    found = None
    for sample in samples:
        if sample.at > at:
            break
        found = sample
    return found


def forecast(view: "PoolView", rows: Mapping[str, SessionRow], now: float) -> str:
    """Return what happens next if the pool fills as in the last minute; no session ever fails.

    Follows the order of eviction: free blocks, cached ones, tails of idle sessions by last use,
    then the newest running reply.
    """
    samples = [sample for sample in view.history if sample.at >= now - FORECAST_SECONDS]
    order = "cached blocks go first" if view.num_cached else ""
    idle = sorted(
        (
            sequence
            for sequence in view.sequences
            if sequence.table
            and sequence.session_id in rows
            and not rows[sequence.session_id].owner.is_writing
        ),
        key=lambda sequence: sequence.last_used,
    )
    if idle:
        tag = rows[idle[0].session_id].owner.tag
        tail = f"the tail of {tag} (idle longest)"
        order += f", then {tail}" if order else f"{tail} goes first"
    rate = 0.0
    free = [0]
    if len(samples) >= 2 and samples[-1].at > samples[0].at:
        free = [sample.num_free + sample.num_cached for sample in samples]
        rate = (free[0] - free[-1]) / (samples[-1].at - samples[0].at)
    if rate <= 0:
        when = "not filling"
    else:
        minutes = free[-1] / rate / 60
        if minutes > MAX_FORECAST_MINUTES:
            when = "at this rate full in over an hour"
        elif minutes < 1:
            when = "at this rate full within a minute"
        else:
            when = f"at this rate full in ~{minutes:.0f} min"
    return f"{when}: {order}; no session fails" if order else f"{when}; no session fails"


def last_kinds(events: "Sequence[PoolEvent]") -> list[str]:
    """Return the kinds of events there are, in the order of the letters."""
    kinds = {event.kind for event in events}
    return [kind for kind in LETTERS if kind in kinds] + sorted(kinds - LETTERS.keys())


def sentence(text: str, width: int, glyphs: Glyphs) -> str:
    """Return text on one line of at most `width` cells."""
    return shorten(safe_line(text), width, glyphs.ellipsis)
