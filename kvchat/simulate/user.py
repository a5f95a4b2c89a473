"""User: one person with a few chats, as a generator that others turn; its seed says what it does.

A user does one thing after the other and waits for nobody in between: whenever it would wait, it
yields. What it did, and what the store then had, it tells as facts.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from kvchat.errors import EngineStopped
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.reply import Reply
from kvchat.session.session import AUTO_SINKS, Session
from kvchat.simulate.facts import (
    IN_LAST_REPLY,
    Act,
    Began,
    Fact,
    Gone,
    Promised,
    Stands,
    Terms,
)
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow

WORDS = "river window garden kitchen mountain letter bicycle apple story why what tell me the of a"
MAX_SESSIONS = 3
SYSTEM_PROMPTS = (None, None, "Be kind.", "You are the keeper of a long garden. " * 3)


class User:
    """Has up to `MAX_SESSIONS` chats on a runtime; `tell` takes facts from any thread."""

    def __init__(
        self, number: int, seed: str, runtime: ChatRuntime, tell: Callable[[Fact], None]
    ) -> None:
        self.title = f"user {number}"
        self._rng = random.Random(f"{seed} {number}")
        self._runtime = runtime
        self._tell = tell
        self._context_tokens = runtime.status().context_tokens
        self._sessions = [each for each in runtime.sessions() if each.title == self.title]
        self._num_said = 0

    def live(self) -> Iterator[None]:
        """Do things for ever; yield wherever it waits."""
        ways: tuple[tuple[Callable[[], Iterator[None]], int], ...] = (
            (self._chat, 10),
            (self._open, 2),
            (self._fork, 4),
            (self._broadcast, 3),
            (self._rewind, 3),
            (self._undo, 2),
            (self._regenerate, 2),
            (self._show_sibling, 1),
            (self._change_settings, 1),
            (self._save, 1),
            (self._delete, 1),
        )
        acts = [act for act, _ in ways]
        weights = [weight for _, weight in ways]
        while True:
            for _ in range(self._rng.randrange(8)):
                yield
            if not self._sessions:
                yield from self._open()
            yield from self._rng.choices(acts, weights)[0]()

    # Acts

    def _open(self) -> Iterator[None]:
        if len(self._sessions) >= MAX_SESSIONS:
            yield from self._delete()
            return
        window, sinks = None, None
        if self._rng.random() < 0.4:
            window = self._rng.choice((20, 33, 64, 150))
            sinks = self._rng.choice((None, 0, 5, 40))
        session = self._runtime.new_session(
            self.title, system=self._rng.choice(SYSTEM_PROMPTS), window=window, sinks=sinks
        )
        self._sessions.append(session)
        yield from self._stand(Act("open", session.id), session)

    def _chat(self) -> Iterator[None]:
        session = self._pick()
        text, sampling = self._text(), self._sampling()
        if not self._has_room(session):
            yield from self._make_shorter(session)
            return
        act = Act("send", session.id, text=text)
        self._tell(Began(act, self._terms_before(session, sampling)))
        reply = session.send(text, sampling)
        self._tell(Promised(session.id, session.messages[-2].id, text))
        yield from self._listen(act, session, reply, sampling)

    def _regenerate(self) -> Iterator[None]:
        session = self._pick()
        if not session.messages:
            return
        sampling, act = self._sampling(), Act("regenerate", session.id)
        self._tell(Began(act, self._terms_before(session, sampling)))
        yield from self._listen(act, session, session.regenerate(sampling), sampling)

    def _listen(
        self, act: Act, session: Session, reply: Reply, sampling: SamplingParams
    ) -> Iterator[None]:
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
        terms = self._terms(session, sampling, reply.seed, was_stopped=reply.is_cancelled)
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

    def _fork(self) -> Iterator[None]:
        if len(self._sessions) >= MAX_SESSIONS:
            yield from self._delete()
            return
        parent = self._pick()
        path = self._load(lambda database: _path_of(database, parent.id))
        place: str | int | None = None
        kind = self._rng.randrange(3)
        if kind == 0 and path:
            place = self._rng.choice(path).id
        elif kind == 1 and not any(row.token_ids[:1] < (0,) for row in path if row.token_ids):
            place = self._position_in(path)
        fork = parent.fork(place, self.title)
        self._sessions.append(fork)
        yield from self._stand(Act("fork", fork.id, parent.id, place=place), fork)

    def _broadcast(self) -> Iterator[None]:
        """Let a chat and its fork go on at once: both write behind the same blocks."""
        parent = self._pick()
        if len(self._sessions) >= MAX_SESSIONS or not self._has_room(parent):
            yield from self._delete()
            return
        fork = parent.fork(None, self.title)
        self._sessions.append(fork)
        yield from self._stand(Act("fork", fork.id, parent.id), fork)
        both, sampling = (parent, fork), self._sampling()
        # With other words, the block that both share differs from its first new slot on.
        texts = [self._text()] * 2 if self._rng.random() < 0.4 else [self._text(), self._text()]
        acts = [Act("send", each.id, text=text) for each, text in zip(both, texts, strict=True)]
        for act, session in zip(acts, both, strict=True):
            self._tell(Began(act, self._terms_before(session, sampling)))
        if texts[0] == texts[1]:
            replies = self._runtime.broadcast(both, texts[0], sampling)
        else:
            replies = [each.send(text, sampling) for each, text in zip(both, texts, strict=True)]
        for act, session in zip(acts, both, strict=True):
            self._tell(Promised(session.id, session.messages[-2].id, act.text))
        for act, session, reply in zip(acts, both, replies, strict=True):
            yield from self._listen(act, session, reply, sampling)

    def _rewind(self) -> Iterator[None]:
        session = self._pick()
        messages = session.messages
        num_turns = sum(message.role == "user" for message in messages)
        if not num_turns:
            return
        place: str | int = self._rng.randint(1, num_turns)
        if self._rng.random() < 0.4:
            place = self._rng.choice(("", *(message.id for message in messages)))
        act = Act("rewind", session.id, place=place)
        self._tell(Began(act))
        if isinstance(place, str):
            session.rewind(to=place)
        else:
            session.rewind(turns=place)
        yield from self._stand(act, session)

    def _make_shorter(self, session: Session) -> Iterator[None]:
        act = Act("rewind", session.id, place=session.messages[1].id)
        self._tell(Began(act))
        session.rewind(to=session.messages[1].id)
        yield from self._stand(act, session)

    def _undo(self) -> Iterator[None]:
        session = self._pick()
        act = Act("undo", session.id)
        self._tell(Began(act))
        has_moved = session.undo()
        yield from self._stand(act, session, has_moved=has_moved)

    def _show_sibling(self) -> Iterator[None]:
        session = self._pick()
        messages = session.messages
        if not messages:
            return
        siblings = session.siblings(self._rng.choice(messages).id)
        act = Act("show", session.id, place=self._rng.choice(siblings))
        self._tell(Began(act))
        session.show_sibling(str(act.place))
        yield from self._stand(act, session)

    def _change_settings(self) -> Iterator[None]:
        session = self._pick()
        act = Act("settings", session.id)
        self._tell(Began(act))
        session.set_window(self._rng.choice((None, 20, 64)), self._rng.choice((None, 0, 9)))
        yield from self._stand(act, session)

    def _save(self) -> Iterator[None]:
        session = self._pick()
        session.save()
        yield from self._stand(Act("nothing", session.id), session)

    def _delete(self) -> Iterator[None]:
        session = self._pick()
        self._tell(Began(Act("delete", session.id)))
        self._sessions.remove(session)
        session.delete()
        self._load(lambda database: [])
        self._tell(Gone(session.id))
        yield

    # Pieces

    def _stand(self, act: Act, session: Session, *, has_moved: bool = True) -> Iterator[None]:
        path = self._load(lambda database: _path_of(database, session.id))
        self._tell(Stands(act, path, has_moved=has_moved))
        yield

    def _load(self, job: Callable[[Database], list[MessageRow]]) -> tuple[MessageRow, ...]:
        """Ask the store, which answers when everything before is stored."""
        return tuple(self._runtime.host.save(job).result())

    def _has_room(self, session: Session) -> bool:
        """Say whether a message and a long reply fit the context."""
        if session.window is not None:
            return True
        return session.stats().num_tokens <= self._context_tokens - 170

    def _pick(self) -> Session:
        return self._rng.choice(self._sessions)

    def _text(self) -> str:
        self._num_said += 1
        count = self._rng.choice((1, 2, 5, 12, 30))
        words = self._rng.choices(WORDS.split(), k=count)
        # Few users say the very same, so that one message is not taken for another.
        return " ".join((*words, f"{self._num_said} {self.title}"))

    def _sampling(self) -> SamplingParams:
        max_tokens = self._rng.choice((1, 2, 6, 14, 40, 120))
        params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        if self._rng.random() < 0.6:
            params = replace(
                params,
                temperature=self._rng.choice((0.5, 1.0, 3.0)),
                top_k=self._rng.choice((0, 5)),
                top_p=self._rng.choice((1.0, 0.9)),
                min_p=self._rng.choice((0.0, 0.05)),
                repetition_penalty=self._rng.choice((1.0, 1.3)),
                seed=self._rng.choice((None, self._rng.randrange(1000))),
            )
        if self._rng.random() < 0.2:
            params = replace(params, stop=("e", "th"))
        return params

    def _terms(
        self, session: Session, sampling: SamplingParams, seed: int, *, was_stopped: bool = False
    ) -> Terms:
        return Terms(sampling, seed, session.window, session.num_sink_tokens, was_stopped)

    def _terms_before(self, session: Session, sampling: SamplingParams) -> Terms | None:
        """Return the terms of a reply to come; None while the sinks may not be known yet."""
        if session.window is not None:
            row = self._runtime.host.save(lambda database: database.session(session.id)).result()
            if row.sinks == AUTO_SINKS:
                return None
        return self._terms(session, sampling, 0)

    def _position_in(self, path: tuple[MessageRow, ...]) -> int:
        """Return a token position, more often than not near the edge of a message."""
        ends, length = [0], 0
        for row in path:
            length += len(row.token_ids)
            ends.append(length)
        if self._rng.random() < 0.3:
            return self._rng.choice(ends)
        return self._rng.randint(0, length)


def _path_of(database: Database, session_id: str) -> list[MessageRow]:
    return database.load_path(database.session(session_id).tip_id)
