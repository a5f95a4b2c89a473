"""A runtime that says what it is told: the session API over scripted tokens, moved by hand.

`step()` is one engine step: every running reply gets one token. Blocks are really counted, so
that panel figures can be checked. `run_in_background` steps from a thread, for trying the app.
"""

import itertools
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fake_branches import FakeAsking, FakeBranching  # type: ignore[import-not-found]

from kvchat.engine.sequence import ResumeCost
from kvchat.errors import InvalidArgument, KVChatError, SessionBusy, SessionClosed, SessionNotFound
from kvchat.kv.pool_history import PoolSample
from kvchat.kv.pool_view import BlockState, GroupCounts, PoolEvent, PoolView, SequenceView
from kvchat.sampling_params import SamplingParams
from kvchat.session.archive import DeletedSession
from kvchat.session.message import MessageState
from kvchat.session.session import SessionState
from kvchat.store.rows import Role
from kvchat.store.search import SearchHit


@dataclass(frozen=True, slots=True)
class FakeMessage:
    id: str
    parent_id: str | None
    role: str
    text: str
    state: MessageState = MessageState.DONE
    num_tokens: int = 0
    created_at: float = 1_700_000_000.0
    model_name: str | None = "fake"
    seed: int | None = 1
    num_cached_tokens: int = 0
    decode_tokens_per_second: float = 0.0
    is_edited: bool = False
    label: str | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class FakeStatus:
    state: str = "ready"
    sentence: str = "ready"
    model_name: str = "fake-1m"
    device: str = "cpu"
    weights: str = "fp32"
    context_tokens: int = 2048
    default_window: int | None = None
    saving: bool = True
    kernel: str = "torch"
    notice: str = ""
    loaded_part: float = 0.0


@dataclass(frozen=True, slots=True)
class FakeSessionStats:
    num_tokens: int
    num_cached_tokens: int
    num_prefilled_tokens: int
    num_generated_tokens: int
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    num_blocks: int
    num_shared_blocks: int
    num_seen_tokens: int


@dataclass(frozen=True, slots=True)
class FakeRuntimeStats:
    tokens_per_second: float
    num_steps: int
    resume_costs: tuple[ResumeCost, ...] = ()
    step_p50_seconds: float = 0.0124
    step_p95_seconds: float = 0.0311


@dataclass(frozen=True, slots=True)
class FakeRewindPlan:
    num_resident_tokens: int
    num_prefill_tokens: int
    num_disk_tokens: int = 0


def pieces_of(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*$|\s*\S+", text) or [text]


@dataclass
class FakeReply:
    session: "FakeSession"
    message_id: str
    todo: deque[str]
    prefill_steps: int = 0
    pieces: list[str] = field(default_factory=list)
    is_finished: bool = False
    finish_reason: str | None = None
    error: str | None = None
    cause: KVChatError | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    prefill_tokens_per_second: float = 900.0
    decode_tokens_per_second: float = 41.8
    seed: int = 1
    listeners: list[Callable[[], None]] = field(default_factory=list)

    @property
    def session_id(self) -> str:
        return self.session.id

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def num_generated_tokens(self) -> int:
        return len(self.pieces)

    def read(self, position: int) -> tuple[str, int]:
        new = self.pieces[position:]
        return "".join(new), position + len(new)

    def add_listener(self, callback: Callable[[], None]) -> None:
        self.listeners.append(callback)

    def cancel(self) -> None:
        self.session.stop()

    def finish(self, reason: str, error: str | None = None) -> None:
        self.is_finished, self.finish_reason, self.error = True, reason, error
        states = {"cancelled": MessageState.INTERRUPTED, "failed": MessageState.FAILED}
        runtime = self.session.runtime
        runtime.nodes[self.message_id] = replace(
            runtime.nodes[self.message_id],
            text=self.text,
            state=states.get(reason, MessageState.DONE),
            num_tokens=len(self.pieces),
            num_cached_tokens=self.num_cached_tokens,
            decode_tokens_per_second=self.decode_tokens_per_second,
        )
        self.session.error = error
        self.session.note_reply_ended(reason)
        for listener in self.listeners:
            listener()


class FakeSession(FakeBranching):  # type: ignore[misc]  # mypy does not find the module
    def __init__(self, runtime: "FakeRuntime", number: int, title: str | None, **kept: Any) -> None:
        self.runtime = runtime
        self.id = f"session-{number}"
        self.hue_index = number
        self.tag = chr(ord("A") + number % 26)
        self.title = title or "New chat"
        self.system: str | None = kept.get("system")
        self.sampling: SamplingParams = kept.get("sampling") or SamplingParams()
        self.window: int | None = kept.get("window")
        self.sinks = 0
        self.origin: str | None = kept.get("origin")
        self.tip: str | None = kept.get("tip")
        self.reply: FakeReply | None = None
        self.error: str | None = None
        self.queue_place: tuple[int, int] | None = None
        self.past: list[Any] = []
        self.draft = ""
        self.waiting: tuple[str, ...] = ()
        self.table: list[int] = []
        self.length = 0
        self.is_deleted = False

    def rename(self, title: str) -> None:
        self.title = title

    @property
    def has_title(self) -> bool:
        return self.title != "New chat"

    @property
    def num_sink_tokens(self) -> int:
        size = self.runtime.block_size
        return -(-self.sinks // size) * size

    def set_sampling(self, params: SamplingParams) -> None:
        self.sampling = params

    def export(self, form: str, *, first: str | None = None) -> str:
        if form == "json" and first is not None:
            raise InvalidArgument("JSON holds the whole tree.")
        path = self.path()
        shown = self.messages[path.index(first) if first else 0 :]
        return f"# {self.title}\n\n" + "\n\n".join(message.text for message in shown)

    def set_system(self, text: str | None) -> FakeRewindPlan:
        self.system = text
        return FakeRewindPlan(0, self.length)

    def set_window(self, window: int | None, sinks: int | None = None) -> FakeRewindPlan:
        if self.is_running:
            raise SessionBusy("A reply is still running; stop it or wait for its end.")
        self.window = window
        self.sinks = 4 if sinks is None else sinks
        return self.runtime.plans.get(self.id, FakeRewindPlan(self.length - 1, 1))

    @property
    def use_order(self) -> int:
        return self.hue_index

    @property
    def num_messages(self) -> int:
        return len(self.path())

    def path(self) -> list[str]:
        path: list[str] = []
        node = self.tip
        while node is not None:
            path.append(node)
            node = self.runtime.nodes[node].parent_id
        return path[::-1]

    def pieces(self) -> dict[str, list[str]]:
        """What each token of each message says; two marks lead a prompt, as `_answer` counts."""
        found = {}
        for key in self.path():
            node = self.runtime.nodes[key]
            text = node.text
            if self.reply is not None and self.reply.message_id == key:
                text = self.reply.text
            marks = ["", ""] if node.role == "user" else []
            found[key] = marks + (pieces_of(text) if text else [])
        return found

    def token_ranges(self) -> dict[str, range]:
        ranges, at = {}, 0
        for key, pieces in self.pieces().items():
            ranges[key] = range(at, at + len(pieces))
            at += len(pieces)
        return ranges

    def token_texts(self, message_id: str) -> tuple[str, ...]:
        return tuple(self.pieces()[message_id])

    def resume_cost(self) -> ResumeCost:
        num_tokens = sum(len(pieces) for pieces in self.pieces().values())
        left = max(num_tokens - self.length, 0)
        kept = ResumeCost(self.id, self.length, 0, left)
        return self.runtime.costs.get(self.id, kept)

    def plan_rewind(self, to: str) -> FakeRewindPlan:
        return self.runtime.plans.get(to, FakeRewindPlan(self.length, 0))

    def close(self) -> None:
        self.stop()
        self.runtime.shrink(self, 0)
        self.runtime.open_sessions.remove(self)
        self.runtime.put_aside[self.id] = self

    def unload(self) -> None:
        length = self.length
        self.runtime.shrink(self, 0)
        self.runtime.costs[self.id] = ResumeCost(self.id, 0, length, 0)
        self.runtime.note("unload", f"{self.tag} is saved, nothing to re-read", 0)

    def load(self) -> None:
        cost = self.runtime.costs.pop(self.id)
        self.runtime.grow(self, cost.num_disk_tokens)

    def save(self) -> None:
        self.runtime.note("save", f"{self.tag} is on disk", len(self.table))

    @property
    def messages(self) -> tuple[FakeMessage, ...]:
        self.runtime.num_message_reads += 1
        return tuple(self.runtime.nodes[node] for node in self.path())

    @property
    def is_running(self) -> bool:
        return self.reply is not None and not self.reply.is_finished

    @property
    def state(self) -> SessionState:
        if self.reply is None or self.reply.is_finished:
            return SessionState.ERROR if self.error else SessionState.IDLE
        if self.runtime.current.state == "loading":
            return SessionState.LOADING
        if self.queue_place is not None:
            return SessionState.WAITING
        return SessionState.PREFILL if self.reply.prefill_steps else SessionState.STREAMING

    @property
    def prefill_progress(self) -> float:
        left = self.reply.prefill_steps if self.reply else 0
        total = max(self.runtime.prefill_steps, 1)
        return 1.0 - left / total

    def send(self, text: str, sampling: SamplingParams | None = None) -> FakeReply:
        if self.is_running:
            raise SessionBusy("A reply is still running.")
        if self.runtime.refuses is not None:
            raise self.runtime.refuses
        self.past.clear()
        self.draft = ""
        self.tip = self.runtime.add("user", text, self.tip)
        if self.title == "New chat":
            self.title = text[:48]
        return self._answer(text)

    def _answer(self, text: str) -> FakeReply:
        answer = self.runtime.answers.popleft() if self.runtime.answers else f"You said: {text}"
        self.error = None
        self.tip = self.runtime.add("assistant", "", self.tip, MessageState.STREAMING)
        self.reply = FakeReply(self, self.tip, deque(pieces_of(answer)), self.runtime.prefill_steps)
        self.reply.num_cached_tokens = self.length
        self.runtime.grow(self, len(text.split()) + 2)
        self.reply.num_prompt_tokens = self.length
        return self.reply

    def set_draft(self, text: str) -> None:
        if self.is_deleted:
            raise SessionClosed("This session was deleted.")
        self.draft = text
        self.runtime.stored_drafts[self.id] = text

    def enqueue(self, text: str) -> FakeReply | None:
        if not self.waiting and not self.is_running:
            return self.send(text)
        self.waiting += (text,)
        self.draft = ""
        return None

    def unqueue(self) -> str | None:
        if not self.waiting:
            return None
        *rest, text = self.waiting
        self.waiting = tuple(rest)
        return text

    def return_waiting(self) -> None:
        self.draft = "\n\n".join(part for part in (*self.waiting, self.draft) if part)
        self.waiting = ()

    def note_reply_ended(self, reason: str) -> None:
        if not self.waiting:
            return
        if reason in ("cancelled", "failed"):
            self.return_waiting()
            return
        text, *rest = self.waiting
        self.waiting = tuple(rest)
        draft = self.draft
        self.send(text)
        self.draft = draft

    def stop(self) -> None:
        self.return_waiting()
        if self.reply is not None and not self.reply.is_finished:
            self.reply.finish("cancelled")

    def fork(
        self,
        at: str | int | None = None,
        title: str | None = None,
        *,
        token: int | None = None,
    ) -> "FakeSession":
        self.runtime.fork_places.append(at)
        tip = at if isinstance(at, str) else self.tip
        child = self.runtime.add_session(
            title or f"{self.title} fork",
            tip=tip,
            origin=self.id,
            sampling=self.sampling,
            copied=self,
        )
        if token is not None:
            for key, places in self.token_ranges().items():
                if isinstance(at, int) and at in places:
                    child.regenerate(message_id=key, keep_tokens=at - places.start, token=token)
        return child

    def rewind(self, *, turns: int | None = None, to: str | None = None) -> FakeRewindPlan:
        self.stop()
        self.past.append(self.tip)
        if to is not None:
            if to and to not in self.path():
                raise InvalidArgument("This message is not part of the session as it stands.")
            self.tip = to or None
        else:
            for _ in range(turns or 0):
                while self.tip is not None:
                    node = self.runtime.nodes[self.tip]
                    self.tip = node.parent_id
                    if node.role == "user":
                        break
        self.runtime.shrink(self, self.length // 2 if self.tip else 0)
        return self.plan_rewind(self.tip or "")

    def undo(self) -> bool:
        if not self.past:
            return False
        self.stop()
        self.tip = self.past.pop()
        if isinstance(self.tip, tuple):  # it was hidden
            self.tip, hidden = self.tip
            self.runtime.hidden.discard(hidden)
        return True

    def siblings(self, message_id: str) -> tuple[str, ...]:
        nodes = self.runtime.nodes
        parent = nodes[message_id].parent_id
        return tuple(
            key
            for key, node in nodes.items()
            if key == message_id
            or (node.parent_id == parent is not None and key not in self.runtime.hidden)
        )

    def show_sibling(self, message_id: str) -> None:
        if self.is_running:
            raise SessionBusy("A reply is still running.")
        self.past.append(self.tip)
        self.tip = message_id

    def delete(self) -> None:
        self.stop()
        self.runtime.shrink(self, 0)
        self.runtime.open_sessions.remove(self)
        self.is_deleted = True
        self.runtime.trash.append(self)

    def stats(self) -> FakeSessionStats:
        shared = sum(self.runtime.counts[block] > 1 for block in self.table)
        reply = self.reply
        cached = reply.num_cached_tokens if reply else 0
        prompt = reply.num_prompt_tokens if reply else 0
        return FakeSessionStats(
            self.length, cached, prompt - cached, len(reply.pieces) if reply else 0,
            900.0, 41.8 if reply else 0.0, len(self.table), shared, self.length,
        )  # fmt: skip


class FakeRuntime(FakeAsking):  # type: ignore[misc]  # mypy does not find the module
    def __init__(
        self,
        answers: Sequence[str] = (),
        *,
        loading: bool = False,
        prefill_steps: int = 0,
        num_blocks: int = 64,
        block_size: int = 4,
    ) -> None:
        self.answers = deque(answers)
        self.fork_places: list[str | int | None] = []
        self.history: list[PoolSample] = []
        self.copied: list[int] = []
        self.filled_at: tuple[float, ...] = ()
        self.now = 1_700_000_000.0
        self.current = FakeStatus(*(("loading", "loading the model") if loading else ()))
        self.prefill_steps = prefill_steps
        self.block_size = block_size
        self.counts = [0] * num_blocks
        self.cached: set[int] = set()
        self.nodes: dict[str, FakeMessage] = {}
        self.open_sessions: list[FakeSession] = []
        self.numbers = itertools.count()
        self.events: deque[PoolEvent] = deque(maxlen=64)
        self.refuses: KVChatError | None = None
        self.hidden: set[str] = set()
        self.scored: set[str] = set()
        self.asked_sampling: SamplingParams | None = None
        self.view_wanted = False
        self.group_index = 0
        self.num_groups = 1
        self.plans: dict[str, FakeRewindPlan] = {}
        self.costs: dict[str, ResumeCost] = {}
        """What `stats` says about where tokens are, where it is not all in the pool."""
        self.focused: FakeSession | None = None
        self.is_closed = False
        self.num_message_reads = 0
        self.prompts: list[str] = []
        self.trash: list[FakeSession] = []
        self.put_aside: dict[str, FakeSession] = {}
        self.stored_drafts: dict[str, str] = {}
        self.version = 0
        self.lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def status(self) -> FakeStatus:
        return self.current

    def restart(self) -> None:
        if self.current.state != "failed":
            raise InvalidArgument("The model is at work; there is nothing to restart.")
        self.current = replace(self.current, state="loading", sentence="loading the model")

    def finish_loading(self) -> None:
        self.current = replace(self.current, state="ready", sentence="ready")

    def fail_loading(self, sentence: str) -> None:
        self.current = replace(self.current, state="failed", sentence=sentence)

    def add(
        self, role: str, text: str, parent: str | None, state: MessageState = MessageState.DONE
    ) -> str:
        key = f"m{len(self.nodes)}"
        tokens = len(text.split())
        self.nodes[key] = FakeMessage(key, parent, role, text, state, tokens)
        return key

    def add_session(self, title: str | None, copied: FakeSession | None = None, **kept: Any
                    ) -> FakeSession:  # fmt: skip
        session = FakeSession(self, next(self.numbers), title, **kept)
        if copied is not None:
            session.table, session.length = list(copied.table), copied.length
            for block in session.table:
                self.counts[block] += 1
            self.note("fork", f"{copied.tag}→{session.tag}, nothing copied", 0)
        self.open_sessions.append(session)
        return session

    def new_session(self, title: str | None = None, *, system: str | None = None,
                    sampling: SamplingParams | None = None, window: Any = "default",
                    sinks: int | None = None) -> FakeSession:  # fmt: skip
        return self.add_session(
            title, system=system, sampling=sampling,
            window=None if window == "default" else window,
        )  # fmt: skip

    def token_texts_of(self, node: FakeMessage) -> list[str]:
        return pieces_of(node.text) if node.text else []

    def plan(self, session: FakeSession) -> FakeRewindPlan:
        return FakeRewindPlan(session.length, 0)

    def open_session(self, session_id: str) -> FakeSession:
        if session_id in self.put_aside:
            self.open_sessions.append(self.put_aside.pop(session_id))
        for session in self.open_sessions:
            if session.id == session_id:
                return session
        raise SessionNotFound("No such session.")

    def sessions(self) -> list[FakeSession]:
        return list(self.open_sessions)

    def deleted_sessions(self) -> tuple[DeletedSession, ...]:
        return tuple(
            DeletedSession(each.id, each.title, 1.0, each.num_messages) for each in self.trash
        )

    def purge(self) -> int:
        count = len(self.trash)
        self.trash.clear()
        return count

    def import_session(self, text: str, title: str | None = None) -> FakeSession:
        if not text.startswith("# "):
            raise InvalidArgument("This is no chat.")
        return self.add_session(title or text.split("\n")[0][2:])

    def search(self, query: str, limit: int = 50) -> tuple[SearchHit, ...]:
        words = query.lower().split()
        found = []
        for key, node in reversed(self.nodes.items()):
            owner = next((each for each in self.open_sessions if key in each.path()), None)
            owner = owner or (self.open_sessions[0] if self.open_sessions else None)
            if owner is None or not all(word in node.text.lower() for word in words):
                continue
            role: Role = "user" if node.role == "user" else "assistant"
            found.append(SearchHit(owner.id, key, owner.title, role, node.text, node.created_at))
        return tuple(found[:limit])

    def recent_prompts(self, limit: int = 500) -> tuple[str, ...]:
        return tuple(self.prompts[-limit:])

    def remember_prompt(self, text: str) -> None:
        self.prompts.append(text)

    def focus(self, session: FakeSession | None) -> None:
        self.focused = session

    def want_pool_view(self, wanted: bool, group_index: int = 0) -> None:
        self.view_wanted = wanted
        self.group_index = group_index

    def stats(self) -> FakeRuntimeStats:
        costs = [
            self.costs.get(session.id) or ResumeCost(session.id, session.length, 0, 0)
            for session in self.open_sessions
        ]
        return FakeRuntimeStats(82.0, self.version, tuple(costs))

    def close(self, timeout: float | None = None) -> None:
        self.is_closed = True
        for session in self.open_sessions:
            session.stop()

    def step(self, count: int = 1) -> None:
        """Do engine steps: each running reply gets a token in each."""
        with self.lock:
            for _ in range(count):
                self.version += 1
                for session in list(self.open_sessions):
                    self._step(session)

    def _step(self, session: FakeSession) -> None:
        reply = session.reply
        if reply is None or reply.is_finished or session.state is SessionState.LOADING:
            return
        if session.queue_place is not None:
            return
        if reply.prefill_steps:
            reply.prefill_steps -= 1
            return
        if reply.todo:
            reply.pieces.append(reply.todo.popleft())
            self.grow(session, 1)
        if not reply.todo:
            reply.finish("stop")

    def finish_all(self) -> None:
        """Step until every reply has ended."""
        while any(session.is_running for session in self.open_sessions):
            self.step()

    def fail(self, session: FakeSession, sentence: str) -> None:
        assert session.reply is not None
        session.reply.finish("failed", sentence)

    def grow(self, session: FakeSession, num_tokens: int) -> None:
        """Append tokens to a session's blocks, copying a shared last block before writing."""
        for _ in range(num_tokens):
            if session.length % self.block_size == 0:
                session.table.append(self._take())
            elif self.counts[session.table[-1]] > 1:
                self.counts[session.table[-1]] -= 1
                session.table[-1] = self._take()
                self.note("copy", f"{session.tag} writes into a block it shared", 1)
            session.length += 1

    def shrink(self, session: FakeSession, length: int) -> None:
        while len(session.table) * self.block_size >= length + self.block_size:
            block = session.table.pop()
            self.counts[block] -= 1
            if not self.counts[block]:
                self.cached.add(block)
        session.length = length

    def _take(self) -> int:
        for block, count in enumerate(self.counts):
            if count == 0 and block not in self.cached:
                break
        else:
            block = min(self.cached)
            self.cached.discard(block)
        self.counts[block] = 1
        return block

    def note(self, kind: str, text: str, num_blocks: int) -> None:
        self.events.append(PoolEvent(len(self.events), kind, text, num_blocks, 1_700_000_000.0))

    def pool_view(self) -> PoolView | None:
        if not self.view_wanted:
            return None
        with self.lock:
            return self._pool_view()

    def _pool_view(self) -> PoolView:
        owners = [-1] * len(self.counts)
        for index, session in reversed(list(enumerate(self.open_sessions))):
            for block in session.table:
                owners[block] = index
        states = bytearray(len(self.counts))
        for block, count in enumerate(self.counts):
            if count > 1:
                states[block] = BlockState.SHARED
            elif count:
                states[block] = BlockState.PRIVATE
            elif block in self.cached:
                states[block] = BlockState.CACHED
        numbers = [states.count(state) for state in BlockState]
        return PoolView(
            version=self.version,
            block_size=self.block_size,
            block_bytes=65_536,
            num_blocks=len(self.counts),
            ref_counts=bytes(self.counts),
            states=bytes(states),
            owners=tuple(owners),
            sequences=tuple(
                SequenceView(session.id, tuple(session.table), session.length, 1)
                for session in self.open_sessions
            ),
            events=tuple(self.events),
            num_free=numbers[0],
            num_cached=numbers[1],
            num_private=numbers[2],
            num_shared=numbers[3],
            num_held=numbers[4],
            cached=tuple(sorted(self.cached)),
            copied=tuple(self.copied),
            groups=(GroupCounts(len(self.counts), 65_536, *numbers),) * self.num_groups,
            group_index=min(self.group_index, self.num_groups - 1),
            history=tuple(self.history),
            at=self.now,
            filled_at=self.filled_at,
        )

    def run_in_background(self, seconds_per_step: float) -> None:
        """Step from a thread until the runtime is closed."""

        def steps() -> None:
            waiting = threading.Event()
            while not self.is_closed:
                waiting.wait(seconds_per_step)
                self.step()

        self._thread = threading.Thread(target=steps, daemon=True)
        self._thread.start()
