"""TextQuestion: one line of text asked for in a small window; Enter returns it, Esc nothing."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from kvchat.tui.safe import safe, safe_line
from kvchat.tui.screens.picker import FilterInput

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp


class TextQuestion(ModalScreen[str | None]):
    """Returns what was written, None when the user left."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer", show=False, priority=True),
        Binding("escape,ctrl+c", "leave", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(self, title: str, text: str = "", *, placeholder: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Build the frame and its input."""
        with Vertical(id="picker") as frame:
            frame.border_title = safe(self._title)
            yield FilterInput(
                safe_line(self._text),
                placeholder=safe_line(self._placeholder),
                select_on_focus=False,
            )

    def on_mount(self) -> None:
        """Write at the end of the text."""
        self.query_one(FilterInput).focus()

    def action_answer(self) -> None:
        """Return the text."""
        self.dismiss(self.query_one(FilterInput).value.strip())

    def action_leave(self) -> None:
        """Return nothing."""
        self.dismiss(None)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()
