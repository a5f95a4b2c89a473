"""RunningReplies: every reply between its start and its end: its prompt, events, stored rows.

A reply ends exactly once, whoever ends it: the engine, a prompt that cannot be written, a runtime
that is closed.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from kvchat.engine.engine_thread import EngineThread
from kvchat.engine.request import FinishReason, Request, Timing, TokenEvent
from kvchat.errors import EngineStopped, KVChatError
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageNode
from kvchat.session.prompt import path_token_ids
from kvchat.session.prompt_thread import PromptThread
from kvchat.session.reply import Reply
from kvchat.store.rows import ReplyEnd, SessionRow
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine

log = logging.getLogger(__name__)


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
    ) -> None:
        self._store = store
        self._prompts = prompts
        self._engine = engine
        self._model_name = model_name
        self._open_sequence = open_sequence
        self._on_ended = on_ended
        self._requests: dict[Reply, Request | None] = {}
        self._is_closing = False

    def start(
        self,
        row: SessionRow,
        reply: Reply,
        path: Sequence[MessageNode],
        node: MessageNode,
        sampling: SamplingParams,
        *,
        prompt_is_new: bool,
        push_undo: bool,
    ) -> None:
        """Write the prompt on the prompts thread, store the reply's row, and queue the request."""
        self._requests[reply] = None
        self._prompts.submit(
            lambda: self._prepare(row, reply, path, node, sampling, prompt_is_new, push_undo)
        )

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

    def _prepare(
        self,
        row: SessionRow,
        reply: Reply,
        path: Sequence[MessageNode],
        node: MessageNode,
        sampling: SamplingParams,
        prompt_is_new: bool,
        push_undo: bool,
    ) -> None:
        try:
            request = self._write_request(
                row, reply, path, node, sampling, prompt_is_new, push_undo
            )
        except KVChatError as error:
            self._end(reply, FinishReason.FAILED, error)
            return
        except Exception as error:
            # A reply must end whatever happens; details without chat text go to the log.
            log.exception("a prompt could not be written")
            sentence = f"The prompt could not be written ({type(error).__name__}); it is saved."
            self._end(reply, FinishReason.FAILED, KVChatError(sentence))
            return
        self._requests[reply] = request
        if reply.is_cancelled:
            self._end(reply, FinishReason.CANCELLED, None)
            return

        def submit(engine: "Engine") -> None:
            if not engine.is_open(row.id):
                self._open_sequence(engine, row)
            engine.submit(request)

        submitted = self._engine.call(submit)
        submitted.add_done_callback(lambda future: self._note_submitted(reply, future))

    def _write_request(
        self,
        row: SessionRow,
        reply: Reply,
        path: Sequence[MessageNode],
        node: MessageNode,
        sampling: SamplingParams,
        prompt_is_new: bool,
        push_undo: bool,
    ) -> Request:
        voice = self._prompts.voice()
        self._prompts.learn_fixed_tokens(row)
        stored_ids: list[int] | None = None
        is_foreign = any(other.model_name not in (None, self._model_name) for other in path)
        if prompt_is_new or is_foreign:
            prompt = self._prompts.write(row, path)
            stored_ids, token_ids = prompt.stored_ids, prompt.token_ids
            path[-1].token_ids = stored_ids
        else:
            token_ids = path_token_ids(path)
        begun = node.row()
        stored = self._store.submit(
            lambda database: database.begin_reply(
                row.id,
                begun,
                prompt_token_ids=stored_ids,
                push_undo=push_undo,
                is_tip=not reply.is_detached,
            )
        )
        stored.add_done_callback(lambda future: self._note_stored(reply, future))
        return Request(
            owner=row.id,
            token_ids=token_ids,
            sampling=sampling,
            seed=reply.seed,
            stop_ids=voice.stop_ids,
            on_event=lambda event: self._take(reply, event),
            text_stream=voice.text_stream(sampling.stop),
        )

    # Events, most of them from the engine thread

    def _note_stored(self, reply: Reply, future: "Future[None]") -> None:
        """End a reply that has no row to be stored in."""
        error = future.exception()
        if isinstance(error, KVChatError) and not reply.is_finished:
            request, self._requests[reply] = self._requests.get(reply), None
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

    def _end(self, reply: Reply, reason: FinishReason, error: KVChatError | None) -> None:
        """End a reply that the engine never had, or no longer has."""
        if not reply.is_finished:
            reply.cause = error
        sentence = None if error is None else error.sentence
        self._take(reply, TokenEvent(None, "", Timing(), reason, sentence))

    def _take(self, reply: Reply, event: TokenEvent) -> None:
        if reply.is_finished:
            return
        self._store_event(reply, event)
        if event.finish_reason is not None and not self._is_closing:
            self._on_ended(reply)

    def _store_event(self, reply: Reply, event: TokenEvent) -> None:
        if event.finish_reason is FinishReason.FAILED and reply.cause is None:
            reply.cause = self._engine.failure
        reply.take(event)
        if event.text or event.token_id is not None:
            self._store.stream(reply.message_id, event.text, event.token_id)
        if event.finish_reason is None:
            return
        if self._requests.pop(reply, None) is None:
            return  # its row was never begun
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
            ),
        )
