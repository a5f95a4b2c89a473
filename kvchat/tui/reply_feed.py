"""ReplyFeed: the timer that reads what engine threads have put down.

Fifteen times a second for the shown session, four times for the others, less often while the
screen takes more than its share of a core. Nothing is posted per token and nothing waits for the
engine.
"""

import asyncio
from contextlib import suppress
from time import thread_time
from typing import TYPE_CHECKING

from kvchat.errors import ContextTooLong, KVChatError
from kvchat.tui.chat_state import SessionView
from kvchat.tui.context_actions import choose_room
from kvchat.tui.conversation import waiting_words
from kvchat.tui.model_reach import full_hint

if TYPE_CHECKING:
    from kvchat.session.reply import Reply
    from kvchat.tui.screens.chat import ChatScreen

DRAIN_SECONDS = 1 / 15
"""Fluent to the eye, and each painting takes the interpreter from the model that is running."""
SLOW_TICKS = 4
MAX_UI_SHARE = 0.10


class ReplyFeed:
    """Reads replies of one chat screen's sessions."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self._loop = asyncio.get_running_loop()
        self._watched: Reply | None = None
        self._signature: tuple[object, ...] = ()
        self._ticks = 0
        self._stride = 1
        self._cpu_mark = (0.0, 0.0)
        self.ui_share = 0.0
        """The part of a core that the screen took in the last second."""

    def watch(self, reply: "Reply") -> None:
        """Have the first text and the end of a reply drawn at once, not at the next tick."""
        if reply is not self._watched:
            self._watched = reply
            reply.add_listener(self._wake)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the app has ended
            self._loop.call_soon_threadsafe(self._drain_now)

    def _drain_now(self) -> None:
        if self._chat.is_attached and self._chat.app.is_running:
            self.drain()

    def tick(self) -> None:
        """Drain the shown session; less often the others; ever less often under load."""
        self._ticks += 1
        if self._ticks % self._stride:
            return
        beat = self._ticks // self._stride
        self.drain()
        if beat % SLOW_TICKS == 0:
            self.drain_others()
            self._adapt()
        if beat % SLOW_TICKS == 2:
            self._chat.draw_blocks()

    def _adapt(self) -> None:
        wall, cpu = self._chat.app.clock(), thread_time()
        last_wall, last_cpu = self._cpu_mark
        if wall - last_wall < 1.0:
            return
        share = self.ui_share = (cpu - last_cpu) / (wall - last_wall)
        self._cpu_mark = (wall, cpu)
        if share > MAX_UI_SHARE:
            self._stride = min(self._stride * 2, 4)
        elif share < MAX_UI_SHARE / 2:
            self._stride = max(self._stride // 2, 1)

    def drain(self) -> None:
        """Show what the shown session has to say since the last time."""
        chat = self._chat
        view = chat.view
        if view is None or chat.app.runtime is None:
            return
        reply = view.session.reply
        if reply is not view.last_reply:
            view.last_reply = reply
            view.read_position = 0
            if reply is not None:  # also one that the session began by itself
                self.watch(reply)
        signature = (view.state_name, reply, reply is not None and reply.is_finished)
        is_new_state = signature != self._signature
        self._signature = signature
        if reply is not None and not is_new_state:
            piece, view.read_position = reply.read(view.read_position)
            entry = view.entries.get(reply.message_id)
            if piece and entry is not None:
                chat.transcript.append(entry, piece)
        if is_new_state:
            chat.sync()
            self._watch_context(view)
        elif view.state_name in ("PREFILL", "WAITING"):
            self._redraw_streaming(view)
        chat.drafts.take_back()

    def _watch_context(self, view: SessionView) -> None:
        """Tell once that the context is nearly full; offer a choice when it is."""
        chat = self._chat
        reply, runtime = view.session.reply, chat.app.runtime
        if reply is None or runtime is None or not reply.is_finished:
            return
        if isinstance(reply.cause, ContextTooLong):
            choose_room(chat, view)
        elif not view.was_told_full:
            hint = full_hint(view.session, runtime.status())
            if hint is not None:
                view.was_told_full = True
                chat.notice(hint, "warning", 12.0, whole=True)

    def _redraw_streaming(self, view: SessionView) -> None:
        reply = view.session.reply
        entry = view.entries.get(reply.message_id) if reply is not None else None
        if entry is not None and entry.set_note(waiting_words(view)):
            self._chat.transcript.redraw_entries()
            self._chat.draw_status()

    def drain_others(self) -> None:
        """Count what ended out of sight, and bring lists and figures up to date."""
        chat = self._chat
        runtime = chat.app.runtime
        if runtime is None:
            return
        chat.trash.empty(chat.app.clock())
        chat.state.refresh(runtime)
        for view in chat.state.listed:
            reply = view.session.reply
            if view.running_reply not in (None, reply) or not view.is_running:
                if view.running_reply is not None:
                    view.num_unread += view is not chat.view
                    chat.app.notifier.tell_ended(view)
                view.running_reply = None
            if view.is_running:
                view.running_reply = reply
        chat.drafts.store_if_changed()
        chat.draw_lists()
        chat.draw_status()

    def send(self, view: SessionView, text: str) -> bool:
        """Send a prompt or let it wait in line; False when it was refused, which is said."""
        try:
            reply = view.session.enqueue(text)
        except KVChatError as error:
            self._chat.notice(error.sentence, "error")
            return False
        if reply is not None:
            self.watch(reply)
        return True
