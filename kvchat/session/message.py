"""Message: one immutable node of a conversation tree; MessageNode: the same while it may grow."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from kvchat.store.rows import MessageRow

Role = Literal["user", "assistant"]


class MessageState(StrEnum):
    """Whether a message is whole."""

    DONE = "done"
    STREAMING = "streaming"
    INTERRUPTED = "interrupted"
    """A reply that was stopped, or that a crash cut; its text so far is kept."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """What was said, at the moment it was asked for; a streaming reply's text is its text so far.

    `num_cached_tokens` are those of its prompt that need not be computed, `created_at` is in Unix
    seconds and only for display.
    """

    id: str
    parent_id: str | None
    role: Role
    text: str
    state: MessageState
    num_tokens: int
    created_at: float
    model_name: str | None = None
    seed: int | None = None
    num_cached_tokens: int = 0
    decode_tokens_per_second: float = 0.0
    error: str | None = None


@dataclass(eq=False, slots=True, weakref_slot=True)
class MessageNode:
    """A node as the session layer holds it; only the engine thread grows a streaming one.

    `token_ids` are what the node appended to its parent's sequence; see `path_token_ids` for the
    exception.
    """

    id: str
    tree_id: str
    parent_id: str | None
    role: Role
    pieces: list[str]
    token_ids: list[int] = field(default_factory=list)
    state: MessageState = MessageState.DONE
    created_at: float = 0.0
    model_name: str | None = None
    seed: int | None = None
    num_cached_tokens: int = 0
    decode_tokens_per_second: float = 0.0
    error: str | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self.pieces) > 1 and self.state is not MessageState.STREAMING:
            self.pieces = ["".join(self.pieces)]
        return "".join(self.pieces)

    def message(self) -> Message:
        """Return an immutable copy."""
        return Message(
            self.id,
            self.parent_id,
            self.role,
            self.text,
            self.state,
            len(self.token_ids),
            self.created_at,
            None if self.model_name is None else self.model_name.partition("#")[0],
            self.seed,
            self.num_cached_tokens,
            self.decode_tokens_per_second,
            self.error,
        )

    def row(self) -> MessageRow:
        """Return the node as the store keeps it."""
        return MessageRow(
            id=self.id,
            tree_id=self.tree_id,
            parent_id=self.parent_id,
            role=self.role,
            text=self.text,
            token_ids=tuple(self.token_ids),
            state=self.state.value,
            created_at=self.created_at,
            model_name=self.model_name,
            seed=self.seed,
            error=self.error,
            num_cached_tokens=self.num_cached_tokens,
            decode_tokens_per_second=self.decode_tokens_per_second,
        )


def node_of(row: MessageRow) -> MessageNode:
    """Return the node that a stored row describes."""
    return MessageNode(
        row.id,
        row.tree_id,
        row.parent_id,
        row.role,
        [row.text],
        list(row.token_ids),
        MessageState(row.state),
        row.created_at,
        row.model_name,
        row.seed,
        row.num_cached_tokens,
        row.decode_tokens_per_second,
        row.error,
    )
