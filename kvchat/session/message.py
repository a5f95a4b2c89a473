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
    seconds and only for display. `label` is the name that somebody gave this place in the tree,
    `notice` one sentence about how a reply was made, such as that the chat was read again for it.
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
    finish_reason: str | None = None
    """'stop', 'length', 'context', 'cancelled' or 'failed'; None for what no model wrote."""
    is_edited: bool = False
    """Whether somebody wrote this reply in place of the model."""
    label: str | None = None
    notice: str | None = None


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
    finish_reason: str | None = None
    is_edited: bool = False
    label: str | None = None
    notice: str | None = None
    system_key: str | None = None
    """Of a user message with token ids: the key of the system prompt they begin with."""
    is_hidden: bool = False
    window: int | None = None
    sinks: int | None = None
    """With `window`, what the model sees while it reads the message; None: not recorded."""

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
            self.finish_reason,
            self.is_edited,
            self.label,
            self.notice,
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
            finish_reason=self.finish_reason,
            error=self.error,
            num_cached_tokens=self.num_cached_tokens,
            decode_tokens_per_second=self.decode_tokens_per_second,
            is_edited=self.is_edited,
            label=self.label,
            notice=self.notice,
            system_key=self.system_key,
            is_hidden=self.is_hidden,
            window=self.window,
            sinks=self.sinks,
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
        row.finish_reason,
        row.is_edited,
        row.label,
        row.notice,
        row.system_key,
        row.is_hidden,
        row.window,
        row.sinks,
    )
