"""ChatRuntime: the one place that wires model, engine, store and sessions.

Constructing it checks the model folder and opens the store; torch is imported and weights are
loaded on the engine thread, while messages already queue.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar

from kvchat import paths
from kvchat.clean_text import storable
from kvchat.durable_files import DataDirLock, private_dir, remove_stumps
from kvchat.engine.engine_thread import EngineThread
from kvchat.engine.request import FinishReason, Request, Timing, TokenEvent
from kvchat.engine_options import EngineOptions
from kvchat.errors import EngineStopped, InvalidArgument, KVChatError, SessionNotFound
from kvchat.kv.pool_view import BlockState, PoolEvent, PoolView, SequenceView
from kvchat.kv.spec import KVDtype
from kvchat.model.folder import ModelFolder
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageNode, node_of
from kvchat.session.prompt import PromptWriter, path_token_ids
from kvchat.session.reply import Reply
from kvchat.session.session import AUTO_SINKS, Session, SessionState
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow, new_id
from kvchat.store.segment_thread import segment_thread
from kvchat.store.store_thread import StoreThread
from kvchat.text.chat_template import ChatTemplate, find_stop_ids
from kvchat.text.sandbox import Sandbox
from kvchat.text.tokenizer import Tokenizer
from kvchat.text.tokenizer_files import tokenizer_digest

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine, ResumeCost
    from kvchat.kv.memory_report import MemoryReport

__all__ = [
    "BlockState",
    "ChatRuntime",
    "PoolEvent",
    "PoolView",
    "RuntimeStats",
    "RuntimeStatus",
    "SequenceView",
]

Result = TypeVar("Result")
DATABASE_NAME = "chats.db"
MIN_SINKS = 4
SECONDS_TO_SAVE = 5.0
"""Closing waits so long for keys and values to be written; without them chats are read again."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What the runtime can do now, for people: one sentence and the choices it made."""

    state: Literal["loading", "ready", "failed"]
    sentence: str
    model_name: str
    device: str
    weights: str
    context_tokens: int
    default_window: int | None
    saving: bool


@dataclass(frozen=True, slots=True)
class RuntimeStats:
    """Figures of the engine between two steps."""

    memory: "MemoryReport"
    num_blocks: int
    block_size: int
    num_steps: int
    num_preemptions: int
    num_copied_blocks: int
    resume_costs: "tuple[ResumeCost, ...]"
    """For every chat with blocks: tokens in the pool, only on disk, and to be computed again."""


@dataclass(frozen=True, slots=True)
class _Voice:
    """What turns messages into token ids and back, once it is loaded."""

    writer: PromptWriter
    stop_ids: frozenset[int]


class ChatRuntime:
    """Many chats with one local model, all in one paged cache.

    model       a model folder, or None for the bundled model
    device      'auto', 'cpu', 'cuda' or 'mps'
    weights     'auto', 'fp32', 'bf16' or 'fp16'
    kv_dtype    'auto' keeps keys and values as computed; 'int8' in about a quarter of fp32's room
    pool_bytes  size of the block pool; None takes a quarter of the free memory, at most 2 GiB
    data_dir    where chats are stored; None is the usual place for this system
    save        False keeps everything in memory and needs no data directory
    threads     CPU threads of torch; None takes the physical cores
    window      window of new sessions; 'default' is the model's, None sees everything
    sinks       first tokens that windows of new sessions keep; None is the system prompt
    sampling    fields of SamplingParams that replace what the model advises

    Raises ModelError for a folder that cannot be loaded, DataDirInUse, DatabaseDamaged, NotSaving.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        weights: str = "auto",
        kv_dtype: KVDtype = "auto",
        pool_bytes: int | None = None,
        block_size: int = 32,
        data_dir: Path | None = None,
        save: bool = True,
        threads: int | None = None,
        window: int | Literal["default"] | None = "default",
        sinks: int | None = None,
        sampling: Mapping[str, object] | None = None,
    ) -> None:
        self._options = EngineOptions(device, weights, kv_dtype, pool_bytes, block_size, threads)
        self._folder = ModelFolder.open(paths.bundled_model_dir() if model is None else model)
        self._is_bundled = model is None
        digest = tokenizer_digest(self._folder.path)
        self._model_name = f"{self._folder.name}#{digest}"
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._nodes: dict[str, MessageNode] = {}
        self._running: dict[Reply, Request | None] = {}
        self._fixed: dict[str | None, int] = {}
        self._is_closed = False
        self._num_tags = 0
        config = self._folder.config
        # The bundled model talks for ever: its system prompt and the last part of its context.
        default_window = config.max_position * 3 // 4 if self._is_bundled else None
        if window != "default":
            self.check_window(window, 0 if sinks is None else sinks)
            default_window = window
        self._sinks = sinks
        self._sampling = self._advised_sampling().with_values(sampling or {})
        name = "kvchat's built-in model" if self._is_bundled else self._folder.name
        self._status = RuntimeStatus(
            "loading",
            f"Loading {name}…",
            name,
            device,
            weights,
            config.max_position,
            default_window,
            save,
        )
        self._directory_lock: DataDirLock | None = None
        database_path: Path | None = None
        if save:
            directory = private_dir(paths.data_dir() if data_dir is None else data_dir)
            self._directory_lock = DataDirLock(directory)
            database_path = directory / DATABASE_NAME
            remove_stumps(directory)
        try:
            self._store = StoreThread(database_path, on_not_saving=self._note_saving)
            try:
                rows = self._store.submit(lambda database: database.list_sessions()).result()
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            if self._directory_lock is not None:
                self._directory_lock.release()
            raise
        self._segments = None
        if save:
            self._segments = segment_thread(
                self._store.submit, directory, paths.cache_dir() if data_dir is None else None
            )
        for row in rows:
            self._sessions[row.id] = Session(self, row)
            self._num_tags = max(self._num_tags, row.tag_index + 1)
        self._sandbox = Sandbox()
        self._prompts = ThreadPoolExecutor(1, thread_name_prefix="kvchat-prompts")
        self._voice: Future[_Voice] = self._prompts.submit(self._load_voice)
        self._engine = EngineThread(
            self._build_engine, on_ready=self._note_ready, on_ended=self._note_ended
        )
        self._engine.start()

    # Sessions

    def new_session(
        self,
        title: str | None = None,
        *,
        system: str | None = None,
        sampling: SamplingParams | None = None,
        window: int | Literal["default"] | None = "default",
        sinks: int | None = None,
    ) -> Session:
        """Start a conversation.

        `window=N` lets the model see the first `sinks` and the last N tokens, so that a talk never
        fills the context; sinks None keeps the system prompt. Raises InvalidArgument.
        """
        wanted = self._status.default_window if window == "default" else window
        sinks = self._sinks if sinks is None else sinks
        if sinks is not None and sinks < 0:
            raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
        self.check_window(wanted, AUTO_SINKS if sinks is None else sinks)
        with self._lock:
            self._check_open()
            row = SessionRow(
                id=new_id(),
                tree_id=new_id(),
                title=title or "",
                system=None if system is None else storable(system),
                sampling=(sampling or self._sampling).to_dict(),
                window=wanted,
                sinks=AUTO_SINKS if sinks is None else sinks,
                tag_index=self.next_tag_index(),
                created_at=time(),
                template_date=date.today().isoformat(),
            )
            self.save(lambda database: database.create_session(row))
            session = Session(self, row)
            self.add(session)
            return session

    def open_session(self, session_id: str) -> Session:
        """Return the session with this id; raises SessionNotFound."""
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionNotFound("There is no such session.")
        return session

    def sessions(self) -> list[Session]:
        """Return all sessions, oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def broadcast(
        self, sessions: Sequence[Session], text: str, sampling: SamplingParams | None = None
    ) -> list[Reply]:
        """Send one message to several sessions; they are answered in one batch.

        Raises SessionBusy before anything is sent if one of them is still answering.
        """
        with self._lock:
            for session in sessions:
                session._check_idle()
            return [session.send(text, sampling) for session in sessions]

    def focus(self, session: Session | None) -> None:
        """Tell the scheduler whose prompt to read first."""
        owner = None if session is None else session.id

        def set_focus(engine: "Engine") -> None:
            engine.scheduler.focus = owner

        self._engine.call(set_focus)

    # Figures

    def status(self) -> RuntimeStatus:
        """Return what the runtime can do now."""
        return self._status

    def want_pool_view(self, wanted: bool) -> None:
        """Start or stop copying block tables for `pool_view`, at most five times a second."""
        self._engine.want_view(wanted)

    def pool_view(self) -> PoolView | None:
        """Return the latest copy, or None before the first one was wanted and made."""
        return self._engine.view

    def stats(self) -> RuntimeStats:
        """Return figures of the engine; waits until the model is loaded and a step has ended.

        Raises EngineStopped when the engine has ended.
        """

        def ask(engine: "Engine") -> RuntimeStats:
            cache = engine.cache
            return RuntimeStats(
                cache.memory(),
                cache.num_blocks,
                cache.block_size,
                engine.num_steps,
                engine.num_preemptions,
                cache.num_copied_blocks,
                tuple(engine.resume_costs()),
            )

        return self._engine.call(ask).result()

    # Ending

    def close(self, timeout: float | None = None) -> None:
        """Stop replies, keeping their text, and end all threads; harmless when done twice."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            running = list(self._running)
        for reply in running:
            reply.cancel()
        self._prompts.shutdown(wait=True, cancel_futures=True)
        self._save_all(SECONDS_TO_SAVE if timeout is None else timeout)
        self._engine.close(timeout)
        for reply in list(self._running):
            self._end(reply, FinishReason.CANCELLED, None)
        if self._segments is not None:
            self._segments.close(timeout)
        self._store.close(timeout)
        self._sandbox.close()
        if self._directory_lock is not None:
            self._directory_lock.release()

    def __enter__(self) -> "ChatRuntime":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # SessionHost: what sessions need

    @property
    def lock(self) -> threading.RLock:
        """The one lock around tips and message lists."""
        return self._lock

    @property
    def model_name(self) -> str:
        """Name that is stored with messages: of the model, '#', and of its tokenizer's content."""
        return self._model_name

    def save(self, job: Callable[[Database], Result]) -> "Future[Result]":
        """Queue a job of the store."""
        return self._store.submit(job)

    def storable(self, text: str) -> str:
        """Return text as the store can hold it."""
        return storable(text)

    def adopt(self, rows: Sequence[MessageRow]) -> list[MessageNode]:
        """Return nodes for stored rows; a message in several sessions is one node."""
        return [self._nodes.setdefault(row.id, node_of(row)) for row in rows]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of generated token ids."""
        return self._voice.result().writer.tokenizer.decode(token_ids)

    def num_fixed_tokens(self, row: SessionRow) -> int:
        """Return how many tokens every prompt of a session begins with; 0 while loading."""
        return self._fixed.get(row.system, 0)

    def num_sink_tokens(self, row: SessionRow) -> int:
        """Return how many first tokens a session's window keeps, in whole blocks."""
        size = self._options.block_size
        return -(-max(MIN_SINKS, self._num_sinks(row)) // size) * size

    def add(self, session: Session) -> None:
        """List a session."""
        self._sessions[session.id] = session

    def remove(self, session: Session) -> None:
        """Unlist a deleted session and give its blocks back."""
        with self._lock:
            self._sessions.pop(session.id, None)

        def forget(engine: "Engine") -> None:
            engine.close(session.id)
            if self._segments is not None:
                self._segments.forget(session.id)

        self._engine.call(forget)

    def release(self, session_id: str) -> None:
        """Give a session's blocks back; its next message reads it again."""
        self._engine.call(lambda engine: engine.close(session_id))

    def save_blocks(self, session_id: str) -> None:
        """Wait until what is computed of a session is on disk, with its text."""
        self._store.flush().result()
        while self._segments is not None:
            saved = self._engine.call(lambda engine: engine.save(session_id)).result()
            if saved is not None:
                saved.result()
                return
            is_open = self._engine.call(lambda engine: engine.is_open(session_id)).result()
            self._segments.flush().result()
            if not is_open:
                return

    def check_window(self, window: int | None, sinks: int) -> None:
        """Raise InvalidArgument for a window that the model cannot have."""
        limit = self._folder.config.max_position
        if sinks < AUTO_SINKS:
            raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
        if window is not None and not 1 <= window <= limit - max(0, sinks):
            if 1 <= window <= limit:
                raise InvalidArgument(
                    f"A window of {window} and {sinks} sinks are more than the {limit} tokens "
                    "of the model's context."
                )
            raise InvalidArgument(f"window is {window}, but it must be 1 to {limit} tokens.")

    def next_tag_index(self) -> int:
        """Return a number no other session had."""
        self._num_tags += 1
        return self._num_tags - 1

    def waiting_state(self, session_id: str) -> SessionState:
        """Return what a reply without a first token waits for."""
        if self._status.state == "loading":
            return SessionState.LOADING
        progress = self._engine.progress.get(session_id)
        if progress is not None and progress.queue_place:
            return SessionState.WAITING
        return SessionState.PREFILL

    def prefill_progress(self, session_id: str) -> float:
        """Return the part of the prompt that is computed."""
        progress = self._engine.progress.get(session_id)
        if progress is None or not progress.num_prompt_tokens:
            return 0.0
        return min(1.0, progress.num_computed_tokens / progress.num_prompt_tokens)

    def queue_place(self, session_id: str) -> tuple[int, int] | None:
        """Return the place in line for room in the pool, or None."""
        progress = self._engine.progress.get(session_id)
        if progress is None or not progress.queue_place:
            return None
        return progress.queue_place, progress.queue_length

    def num_blocks(self, session_id: str) -> tuple[int, int]:
        """Return blocks of a session and how many of them are shared, from the latest view."""
        view = self._engine.view
        if view is not None:
            for sequence in view.sequences:
                if sequence.session_id == session_id:
                    blocks = [block for block in sequence.table if block >= 0]
                    return len(blocks), sum(view.ref_counts[block] > 1 for block in blocks)
        return 0, 0

    def fork(self, parent_id: str, child_id: str, num_tokens: int, tag: str) -> None:
        """Let a new session share the blocks of its parent's first tokens."""

        def share(engine: "Engine") -> None:
            if engine.is_open(parent_id) and not engine.is_open(child_id):
                engine.fork(parent_id, child_id, num_tokens, tag)
            if self._segments is not None:
                self._segments.share(parent_id, child_id)

        self._engine.call(share)

    def rewind(self, row: SessionRow, token_ids: list[int]) -> "Future[tuple[int, int]]":
        """Cut a session's sequence; the result is how many tokens are resident, and are on disk."""

        def cut(engine: "Engine") -> tuple[int, int]:
            if not engine.is_open(row.id):
                if row.window is not None and row.system not in self._fixed:
                    return 0, 0  # its sinks are not known yet
                self._open(engine, row)
            resident = engine.rewind(row.id, len(token_ids))
            return resident, engine.num_restorable(row.id, token_ids) - resident

        return self._engine.call(cut)

    def _open(self, engine: "Engine", row: SessionRow) -> None:
        sinks = max(MIN_SINKS, self._num_sinks(row)) if row.window is not None else 0
        tag = self._sessions[row.id].tag if row.id in self._sessions else ""
        engine.open(row.id, window=row.window, sinks=sinks, label=tag)

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
        self._check_open()
        self._nodes[node.id] = node
        self._nodes[path[-1].id] = path[-1]
        self._running[reply] = None
        self._prompts.submit(
            self._prepare, row, reply, path, node, sampling, prompt_is_new, push_undo
        )

    def cancel(self, reply: Reply) -> None:
        """End a reply wherever it is."""
        request = self._running.get(reply)
        if request is not None:
            request.is_cancelled = True
            self._engine.call(lambda engine: engine.cancel(request))

    # The prompts thread

    def _load_voice(self) -> _Voice:
        self._sandbox.start()
        tokenizer = Tokenizer.load(self._folder.path, self._sandbox)
        template = ChatTemplate.load(self._folder.path, tokenizer, self._sandbox)
        if template.notice is not None:
            log.warning("%s", template.notice)
        stop_ids = find_stop_ids(self._folder.path, tokenizer, template)
        return _Voice(PromptWriter(tokenizer, template, self._model_name), stop_ids)

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
        self._running[reply] = request
        if reply.is_cancelled:
            self._end(reply, FinishReason.CANCELLED, None)
            return

        def submit(engine: "Engine") -> None:
            if not engine.is_open(row.id):
                self._open(engine, row)
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
        voice = self._voice.result()
        when = row.template_date or date.today().isoformat()
        if row.window is not None and row.system not in self._fixed:
            self._fixed[row.system] = voice.writer.num_fixed_tokens(row.system, when)
        stored_ids: list[int] | None = None
        is_foreign = any(other.model_name not in (None, self.model_name) for other in path)
        if prompt_is_new or is_foreign:
            prompt = voice.writer.write(path, row.system, when)
            stored_ids, token_ids = prompt.stored_ids, prompt.token_ids
            path[-1].token_ids = stored_ids
        else:
            token_ids = path_token_ids(path)
        begun = node.row()
        self.save(
            lambda database: database.begin_reply(
                row.id, begun, prompt_token_ids=stored_ids, push_undo=push_undo
            )
        )
        stop = (*sampling.stop, *voice.writer.template.stop_strings)
        return Request(
            owner=row.id,
            token_ids=token_ids,
            sampling=sampling,
            seed=reply.seed,
            stop_ids=voice.stop_ids,
            on_event=lambda event: self._take(reply, event),
            text_stream=voice.writer.tokenizer.detokenizer(stop),
        )

    def _num_sinks(self, row: SessionRow) -> int:
        return self._fixed.get(row.system, 0) if row.sinks == AUTO_SINKS else row.sinks

    # Events of the engine thread

    def _build_engine(self) -> "Engine":
        engine, device, weights = self._options.build(
            self._folder, self._segments, lambda job: self._engine.call(lambda _: job())
        )
        self._status = replace(self._status, device=device, weights=weights)
        return engine

    def _note_ready(self, engine: "Engine") -> None:
        status = self._status
        sentence = f"{status.model_name} is ready on {status.device} in {status.weights}."
        self._status = replace(status, state="ready", sentence=sentence)

    def _note_ended(self, sentence: str | None) -> None:
        if sentence is not None:
            self._status = replace(self._status, state="failed", sentence=sentence)
        if sentence is None:
            return
        for reply, request in list(self._running.items()):
            # A prompt that is still being written fails when it is submitted.
            if request is not None:
                self._end(reply, FinishReason.FAILED, self._engine.failure)

    def _note_submitted(self, reply: Reply, future: "Future[None]") -> None:
        error = future.exception()
        if error is None:
            return
        if isinstance(error, EngineStopped) and self._is_closed:
            self._end(reply, FinishReason.CANCELLED, None)
            return
        if not isinstance(error, KVChatError):
            error = KVChatError(f"The reply could not be started ({type(error).__name__}).")
        self._end(reply, FinishReason.FAILED, error)

    def _note_saving(self, sentence: str | None) -> None:
        self._status = replace(self._status, saving=sentence is None)

    def _end(self, reply: Reply, reason: FinishReason, error: KVChatError | None) -> None:
        """End a reply that the engine never had, or no longer has."""
        if not reply.is_finished:
            reply.cause = error
        sentence = None if error is None else error.sentence
        self._take(reply, TokenEvent(None, "", Timing(), reason, sentence))

    def _take(self, reply: Reply, event: TokenEvent) -> None:
        if reply.is_finished:
            return
        if event.finish_reason is FinishReason.FAILED and reply.cause is None:
            reply.cause = self._engine.failure
        reply.take(event)
        if event.text or event.token_id is not None:
            self._store.stream(reply.message_id, event.text, event.token_id)
        if event.finish_reason is None:
            return
        if self._running.pop(reply, None) is None:
            return  # its row was never begun
        state = "done"
        if event.finish_reason is FinishReason.CANCELLED:
            state = "interrupted"
        elif event.finish_reason is FinishReason.FAILED:
            state = "failed"
        self._store.finish(
            reply.message_id,
            ReplyEnd(
                state,  # type: ignore[arg-type]  # one of the three above
                event.finish_reason.value,
                event.error,
                reply.num_cached_tokens,
                reply.decode_tokens_per_second,
            ),
        )

    # Pieces

    def _advised_sampling(self) -> SamplingParams:
        advised = self._folder.generation
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        values = {name: getattr(advised, name) for name in names}
        return SamplingParams().with_values(
            {name: value for name, value in values.items() if value is not None}
        )

    def _save_all(self, timeout: float) -> None:
        """Hand everything computed to the segment thread, in room for so many seconds."""
        deadline = monotonic() + timeout
        try:
            while self._segments is not None and self._status.state == "ready":
                rest = max(0.0, deadline - monotonic())
                if self._engine.call(lambda engine: engine.save_all()).result(rest):
                    return
                self._segments.flush().result(max(0.0, deadline - monotonic()))
        except (TimeoutError, EngineStopped):
            log.info("closing did not wait for all keys and values to be saved")

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineStopped("This runtime was closed; start a new one.")
