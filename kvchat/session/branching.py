"""Branching: what moves a session in its tree of messages: fork, rewind, undo, siblings."""

from concurrent.futures import Future
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument
from kvchat.session.kept_tokens import path_spans, place_of_token
from kvchat.session.message import MessageNode
from kvchat.session.prompt import path_token_ids
from kvchat.session.rewind_plan import RewindPlan
from kvchat.session.talking import Talking
from kvchat.store.rows import new_id

if TYPE_CHECKING:
    from kvchat.session.session import Session


class Branching(Talking):
    """A conversation that can stand elsewhere; a part of Session."""

    def fork(
        self,
        at: str | int | None = None,
        title: str | None = None,
        *,
        token: int | None = None,
    ) -> "Session":
        """Return a new session that goes on from a message, a token position, or the tip.

            other = chat.fork()                            # shares every message and every block
            early = chat.fork(at=chat.messages[1].id)      # goes on after that message
            place = chat.tokens(chat.messages[-1].id)[12]  # the 13th token of the last reply
            choice = place.alternatives[1].token_id
            branch = chat.fork(at=place.position, token=choice)
            branch.reply.wait()                            # goes on from that other token

        Computes and copies nothing: both share messages and blocks. Inside a reply, or while one
        streams, the fork gets a reply of its own that ends at that token. With `token` it has that
        token next, whatever stood there, and its reply is running: `reply` of the new session.
        Raises InvalidArgument when `at` is not on this session's path, or is inside a prompt where
        a token is given.
        """
        with self._host.lock:
            self._check_open()
            nodes = self._nodes()
            kept, source, num_kept = None, None, 0
            if token is not None:
                path, source, num_kept = self._reply_at(at)
                kept = self._kept(source, num_kept, token)
            elif at is None:
                path = self._path_to(nodes[-1].id) if nodes else []
            else:
                path = self._path_to(at) if isinstance(at, str) else self._path_at_token(at)
            stored = self._row.title  # without one its first message names it
            child = self._fork_onto(path, title or (f"{stored} fork" if stored else ""), num_kept)
            if kept is not None:
                child._start(kept=kept, source=source)
            return child

    def rewind(self, *, turns: int | None = None, to: str | None = None) -> RewindPlan:
        """Go back by some turns, or to the message `to` ('' is the start); nothing is deleted.

        Cancels a running reply. `undo` takes it back.
        Raises InvalidArgument for a message that is not on the path or more turns than there are.
        """
        with self._host.lock:
            self._check_open()
            nodes = self._nodes()
            if to is not None:
                path = [] if to == "" else self._path_to(to)
            else:
                path = self._path_before_turns(1 if turns is None else turns)
            self._stop_and_detach()
            self._move_to(path, push_undo=len(path) != len(nodes))
            return self._plan(path, is_move=True)

    def plan_rewind(self, to: str) -> RewindPlan:
        """Return what `rewind(to=...)` would leave to be computed; changes nothing.

        `to` may also be a message on another branch. Raises InvalidArgument for one of another
        chat.
        """
        with self._host.lock:
            self._check_open()
            return self._plan(self._find(to) if to else [], is_move=False)

    def undo(self) -> bool:
        """Take back the last rewind, visit, regeneration, edit, hiding or system prompt.

        Cancels a running reply. Returns False if there is nothing to take back.
        """
        with self._host.lock:
            self._check_open()
            session_id = self.id
            if not self._host.save(lambda database: database.num_undo(session_id)).result():
                return False
            self._stop_and_detach()
            undone = self._host.save(lambda database: database.undo(session_id)).result()
            assert undone is not None, "the lock is held"
            if undone.shown_id is not None and (shown := self._host.known(undone.shown_id)):
                shown.is_hidden = False
            if undone.system != self._row.system:
                self._row = replace(self._row, system=undone.system)
                self._host.release(session_id)
            rows = self._host.save(lambda database: database.load_path(undone.tip_id)).result()
            self._stand_on(self._host.adopt(rows))
            self._host.rewind(self._row, self._reading())
            return True

    def set_system(self, text: str | None) -> RewindPlan:
        """Change the system prompt; the next message reads the whole chat again, see `undo`.

        Cancels a running reply. Returns what that will cost.
        """
        with self._host.lock:
            self._check_open()
            system = None if text is None else self._host.storable(text)
            if self._reply is not None:
                self._reply.cancel()
            session_id = self.id
            self._host.save(lambda database: database.set_system(session_id, system)).result()
            self._row = replace(self._row, system=system)
            self._host.release(session_id)
            known: Future[tuple[int, int]] = Future()
            known.set_result((0, 0))
            return RewindPlan(self._num_tokens(), known)

    def siblings(self, message_id: str) -> tuple[str, ...]:
        """Return the ids of messages with the same parent, oldest first; hidden ones left out."""
        found = self._host.save(lambda database: database.siblings(message_id)).result()
        return tuple(found) or (message_id,)

    def show_sibling(self, message_id: str) -> None:
        """Stand on another version of a message; `undo` takes it back."""
        with self._host.lock:
            self._check_idle()
            self._go_to(self._find(message_id))

    # Pieces

    def _fork_onto(self, path: list[MessageNode], title: str, num_kept: int = 0) -> "Session":
        """Return a new session that stands at the end of a path, and shares its blocks.

        With `num_kept` also those of so many tokens of the reply that follows here.
        """
        row = replace(
            self._row,
            id=new_id(),
            title=title,
            tip_id=path[-1].id if path else None,
            origin_id=self.id,
            tag_index=self._host.next_tag_index(),
            created_at=time(),
            draft="",
            num_messages=len(path),
        )
        self._host.save(lambda database: database.create_session(row))
        child = self._host.add(row, path)
        self._host.fork(self.id, row.id, len(path_token_ids(path)) + num_kept, child.tag)
        return child

    def _reply_at(self, at: str | int | None) -> tuple[list[MessageNode], MessageNode | None, int]:
        """Return the path above a reply, the reply, and how many of its tokens are before `at`."""
        nodes = self._nodes()
        spans = path_spans(nodes)
        if isinstance(at, str):
            ids = [node.id for node in nodes]
            if at not in ids:
                raise InvalidArgument("This message is not part of the session as it stands.")
            position = spans[ids.index(at)][1]
        else:
            position = at if at is not None else spans[-1][1] if spans else 0
        if not 0 < position <= (spans[-1][1] if spans else 0):
            raise InvalidArgument(f"Position {position} is outside this session's tokens.")
        place = place_of_token(nodes, position)
        if nodes[place].role == "assistant":
            return nodes[:place], nodes[place], position - spans[place][0]
        if spans[place][1] != position:
            raise InvalidArgument(f"Position {position} is inside a prompt, not in a reply.")
        source = nodes[place + 1] if place + 1 < len(nodes) else None
        return nodes[: place + 1], source, 0

    def _go_to(self, path: list[MessageNode]) -> None:
        self._move_to(path, push_undo=True)
        self._host.rewind(self._row, self._reading(path))

    def _plan(self, path: list[MessageNode], *, is_move: bool) -> RewindPlan:
        reading = self._reading(path)
        figures = self._host.rewind if is_move else self._host.plan
        return RewindPlan(len(reading.token_ids), figures(self._row, reading))

    def _path_before_turns(self, turns: int) -> list[MessageNode]:
        nodes = self._nodes()
        places = [place for place, node in enumerate(nodes) if node.role == "user"]
        if not 1 <= turns <= len(places):
            raise InvalidArgument(f"Cannot go back {turns} turns: the session has {len(places)}.")
        return nodes[: places[-turns]]
