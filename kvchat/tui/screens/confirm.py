"""Confirm: one question, answered with Enter or y, left with Esc or n."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kvchat.tui.glyphs import plain_text
from kvchat.tui.safe import safe

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp


class Confirm(ModalScreen[bool]):
    """Returns whether the user agreed."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer(True)", show=False, priority=True),
        Binding("escape,n,ctrl+c", "answer(False)", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Build the question and its two answers."""
        with Vertical(id="confirm"):
            yield Static(safe(plain_text(self._question, self.app.glyphs)))
            dot = self.app.glyphs.dot
            yield Static(safe(f"enter {self._yes} {dot} esc keep"), classes="answers")

    def action_answer(self, agreed: bool) -> None:
        """Return the answer."""
        self.dismiss(agreed)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()
