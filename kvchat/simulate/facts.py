"""What a life tells the judge, in order for each session; plain records, sent through a pipe.

A life is one runtime in a child process. It tells what its users do before and after they do it, so
that after a crash the judge knows what was acknowledged and what was on its way.
"""

from dataclasses import dataclass
from typing import Literal

from kvchat.kv.spec import KVDtype
from kvchat.sampling_params import SamplingParams
from kvchat.store.rows import MessageRow

Kind = Literal[
    "open",
    "send",
    "fork",
    "branch",
    "ask",
    "rewind",
    "undo",
    "regenerate",
    "edit",
    "show",
    "visit",
    "hide",
    "system",
    "settings",
    "delete",
    "undelete",
    "nothing",
]

IN_LAST_REPLY = -1
"""A fork made while the last reply was running: it has the tokens that were there by then."""


@dataclass(frozen=True, slots=True)
class Life:
    """How one runtime is to live: its files, its pool, and who uses it.

    `message_ids` are all that were acknowledged so far; they are read again before anything else.
    """

    number: int
    seed: str
    data_dir: str
    num_users: int
    context_tokens: int
    pool_tokens: int
    block_size: int
    kv_dtype: KVDtype
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Woke:
    """What a runtime found: the path of every session, and the messages asked for, or None."""

    paths: dict[str, tuple[MessageRow, ...]]
    messages: tuple[MessageRow | None, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """Something a user does to a session. Which fields matter depends on the kind.

    session_id   the session that stands elsewhere afterwards; '' where it is not known yet
    parent_id    of a fork: the session it comes from
    text         of a message: what is said
    place        of a rewind: the message to go to, '' for the start, or a number of turns; of a
                 fork: a message, a position, None for all, or IN_LAST_REPLY; else the message, None
                 for the last one
    num_kept     of another answer: the first tokens of the old one that it begins with
    token        then this one; of a branch: the token at its position
    """

    kind: Kind
    session_id: str
    parent_id: str = ""
    text: str = ""
    place: str | int | None = None
    num_kept: int = 0
    token: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How a reply was drawn: all that its tokens depend on, besides the tokens before it.

    The first `num_kept` tokens were not drawn.
    """

    sampling: SamplingParams
    seed: int
    window: int | None
    sinks: int
    was_stopped: bool = False
    num_kept: int = 0


@dataclass(frozen=True, slots=True)
class Began:
    """A user begins an act; until `Stands` or `Gone`, the session is as before, or as after."""

    act: Act
    terms: Terms | None = None


@dataclass(frozen=True, slots=True)
class Promised:
    """`send` has returned: the message with this id is stored, whatever happens now."""

    session_id: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Stands:
    """An act has ended, and this is what the store has: the path from the root to the tip.

    `has_moved` is what `undo` returned; `terms` belong to the last message if a reply has ended.
    """

    act: Act
    path: tuple[MessageRow, ...]
    terms: Terms | None = None
    has_moved: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """A session was deleted, and the store knows."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What this life has done so far, and what it takes."""

    num_preemptions: int = 0
    num_restored_blocks: int = 0
    num_evicted_blocks: int = 0
    num_copied_blocks: int = 0
    num_steps: int = 0
    pool_bytes: int = 0
    rss_bytes: int = 0
    wal_bytes: int = 0
    num_files: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A runtime was closed; what is left of it in the process should be nothing."""

    num_threads: int
    num_descriptors: int
    num_children: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong that never should, in one sentence; the life is over."""

    sentence: str


Fact = Woke | Began | Promised | Stands | Gone | Figures | Closed | Failed
