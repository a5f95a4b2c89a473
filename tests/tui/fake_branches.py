"""The branching half of the fake session: edit, label, tree, visit, hide, tokens, ask."""

from dataclasses import dataclass, replace
from math import log
from typing import Any
from zlib import crc32

from kvchat.errors import InvalidArgument, SessionBusy
from kvchat.session.message import MessageState
from kvchat.session.tree import MessageTree, TreeNode


@dataclass(frozen=True, slots=True)
class FakeAlternative:
    token_id: int
    text: str
    logprob: float
    drawn: float


@dataclass(frozen=True, slots=True)
class FakePosition:
    position: int
    token_id: int
    text: str
    logprob: float | None
    alternatives: tuple[FakeAlternative, ...]


DOUBTED = ("maybe", "perhaps")
"""A token with one of these words was taken with 30 %, every other one with 80 %."""


def id_of(text: str) -> int:
    return crc32(text.encode())


def fake_position(position: int, text: str) -> FakePosition:
    is_doubted = any(word in text for word in DOUBTED)
    taken = 0.3 if is_doubted else 0.8
    others = [(" drop", 0.1), (" release", 0.06), (" are", 0.02)]
    choices = [(text, taken, 0.85), *((t, p, p if p > 0.05 else 0.0) for t, p in others)]
    if is_doubted:
        choices.insert(0, (" surely", 0.45, 0.5))
    return FakePosition(
        position,
        id_of(text),
        text,
        log(taken),
        tuple(FakeAlternative(id_of(t), t, log(p), drawn) for t, p, drawn in choices),
    )


class FakeBranching:
    """What FakeSession can do with the tree; the rest of it is in `fake_runtime`."""

    runtime: Any
    reply: Any
    tip: str | None
    past: list[Any]
    id: str

    def edit(self, message_id: str, text: str, sampling: Any = None) -> Any:
        node = self.runtime.nodes[message_id]
        self.stop()  # type: ignore[attr-defined]
        self.past.append(self.tip)
        self.tip = self.runtime.add(node.role, text, node.parent_id)
        self.runtime.nodes[self.tip] = replace(self.runtime.nodes[self.tip], is_edited=True)
        if node.role == "assistant":
            return None
        return self._answer(text)  # type: ignore[attr-defined]

    def regenerate(
        self,
        sampling: Any = None,
        *,
        message_id: str | None = None,
        keep_tokens: int = 0,
        token: int | None = None,
    ) -> Any:
        runtime = self.runtime
        runtime.asked_sampling = sampling
        if self.tip is None:
            raise InvalidArgument("There is no message to answer again.")
        before, self.tip = self.tip, message_id or self.tip
        node = runtime.nodes[self.tip or ""]
        kept: list[str] = []
        if node.role == "assistant":
            kept = runtime.token_texts_of(node)[:keep_tokens]
            self.tip = node.parent_id
        if token is not None:
            texts = {id_of(text): text for text in (" drop", " release", " are", " surely")}
            kept.append(texts.get(token, ""))
        reply = self._answer(runtime.nodes[self.tip or ""].text)  # type: ignore[attr-defined]
        reply.pieces += kept
        self.past.append(before)
        return reply

    def continue_reply(self, sampling: Any = None) -> Any:
        node = self.runtime.nodes[self.tip] if self.tip else None
        if node is None or node.role != "assistant":
            raise InvalidArgument("There is no reply to go on with.")
        if node.state is MessageState.DONE and not node.is_edited:
            raise InvalidArgument("The model ended this reply by itself.")
        return self.regenerate(keep_tokens=10**6)

    def label(self, name: str | None, message_id: str | None = None) -> None:
        key = message_id or self.tip
        if key is None:
            raise InvalidArgument("There is no message to name yet.")
        self.runtime.nodes[key] = replace(self.runtime.nodes[key], label=name)

    def tree(self) -> MessageTree:
        runtime = self.runtime
        mine = {self.root_of(self.tip)} if self.tip else set()
        standing: dict[str, list[str]] = {}
        for session in runtime.open_sessions:
            if session.tip is not None:
                standing.setdefault(session.tip, []).append(session.id)
        shown = [
            node
            for key, node in runtime.nodes.items()
            if (self.root_of(key) in mine or key in self.seen_roots())
            and not any(part in runtime.hidden for part in self.line_of(key))
        ]
        ids = {node.id for node in shown}
        return MessageTree(
            tuple(node.id for node in shown if node.parent_id is None),
            {
                node.id: TreeNode(
                    node,
                    tuple(other.id for other in shown if other.parent_id == node.id),
                    node.label,
                    tuple(standing.get(node.id, ())),
                )
                for node in shown
                if node.parent_id is None or node.parent_id in ids
            },
        )

    def seen_roots(self) -> set[str]:
        return {self.root_of(tip) for tip in self.past if tip}

    def line_of(self, key: str | None) -> list[str]:
        line = []
        while key is not None:
            line.append(key)
            key = self.runtime.nodes[key].parent_id
        return line

    def root_of(self, key: str | None) -> str:
        return self.line_of(key)[-1]

    def visit(self, message_id: str) -> None:
        if message_id in self.line_of(self.tip):
            return
        self.stop()  # type: ignore[attr-defined]
        self.past.append(self.tip)
        key: str | None = message_id
        while key is not None:
            self.tip = key
            below = [k for k, node in self.runtime.nodes.items() if node.parent_id == key]
            key = below[-1] if below else None

    def hide(self, message_id: str) -> None:
        self.stop()  # type: ignore[attr-defined]
        self.runtime.hidden.add(message_id)
        self.past.append((self.tip, message_id))
        if message_id in self.line_of(self.tip):
            self.tip = self.runtime.nodes[message_id].parent_id

    def set_system(self, text: str | None) -> Any:
        self.system = text
        return self.runtime.plan(self)

    def plan_rewind(self, to: str) -> Any:
        return self.runtime.plan(self)

    def tokens(self, message_id: str) -> tuple[FakePosition, ...]:
        node = self.runtime.nodes[message_id]
        texts = self.runtime.token_texts_of(node)
        places = self.token_ranges().get(message_id, range(0))  # type: ignore[attr-defined]
        start = places.start
        found = [fake_position(start + place, text) for place, text in enumerate(texts)]
        if node.role == "user" and message_id not in self.runtime.scored:
            found = [replace(each, logprob=None, alternatives=()) for each in found]
        return tuple(found)

    def score(self, message_id: str) -> tuple[FakePosition, ...]:
        self.runtime.scored.add(message_id)
        return self.tokens(message_id)


class FakeAsking:
    """What FakeRuntime can do with several branches at once."""

    def ask(self, session: Any, text: str, n: int, sampling: Any = None) -> list[Any]:
        if session.is_running:
            raise SessionBusy("A reply is still running.")
        runtime: Any = self
        user = runtime.add("user", text, session.tip)
        replies = []
        for number in range(n):
            fork = session.fork(title=f"{session.title} {number + 1}")
            fork.tip = user
            replies.append(fork._answer(text))
        return replies

    def broadcast(self, to: Any, text: str, sampling: Any = None, *, forks: Any = None
                  ) -> list[Any]:  # fmt: skip
        if any(session.is_running for session in to):
            raise SessionBusy("A reply is still running.")
        return [session.send(text) for session in to]
