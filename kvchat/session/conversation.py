"""Conversation: a movable tip in a tree of messages; what every part of a Session stands on.

Text and token ids are here and in the store; what the engine holds of them is only a matter of
speed, so every operation follows from the tree alone and returns at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument, SessionBusy, SessionClosed
from kvchat.session.kept_tokens import KeptTokens, path_spans, place_of_token
from kvchat.session.message import Message, MessageNode, MessageState
from kvchat.session.path_windows import AUTO_SINKS, Reading
from kvchat.session.prompt import path_token_ids
from kvchat.session.reply import Reply
from kvchat.session.session_state import SessionState
from kvchat.store.rows import SessionRow, new_id

if TYPE_CHECKING:
    from kvchat.session.host import SessionHost

NUM_TAGS = 26


class Conversation:
    """The tip of one session, the path from the root to it, and its last reply; any thread."""

    def __init__(
        self, host: "SessionHost", row: SessionRow, path: list[MessageNode] | None = None
    ) -> None:
        self._host = host
        self._row = row
        self._path = [] if row.tip_id is None else path
        self._reply: Reply | None = None
        self._error: str | None = None
        self._is_closed = False

    @property
    def id(self) -> str:
        """Random id, the same after a restart."""
        return self._row.id

    @property
    def tree_id(self) -> str:
        """Id of its tree of messages; sessions forked from each other have the same."""
        return self._row.tree_id

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
        """System prompt of the next message; see `set_system`."""
        return self._row.system

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

    def token_ranges(self) -> dict[str, range]:
        """Return the token positions of each message from the root to the tip."""
        with self._host.lock:
            nodes = self._nodes()
            spans = path_spans(nodes)
            return {node.id: range(*span) for node, span in zip(nodes, spans, strict=True)}

    def token_texts(self, message_id: str) -> tuple[str, ...]:
        """Return what each token of a message on the path adds to the text.

        Marks of the template add nothing, and a character of several tokens belongs to its last.
        Waits for the tokenizer. Raises InvalidArgument for a message that is not on the path.
        """
        with self._host.lock:
            found = [node.token_ids for node in self._nodes() if node.id == message_id]
        if not found:
            raise InvalidArgument("This message is not part of the session as it stands.")
        return self._host.token_texts([each for each in found[0] if each >= 0])

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

    # The path

    def _nodes(self) -> list[MessageNode]:
        if self._path is None:
            tip_id = self._row.tip_id
            rows = self._host.save(lambda database: database.load_path(tip_id)).result()
            self._path = self._host.adopt(rows)
        return self._path

    def _reading(self, path: Sequence[MessageNode] | None = None) -> Reading:
        """Return what the engine is to read of a path, by default of the session's own."""
        return Reading.of(self._nodes() if path is None else path, self._row)

    def _num_tokens(self) -> int:
        return len(path_token_ids(self._nodes()))

    def _path_to(self, message_id: str) -> list[MessageNode]:
        """Return the path to a message of it; one that still streams is cut where it is."""
        nodes = self._nodes()
        for place, node in enumerate(nodes):
            if node.id == message_id:
                path = nodes[: place + 1]
                if node.state is MessageState.STREAMING:
                    path[-1] = self._frozen(node, len(node.token_ids))
                return path
        raise InvalidArgument("This message is not part of the session as it stands.")

    def _find(self, message_id: str) -> list[MessageNode]:
        """Return the path from the root to any message of the tree, itself as it is."""
        nodes = self._nodes()
        for place, node in enumerate(nodes):
            if node.id == message_id:
                return nodes[: place + 1]
        rows = self._host.save(lambda database: database.load_path(message_id)).result()
        if not rows or rows[-1].tree_id != self._row.tree_id:
            raise InvalidArgument("This message is not part of this chat.")
        return self._host.adopt(rows)

    def _path_at_token(self, position: int) -> list[MessageNode]:
        """Return the path that ends at a token position; cuts a reply that contains it."""
        nodes = self._nodes()
        spans = path_spans(nodes)
        if not 0 <= position <= (spans[-1][1] if spans else 0):
            raise InvalidArgument(f"Position {position} is outside this session's tokens.")
        if position == 0:
            return []
        place = place_of_token(nodes, position)
        node, (start, end) = nodes[place], spans[place]
        if end == position and node.state is not MessageState.STREAMING:
            return nodes[: place + 1]
        if node.role == "assistant":
            return [*nodes[:place], self._frozen(node, position - start)]
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
            finish_reason="cancelled",
            window=node.window,
            sinks=node.sinks,
        )
        row, kept = frozen.row(), KeptTokens(node.id, num_tokens)
        self._host.save(lambda database: database.insert_message(row, kept.records(database)))
        return frozen

    def _move_to(self, path: Sequence[MessageNode], *, push_undo: bool) -> None:
        session_id, tip_id = self.id, path[-1].id if path else None
        self._host.save(lambda database: database.move_tip(session_id, tip_id, push_undo=push_undo))
        self._stand_on(path)

    def _stand_on(self, path: Sequence[MessageNode]) -> None:
        if path:
            self._host.know(path[-1])
        self._row = replace(self._row, tip_id=path[-1].id if path else None)
        self._path = list(path)
        self._reply = None
        self._error = None

    def _stop_and_detach(self) -> None:
        """Stop a running reply; what the engine still says about it changes only its own node."""
        if self._reply is not None:
            self._reply.is_detached = True
            self._reply.cancel()

    def _check_open(self) -> None:
        if self._is_closed or self._host.is_closed:
            raise SessionClosed("This session was deleted or its runtime was closed.")

    def _check_idle(self) -> None:
        self._check_open()
        if self._reply is not None and not self._reply.is_finished:
            raise SessionBusy("A reply is still running; stop it or wait for its end.")
