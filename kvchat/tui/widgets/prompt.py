"""Prompt: where the user writes. Pastes never send; what could act on a terminal becomes a chip.

Holds the exact text: a long paste, or one with control characters, stands in the line as
`[paste 1: 312 lines]` and is put back when the prompt is sent.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from kvchat.clean_text import clean, storable
from kvchat.tui.cells import shorten
from kvchat.tui.figures import count_of
from kvchat.tui.safe import safe

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

CHIP_CHARACTERS = 8 * 1024
CHIP_LINES = 30
EXPAND_CHARACTERS = 64 * 1024
MAX_PASTE_CHARACTERS = 5 * 1024 * 1024
MAX_ROWS = 8
MAX_KEPT_PASTES = 8


class _Owner(Protocol):
    """The screen a prompt is on."""

    def press(self, key: str) -> bool:
        """Run the command a key means; False lets the prompt have it."""

    def prompt_changed(self) -> None:
        """Take note that the text of the prompt is another one."""


class Prompt(TextArea):
    """The text being written; the keys come from the command registry."""

    @dataclass
    class Refused(Message):
        """A paste was not taken, and why."""

        sentence: str

    app: "KVChatApp"

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            placeholder=safe(placeholder),
            highlight_cursor_line=False,
            id=id,
        )
        self.cursor_blink = False
        self._dressed: TextAreaTheme | None = None
        """The text area's colors, once they were taken from the styles as they are now."""
        self._pastes: dict[str, str] = {}
        """The chips in the text, and what each stands for."""
        self._kept: dict[str, str] = {}
        """What recent chips stood for, and their names: a draft that comes back has them again."""

    @property
    def exact_text(self) -> str:
        """The text with every chip replaced by what it stands for."""
        if not self._pastes:
            return self.text
        chips = re.compile("|".join(map(re.escape, self._pastes)))
        return chips.sub(lambda match: self._pastes[match.group()], self.text)

    @property
    def has_chip(self) -> bool:
        """Whether a chip that can be expanded stands in the text."""
        return any(chip in self.text for chip in self._pastes)

    @property
    def text_before_cursor(self) -> str:
        """The text from its beginning to the cursor, chips as they are shown."""
        return self.get_text_range((0, 0), self.cursor_location)

    def set_exact_text(self, text: str) -> None:
        """Replace the text; parts the screen must not see as they are become chips."""
        self._pastes.clear()
        self.load_text(self._shown(text))
        self.move_cursor(self.document.end)

    def insert_chip(
        self, content: str, what: str, length: int = 0, *, counted: str | None = None
    ) -> None:
        """Put a chip in place of the last `length` characters before the cursor.

        It says how long `counted` is, if what it stands for has more around it.
        """
        end = self.cursor_location
        start = (end[0], max(end[1] - length, 0))
        self._replace_via_keyboard(self._chip(storable(content), what, counted), start, end)

    def insert_instead(self, text: str, length: int) -> None:
        """Write `text` in place of the last `length` characters before the cursor."""
        end = self.cursor_location
        self._replace_via_keyboard(text, (end[0], max(end[1] - length, 0)), end)

    def insert_newline(self) -> None:
        """Break the line at the cursor."""
        self._replace_via_keyboard("\n", *self.selection)

    def take_back_backslash(self) -> bool:
        """Turn a backslash before the cursor into a line break; False if there is none."""
        row, column = self.cursor_location
        if not self.selection.is_empty or self.document.get_line(row)[:column][-1:] != "\\":
            return False
        self._replace_via_keyboard("\n", (row, column - 1), (row, column))
        return True

    def expand_chips(self) -> str:
        """Put the content of chips into the text; return why not, or nothing."""
        if any(len(content) > EXPAND_CHARACTERS for content in self._pastes.values()):
            return "That paste is over 64 KB; it is sent whole, but not shown here."
        if any(clean(content) != content for content in self._pastes.values()):
            return "That paste holds control characters; it is sent exactly, but not shown here."
        self.load_text(self.exact_text)
        self._pastes.clear()
        self.move_cursor(self.document.end)
        return ""

    def fitting_rows(self, width: int, limit: int) -> int:
        """Return how many rows the text needs at `width`, at most `limit`."""
        rows = 0
        for line in self.text.split("\n")[: limit + 1]:
            rows += 1 + cell_len(line[:4000]) // max(width, 1)
            if rows >= limit:
                return limit
        return max(rows, 1)

    def post_message(self, message: Message) -> bool:
        """Take a message; where the cursor went is told to nobody, since nobody asks.

        Textual tells it every widget around this one, which took longer than the rest of a key.
        """
        if isinstance(message, TextArea.SelectionChanged):
            return False
        return super().post_message(message)

    def _on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()  # as above
        cast(_Owner, self.screen).prompt_changed()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows of a region; colors are worked out once, not for every painting."""
        if self._dressed is self._theme:
            return ScrollView.render_lines(self, crop)
        self._dressed = self._theme
        return super().render_lines(crop)

    def notify_style_update(self) -> None:
        """Take the colors anew when theme or styles changed."""
        super().notify_style_update()
        self._dressed = None

    async def _on_key(self, event: events.Key) -> None:
        # Commands, editing keys and letters all go through this one queue, so that fast typing
        # (a line and Enter in one read) keeps its order.
        if cast(_Owner, self.screen).press(event.key):
            event.stop()
            event.prevent_default()
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.take_paste(event.text)

    def take_paste(self, pasted: str) -> None:
        """Write a text at the cursor as a paste is: it never sends, and may become a chip."""
        text = pasted.replace("\r\n", "\n").replace("\r", "\n")
        if len(text) > MAX_PASTE_CHARACTERS:
            self.post_message(
                self.Refused("That paste is over 5 MB, the most a prompt takes; nothing was added.")
            )
            return
        self._replace_via_keyboard(self._shown(text), *self.selection)

    def _shown(self, text: str) -> str:
        text = storable(text)
        if _is_plain(text):
            return text
        rest = text
        known: dict[str, str] = {}
        for content, chip in self._kept.items():
            if chip not in known and content in rest:
                rest = rest.replace(content, chip)
                known[chip] = content
        if known and _is_plain(rest):
            self._pastes.update(known)
            return rest
        return self._chip(text, "paste")

    def _chip(self, content: str, what: str, counted: str | None = None) -> str:
        kind, _, name = what.partition(" ")
        counted = content if counted is None else counted
        count = counted.count("\n") + (not counted.endswith("\n"))
        size = count_of(count, "line") if count > 1 else count_of(len(counted), "character")
        about = f"{shorten(clean(name), 40)}, {size}" if name else size
        number = 1 + len(self._pastes)
        while (chip := f"[{kind} {number}: {about}]") in self._pastes:
            number += 1
        self._pastes[chip] = content
        self._kept[content] = chip
        while len(self._kept) > MAX_KEPT_PASTES:
            del self._kept[next(iter(self._kept))]
        return chip


def _is_plain(text: str) -> bool:
    """Whether a text may stand in the prompt as it is: short, and nothing a terminal would obey."""
    is_long = len(text) > CHIP_CHARACTERS or text.count("\n") >= CHIP_LINES
    return not is_long and clean(text) == text
