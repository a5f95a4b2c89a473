"""Alternatives: every token of a message, and what else the model could have said there."""

from dataclasses import dataclass

from kvchat.errors import InvalidArgument
from kvchat.session.conversation import Conversation
from kvchat.session.kept_tokens import path_spans, place_of_token
from kvchat.session.message import MessageNode, MessageState
from kvchat.session.prompt import num_known
from kvchat.store.rows import TokenRecords
from kvchat.token_records import TokenRecord, records_by_token


@dataclass(frozen=True, slots=True)
class TokenAlternative:
    """One of the likeliest tokens at a place."""

    token_id: int
    text: str
    logprob: float
    """Natural logarithm of the model's probability, before penalties and temperature."""
    drawn: float
    """Probability it was drawn with, after penalties, temperature and filters; 0 if it was cut."""


@dataclass(frozen=True, slots=True)
class TokenPosition:
    """One token of a message, in its place in the session."""

    position: int
    """Number of tokens before it, from the start of the session."""
    token_id: int
    text: str
    """What it says; the bytes of an incomplete character as in '⟨E2⟩'."""
    logprob: float | None
    """Natural logarithm of the model's probability; None where it is not known."""
    alternatives: tuple[TokenAlternative, ...]
    """Up to ten, likeliest first; none where they are not known."""


class Alternatives(Conversation):
    """A conversation whose tokens can be looked at; a part of Session."""

    def tokens(self, message_id: str) -> tuple[TokenPosition, ...]:
        """Return every token of a message, with its alternatives where they were kept.

            for token in chat.tokens(chat.messages[-1].id):
                others = [other.text for other in token.alternatives[:3]]
                print(token.position, token.text, token.logprob, others)

        They are kept of all that the model generated; not of what was written by somebody, where
        `logprob` is None. The message may be anywhere in the tree, and may still be streaming.
        Waits for the tokenizer. Raises InvalidArgument for a message of another chat.
        """
        with self._host.lock:
            self._check_open()
            path = self._find(message_id)
            start, end = path_spans(path)[-1]
            token_ids = _own_ids(path[-1])[: end - start]
        return self._positions(message_id, start, token_ids)

    def alternatives(self, position: int) -> TokenPosition:
        """Return the token at a position of the session, with its alternatives.

        `fork(at=position, token=...)` goes on from another one. Raises InvalidArgument for a
        position outside the session.
        """
        with self._host.lock:
            self._check_open()
            nodes = self._nodes()
            spans = path_spans(nodes)
            if not 0 <= position < (spans[-1][1] if spans else 0):
                raise InvalidArgument(f"Position {position} is outside this session's tokens.")
            place = place_of_token(nodes, position + 1)
            start, _ = spans[place]
            message_id, token_ids = nodes[place].id, list(_own_ids(nodes[place]))
        return self._positions(message_id, start, token_ids)[position - start]

    def score(self, message_id: str) -> tuple[TokenPosition, ...]:
        """Return `tokens` of a message with all probabilities, computing those nobody kept.

            for token in chat.score(chat.messages[0].id)[1:]:       # what I said myself
                print(token.text, token.logprob)

        The message is read once more, from its first token without them, on a throw-away fork; the
        result is kept, with `drawn` 0 since nobody drew it. The first token of a chat has none.
        Raises InvalidArgument for a message of another chat or model, or one that still streams,
        PoolTooSmall, EngineStopped.
        """
        with self._host.lock:
            self._check_open()
            path, row = self._find(message_id), self._row
            node, (start, end) = path[-1], path_spans(path)[-1]
            reading = self._reading(path)
        if node.state is MessageState.STREAMING:
            raise InvalidArgument("This reply is still streaming; its probabilities are kept.")
        if num_known(path, row.system, self._host.model_name) < len(path):
            raise InvalidArgument("This message was read by another model or with another system.")
        known = self.tokens(message_id)
        missing = [each.position for each in known if each.logprob is None and each.position]
        if not missing:
            return known
        records = self._host.score(row, reading, missing[0])
        unknown = set(missing)
        packed = [
            records.get(position, b"") if position in unknown else b""
            for position in range(start, end)
        ]
        runs = [TokenRecords(place, record) for place, record in enumerate(packed) if record]
        self._host.save(lambda database: database.add_token_records(message_id, runs)).result()
        return self.tokens(message_id)

    def _positions(
        self, message_id: str, start: int, token_ids: list[int]
    ) -> tuple[TokenPosition, ...]:
        # After the pieces that are waiting: the store takes them in before it runs a job.
        runs = self._host.save(lambda database: database.token_records(message_id)).result()
        records = records_by_token((run.first_token, run.records) for run in runs)
        return tuple(
            TokenPosition(
                start + place,
                token_id,
                self._host.token_text(token_id),
                None if (record := records.get(place)) is None else record.logprob,
                () if record is None else self._alternatives_of(record),
            )
            for place, token_id in enumerate(token_ids)
        )

    def _alternatives_of(self, record: TokenRecord) -> tuple[TokenAlternative, ...]:
        return tuple(
            TokenAlternative(token_id, self._host.token_text(token_id), logprob, drawn)
            for token_id, logprob, drawn in zip(
                record.token_ids, record.logprobs, record.drawn, strict=True
            )
        )


def _own_ids(node: MessageNode) -> list[int]:
    """Return the ids a message added, without the mark of a rewritten history."""
    is_rewriting = bool(node.token_ids) and node.token_ids[0] < 0
    return node.token_ids[1:] if is_rewriting else list(node.token_ids)
