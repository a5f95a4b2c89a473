"""Branching: what moves a session in its tree of messages: fork, rewind, undo, siblings."""

from dataclasses import replace
from time import time
from typing import TYPE_CHECKING

from kvchat.errors import InvalidArgument
from kvchat.session.message import MessageNode
from kvchat.session.prompt import path_token_ids
from kvchat.session.rewind_plan import RewindPlan
from kvchat.session.talking import Talking
from kvchat.store.rows import new_id

if TYPE_CHECKING:
    from kvchat.session.session import Session


class Branching(Talking):
    """A conversation that can stand elsewhere; a part of Session."""

    def fork(self, at: str | int | None = None, title: str | None = None) -> "Session":
        """Return a new session that goes on from a message, a token position, or the tip.

        Computes and copies nothing: both share messages and blocks. Inside a reply, or while one
        streams, the fork gets a reply of its own that ends at that token.
        Raises InvalidArgument when `at` is not on this session's path.
        """
        with self._host.lock:
            self._check_open()
            nodes = self._nodes()
            if at is None:
                path = self._path_to(nodes[-1].id) if nodes else []
            else:
                path = self._path_to(at) if isinstance(at, str) else self._path_at_token(at)
            row = replace(
                self._row,
                id=new_id(),
                title=title or f"{self.title} fork",
                tip_id=path[-1].id if path else None,
                origin_id=self.id,
                tag_index=self._host.next_tag_index(),
                created_at=time(),
                draft="",
                num_messages=len(path),
            )
            self._host.save(lambda database: database.create_session(row))
            child = self._host.add(row, path)
            self._host.fork(self.id, row.id, len(path_token_ids(path)), child.tag)
            return child

    def rewind(self, *, turns: int | None = None, to: str | None = None) -> RewindPlan:
        """Go back by some turns, or to the message `to` ('' is the start); nothing is deleted.

        Cancels a running reply. `undo` takes it back.
        Raises InvalidArgument for a message that is not on the path or more turns than there are.
        """
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            nodes = self._nodes()
            if to is not None:
                path = [] if to == "" else self._path_to(to)
            else:
                path = self._path_before_turns(1 if turns is None else turns)
            self._move_to(path, push_undo=len(path) != len(nodes))
            token_ids = path_token_ids(path)
            return RewindPlan(len(token_ids), self._host.rewind(self._row, token_ids))

    def undo(self) -> bool:
        """Take back the last rewind or regeneration; return False if there is none."""
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            session_id = self.id
            has_moved, tip_id = self._host.save(lambda database: database.undo(session_id)).result()
            if has_moved:
                self._row = replace(self._row, tip_id=tip_id)
                self._path = None if tip_id is not None else []
                self._reply = None
            return has_moved

    def siblings(self, message_id: str) -> tuple[str, ...]:
        """Return the ids of messages with the same parent, oldest first."""
        found = self._host.save(lambda database: database.siblings(message_id)).result()
        return tuple(found) or (message_id,)

    def show_sibling(self, message_id: str) -> None:
        """Stand on another version of a message; `undo` takes it back."""
        with self._host.lock:
            self._check_idle()
            rows = self._host.save(lambda database: database.load_path(message_id)).result()
            if not rows:
                raise InvalidArgument("There is no such message.")
            self._move_to(self._host.adopt(rows), push_undo=True)
            self._host.rewind(self._row, path_token_ids(self._nodes()))

    def _path_before_turns(self, turns: int) -> list[MessageNode]:
        nodes = self._nodes()
        places = [place for place, node in enumerate(nodes) if node.role == "user"]
        if not 1 <= turns <= len(places):
            raise InvalidArgument(f"Cannot go back {turns} turns: the session has {len(places)}.")
        return nodes[: places[-turns]]
