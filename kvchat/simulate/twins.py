"""Twins: what every session must be, on plain lists: a tree of messages, a path, an undo list.

It knows what each act does to a path, and nothing of blocks, caches or engines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvchat.simulate.facts import IN_LAST_REPLY, Act, Stands
from kvchat.store.rows import MessageRow


class Violation(Exception):
    """One promise was broken; the sentence says which."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that must not have been there before; what is None may be anything.

    first_ids  the ids it begins with; with `is_whole` it has no others
    or_known   whether another act may have stored it already
    """

    role: str
    text: str | None = None
    first_ids: tuple[int, ...] = ()
    is_whole: bool = False
    or_known: bool = False


Expected = list[str | NewMessage]
"""A path: ids of known messages, and what is new."""


@dataclass(slots=True)
class Twin:
    """One session as it must be."""

    path: list[str] = field(default_factory=list)
    undo: list[str | None] | None = field(default_factory=list)
    """Tips to go back to, the last one last; None where a crash left that open."""

    def push(self, tip: str | None) -> None:
        """Remember a tip for `undo`."""
        if self.undo is not None:
            self.undo.append(tip)


class Twins:
    """All sessions, and all messages that were acknowledged with their content."""

    def __init__(self) -> None:
        self.nodes: dict[str, MessageRow] = {}
        self.sessions: dict[str, Twin] = {}
        self._trash: dict[str, Twin] = {}
        self.undrawn: set[str] = set()
        """Replies that were stopped before their first token: nobody may have stood on them."""

    def follow(self, session_id: str, path: Sequence[MessageRow]) -> None:
        """Take the path as it is, so that one mistake is told once."""
        for row in path:
            self.nodes.setdefault(row.id, row)
        self.sessions.setdefault(session_id, Twin()).path = [row.id for row in path]

    def put_away(self, session_id: str) -> None:
        """Put a session into the trash."""
        twin = self.sessions.pop(session_id, None)
        if twin is not None:
            self._trash[session_id] = twin

    def bring_back(self, session_id: str) -> None:
        """Take a session out of the trash, as it was."""
        self.sessions[session_id] = self._trash.pop(session_id)

    def expected_path(self, fact: Stands) -> Expected:
        """Return the path an act leads to, and keep its undo list; raises Violation."""
        act = fact.act
        match act.kind:
            case "open":
                self.sessions[act.session_id] = Twin()
                return []
            case "fork" | "branch" | "ask":
                parent = self.sessions[act.parent_id].path
                self.sessions[act.session_id] = Twin()
                if act.kind == "ask":
                    question = NewMessage("user", act.text, or_known=True)
                    return [*parent, question, NewMessage("assistant")]
                if act.kind == "branch":
                    return self._branch_path(parent, act)
                return self._fork_path(parent, fact)
            case "undelete":
                self.bring_back(act.session_id)
        twin = self.sessions[act.session_id]
        tip = twin.path[-1] if twin.path else None
        if tip in self.undrawn:
            # Left before its prompt was written, it was never stood on; else it was.
            twin.undo = None
        old: Expected = list(twin.path)
        match act.kind:
            case "send":
                return [*old, NewMessage("user", act.text), NewMessage("assistant")]
            case "regenerate" | "edit":
                return self._changed_path(twin, act)
            case "rewind":
                length = self._rewound_length(twin.path, act.place)
                if length != len(twin.path):
                    twin.push(tip)
                return old[:length]
            case "hide":
                twin.push(tip)
                return old[: twin.path.index(str(act.place))]
            case "show":
                twin.push(tip)
                if act.place not in self.nodes and fact.path and fact.path[-1].id == act.place:
                    return [row.id for row in fact.path]  # stored, and never acknowledged
                return list(self.path_to(str(act.place)))
            case "visit":
                return self._visited_path(twin, fact)
            case "undo":
                if twin.undo is None:
                    return [row.id for row in fact.path]
                if bool(twin.undo) != fact.has_moved:
                    raise Violation("undo says it moved, and had nowhere to go, or the reverse")
                return list(self.path_to(twin.undo.pop())) if twin.undo else old
            case "system":
                twin.push(tip)
                return old
            case _:
                return old

    def path_to(self, tip: str | None) -> list[str]:
        """Return the ids from the root to a message."""
        path: list[str] = []
        while tip is not None:
            path.append(tip)
            node = self.nodes.get(tip)
            if node is None:
                raise Violation(f"message {tip} was never stored")
            tip = node.parent_id
        return path[::-1]

    def _changed_path(self, twin: Twin, act: Act) -> Expected:
        """Return the path after a message got a sibling: an edit, or another answer."""
        target = str(act.place) if act.place is not None else twin.path[-1]
        path, node = self.path_to(target), self.nodes[target]
        tip = twin.path[-1] if twin.path else None
        before: Expected = list(path[:-1])
        if act.kind == "edit":
            twin.push(tip)
            if node.role == "assistant":
                return [*before, NewMessage("assistant", act.text)]
            return [*before, NewMessage("user", act.text), NewMessage("assistant")]
        kept = node.token_ids[: act.num_kept] if node.role == "assistant" else ()
        first_ids = (*kept, *(() if act.token is None else (act.token,)))
        if node.role == "user":
            before.append(target)
        if before[-1] != tip:
            twin.push(tip)
        user = self.nodes[str(before[-1])]
        before[-1] = NewMessage("user", user.text, or_known=True)
        return [*before, NewMessage("assistant", first_ids=first_ids)]

    def _branch_path(self, parent: Sequence[str], act: Act) -> Expected:
        """Return the path of a fork that goes on from another token at a position."""
        assert isinstance(act.place, int) and act.token is not None
        start = 0
        for place, message_id in enumerate(parent):
            node = self.nodes[message_id]
            end = start + len(node.token_ids)
            if act.place <= end:
                if node.role == "assistant":
                    kept = (*node.token_ids[: act.place - start], act.token)
                    return [*parent[:place], NewMessage("assistant", first_ids=kept)]
                return [*parent[: place + 1], NewMessage("assistant", first_ids=(act.token,))]
            start = end
        raise Violation(f"session {act.session_id} was branched behind its end")

    def _fork_path(self, parent: Sequence[str], fact: Stands) -> Expected:
        place = fact.act.place
        if place == IN_LAST_REPLY and fact.path[-1].id != parent[-1]:
            whole, cut = self.nodes[parent[-1]], fact.path[-1]
            if whole.token_ids[: len(cut.token_ids)] != cut.token_ids:
                raise Violation(f"fork {fact.act.session_id} has other tokens than its origin had")
            return [*parent[:-1], NewMessage("assistant")]
        if place is None or place == IN_LAST_REPLY:
            return list(parent)
        if isinstance(place, str):
            return list(parent[: parent.index(place) + 1])
        path: Expected = []
        start = 0
        for message_id in parent:
            node = self.nodes[message_id]
            end = start + len(node.token_ids)
            if place <= start:
                break
            if end <= place:
                path.append(message_id)
            elif node.role == "assistant":
                kept = node.token_ids[: place - start]
                path.append(NewMessage("assistant", first_ids=kept, is_whole=True))
            start = end
        return path

    def _rewound_length(self, path: Sequence[str], place: str | int | None) -> int:
        if isinstance(place, str):
            return path.index(place) + 1 if place else 0
        assert place is not None
        users = [at for at, each in enumerate(path) if self.nodes[each].role == "user"]
        return users[-place]

    def _visited_path(self, twin: Twin, fact: Stands) -> Expected:
        """Return the path found, if it goes through the message visited."""
        ids = [row.id for row in fact.path]
        if fact.act.place in twin.path:
            return list(twin.path)
        if fact.act.place not in ids:
            raise Violation(f"session {fact.act.session_id} visited another message")
        twin.push(twin.path[-1] if twin.path else None)
        return list(ids)
