"""Talking: what makes a session say something: send, regenerate, stop."""

import secrets
from dataclasses import replace
from time import time

from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.session.conversation import Conversation
from kvchat.session.message import MessageNode, MessageState
from kvchat.session.reply import Reply
from kvchat.store.rows import new_id

TITLE_LENGTH = 48


class Talking(Conversation):
    """A conversation that can be answered; a part of Session."""

    @property
    def sampling(self) -> SamplingParams:
        """Settings of the next reply."""
        return SamplingParams().with_values(self._row.sampling)

    def rename(self, title: str) -> None:
        """Give the session another title."""
        title = " ".join(title.split())
        if not title:
            raise InvalidArgument("A title needs at least one character.")
        with self._host.lock:
            self._check_open()
            self._row = replace(self._row, title=title)
        session_id = self.id
        self._host.save(lambda database: database.rename(session_id, title))

    def set_sampling(self, sampling: SamplingParams) -> None:
        """Replace the settings of coming replies."""
        values = sampling.to_dict()
        with self._host.lock:
            self._check_open()
            self._row = replace(self._row, sampling=values)
        session_id = self.id
        self._host.save(lambda database: database.set_sampling(session_id, values))

    def send(self, text: str, sampling: SamplingParams | None = None) -> Reply:
        """Say something; returns when the message is durably stored, before it is computed.

        Raises SessionBusy while a reply runs, InvalidArgument for an empty message, NotSaving when
        the message could not be stored, in which case nothing has changed.
        """
        return self._send(text, sampling, is_waiting=False)

    def _send(self, text: str, sampling: SamplingParams | None, *, is_waiting: bool) -> Reply:
        """Send a text that was typed, or the prompt that waits first."""
        if not text.strip():
            raise InvalidArgument("An empty message has nothing to answer.")
        with self._host.lock:
            self._check_idle()
            nodes = self._nodes()
            node = MessageNode(
                new_id(),
                self._row.tree_id,
                nodes[-1].id if nodes else None,
                "user",
                [self._host.storable(text)],
                created_at=time(),
                model_name=self._host.model_name,
            )
            row, session_id = node.row(), self.id
            stored = self._host.save(
                lambda database: database.add_message(
                    session_id, row, clear_draft=not is_waiting, take_waiting=is_waiting
                )
            )
            # Waiting with the lock held keeps the order of messages; a commit takes milliseconds.
            stored.result()
            nodes.append(node)
            if not is_waiting:
                self._row = replace(self._row, draft="")
            if not self._row.title:
                self.rename(_title_of(text))
            return self._start(sampling, prompt_is_new=True, push_undo=False)

    def regenerate(self, sampling: SamplingParams | None = None) -> Reply:
        """Answer the last user message again; the old answer stays as a sibling, see `undo`."""
        with self._host.lock:
            self._check_idle()
            nodes = self._nodes()
            has_reply = bool(nodes) and nodes[-1].role == "assistant"
            place = len(nodes) - 1 if has_reply else len(nodes)
            if place < 1 or nodes[place - 1].role != "user":
                raise InvalidArgument("There is no message to answer again.")
            del nodes[place:]
            is_new = not nodes[-1].token_ids
            return self._start(sampling, prompt_is_new=is_new, push_undo=has_reply)

    def stop(self) -> None:
        """End the running reply, if any; its text so far is kept."""
        if self._reply is not None:
            self._reply.cancel()

    def _start(
        self, sampling: SamplingParams | None, *, prompt_is_new: bool, push_undo: bool
    ) -> Reply:
        params = self.sampling if sampling is None else sampling
        seed = secrets.randbits(32) if params.seed is None else params.seed
        nodes = self._nodes()
        node = MessageNode(
            new_id(),
            self._row.tree_id,
            nodes[-1].id,
            "assistant",
            [],
            state=MessageState.STREAMING,
            created_at=time(),
            model_name=self._host.model_name,
            seed=seed,
        )
        path = list(nodes)
        nodes.append(node)
        self._error = None
        self._reply = Reply(self.id, node, seed, self._host.replies.cancel)
        self._host.start(
            self._row,
            self._reply,
            path,
            node,
            params,
            prompt_is_new=prompt_is_new,
            push_undo=push_undo,
        )
        return self._reply


def _title_of(text: str) -> str:
    words = " ".join(text.split())
    if len(words) <= TITLE_LENGTH:
        return words
    return words[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
