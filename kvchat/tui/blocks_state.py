"""BlocksState: what is looked at in the views of the pool; shared by the dock and the full screen.

Plain Python: the cursor, which view is open, zoom, what is frozen, filtered or lit, and the latest
picture. Widgets draw it, commands change it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from kvchat.tui.block_place import (
    NO_BLOCK,
    BlockPlace,
    followed,
    place_in_lane,
    place_of_block,
    sequence_of,
)
from kvchat.tui.block_rows import SessionRow
from kvchat.tui.block_text import BlockText

if TYPE_CHECKING:
    from kvchat.engine.sequence import ResumeCost
    from kvchat.kv.pool_view import PoolView

Mode = Literal["map", "lanes", "time"]
RECENT_SECONDS = 1.0
MAX_ZOOM = 6


@dataclass(frozen=True, slots=True)
class PoolPicture:
    """A view of the pool with what the app knows about its sessions; `now` is in Unix seconds."""

    view: "PoolView"
    rows: Mapping[str, SessionRow]
    now: float
    speeds: tuple[str, ...] = ()
    """Figures of the app for the time view, one line each."""

    @property
    def has_recent(self) -> bool:
        """Whether what the view calls recent still is."""
        return self.now - self.view.at < RECENT_SECONDS


@dataclass(slots=True)
class BlocksState:
    """What the user looks at; `clock` gives Unix seconds."""

    clock: Callable[[], float]
    mode: Mode = "map"
    place: BlockPlace | None = None
    is_pointed_at: bool = False
    """Whether the small panel says what is at `place`: the mouse or a message leads there."""
    lit: tuple[str, range] | None = None
    """A session and the block indexes of the message that is lit."""
    zoom: int = 0
    column: int | None = None
    """Where the cursor of the time view stands."""
    group_index: int = 0
    kind: str = ""
    """The one kind of events that is shown, '' for all."""
    is_frozen: bool = False
    has_legend: bool = False
    text: BlockText | None = None
    """The text of the block the cursor is on, once it was read."""
    text_of: BlockPlace | None = None
    """The place `text` belongs to."""
    plan: tuple[int, int] | None = None
    """Tokens from disk, and to compute again, after a rewind there, once the engine said so."""
    costs: "Mapping[str, ResumeCost]" = field(default_factory=dict)
    picture: PoolPicture | None = None
    notice: tuple[str, str] | None = None
    """A sentence that takes the place of the keys for a while, and its style."""

    def take(self, picture: PoolPicture) -> None:
        """Show a newer picture; while frozen, only what sessions are called changes."""
        if self.is_frozen and self.picture is not None:
            self.picture = replace(self.picture, rows=picture.rows)
            return
        self.picture = picture
        if self.place is not None:
            self.place = followed(picture.view, self.place)

    def go_to(self, place: BlockPlace | None) -> None:
        """Put the cursor on a block; what a message lit goes out."""
        if place is not None:
            self.place, self.is_pointed_at = place, True
            self.lit = None

    def start(self, session_id: str) -> None:
        """Put the cursor somewhere if it is nowhere: the last block of a session, or block 0.

        '' stands for no session.
        """
        if self.place is not None or self.picture is None:
            return
        view = self.picture.view
        sequence = sequence_of(view, session_id)
        if sequence is not None and sequence.table:
            self.place = place_in_lane(view, session_id, len(sequence.table) - 1)
        elif session_id in self.picture.rows:
            self.place = BlockPlace(session_id, 0, NO_BLOCK)
        else:
            self.place = place_of_block(view, 0)

    @property
    def shown_text(self) -> BlockText | None:
        """The text of the block the cursor is on, if it was read."""
        return self.text if self.text_of == self.place else None
