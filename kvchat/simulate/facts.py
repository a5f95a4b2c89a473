"""What a life tells the judge, in order for each session; plain records, sent through a pipe.

A life is one runtime in a child process. It tells what its users do before and after they do it, so
that after a crash the judge knows what was acknowledged and what was on its way.
"""

from collections.abc import Sequence
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
    """How a reply was drawn: all that its tokens depend on, besides the messages before it.

    The first `num_kept` tokens were not drawn. `recorded` is what the reply's row says of its
    window and sinks, `num_fixed` how many tokens the system prompt has with what goes before it.
    """

    sampling: SamplingParams
    seed: int
    recorded: tuple[int | None, int]
    num_fixed: int = 0
    block_size: int = 1
    was_stopped: bool = False
    num_kept: int = 0

    def windows(self, path: Sequence[MessageRow]) -> list[tuple[int, int | None, int]]:
        """Return from which position on which window and sinks hold, computed from the rows.

        A message is read under its own window from the token before its first one on.
        """
        found: list[tuple[int, int | None, int]] = [(0, None, 0)]
        length = 0
        for row in path:
            if row.token_ids and row.token_ids[0] < 0:
                length = -row.token_ids[0] - 1
            assert row.sinks is not None, "every message says its window"
            wanted = max(4, self.num_fixed if row.sinks == -1 else row.sinks)
            kept = 0 if row.window is None else -(-wanted // self.block_size) * self.block_size
            start = max(0, length - 1)
            found = [each for each in found if each[0] < start] + [(start, row.window, kept)]
            length += len(row.token_ids) - bool(row.token_ids and row.token_ids[0] < 0)
        return found


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
