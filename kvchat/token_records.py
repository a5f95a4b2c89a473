"""TokenRecord: what the model thought of one generated token, in 82 bytes beside its message.

`logprobs` are the model's own, before penalties and temperature; `drawn` is what the next token was
really drawn with.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

NUM_ALTERNATIVES = 10
_FORMAT = struct.Struct(f"<e{NUM_ALTERNATIVES}i{NUM_ALTERNATIVES}e{NUM_ALTERNATIVES}e")
RECORD_BYTES = _FORMAT.size
_LOWEST = -60_000.0
"""About the lowest float16; a token that cannot come has this logarithm"""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """The likeliest tokens at one place, likeliest first, and the one that stands there."""

    logprob: float
    """Of the token that stands there."""
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    drawn: tuple[float, ...]

    def pack(self) -> bytes:
        """Return the record as it is stored; numbers are rounded to float16."""
        num_missing = NUM_ALTERNATIVES - len(self.token_ids)
        return _FORMAT.pack(
            max(_LOWEST, self.logprob),
            *self.token_ids,
            *(-1 for _ in range(num_missing)),
            *(max(_LOWEST, logprob) for logprob in self.logprobs),
            *(_LOWEST for _ in range(num_missing)),
            *self.drawn,
            *(0.0 for _ in range(num_missing)),
        )

    def with_token(self, token_id: int) -> "TokenRecord | None":
        """Return the record of another token at this place; None if it is no alternative."""
        if token_id not in self.token_ids:
            return None
        return replace(self, logprob=self.logprobs[self.token_ids.index(token_id)])


def unpack_records(packed: bytes) -> list[TokenRecord]:
    """Return the records of consecutive tokens; a part of one at the end is left out."""
    records = []
    whole = len(packed) // RECORD_BYTES * RECORD_BYTES
    size = NUM_ALTERNATIVES
    for values in _FORMAT.iter_unpack(packed[:whole]):
        token_ids = tuple(token for token in values[1 : 1 + size] if token >= 0)
        count = len(token_ids)
        logprobs, drawn = values[1 + size :][:count], values[1 + 2 * size :][:count]
        records.append(TokenRecord(values[0], token_ids, logprobs, drawn))
    return records


def records_by_token(runs: Iterable[tuple[int, bytes]]) -> dict[int, TokenRecord]:
    """Return records by the index of their token, of runs that begin at a token each."""
    return {
        first + place: record
        for first, packed in runs
        for place, record in enumerate(unpack_records(packed))
    }


def packed_runs(records: Sequence[TokenRecord | None]) -> list[tuple[int, bytes]]:
    """Return records, None where a token has none, as runs that begin at a token each."""
    runs: list[tuple[int, bytes]] = []
    follows = False
    for place, record in enumerate(records):
        if record is None:
            follows = False
        elif follows:
            first, packed = runs[-1]
            runs[-1] = (first, packed + record.pack())
        else:
            runs.append((place, record.pack()))
            follows = True
    return runs
