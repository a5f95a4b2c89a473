"""Confirm: one question, answered with Enter or y, left with Esc or n.

Whoever types on while it opens answers nothing: a letter counts only after a moment without keys,
Enter only when it does not end what was just typed. What was typed or pasted instead of an answer
goes on in the prompt once there is one; every other key does nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kvchat.tui.glyphs import plain_text
from kvchat.tui.safe import safe

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.screens.chat import ChatScreen

QUIET_SECONDS = 0.5
"""Keys that follow each other sooner are typed text; two letters in writing are seldom further."""


class Confirm(ModalScreen[bool]):
    """Returns whether the user agreed."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "answer(False)", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes
        self._is_answered = False
        self._opened_at = 0.0
        self._typed_at = float("-inf")
        """When a key came last that answered nothing."""
        self._typed = ""

    @property
    def typed(self) -> str:
        """What was written while the question stood, in as far as it answered nothing."""
        return self._typed.strip("\n")

    def compose(self) -> ComposeResult:
        """Build the question and its two answers."""
        with Vertical(id="confirm"):
            yield Static(safe(plain_text(self._question, self.app.glyphs)))
            dot = self.app.glyphs.dot
            answers = f"enter or y: {self._yes} {dot} esc or n: keep"
            yield Static(safe(answers), classes="answers")

    def on_mount(self) -> None:
        """Note the time: the first letters may belong to what was being typed."""
        self._opened_at = self.app.clock()

    def on_key(self, event: events.Key) -> None:
        """Answer with a key that means it."""
        event.stop()
        now = self.app.clock()
        is_in_text = now - self._typed_at < QUIET_SECONDS
        is_too_soon = now - self._opened_at < QUIET_SECONDS
        if event.key == "enter" and not is_in_text:
            self.action_answer(True)
        elif event.key in ("y", "n") and not is_in_text and not is_too_soon:
            self.action_answer(event.key == "y")
        else:
            self._typed_at = now
            self._take(event)

    def _take(self, event: events.Key) -> None:
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.key == "enter":
            self._typed += "\n"
        elif event.is_printable and event.character is not None:
            self._typed += event.character

    def on_paste(self, event: events.Paste) -> None:
        """Keep a paste for the prompt."""
        event.stop()
        self._typed += event.text

    def action_answer(self, agreed: bool) -> None:
        """Return the answer; keys that come behind it change nothing."""
        if not self._is_answered:
            self._is_answered = True
            self.dismiss(agreed)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()


def ask_first(
    chat: "ChatScreen", question: str, yes: str, answered: Callable[[bool | None], None]
) -> None:
    """Ask a question over the chat; what is typed meanwhile stands in its prompt afterwards.

    Keys pressed on a message or a block are no text, and are forgotten.
    """
    confirm = Confirm(question, yes)
    is_writing = chat.focused is chat.prompt

    def closed(agreed: bool | None) -> None:
        answered(agreed)
        if is_writing and confirm.typed:
            chat.prompt.take_paste(confirm.typed)

    chat.app.push_screen(confirm, closed)
