"""What the commands do in the views of the pool: move, look closer, and act at a block."""

import csv
import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.block_inspector import end_token
from kvchat.tui.block_place import (
    BlockPlace,
    next_of_owner,
    next_shared,
    place_in_lane,
    place_of_block,
)
from kvchat.tui.block_words import last_kinds
from kvchat.tui.blocks_state import MAX_ZOOM, BlocksState, Mode, PoolPicture
from kvchat.tui.chat_state import SessionView
from kvchat.tui.message_actions import rewind_to
from kvchat.tui.pool_figures import byte_size
from kvchat.tui.view_keys import come_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvchat.kv.pool_view import PoolView
    from kvchat.tui.screens.chat import ChatScreen
    from kvchat.tui.widgets.block_map import MapGrid

STATE_NAMES = ("free", "cached", "private", "shared", "held")


def is_open(chat: "ChatScreen", _key: str) -> bool:
    """Whether the pool is on the whole screen."""
    return chat.blocks.screen is not None


def show_blocks(chat: "ChatScreen", args: str) -> None:
    """Show the panel, then the whole screen, then neither; or the view that is named.

    Over another view there is only the whole screen, and it leads back there.
    """
    modes: dict[str, Mode] = {"map": "map", "lanes": "lanes", "time": "time"}
    if args in modes:
        chat.blocks.open(modes[args])
        return
    if args:
        raise InvalidArgument(f"{args[:40]} is no view of the blocks; there are map, lanes, time.")
    if chat.blocks.screen is not None:
        chat.blocks.close()
        if chat.app.screen is chat and chat.blocks.panel is not None:
            chat.toggle_blocks()
    elif chat.app.screen is chat and chat.blocks.panel is None and chat.has_room_for_panel:
        chat.toggle_blocks()
    else:
        chat.blocks.open("lanes")


def back(chat: "ChatScreen", _args: str) -> None:
    """Close the legend, thaw, or go back to the chat."""
    state = chat.blocks.state
    if state.has_legend:
        state.has_legend = False
        chat.blocks.redraw()
    elif chat.blocks.screen is not None:
        chat.blocks.close()
    else:
        chat.leave_cursor()


def show_map(chat: "ChatScreen", _args: str) -> None:
    """Show the pool in physical order."""
    chat.blocks.open("map")


def show_lanes(chat: "ChatScreen", _args: str) -> None:
    """Show each session in the order of its tokens."""
    chat.blocks.open("lanes")


def show_time(chat: "ChatScreen", _args: str) -> None:
    """Show who used the pool in the last minutes."""
    chat.blocks.open("time")


# -- the cursor ----------------------------------------------------------------------------


def move_left(chat: "ChatScreen", _args: str) -> None:
    """Go a cell to the left."""
    _move(chat, -1, 0)


def move_right(chat: "ChatScreen", _args: str) -> None:
    """Go a cell to the right."""
    _move(chat, 1, 0)


def move_up(chat: "ChatScreen", _args: str) -> None:
    """Go a row up."""
    _move(chat, 0, -1)


def move_down(chat: "ChatScreen", _args: str) -> None:
    """Go a row down."""
    _move(chat, 0, 1)


def go_first(chat: "ChatScreen", _args: str) -> None:
    """Go to the first block of this session, or of the pool."""
    _move(chat, -(1 << 30), 0)


def go_last(chat: "ChatScreen", _args: str) -> None:
    """Go to the last block of this session, or of the pool."""
    _move(chat, 1 << 30, 0)


def go_to_shared(chat: "ChatScreen", _args: str) -> None:
    """Go to the next block several sessions use."""
    picture = _picture(chat)
    place = next_shared(picture.view, chat.blocks.state.place)
    if place is None:
        raise KVChatError("No block is shared: fork a session to see one.")
    _go(chat, place)


def go_to_owner(chat: "ChatScreen", _args: str) -> None:
    """Go to the next block of the same session, in the order of its tokens."""
    place = next_of_owner(_picture(chat).view, chat.blocks.state.place)
    if place is None:
        raise KVChatError("No session uses this block.")
    _go(chat, place)


def _move(chat: "ChatScreen", columns: int, rows: int) -> None:
    state, picture = chat.blocks.state, _picture(chat)
    screen = chat.blocks.screen
    if screen is not None and state.mode == "time":
        last = screen.blocks.num_columns - 1
        at = last if state.column is None else state.column
        state.column = min(max(at + columns, 0), last)
        chat.blocks.redraw()
        return
    grid = screen.blocks.map_grid if screen is not None else _panel_grid(chat)
    if screen is not None and state.mode == "lanes":
        _go(chat, _lane_move(chat, picture.view, state, columns, rows))
    elif grid is not None:
        at = max(state.place.block, 0) // grid.size if state.place is not None else 0
        block = (at + columns + rows * grid.width) * grid.size
        if rows and not 0 <= block < picture.view.num_blocks:
            return
        block = min(max(block, 0), picture.view.num_blocks - 1)
        _go(chat, place_of_block(picture.view, block))


def _panel_grid(chat: "ChatScreen") -> "MapGrid | None":
    return chat.blocks.panel.grid if chat.blocks.panel is not None else None


def _lane_move(
    chat: "ChatScreen", view: "PoolView", state: BlocksState, columns: int, rows: int
) -> BlockPlace | None:
    screen = chat.blocks.screen
    if screen is None or screen.blocks.lane_grid is None or not screen.blocks.lanes:
        return None
    lanes, size = screen.blocks.lanes, screen.blocks.lane_grid.size
    place = state.place
    number = next(
        (i for i, lane in enumerate(lanes) if place and lane.session_id == place.session_id), 0
    )
    lane = lanes[min(max(number + rows, 0), len(lanes) - 1)]
    at = place.index if place is not None else 0
    index = min(max((at // size + columns) * size if columns else at, 0), lane.num_blocks - 1)
    return place_in_lane(view, lane.session_id, index)


def _go(chat: "ChatScreen", place: BlockPlace | None) -> None:
    chat.blocks.state.go_to(place)
    chat.blocks.moved()


# -- looking -------------------------------------------------------------------------------


def zoom_fit(chat: "ChatScreen", _args: str) -> None:
    """Show everything again."""
    _zoom(chat, -chat.blocks.state.zoom)


def zoom_in(chat: "ChatScreen", _args: str) -> None:
    """Show half as many blocks in a cell, or half the time."""
    _zoom(chat, 1)


def zoom_out(chat: "ChatScreen", _args: str) -> None:
    """Show twice as many blocks in a cell, or twice the time."""
    _zoom(chat, -1)


def _zoom(chat: "ChatScreen", step: int) -> None:
    state = chat.blocks.state
    state.zoom = min(max(state.zoom + step, 0), MAX_ZOOM)
    chat.blocks.redraw()


def next_group(chat: "ChatScreen", _args: str) -> None:
    """Show the next layer group, in models that have several."""
    picture, state = _picture(chat), chat.blocks.state
    count = max(len(picture.view.groups), 1)
    if count == 1:
        raise KVChatError("All layers of this model are one group.")
    state.group_index = (picture.view.group_index + 1) % count
    chat.blocks.want()


def freeze(chat: "ChatScreen", _args: str) -> None:
    """Keep the picture as it is, or let it go on."""
    state = chat.blocks.state
    state.is_frozen = not state.is_frozen
    chat.blocks.draw()


def filter_events(chat: "ChatScreen", _args: str) -> None:
    """Show the events of one kind, of the next kind, of all."""
    state = chat.blocks.state
    kinds = ["", *last_kinds(_picture(chat).view.events)]
    at = kinds.index(state.kind) if state.kind in kinds else 0
    state.kind = kinds[(at + 1) % len(kinds)]
    chat.blocks.redraw()


def show_legend(chat: "ChatScreen", _args: str) -> None:
    """Say what the marks mean, or no longer."""
    chat.blocks.state.has_legend = not chat.blocks.state.has_legend
    chat.blocks.redraw()


def write_csv(chat: "ChatScreen", _args: str) -> None:
    """Write the blocks, or in the time view the events, to a CSV file in this directory."""
    picture, state = _picture(chat), chat.blocks.state
    is_time = state.mode == "time"
    text = _events_csv(picture) if is_time else _blocks_csv(picture)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(picture.now))
    path = Path.cwd() / f"kvchat-{'events' if is_time else 'blocks'}-{stamp}.csv"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise KVChatError(f"{path.name} could not be written: {error.strerror}.") from error
    chat.notice(f"Wrote {path.name} ({byte_size(len(text))}).")


def _blocks_csv(picture: PoolPicture) -> str:
    view = picture.view
    rank = {block: place for place, block in enumerate(view.cached, 1)}
    users: dict[int, list[str]] = {}
    for sequence in view.sequences:
        row = picture.rows.get(sequence.session_id)
        tag = row.owner.tag if row is not None else "?"
        for index, block in enumerate(sequence.table):
            if block >= 0:
                users.setdefault(block, []).append(f"{tag}#{index + 1}")
    rows: list[list[object]] = [["block", "state", "ref_count", "used_by", "eviction_place"]]
    for block in range(view.num_blocks):
        rows.append(
            [
                block,
                STATE_NAMES[view.states[block]],
                view.ref_counts[block],
                " ".join(users.get(block, ())),
                rank.get(block, ""),
            ]
        )
    return _csv(rows)


def _events_csv(picture: PoolPicture) -> str:
    rows: list[list[object]] = [["number", "unix_seconds", "kind", "num_blocks", "text"]]
    rows += [
        [event.number, f"{event.at:.3f}", event.kind, event.num_blocks, event.text]
        for event in picture.view.events
    ]
    return _csv(rows)


def _csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


# -- acting --------------------------------------------------------------------------------


def show_text(chat: "ChatScreen", _args: str) -> None:
    """Go to the text of the block in the chat, and mark it."""
    feed = chat.blocks
    view = _session_at(chat)
    feed.read_text()
    said = feed.state.shown_text
    if said is None:
        raise KVChatError("This block holds no text of a message.")
    come_back(chat)
    chat.show_session(view)
    chat.transcript.mark_text(said.parts)
    if all(part.first == part.behind for part in said.parts):
        chat.notice("This block holds what the template puts around the message.")


def rewind_here(chat: "ChatScreen", _args: str) -> None:
    """Rewind the session to the message that the block belongs to."""
    feed, view = chat.blocks, _session_at(chat)
    feed.read_text()
    said = feed.state.shown_text
    message = next(
        (each for each in view.session.messages if said and each.id == said.message_id), None
    )
    if message is None:
        raise KVChatError("There is no message at this block to rewind to.")
    come_back(chat)
    chat.show_session(view)
    rewind_to(chat, message)


def fork_here(chat: "ChatScreen", _args: str) -> None:
    """Make a session that goes on behind this block, sharing all before it."""
    feed, view = chat.blocks, _session_at(chat)
    picture, place = _picture(chat), feed.state.place
    assert place is not None
    position = end_token(picture, place)
    position = min(position, view.session.stats().num_tokens)
    fork = chat.view_of(view.session.fork(at=position))
    come_back(chat)
    chat.show_session(fork)
    chat.notice(f"{fork.session.tag} goes on behind token {position} of {view.session.tag}.")


def save_session(chat: "ChatScreen", _args: str) -> None:
    """Write the keys and values of this session to disk now."""
    view = _session_at(chat)
    _wait_for(chat, view.session.save, f"{view.session.tag} is on disk.")


def unload_session(chat: "ChatScreen", _args: str) -> None:
    """Save this session and give its blocks to others; its text stays."""
    view = _session_at(chat)
    done = f"{view.session.tag} is saved, and its blocks are free for others; L brings it back."
    _wait_for(chat, view.session.unload, done)


def load_session(chat: "ChatScreen", _args: str) -> None:
    """Bring back what disk has of this session, before its next message needs it."""
    view = _session_at(chat)
    view.session.load()
    chat.notice(f"What disk has of {view.session.tag} comes back into the pool.")
    chat.blocks.ask_costs()


def _wait_for(chat: "ChatScreen", do: "Callable[[], None]", done: str) -> None:
    async def waiting() -> None:
        def run() -> bool:
            do()
            return True

        if await chat.app.ask(run):
            chat.notice(done)
            chat.blocks.ask_costs()

    run_in_background(chat, waiting)


def _picture(chat: "ChatScreen") -> PoolPicture:
    picture = chat.blocks.state.picture
    if picture is None:
        raise KVChatError("The blocks are shown when the model is loaded.")
    return picture


def _session_at(chat: "ChatScreen") -> SessionView:
    place = chat.blocks.state.place
    view = chat.blocks.view_at(place) if place is not None else None
    if view is None:
        raise KVChatError("No session uses this block; choose one with a letter.")
    return view
