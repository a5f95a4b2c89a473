"""Trash: sessions the user deleted a moment ago; hidden at once, deleted when nobody undoes it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from kvchat.errors import KVChatError
from kvchat.tui.chat_state import UNDO_DELETE_SECONDS, SessionView

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen


class Trash:
    """What /delete hid from the lists of one screen."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat

    def hide(self, view: SessionView) -> None:
        """Take a session out of every list; it is really deleted when nobody undoes that."""
        chat = self._chat
        view.session.stop()
        neighbour = chat.state.neighbour(-1)
        chat.state.deleted[view.session.id] = chat.app.clock() + UNDO_DELETE_SECONDS
        if chat.view is view:
            runtime = chat.app.runtime
            if neighbour is not None and neighbour is not view:
                chat.show_session(neighbour)
            elif runtime is not None:
                chat.show_session(chat.view_of(runtime.new_session()))
        chat.draw_lists()

    def restore(self) -> bool:
        """Bring the last deleted session back; False if there is none any more."""
        chat = self._chat
        if not chat.state.deleted:
            return False
        session_id, _ = chat.state.deleted.popitem()
        if session_id not in chat.state.views:
            return False
        chat.app.clear_notifications()  # among them the offer that was just taken
        chat.show_session(chat.state.views[session_id])
        chat.notice("The session is back.")
        return True

    def empty(self, now: float) -> None:
        """Delete for good what was hidden until `now`."""
        state = self._chat.state
        for session_id, deadline in list(state.deleted.items()):
            if deadline <= now:
                del state.deleted[session_id]
                view = state.views.pop(session_id, None)
                if view is not None:
                    with suppress(KVChatError):  # it is gone already
                        view.session.delete()

    def delete_unused(self) -> None:
        """Delete the sessions in which nothing was ever said and that nobody named."""
        for view in list(self._chat.state.views.values()):
            session = view.session
            if not session.num_messages and not session.has_title and not session.draft:
                with suppress(KVChatError):  # it is gone already
                    view.session.delete()
