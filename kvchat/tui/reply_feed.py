"""ReplyFeed: the timer that reads what engine threads have put down, and the prompts in line.

Twenty times a second for the shown session, four times for the others, less often while the screen
takes more than its share of a core. Nothing is posted per token and nothing waits for the engine.
"""

import asyncio
from contextlib import suppress
from time import thread_time
from typing import TYPE_CHECKING

from kvchat.errors import KVChatError
from kvchat.tui.chat_state import SessionView
from kvchat.tui.conversation import waiting_words

if TYPE_CHECKING:
    from kvchat.session.reply import Reply
    from kvchat.tui.screens.chat import ChatScreen

DRAIN_SECONDS = 1 / 20
SLOW_TICKS = 5
MAX_UI_SHARE = 0.10


class ReplyFeed:
    """Reads replies of one chat screen's sessions."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self._loop = asyncio.get_running_loop()
        self._signature: tuple[object, ...] = ()
        self._ticks = 0
        self._stride = 1
        self._cpu_mark = (0.0, 0.0)
        self.ui_share = 0.0
        """The part of a core that the screen took in the last second."""

    def watch(self, reply: "Reply") -> None:
        """Have the first text and the end of a reply drawn at once, not at the next tick."""
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
        elif view.state_name in ("PREFILL", "WAITING"):
            self._redraw_streaming(view)
        if not view.is_running:
            self._send_waiting(view)

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
            is_running = view.is_running
            if view.was_running and not is_running and view is not chat.view:
                view.num_unread += 1
            view.was_running = is_running
            if view is not chat.view and not is_running:
                self._send_waiting(view)
        chat.draw_lists()
        chat.draw_status()

    def send(self, view: SessionView, text: str) -> bool:
        """Send a prompt; False when it was refused, which is said."""
        try:
            self.watch(view.session.send(text))
        except KVChatError as error:
            self._chat.notice(error.sentence, "error")
            return False
        return True

    def _send_waiting(self, view: SessionView) -> None:
        """Send the next prompt in line; after a failure they all go back to the prompt."""
        if not view.waiting_prompts:
            return
        chat = self._chat
        text = view.waiting_prompts.popleft()
        if view.session.error is None and self.send(view, text):
            view.was_running = True
        else:
            parts = [text, *view.waiting_prompts]
            view.waiting_prompts.clear()
            if view is chat.view:
                parts.append(chat.prompt.exact_text)
                chat.prompt.set_exact_text("\n\n".join(part for part in parts if part))
            else:
                view.draft = "\n\n".join(part for part in [*parts, view.draft] if part)
        if view is chat.view:
            chat.sync()
