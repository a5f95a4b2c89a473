"""FindBar: one line above the prompt to search the shown chat in, with the count of hits."""

from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from kvchat.tui.safe import safe
from kvchat.tui.screens.picker import FilterInput

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp


class FindInput(FilterInput):
    """Where the searched text is typed; every letter searches."""

    app: "KVChatApp"

    async def _on_key(self, event: events.Key) -> None:
        bar = self.parent
        assert isinstance(bar, FindBar)
        if bar.press(event.key):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)


class FindBar(Horizontal):
    """Hidden until `open`; hands the keys to the messages with Enter, back with Esc."""

    app: "KVChatApp"

    def compose(self) -> ComposeResult:
        """Build the line."""
        yield Static(safe(" find "), classes="label")
        yield FindInput(select_on_focus=False)
        yield Static(safe(""), id="find-count")

    def on_mount(self) -> None:
        """Be hidden at first."""
        self.display = False

    def open(self) -> None:
        """Show the line and type into it; what was searched last stands there."""
        self.display = True
        field = self.query_one(FindInput)
        field.focus()
        field.cursor_position = len(field.value)
        if field.value:
            self.app.chat.find.look_for(field.value)
        self._show_count()

    def press(self, key: str) -> bool:
        """Do what a key means while typing; False lets it be typed."""
        chat = self.app.chat
        if key in ("escape", "ctrl+c"):
            self.display = False
            chat.leave_cursor()
        elif key in ("up", "ctrl+f"):
            chat.find.step(-1)
        elif key in ("down", "ctrl+g"):
            chat.find.step(1)
        elif key == "enter":
            self.display = False
            self._go_to_hit()
        elif key == "ctrl+q":
            self.app.leave()
        else:
            return False
        self._show_count()
        return True

    def _go_to_hit(self) -> None:
        chat = self.app.chat
        if chat.find.message_id is None:
            chat.leave_cursor()
            chat.notice("Not found in this chat; /search looks in all of them.")
            return
        chat.stand_on(chat.find.message_id)
        chat.find.step(0)
        chat.notice(f"Hit {chat.find.count_words}; n and N go on, esc ends.", seconds=8)

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        event.stop()
        self.app.chat.find.look_for(event.value)
        self._show_count()

    def _show_count(self) -> None:
        self.query_one("#find-count", Static).update(safe(f" {self.app.chat.find.count_words} "))
