"""Transcript: the conversation as lines in a scroll view of our own.

Draws only the lines in view, keeps each as a finished strip, and measures only messages that were
seen. Follows the end while the last line is in view; any upward move by the user ends that, and
from then on the top line stays where it is, whatever arrives, folds or is resized. Focused, it is
the message cursor.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip

from kvchat.tui.block_text import TextPart
from kvchat.tui.cells import Line
from kvchat.tui.chat_state import ScrollPlace
from kvchat.tui.find_marks import hit_lines, with_hits
from kvchat.tui.marked_text import marked_cells, with_style
from kvchat.tui.message_lines import MessageLines
from kvchat.tui.widgets.line_view import LineView
from kvchat.tui.widgets.line_widget import strip_of

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

MAX_FITTING_ROUNDS = 12
Hint: TypeAlias = Callable[[int], Sequence[Line]]
"""What stands in place of a conversation, in lines of at most so many cells."""
BAR_LINES = 4
"""The scroll bar is drawn again once so many lines have arrived, and when a reply ends."""


class Transcript(LineView):
    """Shows a list of MessageLines; whoever owns the list calls `show` and `append`."""

    FOCUS_ON_CLICK: ClassVar[bool] = False

    app: "KVChatApp"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.is_following = True
        self.cursor: str | None = None
        """The id of the message the cursor is on, None while there is no cursor."""
        self._entries: list[MessageLines] = []
        self._hint: Hint = lambda _width: ()
        self._tops: list[int] = [0]
        self._place: tuple[int, int] = (0, 0)  # entry and line at the top while not following
        self._num_lines_at_release = 0
        self._is_fitting = False
        self._is_bar_due = True
        self._num_bar_lines = 0
        self._pattern: re.Pattern[str] | None = None
        self._looked_at: tuple[str, int] | None = None
        """The hit of a search that is looked at: its message, and the line it stands in."""
        self._parts: Sequence[TextPart] = ()
        self._marked: dict[str, dict[int, tuple[int, int]]] = {}
        """For messages with marked text, for each of their lines with some: from where to where."""

    # -- content ---------------------------------------------------------------------------

    @property
    def entries(self) -> Sequence[MessageLines]:
        """The messages shown, oldest first."""
        return self._entries

    @property
    def has_marks(self) -> bool:
        """Whether text is marked."""
        return bool(self._parts)

    @property
    def num_new_lines(self) -> int:
        """Lines that arrived below since the user scrolled away from the end."""
        return 0 if self.is_following else max(self._tops[-1] - self._num_lines_at_release, 0)

    def show(self, entries: list[MessageLines], hint: Hint, place: ScrollPlace | None) -> None:
        """Show another conversation, at its own scroll place (None: its end)."""
        self._entries, self._hint = entries, hint
        self.cursor = None
        self.is_following = True
        if place is not None:
            for index, entry in enumerate(entries):
                if entry.message_id == place.message_id:
                    self.is_following = False
                    self._place = (index, place.line)
        self._measure()
        self._num_lines_at_release = self._tops[-1]
        self._fit()
        self.refresh()

    def replace_entries(self, entries: list[MessageLines], hint: Hint) -> None:
        """Take a new list for the same conversation; the place the user reads stays."""
        place = self.place
        self._entries, self._hint = entries, hint
        if place is not None:
            for index, entry in enumerate(entries):
                if entry.message_id == place.message_id:
                    self._place = (index, place.line)
                    break
            else:
                self.is_following = True
        if self.cursor is not None and all(e.message_id != self.cursor for e in entries):
            self.cursor = entries[-1].message_id if entries else None
        self._fit()
        self.refresh()

    def redraw_entries(self) -> None:
        """Draw again after a note of some message changed."""
        self.replace_entries(self._entries, self._hint)

    def append(self, entry: MessageLines, piece: str) -> None:
        """Add streamed text to one message, and repaint from its first changed line on."""
        width = self._text_width
        before = len(entry.lines(width)) if entry.is_measured else -1
        entry.append(piece)
        first = len(entry.strips)
        for index in range(len(self._entries) - 1, -1, -1):  # nearly always the last one
            if self._entries[index] is entry:
                break
        else:
            return
        top = self._tops[index]
        if before == len(entry.lines(width)):
            self.refresh_lines(top + first, before - first + 1)
        else:
            self._fit(is_growing=True)
            self.refresh_lines(top + first, self.size.height + self._tops[-1])

    @property
    def place(self) -> ScrollPlace | None:
        """Where the user reads, None while following the end."""
        if self.is_following or not self._entries:
            return None
        index, line = self._place
        index = min(index, len(self._entries) - 1)
        return ScrollPlace(self._entries[index].message_id, line)

    # -- the message cursor ----------------------------------------------------------------

    def move_cursor(self, step: int) -> None:
        """Put the cursor on the message `step` places away; at first on the last message."""
        messages = [entry for entry in self._entries if entry.role != "waiting"]
        if not messages:
            return
        ids = [entry.message_id for entry in messages]
        at = ids.index(self.cursor) + step if self.cursor in ids else len(ids) - 1
        self.set_cursor(ids[min(max(at, 0), len(ids) - 1)])

    def set_cursor(self, message_id: str | None) -> None:
        """Put the cursor on a message and bring its first lines into view; None removes it."""
        changed = {self.cursor, message_id}
        self.cursor = message_id
        for index, entry in enumerate(self._entries):
            if entry.message_id in changed:
                entry.strips.clear()
            if entry.message_id == message_id:
                height = entry.height(self._text_width)
                top = self._tops[index] if index < len(self._tops) - 1 else 0
                view = self.size.height
                if top < self.scroll_offset.y or top + min(height, view) > (
                    self.scroll_offset.y + view
                ):
                    self.scroll_to(y=max(top + min(height, view) - view, 0)
                                   if top > self.scroll_offset.y else top,
                                   animate=False, force=True)  # fmt: skip
        self.refresh()

    def mark_text(self, parts: Sequence[TextPart]) -> None:
        """Mark characters of messages and bring the first into view; no parts mark nothing.

        Following the end again forgets the marks.
        """
        self._parts, self._marked = parts, {}
        for index, entry in enumerate(self._entries):
            for part in parts:
                if part.message_id != entry.message_id:
                    continue
                lines = entry.lines(self._text_width)
                cells = marked_cells(lines, entry.text, part.first, part.behind)
                if not self._marked:
                    self.is_following = False
                    top = min(cells, default=0)
                    self._place = (index, max(top - self.size.height // 3, 0))
                    self._num_lines_at_release = self._tops[-1]
                self._marked[entry.message_id] = cells
        self.forget_strips()
        self._fit()
        self.refresh()

    def mark_hits(self, pattern: re.Pattern[str] | None) -> None:
        """Mark every hit of a search; None marks none."""
        self._pattern, self._looked_at = pattern, None
        self.forget_strips()
        self.refresh()

    def show_hit(self, message_id: str, number: int) -> None:
        """Bring the hit with this number in a message into view, and mark it most."""
        for index, entry in enumerate(self._entries):
            if entry.message_id != message_id or self._pattern is None:
                continue
            found = hit_lines(entry.lines(self._text_width), self._pattern)
            # A hit that a line break cuts is counted but in no line; the nearest one is shown.
            line = found[min(number, len(found) - 1)] if found else 0
            self._looked_at = (message_id, line)
            self._measure()
            y = self._tops[index] + line
            if not self.scroll_offset.y <= y < self.scroll_offset.y + self.size.height:
                self.is_following = False
                self._place = (index, max(line - self.size.height // 3, 0))
                self._num_lines_at_release = self._tops[-1]
        self.forget_strips()
        self._fit()
        self.refresh()

    # -- scrolling -------------------------------------------------------------------------

    def follow(self) -> None:
        """Go to the end and stay there."""
        self.is_following = True
        if self._parts:
            self.mark_text(())
        self._fit()
        self.refresh()

    def scroll_lines(self, count: int) -> None:
        """Move the view by lines; down past the end follows again."""
        self.scroll_to(y=self.scroll_offset.y + count, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note where the user scrolled to, and measure what came into view."""
        if self._is_bar_due:
            super().watch_scroll_y(old_value, new_value)
        else:
            self.refresh(self.size.region)
        if self._is_fitting or not self._entries or round(old_value) == round(new_value):
            return
        y = round(new_value)
        was_following = self.is_following
        self.is_following = y >= self.max_scroll_y
        if not self.is_following:
            if was_following:
                self._num_lines_at_release = self._tops[-1]
            index = self._entry_at(y)
            entry = self._entries[index]
            line = y - self._tops[index]
            old_height = self._tops[index + 1] - self._tops[index]
            if new_value < old_value:  # keep the distance to the text below, which is being read
                line += len(entry.lines(self._text_width)) - old_height
            self._place = (index, max(line, 0))
        self._fit()

    def _on_resize(self, event: events.Resize) -> None:
        if self._parts:
            self.mark_text(self._parts)
        self._fit()

    def forget_strips(self) -> None:
        """Draw every line again when it is next painted."""
        for entry in self._entries:
            entry.strips.clear()

    @property
    def _text_width(self) -> int:
        return max(self.scrollable_content_region.width, 1)

    def _measure(self) -> None:
        width = self._text_width
        heights = [entry.height(width) for entry in self._entries] or [len(self._hint(width))]
        self._tops = [0, *accumulate(heights)]

    def _entry_at(self, y: int) -> int:
        return min(max(bisect_right(self._tops, y) - 1, 0), max(len(self._entries) - 1, 0))

    def _fit(self, *, is_growing: bool = False) -> None:
        """Measure what is in view and set the scroll offset, until both agree."""
        if self._is_fitting or not self.is_attached:
            return
        self._is_fitting = True
        try:
            width, height = self._text_width, max(self.scrollable_content_region.height, 1)
            y = 0
            for _ in range(MAX_FITTING_ROUNDS):
                self._measure()
                y = self._wanted_y(height)
                if not self._measure_visible(y, height, width):
                    break
            new_lines = abs(self._tops[-1] - self._num_bar_lines)
            self._is_bar_due = not is_growing or new_lines >= BAR_LINES
            self._set_virtual_size(Size(width, self._tops[-1]), height)
            limit = max(self._tops[-1] - height, 0)
            self.set_reactive(type(self).scroll_target_y, float(min(y, limit)))
            if round(self.scroll_y) != min(y, limit):
                self.scroll_to(y=min(y, limit), animate=False, force=True, immediate=True)
            if limit and self._is_bar_due:  # the base class tells only a bar that is visible
                self.vertical_scrollbar.position = min(y, limit)
        finally:
            self._is_fitting, self._is_bar_due = False, True

    def _set_virtual_size(self, size: Size, height: int) -> None:
        """Take a new content size; the screen is laid out again only if the bar comes or goes."""
        if self._is_bar_due:
            self._num_bar_lines = size.height
        has_bar = size.height > height
        if size == self.virtual_size and not (has_bar and self._is_bar_due):
            return
        if has_bar != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(type(self).virtual_size, size)
        if has_bar and self._is_bar_due:
            self.vertical_scrollbar.window_virtual_size = size.height

    def _wanted_y(self, height: int) -> int:
        limit = max(self._tops[-1] - height, 0)
        if not self._entries:
            return 0
        if self.is_following:
            return limit
        index, line = self._place
        index = min(index, len(self._entries) - 1)
        line = min(line, self._tops[index + 1] - self._tops[index] - 1)
        return min(self._tops[index] + line, limit)

    def _measure_visible(self, y: int, height: int, width: int) -> bool:
        """Make the lines of the messages in view; return whether an estimate was wrong."""
        changed = False
        for index in range(self._entry_at(y), len(self._entries)):
            if self._tops[index] >= y + height:
                break
            estimate = self._tops[index + 1] - self._tops[index]
            changed |= len(self._entries[index].lines(width)) != estimate
        return changed

    # -- drawing ---------------------------------------------------------------------------

    def strips(self, first: int, count: int, width: int, base: Style) -> list[Strip]:
        """Return lines of the conversation, or of the hint; blank ones below them."""
        found: list[Strip] = []
        behind = first + count
        if not self._entries:
            drawn = self._hint(self._text_width)[max(first, 0) : max(behind, 0)]
            found = [strip_of(line, width, base, self.app) for line in drawn]
        text_width = self._text_width
        y = first
        while self._entries and y < min(behind, self._tops[-1]):
            index = self._entry_at(y)
            bottom = min(self._tops[index + 1], behind)
            entry, number = self._entries[index], y - self._tops[index]
            found += self._strips_of(entry, number, number + bottom - y, text_width, width, base)
            y = bottom
        return found + [Strip.blank(width, base)] * (count - len(found))

    def _strips_of(
        self, entry: MessageLines, first: int, behind: int, text_width: int, width: int, base: Style
    ) -> list[Strip]:
        """Return some lines of one message, drawn now or earlier; blank where it has none."""
        lines = entry.lines(text_width)
        strips = cast(list[Strip | None], entry.strips)
        if len(strips) < behind:
            strips += [None] * (min(behind, len(lines)) - len(strips))
        found: list[Strip] = []
        for number in range(first, min(behind, len(lines))):
            strip = strips[number]
            if strip is None or strip.cell_length != width:
                strip = strips[number] = self._drawn(entry, lines[number], number, width, base)
            found.append(strip)
        return found + [Strip.blank(width, base)] * (behind - first - len(found))

    def _drawn(
        self, entry: MessageLines, line: Line, number: int, width: int, base: Style
    ) -> Strip:
        if entry.message_id == self.cursor and line:
            base = base + self.app.line_styles.style("chosen")
            mark = self.app.glyphs.chosen
            first, rest = line[0], line[1:]
            line = ((mark, "accent bold"), (first[0][1:], first[1]), *rest)
        marked = self._marked.get(entry.message_id, {}).get(number)
        if marked is not None:
            line = with_style(line, *marked, "marked")
        if self._pattern is not None and number:
            is_looked_at = self._looked_at == (entry.message_id, number)
            line = with_hits(line, self._pattern, "lit" if is_looked_at else "marked")
        return strip_of(line, width, base, self.app)

    def last_row(self, strip: Strip, width: int, base: Style) -> Strip:
        """Tell at the bottom how much arrived below, where the user reads further up."""
        count = self.num_new_lines
        if not count:
            return strip
        text = f" {self.app.glyphs.down} {count} new line{'s' if count > 1 else ''} "
        room = max(width - len(text), 0)
        mark = strip_of(((text, "accent reverse"),), min(len(text), width), base, self.app)
        return Strip.join([strip.crop(0, room), mark])

    async def _on_key(self, event: events.Key) -> None:
        if self.app.chat.press(event.key):
            event.stop()
            event.prevent_default()

    async def _on_click(self, event: events.Click) -> None:
        if event.y == self.size.height - 1 and self.num_new_lines:
            self.follow()

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Repaint lines of the content that are in view, and the mark that counts new ones."""
        super().refresh_lines(y_start, line_count)
        if self.num_new_lines:
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))
