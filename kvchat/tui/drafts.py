"""Drafts: keeps what stands in the prompt with its session, and takes back what could not be sent.

The session stores its draft within a second. It also changes it: prompts that waited in line
become part of the draft when their turn never comes, and then they stand in the prompt again.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from kvchat.errors import SessionClosed

if TYPE_CHECKING:
    from kvchat.tui.chat_state import SessionView
    from kvchat.tui.screens.chat import ChatScreen


class Drafts:
    """The link between the prompt and the draft of the shown session."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self._known = ""
        """The session's draft as it was last written or read here."""
        self._is_changed = False
        self._taken_up: tuple[str, str] | None = None
        """The text of a message that stands in the prompt, and what stood there before."""

    def note_changed(self) -> None:
        """Note that the prompt may differ from the draft."""
        self._is_changed = True

    def show(self, view: "SessionView") -> None:
        """Put the draft of another session into the prompt."""
        self._known = view.draft
        self._chat.prompt.set_exact_text(self._known)
        self._is_changed = False
        self._taken_up = None

    def take_up(self, text: str) -> None:
        """Put a message that was gone back to into the prompt; what stood there is remembered."""
        prompt = self._chat.prompt
        before = prompt.exact_text
        self._chat.state.history.remember(before)
        prompt.set_exact_text(text)
        self._taken_up = (text, before)

    def put_down(self) -> None:
        """Bring back what stood there before a message was taken up, unless that was changed."""
        prompt = self._chat.prompt
        if self._taken_up is not None and prompt.exact_text == self._taken_up[0]:
            prompt.set_exact_text(self._taken_up[1])
        self._taken_up = None

    def store(self) -> None:
        """Hand the prompt to its session now: keys are told of later than they are pressed."""
        view = self._chat.view
        if view is None:
            return
        self.take_back()
        self._is_changed = False
        with suppress(SessionClosed):  # it was deleted meanwhile, and its draft with it
            view.draft = self._chat.prompt.exact_text
        self._known = view.draft

    def store_if_changed(self) -> None:
        """Hand the prompt to its session, if it is known to have changed; cheap if not."""
        if self._is_changed:
            self.store()

    def note_sent(self) -> None:
        """Forget the draft: sending has emptied it, and the prompt is emptied next."""
        if self._chat.view is not None:
            self._known = self._chat.view.draft
        self._is_changed = True

    def take_back(self) -> None:
        """Put what the session has added to its draft into the prompt, before what stands there."""
        chat = self._chat
        if chat.view is None or chat.view.draft == self._known:
            return
        draft, known = chat.view.draft, self._known
        self._known = draft
        added = draft.removesuffix(known) if known else draft
        parts = (added.removesuffix("\n\n"), chat.prompt.exact_text)
        chat.prompt.set_exact_text("\n\n".join(part for part in parts if part))
        self._is_changed = True
