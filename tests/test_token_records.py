"""TokenRecord: packed and read back, cut short, shared by replies."""

import math

from kvchat.token_records import (
    NUM_ALTERNATIVES,
    RECORD_BYTES,
    TokenRecord,
    packed_runs,
    records_by_token,
    unpack_records,
)


def record(first_id: int, count: int = NUM_ALTERNATIVES) -> TokenRecord:
    """A record of tokens `first_id`, `first_id` + 1 …; all its numbers are exact in float16."""
    logprobs = tuple(-0.5 - number for number in range(count))
    drawn = tuple(0.5 if number == 0 else 0.0 for number in range(count))
    return TokenRecord(-0.5, tuple(range(first_id, first_id + count)), logprobs, drawn)


def test_records_come_back_as_they_were_and_take_82_bytes() -> None:
    written = [record(7), record(100_000), record(2**31 - 20, 3), record(5, 0)]
    packed = b"".join(each.pack() for each in written)
    assert unpack_records(packed) == written
    assert RECORD_BYTES == 82 and len(packed) == 4 * RECORD_BYTES


def test_tokens_that_cannot_come_are_packed_all_the_same() -> None:
    impossible = TokenRecord(-math.inf, (1,), (-math.inf,), (0.0,))
    (read,) = unpack_records(impossible.pack())
    assert read.logprob < -50_000 and math.exp(read.logprobs[0]) == 0.0


def test_a_part_of_a_record_is_left_out() -> None:
    assert unpack_records(record(1).pack() + record(2).pack()[:-1]) == [record(1)]


def test_runs_keep_the_places_of_tokens_without_records() -> None:
    records = [None, record(1), record(2), None, record(4), None]
    runs = packed_runs(records)
    assert [(first, len(packed)) for first, packed in runs] == [(1, 164), (4, 82)]
    assert records_by_token(runs) == {1: record(1), 2: record(2), 4: record(4)}
    assert packed_runs([]) == [] == packed_runs([None])


def test_another_token_of_the_same_place_has_its_own_probability() -> None:
    other = record(7).with_token(9)
    assert other is not None and other.logprob == -2.5
    assert other.token_ids == record(7).token_ids
    assert record(7).with_token(99) is None
