"""SessionHost: what a session needs of the runtime it lives in; `ChatRuntime` provides it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import RLock
from typing import TYPE_CHECKING, Protocol, TypeVar

from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageNode
from kvchat.session.reply import Reply
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow

if TYPE_CHECKING:
    from kvchat.session.session import Session, SessionState

Result = TypeVar("Result")


class SessionHost(Protocol):
    """Store, engine and the other sessions, as one session sees them. For any thread."""

    @property
    def lock(self) -> RLock:
        """The one lock around tips and message lists; held only for plain Python."""

    @property
    def model_name(self) -> str:
        """Name that is stored with messages, to know whose token ids they have."""

    def save(self, job: Callable[[Database], Result]) -> "Future[Result]":
        """Queue a job of the store."""

    def storable(self, text: str) -> str:
        """Return text as the store can hold it: what it cannot is replaced visibly."""

    def adopt(self, rows: Sequence[MessageRow]) -> list[MessageNode]:
        """Return nodes for stored rows; a message in several sessions is one node."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of generated token ids."""

    def num_fixed_tokens(self, row: SessionRow) -> int:
        """Return how many tokens every prompt of a session begins with; 0 while loading."""

    def num_sink_tokens(self, row: SessionRow) -> int:
        """Return how many first tokens a session's window keeps, in whole blocks."""

    def check_window(self, window: int | None, sinks: int) -> None:
        """Raise InvalidArgument for a window that the model cannot have."""

    def release(self, session_id: str) -> None:
        """Give a session's blocks back; its next message reads it again."""

    def save_blocks(self, session_id: str) -> None:
        """Wait until what is computed of a session is on disk, with its text."""

    def start(
        self,
        row: SessionRow,
        reply: Reply,
        path: Sequence[MessageNode],
        node: MessageNode,
        sampling: SamplingParams,
        *,
        prompt_is_new: bool,
        push_undo: bool,
    ) -> None:
        """Write the prompt on the prompts thread, store the reply's row, and queue the request."""

    def cancel(self, reply: Reply) -> None:
        """End a reply wherever it is."""

    def fork(self, parent_id: str, child_id: str, num_tokens: int, tag: str) -> None:
        """Let a new session share the blocks of its parent's first tokens."""

    def rewind(self, row: SessionRow, token_ids: list[int]) -> "Future[tuple[int, int]]":
        """Cut a session's sequence; the result is how many tokens are resident, and are on disk."""

    def add(self, session: "Session") -> None:
        """List a session."""

    def remove(self, session: "Session") -> None:
        """Unlist a deleted session and give its blocks back."""

    def next_tag_index(self) -> int:
        """Return a number no other session had."""

    def waiting_state(self, session_id: str) -> "SessionState":
        """Return what a reply without a first token waits for."""

    def prefill_progress(self, session_id: str) -> float:
        """Return the part of the prompt that is computed."""

    def queue_place(self, session_id: str) -> tuple[int, int] | None:
        """Return the place in line for room in the pool, or None."""

    def num_blocks(self, session_id: str) -> tuple[int, int]:
        """Return blocks of a session and how many of them are shared."""
