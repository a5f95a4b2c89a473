"""RunningReplies: every reply between its start and its end: its prompt, events, stored rows.

A reply ends exactly once, whoever ends it: the engine, a prompt that cannot be written, a runtime
that is closed.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Literal

from kvchat.engine.engine_thread import EngineThread
from kvchat.engine.request import FinishReason, Request, Timing, TokenEvent
from kvchat.errors import EngineStopped, KVChatError
from kvchat.sampling_params import SamplingParams
from kvchat.session.kept_tokens import KeptTokens
from kvchat.session.message import MessageNode
from kvchat.session.path_windows import path_windows
from kvchat.session.prompt import num_known, path_token_ids
from kvchat.session.prompt_thread import PromptThread
from kvchat.session.reply import Reply
from kvchat.store.database import Database
from kvchat.store.rows import ReplyEnd, SessionRow, system_key
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplyStart:
    """A reply that is about to begin below a path that ends in a user message."""

    row: SessionRow
    reply: Reply
    path: Sequence[MessageNode]
    node: MessageNode
    sampling: SamplingParams
    kept: KeptTokens | None = None
    """What it begins with; its ids, as far as they are known, are those of the node."""


class RunningReplies:
    """The replies of one runtime that have not ended; for any thread.

    `open_sequence` is called on the engine thread where a session has no sequence yet. `on_ended`
    is called after a reply's last event has been taken, on any thread, and must not wait; not
    while the runtime is being closed.
    """

    def __init__(
        self,
        store: StoreThread,
        prompts: PromptThread,
        engine: EngineThread,
        model_name: str,
        open_sequence: "Callable[[Engine, SessionRow], None]",
        on_ended: Callable[[Reply], None],
        lock: RLock,
    ) -> None:
        self._store = store
        self._prompts = prompts
        self._engine = engine
        self._model_name = model_name
        self._open_sequence = open_sequence
        self._on_ended = on_ended
        self._lock = lock
        self._requests: dict[Reply, Request | None] = {}
        self._stored: set[Reply] = set()
        """Replies that have a row, or will have one before anything else is stored of them."""
        self._is_closing = False

    def start(self, start: ReplyStart) -> None:
        """Write the prompt on the prompts thread, store the reply's row, and queue the request."""
        self._requests[start.reply] = None
        self._prompts.submit(lambda: self._prepare(start))

    def write_ids(self, row: SessionRow, path: Sequence[MessageNode], node: MessageNode) -> None:
        """Find the ids of a reply that somebody wrote; without them its text is read again."""

        def write() -> None:
            if num_known(path, row.system, self._model_name) < len(path):
                return
            writer = self._prompts.voice().writer
            node.token_ids = token_ids = writer.write_reply(path_token_ids(path), node.text)
            self._store.submit(lambda database: database.set_token_ids(node.id, token_ids))

        self._prompts.submit(write)

    def cancel(self, reply: Reply) -> None:
        """End a reply wherever it is."""
        request = self._requests.get(reply)
        if request is not None:
            request.is_cancelled = True
            self._engine.call(lambda engine: engine.cancel(request))

    def cancel_all(self) -> None:
        """End every reply, before their runtime is closed."""
        self._is_closing = True
        for reply in list(self._requests):
            reply.cancel()

    def end_all(self) -> None:
        """End what the engine, which has ended, has left."""
        for reply in list(self._requests):
            self._end(reply, FinishReason.CANCELLED, None)

    def fail_all(self, error: KVChatError | None) -> None:
        """End every reply that the engine had when it failed.

        A prompt that is still being written fails when it is submitted.
        """
        for reply, request in list(self._requests.items()):
            if request is not None:
                self._end(reply, FinishReason.FAILED, error)

    # The prompts thread

    def _prepare(self, start: ReplyStart) -> None:
        reply = start.reply
        try:
            request = self._write_request(start)
        except KVChatError as error:
            self._fail_unsent(start, error)
            return
        except Exception as error:
            # A reply must end whatever happens; details without chat text go to the log.
            log.exception("a prompt could not be written")
            sentence = f"The prompt could not be written ({type(error).__name__}); it is saved."
            self._fail_unsent(start, KVChatError(sentence))
            return
        self._requests[reply] = request
        if reply.is_cancelled:
            self._end(reply, FinishReason.CANCELLED, None, request.text_stream.flush())
            return
        kept_ids = start.node.token_ids
        if request.text_stream.has_stopped or (kept_ids and kept_ids[-1] in request.stop_ids):
            self._end(reply, FinishReason.STOP, None, request.text_stream.flush())
            return

        def submit(engine: "Engine") -> None:
            if request.is_cancelled:
                # Its session may have started another one meanwhile.
                self._end(reply, FinishReason.CANCELLED, None, request.text_stream.flush())
                return
            if reply.is_finished:
                return  # it failed with the engine before this one
            if not engine.is_open(start.row.id):
                self._open_sequence(engine, start.row)
            engine.submit(request)

        submitted = self._engine.call(submit)
        submitted.add_done_callback(lambda future: self._note_submitted(reply, future))

    def _write_request(self, start: ReplyStart) -> Request:
        voice = self._prompts.voice()
        row, reply, path, node = start.row, start.reply, start.path, start.node
        user, stored_ids, notice = path[-1], None, None
        if user.token_ids:
            token_ids = path_token_ids(path)
        else:
            prompt = self._prompts.write(row, path)
            stored_ids, token_ids, notice = prompt.stored_ids, prompt.token_ids, prompt.notice
            user.model_name, user.system_key = self._model_name, system_key(row.system)
            user.token_ids = stored_ids
        text_stream = voice.text_stream(start.sampling.stop)
        if start.kept is not None and start.kept.text is not None:
            node.token_ids = voice.writer.write_reply(token_ids, start.kept.text)
        reply.begin("".join(text_stream.push(token_id) for token_id in node.token_ids), notice)
        self._store_row(start, stored_ids)
        windows = self._prompts.learn_windows(row, path_windows([*path, node], row))
        return Request(
            owner=row.id,
            token_ids=token_ids + node.token_ids,
            sampling=start.sampling,
            seed=reply.seed,
            stop_ids=voice.stop_ids,
            on_event=lambda event: self._take(reply, event),
            text_stream=text_stream,
            windows=windows,
        )

    def _store_row(self, start: ReplyStart, prompt_ids: list[int] | None) -> None:
        row, reply, node, kept = start.row, start.reply, start.node, start.kept
        self._stored.add(reply)
        # Under the lock, so that a session that moves elsewhere does so before or after this.
        with self._lock:
            begun = replace(node.row(), state="streaming")
            is_detached = reply.is_detached

            def begin(database: Database) -> None:
                database.begin_reply(
                    row.id,
                    begun,
                    prompt_token_ids=prompt_ids,
                    prompt_system_key=system_key(row.system),
                    records=[] if kept is None else kept.records(database),
                    is_tip=not is_detached,
                )

            stored = self._store.submit(begin)
        stored.add_done_callback(lambda future: self._note_stored(reply, future))

    def _fail_unsent(self, start: ReplyStart, error: KVChatError) -> None:
        """End a reply that has no request; its row is stored, since messages may follow it."""
        self._store_row(start, None)
        self._end(start.reply, FinishReason.FAILED, error)

    # Events, most of them from the engine thread

    def _note_stored(self, reply: Reply, future: "Future[None]") -> None:
        """End a reply that has no row to be stored in."""
        error = future.exception()
        if isinstance(error, KVChatError) and not reply.is_finished:
            self._stored.discard(reply)
            request = self._requests.get(reply)
            if request is not None:
                request.is_cancelled = True
                self._engine.call(lambda engine: engine.cancel(request))
            self._end(reply, FinishReason.FAILED, error)

    def _note_submitted(self, reply: Reply, future: "Future[None]") -> None:
        error = future.exception()
        if error is None:
            return
        if isinstance(error, EngineStopped) and self._is_closing:
            self._end(reply, FinishReason.CANCELLED, None)
            return
        if not isinstance(error, KVChatError):
            error = KVChatError(f"The reply could not be started ({type(error).__name__}).")
        self._end(reply, FinishReason.FAILED, error)

    def _end(
        self, reply: Reply, reason: FinishReason, error: KVChatError | None, text: str = ""
    ) -> None:
        """End a reply that the engine never had, or no longer has."""
        if not reply.is_finished:
            reply.cause = error
        sentence, code = (None, None) if error is None else (error.sentence, error.code)
        self._take(reply, TokenEvent(None, text, Timing(), reason, sentence, code=code))

    def _take(self, reply: Reply, event: TokenEvent) -> None:
        if reply.is_finished:
            return
        if event.finish_reason is FinishReason.FAILED and reply.cause is None:
            reply.cause = self._engine.failure
        reply.note(event)
        # Queued before readers hear of it, so that what they ask of the store has all of it.
        self._store_event(reply, event)
        reply.tell(event)
        if event.finish_reason is not None and not self._is_closing:
            self._on_ended(reply)

    def _store_event(self, reply: Reply, event: TokenEvent) -> None:
        if event.text or event.token_id is not None:
            self._store.stream(reply.message_id, event.text, event.token_id, event.record)
        if event.finish_reason is None:
            return
        self._requests.pop(reply, None)
        if reply not in self._stored:
            return
        self._stored.discard(reply)
        state: Literal["done", "interrupted", "failed"] = "done"
        if event.finish_reason is FinishReason.CANCELLED:
            state = "interrupted"
        elif event.finish_reason is FinishReason.FAILED:
            state = "failed"
        self._store.finish(
            reply.message_id,
            ReplyEnd(
                state,
                event.finish_reason.value,
                event.error,
                reply.num_cached_tokens,
                reply.decode_tokens_per_second,
                reply.notice,
            ),
        )
