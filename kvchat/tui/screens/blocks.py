"""BlocksScreen: the pool on the whole screen; Esc goes back to the chat as it was."""

from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from kvchat.tui.tight_compositor import TightCompositor
from kvchat.tui.widgets.blocks_view import BlocksView

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.block_feed import BlockFeed

EVERYWHERE = frozenset(
    {"view.blocks", "view.theme", "view.redraw", "app.help", "app.palette", "app.quit"}
)
"""Commands of the chat whose keys mean the same here."""


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
        for command in self.app.registry.for_key(key):
            if command.where == "blocks" or command.id in EVERYWHERE:
                self.app.chat.run(command)
                return True
        return False

    @on(BlocksView.Moved)
    def _cursor_moved(self) -> None:
        self.feed.moved()

    @on(BlocksView.Jumped)
    def _text_wanted(self) -> None:
        self.app.chat.run(self.app.registry["blocks.text"])
