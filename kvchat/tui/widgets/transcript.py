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
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from kvchat.tui.block_text import TextPart
from kvchat.tui.cells import Line
from kvchat.tui.chat_state import ScrollPlace
from kvchat.tui.find_marks import hit_lines, with_hits
from kvchat.tui.marked_text import marked_cells, with_style
from kvchat.tui.message_lines import MessageLines
from kvchat.tui.widgets.line_widget import strip_of
from kvchat.tui.widgets.plain_bar import PlainBar

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

MAX_FITTING_ROUNDS = 12
Hint: TypeAlias = Callable[[int], Sequence[Line]]
"""What stands in place of a conversation, in lines of at most so many cells."""


class Transcript(ScrollView, can_focus=True):
    """Shows a list of MessageLines; whoever owns the list calls `show` and `append`."""

    ALLOW_SELECT: ClassVar[bool] = True
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
        self._base = Style()
        self._pattern: re.Pattern[str] | None = None
        self._looked_at: tuple[str, int] | None = None
        """The hit of a search that is looked at: its message, and the line it stands in."""
        self._parts: Sequence[TextPart] = ()
        self._marked: dict[str, dict[int, tuple[int, int]]] = {}
        """For messages with marked text, for each of their lines with some: from where to where."""

    def on_mount(self) -> None:
        """Take a scroll bar without block characters where only ASCII is drawn."""
        super().on_mount()  # type: ignore[no-untyped-call]  # textual leaves it untyped
        if self.app.settings.ascii:
            self.vertical_scrollbar.renderer = PlainBar  # type: ignore[misc]  # only this one

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
            self._fit()
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
        self._forget_strips()
        self._fit()
        self.refresh()

    def mark_hits(self, pattern: re.Pattern[str] | None) -> None:
        """Mark every hit of a search; None marks none."""
        self._pattern, self._looked_at = pattern, None
        self._forget_strips()
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
        self._forget_strips()
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
        super().watch_scroll_y(old_value, new_value)
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

    def notify_style_update(self) -> None:
        """Forget drawn strips when theme or colours changed."""
        super().notify_style_update()
        self._forget_strips()

    def _forget_strips(self) -> None:
        for entry in self._entries:
            entry.strips.clear()

    def update_node_styles(self, animate: bool = True) -> None:
        """Do nothing: no style of ours depends on focus or hovering."""

    def restyle(self) -> None:
        """Take the colours of a new theme."""
        super().update_node_styles(animate=False)
        self.notify_style_update()
        self.refresh()

    @property
    def _text_width(self) -> int:
        return max(self.scrollable_content_region.width, 1)

    def _measure(self) -> None:
        width = self._text_width
        heights = [entry.height(width) for entry in self._entries] or [len(self._hint(width))]
        self._tops = [0, *accumulate(heights)]

    def _entry_at(self, y: int) -> int:
        return min(max(bisect_right(self._tops, y) - 1, 0), max(len(self._entries) - 1, 0))

    def _fit(self) -> None:
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
            self._set_virtual_size(Size(width, self._tops[-1]), height)
            limit = max(self._tops[-1] - height, 0)
            self.set_reactive(type(self).scroll_target_y, float(min(y, limit)))
            if round(self.scroll_y) != min(y, limit):
                self.scroll_to(y=min(y, limit), animate=False, force=True, immediate=True)
            if limit:  # the base class tells a bar its place only while it is visible
                self.vertical_scrollbar.position = min(y, limit)
        finally:
            self._is_fitting = False

    def _set_virtual_size(self, size: Size, height: int) -> None:
        """Take a new content size; the screen is laid out again only if the bar comes or goes."""
        if size == self.virtual_size:
            return
        has_bar = size.height > height
        if has_bar != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(type(self).virtual_size, size)
        if has_bar:
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

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a region; the base style is worked out once for all of them."""
        base = self.rich_style
        if base != self._base:
            self._base = base
            self._forget_strips()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return one line of the view, exactly as wide as the view."""
        width = self.size.width
        base = self._base
        line_y = self.scroll_offset.y + y
        strip = self._strip(line_y, width, base)
        selection = self.text_selection
        if selection is not None:
            strip = self._selected(strip, selection, line_y)
        if y == self.size.height - 1 and self.num_new_lines:
            return self._with_new_lines_mark(strip, width, base)
        return strip.apply_offsets(0, line_y)

    def _strip(self, line_y: int, width: int, base: Style) -> Strip:
        if not self._entries:
            hint = self._hint(self._text_width)
            if 0 <= line_y < len(hint):
                return strip_of(hint[line_y], width, base, self.app)
            return Strip.blank(width, base)
        if line_y >= self._tops[-1]:
            return Strip.blank(width, base)
        index = self._entry_at(line_y)
        entry = self._entries[index]
        lines = entry.lines(self._text_width)
        number = line_y - self._tops[index]
        if number >= len(lines):
            return Strip.blank(width, base)
        strips = cast(list[Strip | None], entry.strips)
        if len(strips) <= number:
            strips += [None] * (number + 1 - len(strips))
        strip = strips[number]
        if strip is None or strip.cell_length != width:
            strip = self._drawn(entry, lines[number], number, width, base)
            strips[number] = strip
        return strip

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

    def _with_new_lines_mark(self, strip: Strip, width: int, base: Style) -> Strip:
        count = self.num_new_lines
        text = f" {self.app.glyphs.down} {count} new line{'s' if count > 1 else ''} "
        room = max(width - len(text), 0)
        mark = strip_of(((text, "accent reverse"),), min(len(text), width), base, self.app)
        return Strip.join([strip.crop(0, room), mark])

    def _selected(self, strip: Strip, selection: Selection, line_y: int) -> Strip:
        span = selection.get_span(line_y)
        if span is None:
            return strip
        start, end = span
        left = strip.index_to_cell_position(start)
        right = strip.cell_length if end == -1 else strip.index_to_cell_position(end)
        style = self.screen.get_component_rich_style("screen--selection")
        segments = strip.crop(left, right)
        chosen = Strip(
            [type(s)(s.text, (s.style or Style()) + style) for s in segments], right - left
        )
        return Strip.join([strip.crop(0, left), chosen, strip.crop(right, strip.cell_length)])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text of the selected lines, as shown but without padding."""
        start = selection.start.y if selection.start else 0
        end = selection.end.y if selection.end else self._tops[-1] - 1
        width, base = self.size.width, self.rich_style
        texts: list[str] = []
        for line_y in range(start, min(end, self._tops[-1] - 1) + 1):
            text = self._strip(line_y, width, base).text
            span = selection.get_span(line_y) or (0, -1)
            texts.append(text[span[0] : None if span[1] == -1 else span[1]].rstrip())
        return "\n".join(texts), "\n"

    async def _on_key(self, event: events.Key) -> None:
        if self.app.chat.press(event.key):
            event.stop()
            event.prevent_default()

    async def _on_click(self, event: events.Click) -> None:
        if event.y == self.size.height - 1 and self.num_new_lines:
            self.follow()

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Repaint lines of the content that are in view."""
        first = max(y_start - self.scroll_offset.y, 0)
        last = min(y_start + line_count - self.scroll_offset.y, self.size.height)
        if first < last:
            self.refresh(Region(0, first, self.size.width, last - first))
        if self.num_new_lines:
            self.refresh(Region(0, self.size.height - 1, self.size.width, 1))
