"""ChatRuntime: the one place that wires model, engine, store and sessions.

Constructing it checks the model folder and opens the store; torch is imported and weights are
loaded on the engine thread, while messages already queue.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from kvchat import paths
from kvchat.clean_text import storable
from kvchat.engine.engine_thread import EngineThread
from kvchat.engine_options import EngineOptions
from kvchat.errors import EngineStopped, InvalidArgument, SessionNotFound
from kvchat.found_models import resolve_model
from kvchat.kv.pool_view import BlockState, PoolEvent, PoolView, SequenceView
from kvchat.kv.spec import KVDtype
from kvchat.model.folder import ModelFolder
from kvchat.runtime_status import RuntimeStats, RuntimeStatus
from kvchat.sampling_params import SamplingParams
from kvchat.session.archive import Archive
from kvchat.session.broadcast import ask_often, fan_out
from kvchat.session.host import SessionHost, check_window
from kvchat.session.prompt_thread import PromptThread
from kvchat.session.reply import Reply
from kvchat.session.session import AUTO_SINKS, Session
from kvchat.store.data_dir import DataDir
from kvchat.store.rows import SessionRow, new_id
from kvchat.store.segment_thread import segment_thread
from kvchat.store.store_thread import StoreThread
from kvchat.text.tokenizer import Tokenizer
from kvchat.text.tokenizer_files import tokenizer_digest

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine

__all__ = [
    "BlockState",
    "ChatRuntime",
    "PoolEvent",
    "PoolView",
    "RuntimeStats",
    "RuntimeStatus",
    "SequenceView",
]

SECONDS_TO_SAVE = 5.0
"""Closing waits so long for keys and values to be written; without them chats are read again."""
log = logging.getLogger(__name__)


class ChatRuntime(Archive):
    """Many chats with one local model, all in one paged cache.

        from kvchat import ChatRuntime

        with ChatRuntime() as runtime:                  # the bundled model
            chat = runtime.new_session(system="You are terse.")
            for piece in chat.send("Tell me a story."):
                print(piece, end="", flush=True)
            other = chat.fork()                         # shares every block
            print(other.rewind(turns=1).num_prefill_tokens)

    model       a folder, opened or not, a name of `found_models`, or None for the bundled model
    device      'auto', 'cpu', 'cuda' or 'mps'
    weights     'auto', 'fp32', 'bf16', 'fp16', 'int8' or 'int4'
    kv_dtype    'auto' keeps keys and values as computed; 'int8' in about a quarter of fp32's room
    pool_bytes  size of the block pool; None takes a quarter of the free memory, at most 2 GiB
    data_dir    where chats and models are stored; None is the usual place for this system
    save        False keeps everything in memory and needs no data directory
    threads     CPU threads of torch; None takes the physical cores
    kernel      'auto', 'torch', or 'native' for C++ kernels on a CPU; see kvchat/docs/native.md
    window      window of new sessions; 'default' is the model's, None sees everything
    sinks       first tokens that windows of new sessions keep; None is the system prompt
    sampling    fields of SamplingParams that replace what the model advises

    Raises ModelError for a folder that cannot be loaded, DataDirInUse, DatabaseDamaged, NotSaving.
    """

    def __init__(
        self,
        model: str | Path | ModelFolder | None = None,
        *,
        device: str = "auto",
        weights: str = "auto",
        kv_dtype: KVDtype = "auto",
        pool_bytes: int | None = None,
        block_size: int = 32,
        data_dir: Path | None = None,
        save: bool = True,
        threads: int | None = None,
        kernel: str = "auto",
        window: int | Literal["default"] | None = "default",
        sinks: int | None = None,
        sampling: Mapping[str, object] | None = None,
    ) -> None:
        self._options = EngineOptions(
            device, weights, kv_dtype, pool_bytes, block_size, threads, kernel
        )
        if not isinstance(model, ModelFolder):
            bundled = paths.bundled_model_dir()
            model_path = bundled if model is None else resolve_model(model, data_dir)
            self._folder = ModelFolder.open(model_path)
        else:
            self._folder = model
        self._is_bundled = model is None
        Tokenizer.check_folder(self._folder.path)
        digest = tokenizer_digest(self._folder.path)
        model_name = f"{self._folder.name}#{digest}"
        config = self._folder.config
        # The bundled model talks for ever: its system prompt and the last part of its context.
        default_window = config.max_position * 3 // 4 if self._is_bundled else None
        if window != "default":
            check_window(window, 0 if sinks is None else sinks, config.max_position, block_size)
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
        self._data_dir = DataDir(data_dir or paths.data_dir()) if save else None
        database_path = None if self._data_dir is None else self._data_dir.database_path
        try:
            self._store = StoreThread(database_path, on_not_saving=self._note_saving)
            try:
                rows = self._store.submit(lambda database: database.list_sessions()).result()
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            if self._data_dir is not None:
                self._data_dir.release()
            raise
        self._segments = None
        if self._data_dir is not None:
            self._segments = segment_thread(
                self._store.submit,
                self._data_dir.path,
                paths.cache_dir() if data_dir is None else None,
            )
        self._prompts = PromptThread(self._folder.path, model_name, config.vocab_size)
        self._focus: str | None = None
        self._engine = EngineThread(
            self._build_engine, on_ready=self._note_ready, on_ended=self._note_ended
        )
        self.host = SessionHost(
            model_name=model_name,
            context_tokens=config.max_position,
            vocab_size=config.vocab_size,
            block_size=block_size,
            store=self._store,
            segments=self._segments,
            prompts=self._prompts,
            engine=self._engine,
            is_loading=lambda: self._status.state == "loading",
        )
        """What its sessions share; no part of the public interface."""
        for row in rows:
            self.host.add(row)
        # Before any prompt, which waits for the same tokenizer.
        self._prompts.submit(lambda: self._engine.call(self._limit_choices))
        self.host.prove_all_imported()
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
        self.host.check_window(wanted, AUTO_SINKS if sinks is None else sinks)
        if sinks is not None and sinks < 0:
            raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
        with self.host.lock:
            self.host.check_open()
            row = SessionRow(
                id=new_id(),
                tree_id=new_id(),
                title=title or "",
                system=None if system is None else storable(system),
                sampling=(sampling or self._sampling).to_dict(),
                window=wanted,
                sinks=AUTO_SINKS if sinks is None else sinks,
                tag_index=self.host.next_tag_index(),
                created_at=time(),
                template_date=date.today().isoformat(),
            )
            self.host.save(lambda database: database.create_session(row))
            return self.host.add(row)

    def open_session(self, session_id: str) -> Session:
        """Return the session with this id, also one that was closed; raises SessionNotFound."""
        with self.host.lock:
            session = self.host.sessions.get(session_id) or self.host.reopen(session_id)
        if session is None:
            raise SessionNotFound("There is no such session.")
        return session

    def sessions(self) -> list[Session]:
        """Return all sessions, oldest first."""
        with self.host.lock:
            return list(self.host.sessions.values())

    def broadcast(
        self,
        to: Session | Sequence[Session],
        text: str,
        sampling: SamplingParams | None = None,
        *,
        forks: int | None = None,
    ) -> list[Reply]:
        """Send one message to several sessions, or to `forks` new forks of one; see `Reply`.

            for reply in runtime.broadcast([chat, other], "Hi!"):
                print(reply.wait().text)
            replies = runtime.broadcast(chat, "Tell me a joke.", forks=4)   # four other seeds
            best = runtime.open_session(replies[2].session_id)

        All are answered in one batch, and what they have in common is read once. Forks get the
        seeds after `sampling.seed`, or fresh ones. Raises SessionBusy before anything is sent if
        one of them is still answering, InvalidArgument for an empty message or a session that is
        named twice.
        """
        with self.host.lock:
            if forks is not None:
                if not isinstance(to, Session):
                    raise InvalidArgument("forks are made of one session, not of several.")
                return fan_out(to, text, forks, sampling)
            sessions = [to] if isinstance(to, Session) else list(to)
            if len({session.id for session in sessions}) != len(sessions):
                raise InvalidArgument("A session is named twice; it can answer one message only.")
            for session in sessions:
                session._check_idle()
            return [session.send(text, sampling) for session in sessions]

    def ask(
        self, session: Session, text: str, n: int, sampling: SamplingParams | None = None
    ) -> list[Reply]:
        """Say one thing and get n answers: sibling replies, each in a fork of its own.

            replies = runtime.ask(chat, "Give it a title.", 4)
            for reply in replies:
                print(reply.wait().text)
            chat.visit(replies[2].message_id)      # go on with the third

        The session itself stays where it is; `Reply.session_id` names the fork. Seeds are as with
        `broadcast`. Raises SessionBusy, InvalidArgument for an empty message or a bad n, NotSaving.
        """
        with self.host.lock:
            return ask_often(session, text, n, sampling)

    def focus(self, session: Session | None) -> None:
        """Tell the scheduler whose prompt to read first, and the store which chat is looked at.

        Never waits. When the runtime starts again, the last one looked at is the one used last.
        """
        owner = None if session is None else session.id
        if owner is not None and owner != self._focus:
            self._store.submit(lambda database: database.note_used(owner))

        def set_focus(engine: "Engine") -> None:
            engine.scheduler.focus = owner

        self._focus = owner
        self._engine.call(set_focus)

    # Figures

    def status(self) -> RuntimeStatus:
        """Return what the runtime can do now."""
        return self._status

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about the state in which the stored chats were found."""
        found = () if self._data_dir is None else self._data_dir.notices
        return found + self._store.notices

    def want_pool_view(self, wanted: bool, group_index: int = 0) -> None:
        """Start or stop copying block tables for `pool_view`, at most five times a second.

        `group_index` names the layer group, in models that have several; the last one for more.
        """
        self._engine.want_view(wanted, group_index)

    def pool_view(self) -> PoolView | None:
        """Return the latest copy, or None before the first one was wanted and made."""
        return self._engine.view

    def stats(self) -> RuntimeStats:
        """Return figures of the engine; waits until the model is loaded and a step has ended.

        Raises EngineStopped when the engine has ended.
        """
        return self._engine.call(RuntimeStats.of).result()

    # Ending

    def restart(self) -> None:
        """Build the engine again after it ended with an error, which `status` calls 'failed'.

            if runtime.status().state == "failed":
                runtime.restart()
                chat.send("Where were we?").wait()

        The model is loaded anew, on a thread of its own, while messages queue. Replies that ran
        have failed and stay as they are; each chat goes on with its next message, with what disk
        has of its keys and values, and the same words. Waits until the old engine is gone. Raises
        InvalidArgument while one works or loads, EngineStopped after `close`.
        """
        self.host.check_open()
        if not self._engine.restart(self._note_loading):
            self.host.check_open()
            raise InvalidArgument("The model is at work; there is nothing to restart.")

    def close(self, timeout: float | None = None) -> None:
        """Stop replies, keeping their text, and end all threads; harmless when done twice."""
        with self.host.lock:
            if self.host.is_closed:
                return
            self.host.is_closed = True
        self.host.replies.cancel_all()
        self._prompts.shutdown()
        self._save_all(SECONDS_TO_SAVE if timeout is None else timeout)
        self._engine.close(timeout)
        self.host.replies.end_all()
        if (looked_at := self._focus) is not None:  # others may have been talked with meanwhile
            self._store.submit(lambda database: database.note_used(looked_at))
        if self._segments is not None:
            self._segments.close(timeout)
        self._store.close(timeout)
        self._prompts.close()
        if self._data_dir is not None:
            self._data_dir.release()

    def __enter__(self) -> "ChatRuntime":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Events of the engine thread

    def _build_engine(self) -> "Engine":
        engine, chosen = self._options.build(
            self._folder,
            self._segments,
            lambda job: self._engine.call(lambda _: job()),
            self._note_choice,
            self._note_progress,
        )
        self._status = replace(
            self._status, device=chosen.device, weights=chosen.weights, kernel=chosen.kernel
        )
        if chosen.kernel == "native":
            self._status = replace(self._status, notice="")
        for sentence in chosen.warnings:
            self._note_choice(sentence)
        engine.scheduler.focus = self._focus
        self._limit_choices(engine)  # one that comes later than the tokenizer
        return engine

    def _limit_choices(self, engine: "Engine") -> None:
        """Let the engine choose only ids that the tokenizer has."""
        num_ids = self._prompts.num_token_ids
        if num_ids is not None:
            engine.limit_choices(num_ids)

    def _note_choice(self, sentence: str) -> None:
        log.warning("%s", sentence)
        self._status = replace(self._status, notice=sentence)

    def _note_progress(self, part: float) -> None:
        self._status = replace(self._status, loaded_part=part)

    def _note_loading(self) -> None:
        sentence = f"Loading {self._status.model_name}…"
        self._status = replace(self._status, state="loading", sentence=sentence, loaded_part=0.0)

    def _note_ready(self, engine: "Engine") -> None:
        status = self._status
        sentence = f"{status.model_name} is ready on {status.device} in {status.weights}."
        self._status = replace(status, state="ready", sentence=sentence)

    def _note_ended(self, sentence: str | None) -> None:
        if sentence is not None:
            self._status = replace(self._status, state="failed", sentence=sentence)
            self.host.replies.fail_all(self._engine.failure)

    def _note_saving(self, sentence: str | None) -> None:
        self._status = replace(self._status, saving=sentence is None)

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
