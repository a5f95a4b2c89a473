"""User: a person who does one thing after the other, as a generator that others turn.

Its seed says what it does.
"""

from collections.abc import Callable

from kvchat.session.session import Session
from kvchat.simulate.facts import Act, Began, Gone, Promised
from kvchat.simulate.person import MAX_SESSIONS, Path, Person, Turns


class User(Person):
    """A person and everything it may do."""

    def live(self) -> Turns:
        """Do things for ever; yield wherever it waits."""
        ways: tuple[tuple[Callable[[], Turns], int], ...] = (
            (self._chat, 20),
            (self._open, 3),
            (self._fork, 7),
            (self._both_speak, 6),
            (self._ask, 2),
            (self._branch_at_token, 4),
            (self._rewind, 5),
            (self._undo, 4),
            (self._answer_again, 5),
            (self._continue, 2),
            (self._edit, 3),
            (self._show_sibling, 2),
            (self._visit, 2),
            (self._hide, 1),
            (self._change_system, 1),
            (self._change_window, 2),
            (self._save, 2),
            (self._unload, 2),
            (self._close, 2),
            (self._delete, 2),
        )
        acts = [act for act, _ in ways]
        weights = [weight for _, weight in ways]
        while True:
            for _ in range(self._rng.randrange(8)):
                yield
            if not self._sessions:
                yield from self._open()
            yield from self._rng.choices(acts, weights)[0]()

    # Talking

    def _chat(self) -> Turns:
        yield from self._say_in(self._pick())

    def _say_in(self, session: Session) -> Turns:
        if not self._has_room(session):
            yield from self._make_shorter(session)
            return
        act = Act("send", session.id, text=self._habits.text())
        sampling = self._begin(act, session)
        reply = session.send(act.text, sampling)
        self._tell(Promised(session.id, session.messages[-2].id, act.text))
        yield from self._listen(act, session, reply, sampling)

    def _answer_again(self) -> Turns:
        """Answer any message again, perhaps from the middle of the old answer."""
        session = self._pick()
        path = self._look_at(session)
        if not path or not self._has_room(session):
            return
        target = path[-1] if self._rng.random() < 0.6 else self._rng.choice(path)
        if target.is_edited and not target.token_ids:
            return
        num_kept, token = 0, None
        limit = len(target.token_ids) - (target.finish_reason == "stop")
        if target.role == "assistant" and limit > 0 and self._rng.random() < 0.5:
            num_kept = self._rng.randint(0, limit)
        if self._rng.random() < 0.3:
            token = self._rng.randrange(300, 4000)
        act = Act("regenerate", session.id, place=target.id, num_kept=num_kept, token=token)
        num_fixed = num_kept + (token is not None)
        sampling = self._begin(act, session, num_fixed)
        reply = session.regenerate(
            sampling, message_id=target.id, keep_tokens=num_kept, token=token
        )
        yield from self._listen(act, session, reply, sampling, num_fixed)

    def _continue(self) -> Turns:
        session = self._pick()
        path = self._look_at(session)
        if not path or path[-1].role != "assistant" or not self._has_room(session):
            return
        num_kept = len(path[-1].token_ids)
        if path[-1].finish_reason == "stop" or not num_kept:
            return
        act = Act("regenerate", session.id, num_kept=num_kept)
        sampling = self._begin(act, session, num_kept)
        reply = session.continue_reply(sampling)
        yield from self._listen(act, session, reply, sampling, num_kept)

    def _edit(self) -> Turns:
        """Say something else in place of a message, or of a reply."""
        session = self._pick()
        messages = session.messages
        if not messages or not self._has_room(session):
            return
        act = Act("edit", session.id, text=self._habits.text(), place=self._rng.choice(messages).id)
        sampling = self._begin(act, session)
        reply = session.edit(str(act.place), act.text, sampling)
        if reply is None:
            yield from self._stand(act, session)
            return
        self._tell(Promised(session.id, session.messages[-2].id, act.text))
        yield from self._listen(act, session, reply, sampling)

    # Branching

    def _open(self) -> Turns:
        if len(self._sessions) >= MAX_SESSIONS:
            yield from self._delete()
            return
        window, sinks = None, None
        if self._rng.random() < 0.4:
            window = self._rng.choice((20, 33, 64, 150))
            sinks = self._rng.choice((None, 0, 5, 40))
        session = self._runtime.new_session(
            self.title, system=self._habits.system(), window=window, sinks=sinks
        )
        self._sessions.append(session)
        yield from self._stand(Act("open", session.id), session)

    def _fork(self) -> Turns:
        if len(self._sessions) >= MAX_SESSIONS:
            yield from self._delete()
            return
        parent = self._pick()
        path = self._look_at(parent)
        place: str | int | None = None
        kind = self._rng.randrange(3)
        if kind == 0 and path:
            place = self._rng.choice(path).id
        elif kind == 1 and _is_plain(path):
            place = self._habits.position(path)
        fork = parent.fork(place, self.title)
        self._sessions.append(fork)
        yield from self._stand(Act("fork", fork.id, parent.id, place=place), fork)

    def _branch_at_token(self) -> Turns:
        """Go on from another token, in a fork."""
        parent = self._pick()
        path = self._look_at(parent)
        if len(self._sessions) >= MAX_SESSIONS or not self._has_room(parent):
            yield from self._delete()
            return
        replies = [place for place, row in enumerate(path) if row.role == "assistant"]
        if not replies or not _is_plain(path):
            return
        place = self._rng.choice(replies)
        before = sum(len(row.token_ids) for row in path[:place])
        limit = len(path[place].token_ids) - (path[place].finish_reason == "stop")
        num_kept = self._rng.randint(0, max(0, limit))
        token = self._rng.randrange(300, 4000)
        fork = parent.fork(before + num_kept, self.title, token=token)
        self._sessions.append(fork)
        reply = fork.reply
        assert reply is not None
        act = Act("branch", fork.id, parent.id, place=before + num_kept, token=token)
        yield from self._listen_unasked(act, fork, reply, num_kept + 1)

    def _both_speak(self) -> Turns:
        """Let a chat and its fork go on at once: both write behind the same blocks."""
        parent = self._pick()
        # A turn before, so that there are blocks to share, also right after a start.
        yield from self._say_in(parent)
        if len(self._sessions) >= MAX_SESSIONS or not self._has_room(parent):
            yield from self._delete()
            return
        fork = parent.fork(None, self.title)
        self._sessions.append(fork)
        yield from self._stand(Act("fork", fork.id, parent.id), fork)
        both, sampling = (parent, fork), self._habits.sampling()
        # With other words, the block that both share differs from its first new slot on.
        texts = [self._habits.text()] * 2
        if self._rng.random() < 0.6:
            texts[1] = self._habits.text()
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

    def _ask(self) -> Turns:
        """Get two answers to one question, or say one thing in two fresh forks."""
        parent = self._pick()
        if len(self._sessions) >= MAX_SESSIONS or not self._has_room(parent):
            yield from self._delete()
            return
        text, sampling = self._habits.text(), self._habits.sampling()
        if self._rng.random() < 0.5:
            replies = self._runtime.ask(parent, text, 2, sampling)
        else:
            replies = self._runtime.broadcast(parent, text, sampling, forks=2)
        forks = [self._runtime.open_session(reply.session_id) for reply in replies]
        self._sessions += forks
        for fork, reply in zip(forks, replies, strict=True):
            act = Act("ask", fork.id, parent.id, text=text)
            yield from self._listen_unasked(act, fork, reply, 0, sampling)

    # Moving

    def _rewind(self) -> Turns:
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

    def _make_shorter(self, session: Session) -> Turns:
        act = Act("rewind", session.id, place=session.messages[1].id)
        self._tell(Began(act))
        session.rewind(to=session.messages[1].id)
        yield from self._stand(act, session)

    def _undo(self) -> Turns:
        """Take back a move, or some of them, one after the other."""
        session = self._pick()
        for _ in range(self._rng.randint(1, 3)):
            act = Act("undo", session.id)
            self._tell(Began(act))
            has_moved = session.undo()
            yield from self._stand(act, session, has_moved=has_moved)

    def _show_sibling(self) -> Turns:
        session = self._pick()
        messages = session.messages
        if not messages:
            return
        siblings = session.siblings(self._rng.choice(messages).id)
        act = Act("show", session.id, place=self._rng.choice(siblings))
        self._tell(Began(act))
        session.show_sibling(str(act.place))
        yield from self._stand(act, session)

    def _visit(self) -> Turns:
        """Stand anywhere in the family of a chat, and name the place."""
        session = self._pick()
        nodes = session.tree().nodes
        if not nodes:
            return
        act = Act("visit", session.id, place=self._rng.choice(list(nodes)))
        self._tell(Began(act))
        session.visit(str(act.place))
        session.label(f"seen by {self.title}")
        yield from self._stand(act, session)

    def _hide(self) -> Turns:
        session = self._pick()
        messages = session.messages
        if not messages:
            return
        act = Act("hide", session.id, place=self._rng.choice(messages).id)
        self._tell(Began(act))
        session.hide(str(act.place))
        yield from self._stand(act, session)

    # Settings

    def _change_system(self) -> Turns:
        session = self._pick()
        act = Act("system", session.id)
        self._tell(Began(act))
        session.set_system(self._habits.system())
        yield from self._stand(act, session)

    def _change_window(self) -> Turns:
        session = self._pick()
        act = Act("settings", session.id)
        self._tell(Began(act))
        session.set_window(self._rng.choice((None, 20, 64)), self._rng.choice((None, 0, 9)))
        yield from self._stand(act, session)

    def _save(self) -> Turns:
        session = self._pick()
        session.save()
        yield from self._stand(Act("nothing", session.id), session)

    def _unload(self) -> Turns:
        """Give the blocks of a chat to others, and perhaps want them back at once."""
        session = self._pick()
        session.unload()
        if self._rng.random() < 0.5:
            session.load()
        yield from self._stand(Act("nothing", session.id), session)

    def _close(self) -> Turns:
        """Close a chat and open it again later."""
        session = self._pick()
        self._sessions.remove(session)
        session.close()
        for _ in range(self._rng.randrange(4)):
            yield
        self._sessions.append(self._runtime.open_session(session.id))
        yield from self._stand(Act("nothing", session.id), self._sessions[-1])

    def _delete(self) -> Turns:
        session = self._pick()
        self._tell(Began(Act("delete", session.id)))
        self._sessions.remove(session)
        session.delete()
        self._load(lambda database: [])
        self._tell(Gone(session.id))
        yield
        if self._rng.random() < 0.3:
            act = Act("undelete", session.id)
            self._tell(Began(act))
            self._sessions.append(self._runtime.undelete(session.id))
            yield from self._stand(act, self._sessions[-1])


def _is_plain(path: Path) -> bool:
    """Say whether positions in a path are sums of lengths: no message took tokens back."""
    return not any(row.token_ids and row.token_ids[0] < 0 for row in path)
