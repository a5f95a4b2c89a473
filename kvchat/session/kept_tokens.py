"""KeptTokens: what a reply begins with: the first tokens of another reply, and perhaps one more."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvchat.session.message import MessageNode
from kvchat.store.database import Database
from kvchat.store.rows import TokenRecords
from kvchat.token_records import packed_runs, records_by_token


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """The first `num_tokens` of a reply, then `token`, where a choice was made against the model.

    `text` stands in for them where this model has no ids of the reply: they are made from it.
    """

    source_id: str | None = None
    num_tokens: int = 0
    token: int | None = None
    text: str | None = None

    def token_ids(self, source: MessageNode | None) -> list[int]:
        """Return the ids the new reply begins with, as far as they are known now."""
        kept = (
            [] if source is None or self.text is not None else source.token_ids[: self.num_tokens]
        )
        return kept if self.token is None else [*kept, self.token]

    def records(self, database: Database) -> list[TokenRecords]:
        """Return what is known of their alternatives, as records of the new reply."""
        if self.source_id is None or self.text is not None:
            return []
        runs = [(run.first_token, run.records) for run in database.token_records(self.source_id)]
        known = records_by_token(runs)
        kept = [known.get(place) for place in range(self.num_tokens)]
        if self.token is not None:
            record = known.get(self.num_tokens)
            kept.append(None if record is None else record.with_token(self.token))
        return [TokenRecords(first, packed) for first, packed in packed_runs(kept)]


def path_spans(path: Sequence[MessageNode]) -> list[tuple[int, int]]:
    """Return for each message where its token ids begin and end in the sequence of its path.

    A message that rewrote history begins before the end of the one before it.
    """
    spans: list[tuple[int, int]] = []
    end = 0
    for node in path:
        new = node.token_ids
        is_rewriting = bool(new) and new[0] < 0
        start = -new[0] - 1 if is_rewriting else end
        end = start + len(new) - is_rewriting
        spans.append((start, end))
    return spans


def place_of_token(path: Sequence[MessageNode], position: int) -> int:
    """Return the place of the message whose ids end at a position > 0, or contain it."""
    spans = path_spans(path)
    return next(place for place in reversed(range(len(spans))) if spans[place][0] < position)
