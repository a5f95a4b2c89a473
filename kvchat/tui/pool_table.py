"""The table beside the views: a row per session, and totals that add up to the pool."""

from kvchat.tui.blocks_state import PoolPicture
from kvchat.tui.cells import Line, fit
from kvchat.tui.figures import count_of
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.pool_figures import PoolFigures, byte_size


def table_lines(
    picture: PoolPicture, figures: PoolFigures, width: int, height: int, glyphs: Glyphs
) -> list[Line]:
    """Return rows and totals in at most `height` lines; rows that do not fit are counted."""
    totals = total_lines(figures, glyphs)
    columns = f"{'blk':>5}{'own':>5}{'shr':>4}{'runs':>5}{'reused':>7}{'tok/s':>6}"
    room = max(width - len(columns), 4)
    lines: list[Line] = [((" " * room + columns, "dim"),)]
    rows = [each for each in figures.sequences if each.session_id in picture.rows]
    limit = max(height - len(totals) - 2, 1)
    for each in rows if len(rows) <= limit else rows[: limit - 1]:
        row = picture.rows[each.session_id]
        name = fit(f" {row.owner.tag} {row.title}", room, glyphs.ellipsis)
        numbers = (
            f"{each.num_blocks:>5}{each.num_own:>5}{each.num_shared:>4}{each.num_runs:>5}"
            f"{row.reused:>7}{row.speed or glyphs.nothing:>6}"
        )
        lines.append(((name, f"hue{row.owner.hue}"), (numbers, "")))
    if len(rows) > limit:
        lines.append(((f"   {glyphs.ellipsis} and {len(rows) - limit + 1} more", "dim"),))
    return [*lines, *totals]


def total_lines(figures: PoolFigures, glyphs: Glyphs) -> list[Line]:
    """Return the sums, in blocks of this layer group and in bytes of all."""
    in_tables = figures.num_rows - figures.num_saved
    first = f" {count_of(figures.num_rows, 'row')} {glyphs.minus} {figures.num_saved} shared"
    if figures.num_held:
        first += f" + {figures.num_held} held = {figures.num_used} used"
    else:
        first += f" = {in_tables} used"
    second = f"   + {figures.num_cached} cached + {figures.num_free} free = {figures.num_total}"
    third = (
        f" {byte_size(figures.used_bytes)} + {byte_size(figures.cached_bytes)}"
        f" + {byte_size(figures.free_bytes)} = {byte_size(figures.total_bytes)}"
    )
    return [((first, ""),), ((second, ""),), ((third, "dim"),)]
