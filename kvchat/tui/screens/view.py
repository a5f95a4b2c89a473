"""ViewScreen: what the full-screen views share: keys from the registry, a body of lines, a footer.

A view shows the same state as the chat below it; Esc leads back to the same place there.
"""

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget

from kvchat.tui.cells import Line
from kvchat.tui.command import Where
from kvchat.tui.glyphs import plain_text
from kvchat.tui.safe import safe_line
from kvchat.tui.view_keys import press_in_view
from kvchat.tui.widgets.footer_line import FooterLine
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

NOTICE_SECONDS = 6.0


class ViewBody(LineWidget, can_focus=True):
    """The lines of a view; the view makes them."""

    def __init__(self, view: "ViewScreen", *, id: str) -> None:
        super().__init__(id=id)
        self._view = view

    class Clicked(Message):
        """A cell was clicked, `count` times in a row."""

        def __init__(self, x: int, y: int, count: int) -> None:
            super().__init__()
            self.x, self.y, self.count = x, y, count

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the lines of the view at this size."""
        return self._view.body_lines(width, height)

    async def _on_key(self, event: events.Key) -> None:
        if self._view.press(event.key):
            event.stop()
            event.prevent_default()

    async def _on_click(self, event: events.Click) -> None:
        self.focus()
        self.post_message(self.Clicked(event.x, event.y, event.chain))


class ViewLine(LineWidget):
    """One row of text at the top or bottom of a view."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._row: Line = ()

    def show(self, line: Line) -> None:
        """Draw another row."""
        if line != self._row:
            self._row = line
            self.redraw()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the row."""
        return [self._row]


class ViewScreen(Screen[None]):
    """Base of the views: subclasses say their place in the registry and draw their body."""

    app: "KVChatApp"
    place: Where

    def __init__(self) -> None:
        super().__init__()
        self.body = ViewBody(self, id="view-body")
        self.head = ViewLine(id="view-head")
        self.foot = FooterLine(id="view-footer")
        self._notice_line = ViewLine(id="view-notice")
        self._notice: tuple[str, str, float] = ("", "", 0.0)

    def compose(self) -> ComposeResult:
        """Build head, body, the line of notices and the footer."""
        yield self.head
        yield self.body
        yield self._notice_line
        yield self.foot

    def on_mount(self) -> None:
        """Give the keys to what is used first."""
        self.first_focus.focus()
        self.update_view()

    @property
    def first_focus(self) -> Widget:
        """What has the focus when the view opens."""
        return self.body

    def body_lines(self, width: int, height: int) -> list[Line]:
        """Return the lines of the body at this size."""
        raise NotImplementedError

    def status_line(self) -> Line:
        """Return what stands in the line above the footer while there is no notice."""
        return ()

    def head_line(self, width: int) -> Line:
        """Return the first row."""
        return ()

    def update_view(self) -> None:
        """Draw what changed."""
        if not self.is_attached:
            return
        self.body.redraw()
        self.head.show(self.head_line(self.app.size.width))
        text, style, until = self._notice
        is_new = bool(text) and self.app.clock() < until
        self._notice_line.show(((f" {text}", style or "accent"),) if is_new else self.status_line())
        self.foot.show(self.app.registry.view_footer(self.place))

    def notice(self, sentence: str, style: str = "") -> None:
        """Say one sentence above the footer."""
        sentence = plain_text(safe_line(sentence), self.app.glyphs)
        self._notice = (sentence, style, self.app.clock() + NOTICE_SECONDS)
        self.update_view()

    def press(self, key: str) -> bool:
        """Run what a key means in this view; False lets the key go on to the widget."""
        done = press_in_view(self.app.chat, self, key)
        self.update_view()
        return done

    @property
    def is_writing(self) -> bool:
        """Whether letters are being written."""
        return False

    @property
    def is_kept(self) -> bool:
        """Whether leaving would lose what the user put together here."""
        return False

    def interrupt(self) -> bool:
        """Clear or stop what is there; False when there is nothing."""
        return False

    def close_view(self) -> None:
        """Go back to what lies below."""
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        """Take keys while nothing has the focus."""
        if self.focused is None and self.press(event.key):
            event.stop()

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        """Draw what changed below another view."""
        self.update_view()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw for the new size."""
        self.update_view()
