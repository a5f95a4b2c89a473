"""PoolFigures: the numbers beside every view of the pool, from one PoolView, so that they add up.

rows - shared + held by the step = used, and used + cached + free = the pool, in blocks of the
viewed layer group; bytes are those of all layer groups.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvchat.kv.pool_view import PoolView

FREE, CACHED, PRIVATE, SHARED, HELD = range(5)
"""The states of a block, as the bytes of a view number them."""


@dataclass(frozen=True, slots=True)
class SequenceFigures:
    """What one session holds: blocks in its table, how many of them others use too."""

    session_id: str
    num_blocks: int
    num_shared: int
    num_released: int
    num_runs: int
    num_bytes: int

    @property
    def num_own(self) -> int:
        """Blocks that nobody else uses."""
        return self.num_blocks - self.num_shared


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Totals that add up: rows - saved + held = used, used + cached + free = total."""

    num_rows: int
    num_saved: int
    num_held: int
    num_used: int
    num_cached: int
    num_free: int
    num_total: int
    used_bytes: int
    cached_bytes: int
    free_bytes: int
    total_bytes: int
    sequences: tuple[SequenceFigures, ...]

    @property
    def used_percent(self) -> int:
        """The part of the pool in use, rounded down."""
        return 100 * self.num_used // max(self.num_total, 1)

    @property
    def cached_percent(self) -> int:
        """The part of the pool that is cached, rounded down."""
        return 100 * self.num_cached // max(self.num_total, 1)


def pool_figures(view: "PoolView") -> PoolFigures:
    """Return the totals of a view and the figures of each session in it."""
    sequences = []
    num_rows = 0
    counts = view.ref_counts
    for sequence in view.sequences:
        blocks = [block for block in sequence.table if block >= 0]
        shared = sum(counts[block] > 1 for block in blocks)
        num_rows += len(blocks)
        sequences.append(
            SequenceFigures(
                sequence.session_id,
                len(blocks),
                shared,
                len(sequence.table) - len(blocks),
                sequence.num_runs,
                sequence.num_bytes or len(blocks) * view.block_bytes,
            )
        )
    num_in_tables = view.num_private + view.num_shared
    used = cached = free = 0
    for group in view.groups:
        used += (group.num_private + group.num_shared + group.num_held) * group.block_bytes
        cached += group.num_cached * group.block_bytes
        free += group.num_free * group.block_bytes
    return PoolFigures(
        num_rows,
        max(num_rows - num_in_tables, 0),
        view.num_held,
        num_in_tables + view.num_held,
        view.num_cached,
        view.num_free,
        view.num_blocks,
        used,
        cached,
        free,
        used + cached + free,
        tuple(sequences),
    )


def byte_size(num_bytes: int) -> str:
    """Return a number of bytes in the unit that reads best: `1 MiB`, `64 KiB`, `1.5 GiB`."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if size >= 10 or size == int(size) else f"{size:.1f} {unit}"
