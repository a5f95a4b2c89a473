"""SessionHost: what sessions share: store, engine, prompts, and each other. For any thread."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from kvchat.clean_text import storable
from kvchat.engine.engine_thread import EngineThread
from kvchat.errors import EngineStopped, InvalidArgument
from kvchat.session.conversation import AUTO_SINKS, Conversation
from kvchat.session.message import MessageNode, node_of
from kvchat.session.prompt import path_token_ids
from kvchat.session.prompt_thread import PromptThread
from kvchat.session.proof import prove_token_ids
from kvchat.session.reply import Reply
from kvchat.session.running_replies import ReplyStart, RunningReplies
from kvchat.session.session import Session
from kvchat.session.session_state import SessionState
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow, new_id
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine
    from kvchat.engine.sequence import ResumeCost

Result = TypeVar("Result")
MIN_SINKS = 4


def check_window(window: int | None, sinks: int, context_tokens: int) -> None:
    """Raise InvalidArgument for a window that does not fit a model's context."""
    if sinks < AUTO_SINKS:
        raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
    if window is not None and not 1 <= window <= context_tokens - max(0, sinks):
        if 1 <= window <= context_tokens:
            raise InvalidArgument(
                f"A window of {window} and {sinks} sinks are more than the {context_tokens} tokens "
                "of the model's context."
            )
        raise InvalidArgument(f"window is {window}, but it must be 1 to {context_tokens} tokens.")


class SessionHost:
    """Store, engine and the other sessions, as one session sees them.

    `is_loading` says whether the engine has no model yet.
    """

    def __init__(
        self,
        *,
        model_name: str,
        context_tokens: int,
        vocab_size: int,
        block_size: int,
        store: StoreThread,
        segments: SegmentThread | None,
        prompts: PromptThread,
        engine: EngineThread,
        is_loading: Callable[[], bool],
    ) -> None:
        self.lock = RLock()
        """The one lock around tips and message lists; held only for plain Python."""
        self.model_name = model_name
        """Name that is stored with messages: of the model, '#', and of its tokenizer's content."""
        self.vocab_size = vocab_size
        """Token ids of the model are below this."""
        self.sessions: dict[str, Session] = {}
        self.replies = RunningReplies(
            store, prompts, engine, model_name, self._open, self._note_ended, self.lock
        )
        self.is_closed = False
        self._context_tokens = context_tokens
        self._block_size = block_size
        self._store = store
        self._segments = segments
        self._prompts = prompts
        self._engine = engine
        self._is_loading = is_loading
        self._nodes: WeakValueDictionary[str, MessageNode] = WeakValueDictionary()
        self._num_tags = 0

    # Sessions

    def add(self, row: SessionRow, path: list[MessageNode] | None = None) -> Session:
        """List and return a session; its path is read when it is needed if it is not given."""
        session = self.sessions[row.id] = Session(self, row, path)
        if path:
            self.know(path[-1])
        self._num_tags = max(self._num_tags, session.hue_index + 1)
        return session

    def remove(self, session: Conversation) -> None:
        """Unlist a deleted session and give its blocks back."""
        with self.lock:
            self.sessions.pop(session.id, None)

        def forget(engine: "Engine") -> None:
            engine.close(session.id)
            if self._segments is not None:
                self._segments.forget(session.id)

        self._engine.call(forget)

    def sessions_of_tree(self, tree_id: str) -> list[Session]:
        """Return the sessions that share a tree of messages. The lock is held."""
        return [session for session in self.sessions.values() if session.tree_id == tree_id]

    def put_aside(self, session: Conversation) -> None:
        """Unlist a closed session; what is computed is saved if there is room, and given back."""
        with self.lock:
            self.sessions.pop(session.id, None)

        def let_go(engine: "Engine") -> None:
            engine.save(session.id)
            engine.close(session.id)

        self._engine.call(let_go)

    def reopen(self, session_id: str) -> Session | None:
        """List a session that was put aside, and return it; None if there is none. Lock held."""
        rows = self.save(lambda database: database.list_sessions()).result()
        return next((self.add(row) for row in rows if row.id == session_id), None)

    def next_tag_index(self) -> int:
        """Return a number no other session had."""
        self._num_tags += 1
        return self._num_tags - 1

    def check_open(self) -> None:
        """Raise EngineStopped after the runtime was closed."""
        if self.is_closed:
            raise EngineStopped("This runtime was closed; start a new one.")

    def check_window(self, window: int | None, sinks: int) -> None:
        """Raise InvalidArgument for a window that the model cannot have."""
        check_window(window, sinks, self._context_tokens)

    # Text

    def save(self, job: Callable[[Database], Result]) -> "Future[Result]":
        """Queue a job of the store."""
        return self._store.submit(job)

    def keep_draft(self, session_id: str, text: str) -> None:
        """Store the text of a prompt that is being typed, within a second."""
        self._store.keep_draft(session_id, text)

    def storable(self, text: str) -> str:
        """Return text as the store can hold it: what it cannot is replaced visibly."""
        return storable(text)

    def adopt(self, rows: Sequence[MessageRow]) -> list[MessageNode]:
        """Return nodes for stored rows; a message in several sessions is one node."""
        return [self._nodes.setdefault(row.id, node_of(row)) for row in rows]

    def know(self, node: MessageNode) -> None:
        """Let later readers of a stored message find this node, as long as anybody has it."""
        self._nodes[node.id] = node

    def known(self, message_id: str) -> MessageNode | None:
        """Return the node of a message, if anybody has it."""
        return self._nodes.get(message_id)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of generated token ids."""
        return self._prompts.voice().writer.tokenizer.decode(token_ids)

    def token_texts(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        """Return what each token adds to their text; '' for marks and parts of a character."""
        detokenizer = self._prompts.voice().writer.tokenizer.detokenizer()
        return tuple(detokenizer.push(token_id) for token_id in token_ids)

    def prove_imported(self, tree_id: str) -> "Future[None]":
        """Look at the token ids that a tree got from a file, on the prompts thread."""

        def prove() -> None:
            session, rows, claimed = self.save(lambda database: database.to_prove(tree_id)).result()
            verdicts = prove_token_ids(self._prompts, self.model_name, session, rows, claimed)
            self.save(lambda database: database.accept_token_ids(verdicts)).result()
            with self.lock:  # where they were read before
                for message_id, is_proved in verdicts.items():
                    node = self.known(message_id)
                    if is_proved and node is not None:
                        node.token_ids = list(claimed[message_id])

        return self._prompts.submit(prove)

    def prove_all_imported(self) -> None:
        """Look at what a program without this model has imported, before anything is said to it."""
        model_name = self.model_name
        for tree_id in self.save(lambda database: database.trees_to_prove(model_name)).result():
            self.prove_imported(tree_id)

    def token_text(self, token_id: int) -> str:
        """Return what one token says, control tokens too; bytes of a character as in '⟨E2⟩'."""
        table = self._prompts.voice().writer.tokenizer.token_bytes_table
        raw = table[token_id] if 0 <= token_id < len(table) else b""
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return "".join(f"⟨{byte:02X}⟩" for byte in raw)

    def num_fixed_tokens(self, row: SessionRow) -> int:
        """Return how many tokens every prompt of a session begins with; 0 while loading."""
        return self._prompts.num_fixed_tokens(row.system) or 0

    def num_sink_tokens(self, row: SessionRow) -> int:
        """Return how many first tokens a session's window keeps, in whole blocks."""
        size = self._block_size
        return -(-max(MIN_SINKS, self._num_sinks(row)) // size) * size

    # Replies

    def start(self, start: ReplyStart) -> None:
        """Begin a reply: its prompt is written and its row stored before it is computed."""
        self.check_open()
        self.know(start.node)
        # What was said before is known already: it comes back while the prompt is being written.
        self.prefetch(start.row, path_token_ids(start.path[:-1]))
        self.replies.start(start)

    def waiting_state(self, session_id: str) -> SessionState:
        """Return what a reply without a first token waits for."""
        if self._is_loading():
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

    # Keys and values

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
            if not self._can_open(engine, row):
                return 0, 0
            engine.rewind(row.id, engine.num_common(row.id, token_ids))
            return _figures(engine.resume_cost(row.id, token_ids))

        return self._engine.call(cut)

    def prefetch(self, row: SessionRow, token_ids: list[int]) -> None:
        """Bring what is saved of these tokens back from disk, soon; harmless where nothing is."""

        def bring(engine: "Engine") -> None:
            if not engine.is_open(row.id):
                if row.window is not None and self._prompts.num_fixed_tokens(row.system) is None:
                    return  # its sinks are not known yet
                self._open(engine, row)
            engine.prefetch(row.id, token_ids)

        if self._segments is not None and token_ids:
            self._engine.call(bring)

    def plan(self, row: SessionRow, token_ids: list[int]) -> "Future[tuple[int, int]]":
        """Return how many of these tokens are resident, and are on disk; changes nothing.

        Where nothing was said since the start it first has to be learned what a window keeps.
        """

        def look(engine: "Engine") -> tuple[int, int]:
            if not self._can_open(engine, row):
                return 0, 0
            return _figures(engine.resume_cost(row.id, token_ids))

        if row.window is None or self._prompts.num_fixed_tokens(row.system) is not None:
            return self._engine.call(look)
        known: Future[tuple[int, int]] = Future()

        def ask() -> None:
            self._prompts.learn_fixed_tokens(row)
            self._engine.call(look).add_done_callback(lambda done: _hand_over(done, known))

        def has_asked(done: "Future[None]") -> None:
            if done.cancelled():
                known.set_exception(EngineStopped("kvchat is closing; all text is saved."))
            elif (error := done.exception()) is not None:
                known.set_exception(error)

        self._prompts.submit(ask).add_done_callback(has_asked)
        return known

    def _can_open(self, engine: "Engine", row: SessionRow) -> bool:
        if engine.is_open(row.id):
            return True
        if row.window is not None and self._prompts.num_fixed_tokens(row.system) is None:
            return False  # its sinks are not known yet
        self._open(engine, row)
        return True

    def score(self, row: SessionRow, token_ids: list[int], first: int) -> dict[int, bytes]:
        """Return packed records of the tokens from `first` on, by position; waits for the engine.

        Raises EngineStopped, PoolTooSmall.
        """
        self._prompts.submit(lambda: self._prompts.learn_fixed_tokens(row)).result()
        name = f"{row.id}?{new_id()}"

        def begin(engine: "Engine") -> None:
            if self._can_open(engine, row):
                engine.begin_score(row.id, name, token_ids, first)

        records: dict[int, bytes] = {}
        self._engine.call(begin).result()
        try:
            # A chunk at a time, so that others go on streaming meanwhile.
            while chunk := self._engine.call(lambda engine: engine.score_chunk(name)).result():
                records |= chunk
        finally:
            self._engine.call(lambda engine: engine.close(name))
        return records

    def load(self, row: SessionRow, token_ids: list[int]) -> None:
        """Bring what is saved of these tokens back, once it is known what a window keeps."""

        def bring() -> None:
            self._prompts.learn_fixed_tokens(row)
            self.prefetch(row, token_ids)

        self._prompts.submit(bring)

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

    def num_blocks(self, session_id: str) -> tuple[int, int]:
        """Return blocks of a session and how many of them are shared, from the latest view."""
        view = self._engine.view
        if view is not None:
            for sequence in view.sequences:
                if sequence.session_id == session_id:
                    blocks = [block for block in sequence.table if block >= 0]
                    return len(blocks), sum(view.ref_counts[block] > 1 for block in blocks)
        return 0, 0

    def _open(self, engine: "Engine", row: SessionRow) -> None:
        sinks = max(MIN_SINKS, self._num_sinks(row)) if row.window is not None else 0
        tag = self.sessions[row.id].tag if row.id in self.sessions else ""
        engine.open(row.id, window=row.window, sinks=sinks, label=tag)

    def _note_ended(self, reply: Reply) -> None:
        """Let the session of a reply that has ended go on, on the prompts thread."""
        session = self.sessions.get(reply.session_id)
        if session is not None:
            # Whether a prompt waits is asked there, under the lock: one may just be joining.
            with suppress(RuntimeError):  # the runtime was closed meanwhile; the prompt is stored
                self._prompts.submit(lambda: session.note_reply_ended(reply))

    def _num_sinks(self, row: SessionRow) -> int:
        return self.num_fixed_tokens(row) if row.sinks == AUTO_SINKS else row.sinks


def _figures(cost: "ResumeCost") -> tuple[int, int]:
    return cost.num_resident_tokens, cost.num_disk_tokens


def _hand_over(done: "Future[tuple[int, int]]", known: "Future[tuple[int, int]]") -> None:
    if (error := done.exception()) is not None:
        known.set_exception(error)
    else:
        known.set_result(done.result())
