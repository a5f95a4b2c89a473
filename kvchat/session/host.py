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
from kvchat.session.conversation import Conversation
from kvchat.session.message import MessageNode, node_of
from kvchat.session.path_windows import AUTO_SINKS, Reading
from kvchat.session.prompt_thread import PromptThread
from kvchat.session.proof import prove_token_ids
from kvchat.session.reply import Reply
from kvchat.session.running_replies import ReplyStart, RunningReplies
from kvchat.session.session import Session
from kvchat.session.session_blocks import SessionBlocks, whole_blocks
from kvchat.session.session_state import SessionState
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine

Result = TypeVar("Result")


def check_window(window: int | None, sinks: int, context_tokens: int, block_size: int) -> None:
    """Raise InvalidArgument for a window that does not fit a model's context with its sinks.

    Sinks are whole blocks, one at least; how many a system prompt takes is not known here.
    """
    for name, value in (("window", window), ("sinks", sinks)):
        if value is not None and type(value) is not int:
            raise InvalidArgument(f"{name} is {value!r}, but it must be a whole number of tokens.")
    if sinks < AUTO_SINKS:
        raise InvalidArgument(f"sinks is {sinks}, but it cannot be negative.")
    kept = whole_blocks(sinks, block_size)
    if window is not None and not 1 <= window <= context_tokens - kept:
        if 1 <= window <= context_tokens:
            raise InvalidArgument(
                f"A window of {window} and {kept} sinks, in whole blocks, are more than the "
                f"{context_tokens} tokens of the model's context."
            )
        raise InvalidArgument(f"window is {window}, but it must be 1 to {context_tokens} tokens.")


class SessionHost(SessionBlocks):
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
        super().__init__(
            block_size=block_size,
            store=store,
            segments=segments,
            prompts=prompts,
            engine=engine,
            tag_of=self._find_tag,
        )
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

    def add_again(self, row: SessionRow) -> Session:
        """List a session where it stood before it was put aside or deleted. Lock held."""
        session = self.add(row)
        for each in list(self.sessions.values()):
            if each.hue_index > session.hue_index:  # it came later
                self.sessions[each.id] = self.sessions.pop(each.id)
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
        return next((self.add_again(row) for row in rows if row.id == session_id), None)

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
        check_window(window, sinks, self._context_tokens, self.block_size)

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

    @property
    def num_token_ids(self) -> int:
        """Ids that model and tokenizer both have: those that can be said."""
        return min(self.vocab_size, self._prompts.voice().writer.tokenizer.vocab_size)

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

    # Replies

    def start(self, start: ReplyStart) -> None:
        """Begin a reply: its prompt is written and its row stored before it is computed."""
        self.check_open()
        self.know(start.node)
        # What was said before is known already: it comes back while the prompt is being written.
        self.prefetch(start.row, Reading.of(start.path[:-1], start.row))
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

    def _find_tag(self, session_id: str) -> str:
        session = self.sessions.get(session_id)
        return "" if session is None else session.tag

    def _note_ended(self, reply: Reply) -> None:
        """Let the session of a reply that has ended go on, on the prompts thread."""
        session = self.sessions.get(reply.session_id)
        if session is not None:
            # Whether a prompt waits is asked there, under the lock: one may just be joining.
            with suppress(RuntimeError):  # the runtime was closed meanwhile; the prompt is stored
                self._prompts.submit(lambda: session.note_reply_ended(reply))
