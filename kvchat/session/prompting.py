"""Prompting: what its user is about to say to a session: the draft, and prompts that wait in line.

Both are stored: the draft within a second, a waiting prompt before `enqueue` returns. When a reply
ends well, the prompt that waits first is sent; when it is stopped or fails, all go back to the
draft.
"""

import logging
from dataclasses import replace

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.session.message import MessageState
from kvchat.session.reply import Reply
from kvchat.session.tree import Tree
from kvchat.store.prompt_rows import draft_with

log = logging.getLogger(__name__)


class Prompting(Tree):
    """A session with a draft and a line of prompts; a part of Session."""

    _waiting: tuple[str, ...] = ()

    @property
    def draft(self) -> str:
        """Text of the prompt that is not sent yet."""
        return self._row.draft

    def set_draft(self, text: str) -> None:
        """Keep what stands in the prompt; stored within a second, and emptied by `send`."""
        text = self._host.storable(text)
        with self._host.lock:
            self._check_open()
            if text == self._row.draft:
                return
            self._row = replace(self._row, draft=text)
        self._host.keep_draft(self.id, text)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Prompts that are sent one after the other when the running reply has ended."""
        return self._waiting

    def enqueue(self, text: str) -> Reply | None:
        """Send a prompt now, or let it wait in line behind the running reply and others.

        Returns the reply, or None while it waits, when it is durably stored. Raises like `send`.
        """
        if not text.strip():
            raise InvalidArgument("An empty message has nothing to answer.")
        with self._host.lock:
            self._check_open()
            if not self._waiting and (self._reply is None or self._reply.is_finished):
                return self.send(text)
            text, session_id = self._host.storable(text), self.id
            self._host.save(lambda database: database.enqueue_prompt(session_id, text)).result()
            self._row = replace(self._row, draft="")
            self._waiting = (*self._waiting, text)
            return None

    def unqueue(self) -> str | None:
        """Take the prompt that came last out of the line and return it; None if none waits."""
        with self._host.lock:
            self._check_open()
            if not self._waiting:
                return None
            session_id = self.id
            self._host.save(lambda database: database.unqueue_prompt(session_id)).result()
            *rest, text = self._waiting
            self._waiting = tuple(rest)
            return text

    def stop(self) -> None:
        """End the running reply, if any; its text so far is kept. What waits becomes the draft."""
        with self._host.lock:
            self._return_waiting()
            super().stop()

    def note_reply_ended(self, reply: Reply) -> None:
        """Send the next prompt that waits, or none after a failure; called by the runtime."""
        with self._host.lock:
            if not self._waiting or self._is_closed or reply is not self._reply:
                return
            if self.messages[-1].state is not MessageState.DONE:
                self._return_waiting()
                return
            text, *rest = self._waiting
            try:
                self._send(text, None, is_waiting=True)
            except KVChatError as error:
                self._return_waiting()
                self._error = error.sentence
                log.warning("a waiting prompt was not sent: %s", error.code)
            else:
                self._waiting = tuple(rest)

    def _stop_and_detach(self) -> None:
        self._return_waiting()
        super()._stop_and_detach()

    def _return_waiting(self) -> None:
        if not self._waiting:
            return
        draft = draft_with(list(self._waiting), self._row.draft)
        self._row = replace(self._row, draft=draft)
        self._waiting = ()
        session_id = self.id
        self._host.save(lambda database: database.return_waiting_prompts(session_id))
