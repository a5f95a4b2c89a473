"""Trash: sessions the user deleted a moment ago, or closed: gone at once, back with one undo.

A deleted one is really deleted when nobody has undone it in time.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from kvchat.errors import KVChatError
from kvchat.tui.chat_state import UNDO_DELETE_SECONDS, SessionView

if TYPE_CHECKING:
    from kvchat.session.session import Session
    from kvchat.tui.screens.chat import ChatScreen


class Trash:
    """What /delete and /close took from the lists of one screen."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self._gone: dict[str, float] = {}
        """Sessions that were deleted or closed, in that order, and until when one undo does."""

    def hide(self, view: SessionView) -> None:
        """Take a session out of every list; it is really deleted when nobody undoes that."""
        view.session.stop()
        self._leave(view)
        self._note_gone(view)
        self._chat.state.deleted[view.session.id] = self._gone[view.session.id]
        self._chat.draw_lists()

    def put_aside(self, view: SessionView) -> None:
        """Close a session: its blocks are for others, its text stays; `restore` opens it again."""
        self._leave(view)
        view.session.close()
        self._chat.state.views.pop(view.session.id, None)
        self._note_gone(view)
        self._chat.draw_lists()

    def _note_gone(self, view: SessionView) -> None:
        self._gone.pop(view.session.id, None)
        self._gone[view.session.id] = self._chat.app.clock() + UNDO_DELETE_SECONDS

    def _leave(self, view: SessionView) -> None:
        """Show a neighbour of a session that goes, or a new one."""
        chat = self._chat
        runtime = chat.app.runtime
        if chat.view is not view or runtime is None:
            return
        neighbour = chat.state.neighbour(-1)
        if neighbour is None or neighbour is view:
            neighbour = chat.view_of(runtime.new_session())
        chat.show_session(neighbour)

    def keep_out(self, session: "Session") -> None:
        """Keep a session out of every list, such as one that only lives for a preview."""
        self._chat.state.deleted[session.id] = float("inf")

    def delete_now(self, session: "Session") -> None:
        """Delete a session that was kept out of the lists."""
        self._chat.state.deleted.pop(session.id, None)
        self._chat.state.views.pop(session.id, None)
        with suppress(KVChatError):  # it is gone already
            session.delete()

    def restore(self, *, is_late: bool = False) -> bool:
        """Bring the session back that went last; False if there is none any more.

        `is_late` means one that was closed, however long ago: nothing else is left to undo.
        """
        chat = self._chat
        if chat.app.runtime is None:
            return False
        now = chat.app.clock()
        for session_id in reversed(self._gone):
            is_closed = session_id not in chat.state.deleted
            if self._gone[session_id] <= now and not (is_late and is_closed):
                continue
            del self._gone[session_id]
            if is_closed:
                chat.view_of(chat.app.runtime.open_session(session_id))
            else:
                del chat.state.deleted[session_id]
                chat.app.clear_notifications()  # among them the offer that was just taken
            chat.show_session(chat.state.views[session_id])
            chat.notice("The session is back.")
            return True
        return False

    def empty(self, now: float) -> None:
        """Delete for good what was hidden until `now`."""
        state = self._chat.state
        for session_id, deadline in list(state.deleted.items()):
            if deadline <= now:
                del state.deleted[session_id]
                self._gone.pop(session_id, None)
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
