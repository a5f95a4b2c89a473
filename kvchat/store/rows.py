"""What the store holds, as plain records: rows of sessions and messages, and updates of replies."""

import secrets
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

Role = Literal["user", "assistant"]
State = Literal["done", "streaming", "interrupted", "failed"]


def new_id() -> str:
    """Return a random 128-bit id as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def system_key(system: str | None) -> str:
    """Return a short name of a system prompt, by which ids made with another one are told apart."""
    if system is None:
        return ""
    return blake2b(system.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def pack_token_ids(token_ids: Iterable[int]) -> bytes:
    """Return token ids as they are stored: int32, little-endian."""
    packed = array("i", token_ids)
    assert packed.itemsize == 4
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_token_ids(stored: bytes) -> tuple[int, ...]:
    """Return the token ids of a stored blob; raises ValueError if its length is impossible."""
    packed = array("i")
    packed.frombytes(stored)
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One immutable node of a message tree; only a streaming reply still grows."""

    id: str
    tree_id: str
    """The tree it belongs to; sessions forked from each other share one tree."""
    parent_id: str | None
    """None for a first message of its tree."""
    role: Role
    text: str
    token_ids: tuple[int, ...] = ()
    """What this node appended to the sequence: the prompt of a tip is the concatenation along its
    path. For a user message everything from the end of its parent to the generation prompt, the
    system prompt with the first one; for a reply the generated ids with the one that stopped it."""
    state: State = "done"
    created_at: float = 0.0
    """Unix seconds, for display; order is the order of insertion."""
    model_name: str | None = None
    seed: int | None = None
    finish_reason: str | None = None
    error: str | None = None
    num_cached_tokens: int = 0
    decode_tokens_per_second: float = 0.0
    is_edited: bool = False
    """A reply whose text somebody wrote."""
    label: str | None = None
    """A name that somebody gave this place; may change."""
    notice: str | None = None
    system_key: str | None = None
    """Of a user message with token ids: `system_key` of the system prompt they begin with."""
    is_hidden: bool = False
    """Taken out of sight, with all below it; may change."""
    window: int | None = None
    """How many last tokens the model sees while it reads the message; None is all."""
    sinks: int | None = None
    """How many first tokens it sees besides, as in SessionRow; None: no window is recorded."""


@dataclass(frozen=True, slots=True)
class TokenRecords:
    """Packed records of consecutive tokens of one message, from the token `first_token` on."""

    first_token: int
    records: bytes


@dataclass(frozen=True, slots=True)
class Undone:
    """What `undo` did: the tip a session stands on again, and the system prompt it has."""

    tip_id: str | None
    system: str | None
    shown_id: str | None = None
    """The message that is no longer hidden, if one was."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session: its settings and the tip, the message it stands on."""

    id: str
    tree_id: str
    title: str = ""
    system: str | None = None
    sampling: Mapping[str, object] = field(default_factory=dict)
    """Fields of SamplingParams as plain JSON types."""
    window: int | None = None
    sinks: int = 0
    tip_id: str | None = None
    """None for the root, above every message."""
    origin_id: str | None = None
    """The session it was forked from."""
    tag_index: int = 0
    """Its place in the order of tags A, B, C …"""
    created_at: float = 0.0
    template_date: str | None = None
    """The date its chat template was given, so that the prompt stays the same tomorrow."""
    draft: str = ""
    deleted_at: float | None = None
    num_messages: int = 0
    """Messages from the root to the tip; only read, never written."""
    use_order: int = 0
    """Grows with each message of any session, so the highest was used last; only read."""


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """How a reply ended, and what is known about it only then."""

    state: Literal["done", "interrupted", "failed"]
    finish_reason: str | None = None
    error: str | None = None
    num_cached_tokens: int = 0
    decode_tokens_per_second: float = 0.0
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyUpdate:
    """Text and token ids to append to one streaming reply, and its end if it has ended."""

    message_id: str
    text: str = ""
    token_ids: tuple[int, ...] = ()
    end: ReplyEnd | None = None
    records: bytes = b""
    """Packed records of exactly these token ids, or nothing."""
