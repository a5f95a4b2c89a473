"""Talking: what makes a session say something: send, edit, regenerate, continue, stop."""

import re
import secrets
from contextlib import suppress
from dataclasses import replace
from time import time

from kvchat.engine.request import FinishReason
from kvchat.errors import InvalidArgument, NotSaving, SessionBusy
from kvchat.sampling_params import SamplingParams
from kvchat.session.conversation import Conversation
from kvchat.session.kept_tokens import KeptTokens
from kvchat.session.message import MessageNode, MessageState, Role
from kvchat.session.path_windows import own_window
from kvchat.session.reply import Reply
from kvchat.session.running_replies import ReplyStart
from kvchat.store.database import Database
from kvchat.store.rows import new_id, system_key

TITLE_LENGTH = 48
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")


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
            self._say(self._nodes(), text, is_typed=not is_waiting, takes_waiting=is_waiting)
            return self._start(sampling)

    def edit(
        self, message_id: str, text: str, sampling: SamplingParams | None = None
    ) -> Reply | None:
        """Say something else in place of a message; what was said stays as its sibling, see `undo`.

            question, answer = chat.messages[:2]
            chat.edit(question.id, "Tell me two stories.").wait()   # a new question, answered
            chat.edit(answer.id, "Once upon a time")                # other words for the model
            chat.continue_reply().wait()                            # which goes on from there

        A user message is answered again, by the reply that is returned. A reply gets a sibling with
        this text, `Message.is_edited`, and nothing runs. The message may be anywhere in the tree;
        the session stands on the new one afterwards. Cancels a running reply. Raises
        InvalidArgument for an empty text or a message of another chat, NotSaving.
        """
        if not text.strip():
            raise InvalidArgument("An empty message cannot stand in place of another.")
        with self._host.lock:
            self._check_open()
            *before, old = self._find(message_id)
            self._stop_and_detach()
            if old.role == "user":
                self._say(before, text, push_undo=True)
                return self._start(sampling)
            node = self._node("assistant", before, text)
            node.is_edited = True
            self._add(before, node, push_undo=True)
            self._host.replies.write_ids(self._row, before, node)
            return None

    def regenerate(
        self,
        sampling: SamplingParams | None = None,
        *,
        message_id: str | None = None,
        keep_tokens: int = 0,
        token: int | None = None,
    ) -> Reply:
        """Answer again; the old answer stays as a sibling, see `undo`.

            chat.regenerate().wait()                                # another answer
            chat.regenerate(keep_tokens=12).wait()                  # the same first 12 tokens
            place = chat.tokens(chat.messages[-1].id)[12]
            other = place.alternatives[1].token_id
            chat.regenerate(keep_tokens=12, token=other).wait()     # and another 13th

        message_id   a reply, or a user message, anywhere in the tree; None is the last one
        keep_tokens  the new reply begins with so many tokens of the old one, exactly
        token        then with this token, whatever the model would have drawn

        Nothing before the first new token is computed again while its keys and values are kept;
        `max_tokens` counts new tokens only. A prompt written for another system prompt or model is
        said again first, as a sibling. Raises SessionBusy while a reply runs, InvalidArgument for
        a message that cannot be answered or tokens that are not there.
        """
        with self._host.lock:
            self._check_idle()
            path = self._nodes() if message_id is None else self._find(message_id)
            source = path[-1] if path and path[-1].role == "assistant" else None
            before = path[:-1] if source is not None else path
            if not before or before[-1].role != "user":
                raise InvalidArgument("There is no message to answer again.")
            kept = self._kept(source, keep_tokens, token)
            return self._answer_again(before, source, kept, sampling)

    def continue_reply(self, sampling: SamplingParams | None = None) -> Reply:
        """Go on at the end of the last reply, in a sibling that begins with all its tokens.

            chat.send("Count to a thousand.", SamplingParams(max_tokens=50)).wait()
            chat.continue_reply().wait()        # or after stop(), or after edit() of a reply

        Raises SessionBusy while a reply runs, InvalidArgument when the last message is no reply or
        the model ended it by itself.
        """
        with self._host.lock:
            self._check_idle()
            nodes = self._nodes()
            if not nodes or nodes[-1].role != "assistant":
                raise InvalidArgument("There is no reply to go on with.")
            source = nodes[-1]
            if source.finish_reason == FinishReason.STOP:
                raise InvalidArgument("The model ended this reply by itself; nothing can follow.")
            num_tokens = len(source.token_ids)
            kept = KeptTokens(source.id, num_tokens)
            if source.model_name != self._host.model_name or (source.text and not num_tokens):
                kept = KeptTokens(text=source.text)
            return self._answer_again(nodes[:-1], source, kept, sampling)

    def stop(self) -> None:
        """End the running reply, if any; its text so far is kept."""
        if self._reply is not None:
            self._reply.cancel()

    # Pieces

    def _kept(
        self, source: MessageNode | None, num_tokens: int, token: int | None
    ) -> KeptTokens | None:
        """Return what a reply begins with; raises InvalidArgument where that cannot be."""
        limit = 0 if source is None else len(source.token_ids)
        if not 0 <= num_tokens <= limit:
            raise InvalidArgument(f"keep_tokens is {num_tokens}, but the reply has {limit} tokens.")
        if token is not None and not 0 <= token < self._host.num_token_ids:
            raise InvalidArgument(f"The model has no token {token}.")
        if not num_tokens and token is None:
            return None
        if source is None:
            return KeptTokens(token=token)
        if source.model_name != self._host.model_name:
            raise InvalidArgument("Another model made this reply; its tokens cannot be kept.")
        if num_tokens == limit and source.finish_reason == FinishReason.STOP:
            raise InvalidArgument("The model ended this reply by itself; nothing can follow.")
        return KeptTokens(source.id, num_tokens, token)

    def _answer_again(
        self,
        before: list[MessageNode],
        source: MessageNode | None,
        kept: KeptTokens | None,
        sampling: SamplingParams | None,
    ) -> Reply:
        user, nodes = before[-1], self._nodes()
        is_other = (user.model_name, user.system_key) != (
            self._host.model_name,
            system_key(self._row.system),
        )
        if user.token_ids and is_other:
            # Its ids were made for what is below it; this prompt needs others.
            self._say(before[:-1], user.text, push_undo=True)
        elif not nodes or nodes[-1] is not user:
            self._move_to(before, push_undo=True)
        return self._start(sampling, kept, source)

    def _say(
        self,
        before: list[MessageNode],
        text: str,
        *,
        push_undo: bool = False,
        is_typed: bool = False,
        takes_waiting: bool = False,
    ) -> None:
        """Store a user message behind others, and stand on it."""
        if before and before[-1].state is MessageState.STREAMING:
            raise SessionBusy("That reply is still running in another session; fork it or wait.")
        node = self._node("user", before, self._host.storable(text))
        self._add(
            before, node, push_undo=push_undo, clear_draft=is_typed, take_waiting=takes_waiting
        )
        if is_typed:
            self._row = replace(self._row, draft="")
        if not self._row.title:
            self.rename(title_of(text))

    def _node(self, role: Role, before: list[MessageNode], text: str) -> MessageNode:
        window, sinks = own_window(self._row)
        return MessageNode(
            new_id(),
            self._row.tree_id,
            before[-1].id if before else None,
            role,
            [text] if text else [],
            created_at=time(),
            model_name=self._host.model_name,
            window=window,
            sinks=sinks,
        )

    def _add(
        self,
        before: list[MessageNode],
        node: MessageNode,
        *,
        push_undo: bool,
        clear_draft: bool = False,
        take_waiting: bool = False,
    ) -> None:
        row, session_id = node.row(), self.id
        stored = self._host.save(
            lambda database: database.add_message(
                session_id,
                row,
                push_undo=push_undo,
                clear_draft=clear_draft,
                take_waiting=take_waiting,
            )
        )
        # Waiting with the lock held keeps the order of messages; a commit takes milliseconds.
        stored.result()
        self._stand_on([*before, node])

    def _record_windows(self, path: list[MessageNode]) -> None:
        """Record the session's window for the last messages if no model read them yet.

        So what was refused for want of room is read under the window that was set since, and what
        came from a file without one under that of its session.
        """
        window, sinks = own_window(self._row)

        def record(database: Database) -> None:
            for node in reversed(path):
                if (node.window, node.sinks) != (window, sinks):
                    if node.sinks is not None and database.was_read(node.id):
                        return
                    database.set_message_window(node.id, window, sinks)
                    node.window, node.sinks = window, sinks
                elif node.role == "assistant" and node.token_ids:
                    return

        if any((node.window, node.sinks) != (window, sinks) for node in path[-2:]):
            with suppress(NotSaving):  # the reply will say so; its message stays as it is recorded
                self._host.save(record).result()

    def _start(
        self,
        sampling: SamplingParams | None = None,
        kept: KeptTokens | None = None,
        source: MessageNode | None = None,
    ) -> Reply:
        """Answer the user message the session stands on."""
        params = self.sampling if sampling is None else sampling
        path = list(self._nodes())
        self._record_windows(path)
        node = self._node("assistant", path, "")
        node.state = MessageState.STREAMING
        node.seed = secrets.randbits(32) if params.seed is None else params.seed
        if kept is not None:
            node.token_ids = kept.token_ids(source)
        reply = Reply(self.id, node, node.seed, self._host.replies.cancel)
        self._host.start(ReplyStart(self._row, reply, path, node, params, kept))
        self._path = [*path, node]
        self._reply = reply
        return reply


def title_of(text: str) -> str:
    """Return the title that a first message gives its session: its words, not what it fences.

    A file that was attached is fenced, and its name stands before it; where there is nothing but
    fenced text, that gives the title.
    """
    around, inside, fence = "", "", ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
            elif len(inside) <= TITLE_LENGTH:
                inside += f"{line} "
        elif found:
            fence = found[1]
        else:
            around += f"{line} "
            if len(around.lstrip()) > TITLE_LENGTH:
                break
    words = " ".join(around.split() or inside.split() or text.split())
    if len(words) <= TITLE_LENGTH:
        return words
    return words[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
