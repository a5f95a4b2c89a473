"""BlocksScreen: the pool on the whole screen; Esc goes back to what was there before."""

from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from kvchat.tui.command import Where
from kvchat.tui.screens.view import NOTICE_SECONDS
from kvchat.tui.tight_compositor import TightCompositor
from kvchat.tui.view_keys import press_in_view
from kvchat.tui.widgets.blocks_view import BlocksView

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.block_feed import BlockFeed

HERE = frozenset({"app.palette"})
"""Commands of the chat that open something over the pool, which stays."""


class BlocksScreen(Screen[None]):
    """One BlocksView; keys go to the commands of `blocks`."""

    app: "KVChatApp"

    def __init__(self, feed: "BlockFeed") -> None:
        super().__init__()
        self._compositor = TightCompositor()
        self.feed = feed
        self.blocks = BlocksView(feed.state)

    def compose(self) -> ComposeResult:
        """Build the one widget."""
        yield self.blocks

    def on_mount(self) -> None:
        """Give the keys to the view."""
        self.blocks.focus()

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        """Draw what changed below a help page."""
        self.redraw()

    def redraw(self) -> None:
        """Draw the state again."""
        self.blocks.redraw()

    def press(self, key: str) -> bool:
        """Run the command a key means here; False if it means none."""
        chat = self.app.chat
        for command in self.app.registry.for_key(key):
            if command.id in HERE:
                chat.run(command)
                return True
        return press_in_view(chat, self, key)

    @property
    def place(self) -> Where:
        """Whose keys of the registry mean something now."""
        return "blocks"

    @property
    def is_writing(self) -> bool:
        """Nothing is written here."""
        return False

    @property
    def is_kept(self) -> bool:
        """Nothing is lost when the pool is left."""
        return False

    def interrupt(self) -> bool:
        """Nothing is stopped here."""
        return False

    def close_view(self) -> None:
        """Go back to what lies below."""
        self.feed.close()

    def notice(self, sentence: str, style: str = "") -> None:
        """Say one sentence at the bottom."""
        self.feed.tell(sentence, style, NOTICE_SECONDS)

    @on(BlocksView.Moved)
    def _cursor_moved(self) -> None:
        self.feed.moved()

    @on(BlocksView.Jumped)
    def _text_wanted(self) -> None:
        self.app.chat.run(self.app.registry["blocks.text"])
