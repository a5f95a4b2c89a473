"""Person: the chats of one user, how it listens to replies, and how it tells what it did.

What was done, and what the store then had, is told as facts. Nobody waits here: whenever a person
would wait, it yields.
"""

import random
from collections.abc import Callable, Iterator

from kvchat.errors import EngineStopped
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.reply import Reply
from kvchat.session.session import AUTO_SINKS, Session
from kvchat.simulate.facts import IN_LAST_REPLY, Act, Began, Fact, Stands, Terms
from kvchat.simulate.habits import Habits
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow

MAX_SESSIONS = 3
Turns = Iterator[None]
Path = tuple[MessageRow, ...]


class Person:
    """Has about `MAX_SESSIONS` chats on a runtime; `tell` takes facts from any thread."""

    def __init__(
        self, number: int, seed: str, runtime: ChatRuntime, tell: Callable[[Fact], None]
    ) -> None:
        self.title = f"user {number}"
        self._rng = random.Random(f"{seed} {number}")
        self._habits = Habits(self.title, self._rng)
        self._runtime = runtime
        self._tell = tell
        self._context_tokens = runtime.status().context_tokens
        self._block_size = runtime.host.block_size
        self._sessions = [
            each
            for each in runtime.sessions()
            # Forks of a question have numbers behind the title.
            if each.title == self.title or each.title.startswith(f"{self.title} ")
        ]

    def _listen(
        self,
        act: Act,
        session: Session,
        reply: Reply,
        sampling: SamplingParams,
        num_kept: int = 0,
    ) -> Turns:
        """Wait for the end of a reply, and perhaps do something in the middle of it."""
        patience = self._rng.choice((None, None, None, 0, 1, 3, 8, 20))
        deed = self._rng.choice(("stop", "stop", "fork", "rewind"))
        forks: list[Session] = []
        rewound: Act | None = None
        while not reply.is_finished:
            if patience == 0:
                if deed == "stop":
                    session.stop()
                elif deed == "fork" and len(self._sessions) < MAX_SESSIONS:
                    forks.append(session.fork(title=self.title))
                elif deed == "rewind":
                    rewound = Act("rewind", session.id, place=1)
                    self._tell(Began(rewound))
                    session.rewind(turns=1)
            patience = None if patience is None else patience - 1
            yield
        terms = self._terms(session, sampling, reply.seed, num_kept, was_stopped=reply.is_cancelled)
        path = self._load(lambda database: database.load_path(reply.message_id))
        if not path:
            # The prompt was never written: right when the runtime is closed, and only then.
            raise EngineStopped("A reply ended that was never begun.")
        self._tell(Stands(act, path, terms))
        for fork in forks:
            self._sessions.append(fork)
            yield from self._stand(Act("fork", fork.id, session.id, place=IN_LAST_REPLY), fork)
        if rewound is not None:
            yield from self._stand(rewound, session)

    def _listen_unasked(
        self,
        act: Act,
        fork: Session,
        reply: Reply,
        num_kept: int,
        sampling: SamplingParams | None = None,
    ) -> Turns:
        """Wait for a reply that runs in a new fork, and perhaps stop it."""
        patience = self._rng.choice((None, None, 0, 5, 20))
        while not reply.is_finished:
            if patience == 0:
                fork.stop()
            patience = None if patience is None else patience - 1
            yield
        used = fork.sampling if sampling is None else sampling
        terms = self._terms(fork, used, reply.seed, num_kept, was_stopped=reply.is_cancelled)
        path = self._load(lambda database: database.load_path(reply.message_id))
        if not path:
            raise EngineStopped("A reply ended that was never begun.")
        self._tell(Stands(act, path, terms))

    def _begin(self, act: Act, session: Session, num_kept: int = 0) -> SamplingParams:
        sampling = self._habits.sampling()
        self._tell(Began(act, self._terms_before(session, sampling, num_kept)))
        return sampling

    def _stand(self, act: Act, session: Session, *, has_moved: bool = True) -> Turns:
        self._tell(Stands(act, self._path(session), has_moved=has_moved))
        yield

    def _path(self, session: Session) -> Path:
        """Return the path that the store has, when everything before is stored."""
        session_id = session.id
        return self._load(lambda database: database.load_path(database.session(session_id).tip_id))

    def _look_at(self, session: Session) -> Path:
        """Return the path, and tell it: ids that were not known may have been written since."""
        path = self._path(session)
        self._tell(Stands(Act("nothing", session.id), path))
        return path

    def _load(self, job: Callable[[Database], list[MessageRow]]) -> Path:
        return tuple(self._runtime.host.save(job).result())

    def _has_room(self, session: Session) -> bool:
        """Say whether a message and a long reply fit the context."""
        if session.window is not None:
            return True
        return session.stats().num_tokens <= self._context_tokens - 170

    def _pick(self) -> Session:
        return self._rng.choice(self._sessions)

    def _terms(
        self,
        session: Session,
        sampling: SamplingParams,
        seed: int,
        num_kept: int = 0,
        *,
        was_stopped: bool = False,
    ) -> Terms:
        row = self._row(session)
        return Terms(
            sampling,
            seed,
            (row.window, 0 if row.window is None else row.sinks),
            self._runtime.host.num_fixed_tokens(row),
            self._block_size,
            was_stopped,
            num_kept,
        )

    def _terms_before(
        self, session: Session, sampling: SamplingParams, num_kept: int = 0
    ) -> Terms | None:
        """Return the terms of a reply to come; None while the sinks may not be known yet."""
        row = self._row(session)
        if not self._runtime.host.num_fixed_tokens(row):
            windows = [(row.window, row.sinks)]
            windows += [(each.window, each.sinks or 0) for each in self._path(session)]
            if any(window is not None and sinks == AUTO_SINKS for window, sinks in windows):
                return None
        return self._terms(session, sampling, 0, num_kept)

    def _row(self, session: Session) -> SessionRow:
        session_id = session.id
        return self._runtime.host.save(lambda database: database.session(session_id)).result()
