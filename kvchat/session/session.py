"""Session: one conversation as its user sees it: a movable tip in a tree of messages.

Text and token ids are here and in the store; what the engine holds of them is only a matter of
speed, so every operation follows from the tree alone and returns at once.
"""

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from time import time
from typing import TYPE_CHECKING

from kvchat.errors import EngineStopped, InvalidArgument, SessionBusy, SessionClosed
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import Message, MessageNode, MessageState
from kvchat.session.prompt import path_lengths, path_token_ids
from kvchat.session.reply import Reply
from kvchat.store.rows import SessionRow, new_id

if TYPE_CHECKING:
    from kvchat.session.host import SessionHost

AUTO_SINKS = -1
"""Stored number of sinks of a session that keeps its system prompt, whatever its length."""
TITLE_LENGTH = 48
NUM_TAGS = 26


class SessionState(StrEnum):
    """What a session does right now."""

    IDLE = "idle"
    LOADING = "loading"
    """The model is not loaded yet; the message is saved and waits."""
    WAITING = "waiting"
    """Others use the pool; see `queue_place`."""
    PREFILL = "prefill"
    STREAMING = "streaming"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Figures of one session; speeds in tokens per second are those of its last reply."""

    num_tokens: int
    num_cached_tokens: int
    num_prefilled_tokens: int
    num_generated_tokens: int
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    num_blocks: int
    num_shared_blocks: int
    num_seen_tokens: int
    """Tokens inside window and sinks: what the model still sees."""


class RewindPlan:
    """What a rewind leaves to do for the next message; figures are asked for when they are read."""

    def __init__(self, num_tokens: int, known: "Future[tuple[int, int]]") -> None:
        self.num_tokens = num_tokens
        self._known = known

    @property
    def num_resident_tokens(self) -> int:
        """Tokens whose keys and values are in the pool."""
        return self._figures()[0]

    @property
    def num_disk_tokens(self) -> int:
        """Tokens behind these whose keys and values are read from disk."""
        return self._figures()[1]

    @property
    def num_prefill_tokens(self) -> int:
        """Tokens the next message computes again before its own."""
        return self.num_tokens - sum(self._figures())

    def _figures(self) -> tuple[int, int]:
        try:
            resident, on_disk = self._known.result()
        except EngineStopped:
            return 0, 0
        resident = min(self.num_tokens, resident)
        return resident, min(self.num_tokens - resident, on_disk)


class Session:
    """A conversation; made by `ChatRuntime.new_session`, usable from any thread."""

    def __init__(self, host: "SessionHost", row: SessionRow) -> None:
        self._host = host
        self._row = row
        self._path: list[MessageNode] | None = None if row.tip_id is not None else []
        self._reply: Reply | None = None
        self._error: str | None = None
        self._is_closed = False

    # What it is

    @property
    def id(self) -> str:
        """Random id, the same after a restart."""
        return self._row.id

    @property
    def tag(self) -> str:
        """Letter that stands for the session in panels, the same for its life."""
        return chr(ord("A") + self._row.tag_index % NUM_TAGS)

    @property
    def hue_index(self) -> int:
        """Number behind the letter, for its color."""
        return self._row.tag_index

    @property
    def title(self) -> str:
        """Title; the first words said where nobody gave one."""
        return self._row.title or "New chat"

    @property
    def has_title(self) -> bool:
        """Whether it has a title of its own: a given one, or the first words said."""
        return bool(self._row.title)

    @property
    def system(self) -> str | None:
        """System prompt, fixed for the session."""
        return self._row.system

    @property
    def sampling(self) -> SamplingParams:
        """Settings of the next reply."""
        return SamplingParams().with_values(self._row.sampling)

    @property
    def window(self) -> int | None:
        """Number of last tokens the model sees besides the sinks; None is all."""
        return self._row.window

    @property
    def sinks(self) -> int:
        """First tokens that stay seen when a window slides, before rounding up to blocks."""
        if self._row.sinks != AUTO_SINKS:
            return self._row.sinks
        return self._host.num_fixed_tokens(self._row) if self._row.window is not None else 0

    @property
    def num_sink_tokens(self) -> int:
        """First tokens that stay seen when a window slides, as kept: whole blocks; 0 without one.

        A long system prompt counts whole from the first message after a start on.
        """
        return self._host.num_sink_tokens(self._row) if self._row.window is not None else 0

    @property
    def origin(self) -> str | None:
        """Id of the session it was forked from."""
        return self._row.origin_id

    @property
    def num_messages(self) -> int:
        """Messages from the root to the tip, without reading them from the store."""
        return self._row.num_messages if self._path is None else len(self._path)

    @property
    def use_order(self) -> int:
        """Grows with use: when the runtime started, the highest was the last one used."""
        return self._row.use_order

    @property
    def messages(self) -> tuple[Message, ...]:
        """Messages from the root to the tip, a streaming reply included."""
        with self._host.lock:
            return tuple(node.message() for node in self._nodes())

    @property
    def reply(self) -> Reply | None:
        """The running reply, or the last one of this process."""
        return self._reply

    @property
    def error(self) -> str | None:
        """Sentence of the last failure; the next message clears it."""
        reply = self._reply
        return reply.error if reply is not None and reply.error is not None else self._error

    @property
    def state(self) -> SessionState:
        """What the session does right now."""
        reply = self._reply
        if reply is None or reply.is_finished:
            return SessionState.ERROR if self.error is not None else SessionState.IDLE
        if reply.num_generated_tokens:
            return SessionState.STREAMING
        return self._host.waiting_state(self.id)

    @property
    def prefill_progress(self) -> float:
        """Part of the prompt that is computed, 0 to 1."""
        return self._host.prefill_progress(self.id)

    @property
    def queue_place(self) -> tuple[int, int] | None:
        """Place in line and length of the line while waiting for room."""
        return self._host.queue_place(self.id)

    def stats(self) -> SessionStats:
        """Return figures; waits for nothing."""
        with self._host.lock:
            num_tokens = self._num_tokens()
        reply = self._reply
        num_prefilled = 0
        if reply is not None and reply.prefill_tokens_per_second:  # else nothing was computed yet
            num_prefilled = reply.num_prompt_tokens - reply.num_cached_tokens
        num_blocks, num_shared = self._host.num_blocks(self.id)
        num_seen = num_tokens
        if self._row.window is not None:
            num_seen = min(num_tokens, self._row.window + self.num_sink_tokens)
        return SessionStats(
            num_tokens,
            reply.num_cached_tokens if reply is not None else 0,
            num_prefilled,
            reply.num_generated_tokens if reply is not None else 0,
            reply.prefill_tokens_per_second if reply is not None else 0.0,
            reply.decode_tokens_per_second if reply is not None else 0.0,
            num_blocks,
            num_shared,
            num_seen,
        )

    # Settings

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

    def set_window(self, window: int | None, sinks: int | None = None) -> None:
        """Let the model see the first `sinks` and the last `window` tokens; None sees all.

        `sinks` None leaves them as they are, which for most sessions is the system prompt.
        What a token saw is part of its keys and values, so the next message reads the whole chat
        again. Raises SessionBusy while a reply runs, InvalidArgument for an impossible window.
        """
        stored = self._row.sinks if sinks is None else sinks
        self._host.check_window(window, stored)
        with self._host.lock:
            self._check_idle()
            self._row = replace(self._row, window=window, sinks=stored)
        session_id = self.id
        self._host.save(lambda database: database.set_window(session_id, window, stored))
        self._host.release(session_id)

    # Talking

    def send(self, text: str, sampling: SamplingParams | None = None) -> Reply:
        """Say something; returns when the message is durably stored, before it is computed.

        Raises SessionBusy while a reply runs, InvalidArgument for an empty message, NotSaving when
        the message could not be stored, in which case nothing has changed.
        """
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
                lambda database: database.add_message(session_id, row, clear_draft=True)
            )
            # Waiting with the lock held keeps the order of messages; a commit takes milliseconds.
            stored.result()
            nodes.append(node)
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

    def save(self) -> None:
        """Wait until the disk has all of it, so that after a restart nothing is read again.

        Text is saved as it is said, and what the model computed soon after each turn; this waits
        for both. Does nothing more where keys and values are not kept. Raises NotSaving,
        EngineStopped.
        """
        self._check_open()
        self._host.save_blocks(self.id)

    # Moving

    def fork(self, at: str | int | None = None, title: str | None = None) -> "Session":
        """Return a new session that goes on from a message, a token position, or the tip.

        Computes and copies nothing: both share messages and blocks. Inside a reply, or while one
        streams, the fork gets a reply of its own that ends at that token.
        Raises InvalidArgument when `at` is not on this session's path.
        """
        with self._host.lock:
            self._check_open()
            nodes = self._nodes()
            if at is None:
                path = self._path_to(nodes[-1].id) if nodes else []
            else:
                path = self._path_to(at) if isinstance(at, str) else self._path_at_token(at)
            row = replace(
                self._row,
                id=new_id(),
                title=title or f"{self.title} fork",
                tip_id=path[-1].id if path else None,
                origin_id=self.id,
                tag_index=self._host.next_tag_index(),
                created_at=time(),
                draft="",
                num_messages=len(path),
            )
            self._host.save(lambda database: database.create_session(row))
            child = Session(self._host, row)
            child._path = path
            self._host.add(child)
            self._host.fork(self.id, row.id, len(path_token_ids(path)), child.tag)
            return child

    def rewind(self, *, turns: int | None = None, to: str | None = None) -> RewindPlan:
        """Go back by some turns, or to the message `to` ('' is the start); nothing is deleted.

        Cancels a running reply. `undo` takes it back.
        Raises InvalidArgument for a message that is not on the path or more turns than there are.
        """
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            nodes = self._nodes()
            if to is not None:
                path = [] if to == "" else self._path_to(to)
            else:
                path = self._path_before_turns(1 if turns is None else turns)
            self._move_to(path, push_undo=len(path) != len(nodes))
            token_ids = path_token_ids(path)
            return RewindPlan(len(token_ids), self._host.rewind(self._row, token_ids))

    def undo(self) -> bool:
        """Take back the last rewind or regeneration; return False if there is none."""
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            session_id = self.id
            has_moved, tip_id = self._host.save(lambda database: database.undo(session_id)).result()
            if has_moved:
                self._row = replace(self._row, tip_id=tip_id)
                self._path = None if tip_id is not None else []
                self._reply = None
            return has_moved

    def siblings(self, message_id: str) -> tuple[str, ...]:
        """Return the ids of messages with the same parent, oldest first."""
        found = self._host.save(lambda database: database.siblings(message_id)).result()
        return tuple(found) or (message_id,)

    def show_sibling(self, message_id: str) -> None:
        """Stand on another version of a message; `undo` takes it back."""
        with self._host.lock:
            self._check_idle()
            rows = self._host.save(lambda database: database.load_path(message_id)).result()
            if not rows:
                raise InvalidArgument("There is no such message.")
            self._move_to(self._host.adopt(rows), push_undo=True)
            self._host.rewind(self._row, path_token_ids(self._nodes()))

    def delete(self) -> None:
        """Put the session away; its text stays in the store until it is purged."""
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            self._is_closed = True
        session_id, at = self.id, time()
        self._host.save(lambda database: database.delete_session(session_id, at))
        self._host.remove(self)

    # Pieces

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

    def _nodes(self) -> list[MessageNode]:
        if self._path is None:
            tip_id = self._row.tip_id
            rows = self._host.save(lambda database: database.load_path(tip_id)).result()
            self._path = self._host.adopt(rows)
        return self._path

    def _num_tokens(self) -> int:
        return len(path_token_ids(self._nodes()))

    def _path_to(self, message_id: str) -> list[MessageNode]:
        nodes = self._nodes()
        for place, node in enumerate(nodes):
            if node.id == message_id:
                path = nodes[: place + 1]
                if node.state is MessageState.STREAMING:
                    path[-1] = self._frozen(node, len(node.token_ids))
                return path
        raise InvalidArgument("This message is not part of the session as it stands.")

    def _path_at_token(self, position: int) -> list[MessageNode]:
        """Return the path that ends at a token position; cuts a reply that contains it."""
        nodes = self._nodes()
        lengths = path_lengths(nodes)
        if not 0 <= position <= (lengths[-1] if lengths else 0):
            raise InvalidArgument(f"Position {position} is outside this session's tokens.")
        place = next((place for place, end in enumerate(lengths) if end >= position), None)
        if position == 0 or place is None:
            return []
        node, before = nodes[place], lengths[place - 1] if place else 0
        if lengths[place] == position and node.state is not MessageState.STREAMING:
            return nodes[: place + 1]
        if node.role == "assistant":
            return [*nodes[:place], self._frozen(node, position - before)]
        return nodes[:place]

    def _frozen(self, node: MessageNode, num_tokens: int) -> MessageNode:
        """Store and return a sibling of a reply that ends after its first tokens."""
        token_ids = node.token_ids[:num_tokens]
        frozen = MessageNode(
            new_id(),
            node.tree_id,
            node.parent_id,
            "assistant",
            [self._host.decode(token_ids)],
            token_ids,
            MessageState.INTERRUPTED,
            time(),
            node.model_name,
            node.seed,
        )
        row = frozen.row()
        self._host.save(lambda database: database.insert_message(row))
        return frozen

    def _path_before_turns(self, turns: int) -> list[MessageNode]:
        nodes = self._nodes()
        places = [place for place, node in enumerate(nodes) if node.role == "user"]
        if not 1 <= turns <= len(places):
            raise InvalidArgument(f"Cannot go back {turns} turns: the session has {len(places)}.")
        return nodes[: places[-turns]]

    def _move_to(self, path: Sequence[MessageNode], *, push_undo: bool) -> None:
        session_id, tip_id = self.id, path[-1].id if path else None
        self._host.save(lambda database: database.move_tip(session_id, tip_id, push_undo=push_undo))
        self._row = replace(self._row, tip_id=tip_id)
        self._path = list(path)
        self._reply = None
        self._error = None

    def _stop_and_detach(self) -> None:
        """Stop a running reply; what the engine still says about it changes only its own node."""
        if self._reply is not None:
            self._reply.cancel()

    def _check_open(self) -> None:
        if self._is_closed:
            raise SessionClosed("This session was deleted or its runtime was closed.")

    def _check_idle(self) -> None:
        self._check_open()
        if self._reply is not None and not self._reply.is_finished:
            raise SessionBusy("A reply is still running; stop it or wait for its end.")


def _title_of(text: str) -> str:
    words = " ".join(text.split())
    if len(words) <= TITLE_LENGTH:
        return words
    return words[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
