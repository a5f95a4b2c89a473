"""The inspector: one block in words: whose it is, what it says, and what an action there costs.

Pure functions of a picture of the pool.
"""

import time
from typing import TYPE_CHECKING

from kvchat.tui.block_costs import fork_cost, rewind_cost, unload_cost
from kvchat.tui.block_place import BlockPlace, holders, sequence_of
from kvchat.tui.block_rows import SessionRow
from kvchat.tui.blocks_state import BlocksState, PoolPicture
from kvchat.tui.cells import Line, shorten
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.pool_figures import CACHED, FREE, HELD, SHARED, byte_size
from kvchat.tui.safe import safe_line

if TYPE_CHECKING:
    from kvchat.engine.sequence import ResumeCost

LABEL_CELLS = 14


def one_line(state: BlocksState, width: int, glyphs: Glyphs) -> Line:
    """Return the block under the cursor in one line, for the dock."""
    picture, place = state.picture, state.place
    if picture is None or place is None:
        return ()
    parts = [_where(picture, place), _tokens(picture, place, short=True), _users(picture, place)]
    if place.block >= 0:
        parts.append(byte_size(picture.view.block_bytes))
    text = f" {glyphs.dot} ".join(part for part in parts if part)
    said = state.shown_text
    if said is not None and said.text.strip():
        text += f"  “{_quote(said.text, max(width - len(text) - 6, 0), glyphs)}”"
    return ((shorten(f" {text}", width, glyphs.ellipsis), ""),)


def inspector_lines(state: BlocksState, width: int, glyphs: Glyphs) -> list[Line]:
    """Return the block under the cursor in six lines: what, whose, its text, and three costs."""
    picture, place = state.picture, state.place
    if picture is None or place is None:
        return [((shorten(" no block is chosen; the arrow keys move", width), "dim"),)]
    dot = f" {glyphs.dot} "
    head = [" " + _where(picture, place), _tokens(picture, place), _filled(picture, place)]
    if place.block >= 0:
        head.append(byte_size(picture.view.block_bytes))
    lines: list[Line] = [((dot.join(part for part in head if part), "bold"),)]
    parts = (_users(picture, place), _filled_at(picture, place), _life(picture, place))
    whose = dot.join(filter(None, parts))
    lines.append(((f" {whose}", ""),))
    lines.append(_text_line(state, place, width, glyphs))
    lines += cost_lines(state, glyphs)
    return [_fitted(line, width, glyphs) for line in lines]


def cost_lines(state: BlocksState, glyphs: Glyphs) -> list[Line]:
    """Return what rewinding, forking and coming back here would cost; empty without a session."""
    picture, place = state.picture, state.place
    if picture is None or place is None or place.session_id not in picture.rows:
        return []
    row = picture.rows[place.session_id]
    words = [
        ("rewind here", _rewind_words(picture, place, state, row)),
        ("fork here", _fork_words(picture, place, state, row)),
        ("come back", _return_words(picture, place, state.costs.get(place.session_id), row)),
    ]
    return [((f" {name:<{LABEL_CELLS - 1}}", "dim"), (text, "")) for name, text in words]


def end_token(picture: PoolPicture, place: BlockPlace) -> int:
    """Return how many tokens of the session lie up to the end of a block."""
    size = picture.view.block_size
    sequence = sequence_of(picture.view, place.session_id)
    row = picture.rows.get(place.session_id)
    length = max(sequence.length if sequence else 0, row.num_tokens if row else 0)
    return min((place.index + 1) * size, max(length, place.index * size))


def _where(picture: PoolPicture, place: BlockPlace) -> str:
    view = picture.view
    words = []
    row = picture.rows.get(place.session_id)
    sequence = sequence_of(view, place.session_id)
    if row is not None:
        count = len(sequence.table) if sequence is not None else 0
        count = max(count, -(-row.num_tokens // view.block_size), place.index + 1)
        words.append(f"{row.owner.tag} #{place.index + 1}/{count}")
    if place.block >= 0:
        words.append(f"block {place.block:04}")
    elif sequence is not None and place.index < len(sequence.table):
        words.append("released by its window")
    elif row is not None:
        resident = len(sequence.table) if sequence is not None else 0
        behind = place.index - resident
        on_disk = behind < -(-row.num_disk_tokens // view.block_size)
        words.append("on disk only" if on_disk else "not computed, text kept")
    return " · ".join(words)


def _tokens(picture: PoolPicture, place: BlockPlace, short: bool = False) -> str:
    if not place.session_id:
        return ""
    first = place.index * picture.view.block_size
    last = max(end_token(picture, place) - 1, first)
    return f"{'tok' if short else 'tokens'} {token_count(first)}–{token_count(last)}"


def _filled(picture: PoolPicture, place: BlockPlace) -> str:
    if place.block < 0 or not place.session_id:
        return ""
    size = picture.view.block_size
    count = end_token(picture, place) - place.index * size
    return f"{count}/{size} full" if count < size else "full"


def _filled_at(picture: PoolPicture, place: BlockPlace) -> str:
    """Return when what a block holds was read, or came back from disk."""
    view = picture.view
    if not 0 <= place.block < len(view.filled_at) or view.states[place.block] == FREE:
        return ""
    return time.strftime("read at %H:%M:%S", time.localtime(view.filled_at[place.block]))


def _users(picture: PoolPicture, place: BlockPlace) -> str:
    if place.block < 0:
        return ""
    tags = _tags(picture, [key for key, _ in holders(picture.view, place.block)])
    count = picture.view.ref_counts[place.block]
    if count == 0:
        return ""
    return f"ref {count}: {', '.join(tags)}" if tags else f"ref {count}"


def _life(picture: PoolPicture, place: BlockPlace) -> str:
    view = picture.view
    if place.block < 0:
        return "its room is used by others; nothing of the text is lost"
    state = view.states[place.block]
    if state == FREE:
        return "free: holds nothing"
    if state == CACHED:
        rank = view.cached.index(place.block) + 1 if place.block in view.cached else 0
        return f"cached: nobody uses it, number {rank} of {view.num_cached} to give way"
    if state == HELD:
        return "held by the step that runs now"
    if state == SHARED:
        return "whoever writes into it copies it first"
    sequence = sequence_of(view, place.session_id)
    if sequence is not None and sequence.window is not None:
        is_sink = place.index * view.block_size < sequence.sinks
        return "a sink: its window never lets go of it" if is_sink else "inside its window"
    return "nobody else uses it"


def _text_line(state: BlocksState, place: BlockPlace, width: int, glyphs: Glyphs) -> Line:
    said = state.shown_text
    if said is None or not said.text.strip():
        return ()
    jump = " text (⏎ jumps there): "
    quote = _quote(said.text, max(width - len(jump) - 2, 0), glyphs)
    return ((jump, "dim"), (f"“{quote}”", ""))


def _quote(text: str, width: int, glyphs: Glyphs) -> str:
    return shorten(" ".join(safe_line(text).split()), width, glyphs.ellipsis)


def _rewind_words(
    picture: PoolPicture, place: BlockPlace, state: BlocksState, row: SessionRow
) -> str:
    said = state.shown_text
    num_tokens = said.num_kept if said is not None else end_token(picture, place)
    cost = rewind_cost(picture.view, place.session_id, num_tokens)
    if not cost.num_dropped and not cost.num_staying:
        sequence = sequence_of(picture.view, place.session_id)
        holds_blocks = sequence is not None and any(block >= 0 for block in sequence.table)
        words = "nothing is behind it" if holds_blocks else "it holds no block now"
    else:
        size = byte_size(cost.num_dropped * picture.view.block_bytes)
        verb = "becomes" if cost.num_dropped == 1 else "become"
        words = f"{count_of(cost.num_dropped, 'block')} ({size}) {verb} cached"
        if cost.num_staying:
            tags = ", ".join(_tags(picture, cost.stay_with))
            words += f"; {cost.num_staying} stay with {tags}"
    from_disk, again = 0, cost.num_reread
    if said is not None and state.plan is not None:
        from_disk, again = state.plan  # the engine knows what is cached and saved
    if from_disk:
        words += f"; {count_of(from_disk, 'token')} from disk"
    if again > 1:
        words += f"; re-reads {count_of(again, 'token')}{_seconds(again, row)}"
    return f"to token {token_count(num_tokens)}: {words}" if said is not None else words


def _fork_words(
    picture: PoolPicture, place: BlockPlace, state: BlocksState, row: SessionRow
) -> str:
    num_tokens = end_token(picture, place)
    cost = fork_cost(picture.view, place.session_id, num_tokens)
    if cost.num_reread:
        known = state.costs.get(place.session_id)
        on_disk = known.num_disk_tokens if known is not None else 0
        from_disk = min(on_disk, cost.num_reread)
        again = cost.num_reread - from_disk
        words = "0 blocks now"
        if from_disk:
            words += f"; {count_of(from_disk, 'token')} from disk"
        if again > 1:
            words += f"; re-reads up to {count_of(again, 'token')}{_seconds(again, row)}"
        return words
    if cost.is_copy:
        return "0 blocks now; the first new token copies 1 block"
    return "0 blocks now; the first new token takes 1 block"


def _return_words(
    picture: PoolPicture, place: BlockPlace, cost: "ResumeCost | None", row: SessionRow
) -> str:
    frees, stays = unload_cost(picture.view, place.session_id)
    if cost is None:
        sequence = sequence_of(picture.view, place.session_id)
        resident = sequence.length if sequence is not None else 0
        parts = [f"{count_of(resident, 'token')} in the pool"]
    else:
        parts = [f"{count_of(cost.num_resident_tokens, 'token')} in the pool"]
        if cost.num_disk_tokens:
            parts.append(f"{token_count(cost.num_disk_tokens)} on disk")
        if cost.num_prefill_tokens > 1:  # the last one of a reply is always computed anew
            again = token_count(cost.num_prefill_tokens)
            parts.append(f"{again} re-read{_seconds(cost.num_prefill_tokens, row)}")
    words = ", ".join(parts)
    if frees:
        size = byte_size(frees * picture.view.block_bytes)
        words += f"; U frees {count_of(frees, 'block')} ({size})"
        words += f", {stays} stay" if stays else ""
    return words


def _seconds(num_tokens: int, row: SessionRow) -> str:
    return f", ~{num_tokens / row.prefill_speed:.1f} s" if row.prefill_speed else ""


def _tags(picture: PoolPicture, session_ids: "list[str] | tuple[str, ...]") -> list[str]:
    return [picture.rows[key].owner.tag for key in session_ids if key in picture.rows]


def _fitted(line: Line, width: int, glyphs: Glyphs) -> Line:
    spans = []
    room = width
    for text, style in line:
        if room <= 0:
            break
        short = shorten(text, room, glyphs.ellipsis)
        spans.append((short, style))
        room -= len(short)
    return tuple(spans)
