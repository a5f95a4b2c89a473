"""Judge: compares what the store has with what must be there, and every token with the oracle.

It lives in another process than the runtime and survives its crashes, so it knows what was
acknowledged before. What each act does to a session is known by its Twins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kvchat.clean_text import storable
from kvchat.engine.sampler import SamplerRow, sample
from kvchat.hash_folder import HashFolder
from kvchat.simulate.facts import Act, Began, Fact, Gone, Promised, Stands, Terms, Woke
from kvchat.simulate.twins import Expected, Twins, Violation
from kvchat.store.rows import MessageRow
from kvchat.text.tokenizer import Tokenizer

MAX_REASONS = 20


@dataclass(slots=True)
class Counts:
    """What was judged."""

    replies: int = 0
    tokens_compared: int = 0
    divergent: int = 0
    acts: dict[str, int] = field(default_factory=dict)
    stopped: int = 0
    interrupted_by_crash: int = 0
    messages_found_again: int = 0
    rewritten: int = 0


class Judge:
    """Takes facts in order; keeps every broken promise in `reasons`."""

    def __init__(self, folder: HashFolder) -> None:
        self._model = folder.model()
        self._context_tokens = folder.config.max_position
        self._tokenizer = Tokenizer.load(folder.path)
        self._twins = Twins()
        self._nodes = self._twins.nodes
        self._promised: dict[str, str] = {}
        self._awaited: dict[str, str] = {}
        """By session, the message that was promised and whose reply has not ended."""
        self._begun: dict[str, Began] = {}
        self._gone: set[str] = set()
        self.counts = Counts()
        self.reasons: list[str] = []

    @property
    def message_ids(self) -> tuple[str, ...]:
        """Ids of all messages that were acknowledged."""
        return (*self._nodes, *(each for each in self._promised if each not in self._nodes))

    def take(self, fact: Fact) -> None:
        """Judge one fact; a broken promise is written down, and the session followed from there."""
        try:
            match fact:
                case Began(act):
                    self._begun[act.session_id] = fact
                case Promised(session_id, message_id, text):
                    self._promised[message_id] = text
                    self._awaited[session_id] = message_id
                case Stands():
                    self._awaited.pop(fact.act.session_id, None)
                    self._gone.discard(fact.act.session_id)
                    began = self._begun.get(fact.act.session_id)
                    if began is not None and began.act.kind == fact.act.kind:
                        del self._begun[fact.act.session_id]
                    self._stands(fact)
                case Gone(session_id):
                    self._begun.pop(session_id, None)
                    self._twins.put_away(session_id)
                    self._gone.add(session_id)
                    self._count("delete")
                case _:
                    pass
        except Violation as violation:
            self._write_down(str(violation))

    def wake(self, woke: Woke) -> None:
        """Compare what a runtime found with everything that was acknowledged before."""
        for message_id, row in zip(self.message_ids, woke.messages, strict=True):
            try:
                self._find_again(message_id, row)
            except Violation as violation:
                self._write_down(str(violation))
        for session_id in self._twins.sessions.keys() - woke.paths.keys():
            if self._act_of(session_id) != "delete":
                self._write_down(f"session {session_id} is lost")
            self._twins.put_away(session_id)
            self._gone.add(session_id)
        for session_id, path in woke.paths.items():
            try:
                self._wake_session(session_id, path)
            except Violation as violation:
                self._write_down(str(violation))
            self._twins.follow(session_id, path)
        self._begun.clear()
        self._awaited.clear()

    def _wake_session(self, session_id: str, path: Sequence[MessageRow]) -> None:
        if session_id in self._gone and self._act_of(session_id) == "undelete":
            self._gone.remove(session_id)
            self._twins.bring_back(session_id)
        if session_id in self._gone:
            raise Violation(f"session {session_id} was deleted and is there again")
        self._compare_nodes(path)
        twin, began = self._twins.sessions.get(session_id), self._begun.get(session_id)
        ids = [row.id for row in path]
        if twin is not None and began is None and ids != twin.path:
            raise Violation(f"session {session_id} stands on another path after the start")
        if twin is not None and began is None:
            return
        if path and path[-1].state == "interrupted" and path[-1].id not in self._nodes:
            self.counts.interrupted_by_crash += 1
            if began is not None and began.terms is not None:
                seed = path[-1].seed
                assert seed is not None
                self._compare_tokens(path, replace(began.terms, seed=seed))
        if began is None or twin is None:
            return
        promised = self._awaited.get(session_id)
        if promised is not None and promised not in ids and began.act.kind == "send":
            raise Violation(f"session {session_id} does not stand on what it was promised")
        if began.act.kind == "send" and ids[: len(twin.path)] != twin.path:
            raise Violation(f"session {session_id} has neither what was said nor its old path")
        if began.act.kind != "send":
            twin.undo = None

    def _stands(self, fact: Stands) -> None:
        act, path = fact.act, fact.path
        try:
            expected = self._twins.expected_path(fact)
            self._compare_nodes(path)
            self._compare_path(act, expected, path)
            if fact.terms is not None and path and path[-1].role == "assistant":
                if len(path[-1].token_ids) <= fact.terms.num_kept:
                    self._twins.undrawn.add(path[-1].id)
                self._compare_end(path[-1], fact.terms)
                self._compare_tokens(path, fact.terms)
                self.counts.replies += 1
                self.counts.stopped += path[-1].state == "interrupted"
        finally:
            self._twins.follow(act.session_id, path)
            self._count(act.kind)

    def _compare_path(self, act: Act, expected: Expected, path: Sequence[MessageRow]) -> None:
        where = f"session {act.session_id} after {act.kind} {act.place!r}"
        if len(path) != len(expected):
            raise Violation(f"{where} has {len(path)} messages instead of {len(expected)}")
        for at, (row, wanted) in enumerate(zip(path, expected, strict=True)):
            if isinstance(wanted, str):
                if row.id != wanted:
                    raise Violation(f"{where} has another message at place {at}")
                continue
            if row.id in self._nodes and not wanted.or_known:
                raise Violation(f"{where} has an old message at place {at} instead of a new one")
            if row.role != wanted.role or wanted.text not in (None, row.text):
                raise Violation(f"{where} has another text at place {at}")
            num_first = len(row.token_ids if wanted.is_whole else wanted.first_ids)
            if row.token_ids[:num_first] != wanted.first_ids:
                raise Violation(f"{where} was cut at {len(row.token_ids)} tokens, at the wrong one")

    def _compare_nodes(self, path: Sequence[MessageRow]) -> None:
        """Check that a path hangs together, that nothing known has changed, and new texts."""
        parent_id = None
        for row in path:
            if row.parent_id != parent_id:
                raise Violation(f"message {row.id} hangs below another message")
            parent_id = row.id
            known = self._nodes.get(row.id)
            if known is not None:
                self._compare_row(known, row)
                continue
            decoded = storable(
                self._tokenizer.decode([each for each in row.token_ids if each >= 0])
            )
            if row.role == "user" and row.token_ids and row.text not in decoded:
                raise Violation(f"the token ids of message {row.id} are not those of its text")
            is_pending = row.is_edited and not row.token_ids
            if row.role == "assistant" and not is_pending and not decoded.startswith(row.text):
                raise Violation(
                    f"the text of reply {row.id} is not that of its token ids: {row.text!r}, "
                    f"and {decoded!r} of {row.token_ids}"
                )

    def _compare_row(self, known: MessageRow, row: MessageRow) -> None:
        for name in ("parent_id", "role", "text", "token_ids", "state"):
            was, now = getattr(known, name), getattr(row, name)
            if name == "token_ids" and was == () and (row.role == "user" or row.is_edited):
                # A prompt whose reply was left at once, and what was written by hand, get their
                # ids later, or never.
                self._nodes[row.id] = row
            elif was != now:
                raise Violation(f"{name} of message {row.id} has changed from {was!r} to {now!r}")

    def _find_again(self, message_id: str, row: MessageRow | None) -> None:
        if row is None:
            raise Violation(f"message {message_id} was acknowledged and is lost")
        self.counts.messages_found_again += 1
        known = self._nodes.get(message_id)
        if known is not None:
            self._compare_row(known, row)
        elif row.text != self._promised[message_id]:
            raise Violation(f"message {message_id} has another text than was sent")

    def _compare_end(self, row: MessageRow, terms: Terms) -> None:
        """Check why a reply ended, and that it was as long as that says."""
        limit = terms.sampling.max_tokens
        num_tokens = len(row.token_ids) - terms.num_kept
        match row.finish_reason:
            case "length" if num_tokens != limit:
                raise Violation(f"reply {row.id} has {num_tokens} tokens instead of {limit}")
            case "cancelled" if not terms.was_stopped:
                raise Violation(f"reply {row.id} was stopped by nobody")
            case "failed" if "context" not in (row.error or ""):
                raise Violation(f"reply {row.id} failed: {row.error}")
        if limit is not None and num_tokens > limit:
            raise Violation(f"reply {row.id} has more than {limit} tokens")

    def _compare_tokens(self, path: Sequence[MessageRow], terms: Terms) -> None:
        """Compute the last reply from nothing, and compare every token."""
        token_ids, self_rewritten = _flatten(path)
        self.counts.rewritten += self_rewritten
        found = path[-1].token_ids[terms.num_kept :]
        if not found:
            return
        start = len(token_ids) - len(found)
        if (path[-1].window, path[-1].sinks) != terms.recorded:
            raise Violation(f"reply {path[-1].id} does not say under which window it was read")
        windows = terms.windows(path)
        states = self._model.states(token_ids, changes=windows)
        rows = [
            SamplerRow(terms.sampling, terms.seed, at, token_ids[:at])
            for at in range(start, len(token_ids))
        ]
        expected = sample(self._model.logits(states[start - 1 : -1]), rows)
        self.counts.tokens_compared += len(found)
        wrong = [at for at, ids in enumerate(zip(found, expected, strict=True)) if len({*ids}) > 1]
        if wrong:
            self.counts.divergent += len(wrong)
            raise Violation(
                f"reply {path[-1].id} differs at {wrong[:5]} of {len(found)} tokens, "
                f"behind {start} others, windows {windows}"
            )

    def _act_of(self, session_id: str) -> str:
        began = self._begun.get(session_id)
        return "" if began is None else began.act.kind

    def _count(self, kind: str) -> None:
        self.counts.acts[kind] = self.counts.acts.get(kind, 0) + 1

    def _write_down(self, reason: str) -> None:
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(reason)


def _flatten(path: Sequence[MessageRow]) -> tuple[list[int], int]:
    """Return the token ids along a path, and how many messages took some back.

    A first id of -n - 1 says that only the first n ids before this message still stand.
    """
    token_ids: list[int] = []
    num_rewriting = 0
    for row in path:
        new = row.token_ids
        if new and new[0] < 0:
            num_rewriting += 1
            del token_ids[-new[0] - 1 :]
            new = new[1:]
        token_ids += new
    return token_ids, num_rewriting
