"""SessionChoice: which chat a command line means: the last one, one by name, a fork, a new one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from kvchat.errors import InvalidArgument, SessionNotFound

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.session.session import Session

MIN_ID_LETTERS = 4


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """The options -c, -r, --fork and -s; raises InvalidArgument when they contradict."""

    last: bool = False
    name: str | None = None
    fork: bool = False
    system: str | None = None

    def __post_init__(self) -> None:
        if self.is_old and self.system is not None:
            raise InvalidArgument(
                "--system is for a new chat; leave out -c and -r, or use /system."
            )

    @property
    def is_old(self) -> bool:
        """Whether a chat that was stored before is meant."""
        return self.last or self.name is not None

    def open(self, runtime: "ChatRuntime") -> "Session | None":
        """Return the session that is meant, None when any will do.

        Raises SessionNotFound, and InvalidArgument for a name that several chats have.
        """
        if not self.is_old:
            return None if self.system is None else runtime.new_session(system=self.system)
        sessions = runtime.sessions()
        if not sessions:
            raise SessionNotFound("There is no chat yet; start one without -c and -r.")
        if self.name is None:
            session = max(sessions, key=lambda each: each.use_order)
        else:
            session = find_session(sessions, self.name)
        return session.fork() if self.fork else session


class Named(Protocol):
    """A stored chat, as a session or as its row."""

    @property
    def id(self) -> str:
        """Random id, the same after a restart."""

    @property
    def title(self) -> str:
        """What it is called; several may share it."""


Chat = TypeVar("Chat", bound=Named)


def find_session(sessions: Sequence[Chat], name: str) -> Chat:
    """Return the session with this id, beginning of an id, title, or part of a title.

    Raises SessionNotFound, and InvalidArgument when several fit equally well.
    """
    wanted = name.strip().casefold()
    rules: tuple[Callable[[Chat], bool], ...] = (
        lambda each: each.id == name,
        lambda each: each.title.casefold() == wanted,
        lambda each: len(wanted) >= MIN_ID_LETTERS and each.id.startswith(wanted),
        lambda each: bool(wanted) and wanted in each.title.casefold(),
    )
    for fits in rules:
        found = [each for each in sessions if fits(each)]
        if len(found) == 1:
            return found[0]
        if found:
            titles = ", ".join(f"{each.title[:40]} ({each.id[:8]})" for each in found[:4])
            raise InvalidArgument(
                f"{len(found)} chats are called {name[:60]}: {titles}. Name one by its id."
            )
    raise SessionNotFound(f"No chat is called {name[:60]}; /sessions in kvchat shows all.")
