from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvchat.text.detokenizer import StreamDetokenizer, TokenTable, decode_all
from kvchat.text.tokenizer import Tokenizer


def byte_table(*words: str, drops_blank: bool = False) -> TokenTable:
    """Ids 0 to 255 are bytes, further ones are words."""
    entries: list[str | bytes] = [bytes((value,)) for value in range(256)]
    entries += words
    return TokenTable(tuple(entries), bytes(256) + bytes((drops_blank,)) * len(words))


def stream(detokenizer: StreamDetokenizer, ids: list[int]) -> str:
    return "".join(map(detokenizer.push, ids)) + detokenizer.flush()


@pytest.mark.parametrize("kind", ["own", "legacy", "gemma", "phi", "strict"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_the_streamed_pieces_joined_are_the_text_decoded_at_once(
    kind: str, tokenizers: dict[str, Tokenizer], data: st.DataObject
) -> None:
    tokenizer = tokenizers[kind]
    any_id = st.integers(0, tokenizer.vocab_size - 1)
    bytes_first = st.integers(3, 262)
    ids = data.draw(st.lists(any_id | bytes_first, max_size=30))
    assert stream(tokenizer.detokenizer(), ids) == tokenizer.decode(ids)


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=24))
def test_any_bytes_are_streamed_as_they_are_decoded_at_once(raw: bytes) -> None:
    table = byte_table()
    assert stream(StreamDetokenizer(table), list(raw)) == decode_all(table, raw)


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=12))
def test_valid_bytes_are_never_shown_as_broken_ones(text: str) -> None:
    detokenizer = StreamDetokenizer(byte_table())
    assert [piece for value in text.encode() if (piece := detokenizer.push(value))] == list(text)


def test_an_unfinished_character_waits_and_is_then_shown_whole() -> None:
    detokenizer = StreamDetokenizer(byte_table())
    assert [detokenizer.push(value) for value in "👍".encode()] == ["", "", "", "👍"]


def test_an_invalid_byte_gives_one_mark_and_its_neighbors_stay() -> None:
    table = byte_table("x")
    assert stream(StreamDetokenizer(table), [0xE2, 0x96, 0x41]) == "\ufffd\ufffdA"
    assert stream(StreamDetokenizer(table), [0xE2, 0x96, 256]) == "\ufffd\ufffdx"
    assert stream(StreamDetokenizer(table), [0xF0, 0x9F]) == "\ufffd\ufffd"


def test_one_leading_blank_is_dropped_once() -> None:
    detokenizer = StreamDetokenizer(byte_table("", " ", " hi", drops_blank=True))
    assert stream(detokenizer, [256, 257, 258, 258]) == " hi hi"


def test_a_copy_goes_its_own_way() -> None:
    detokenizer = StreamDetokenizer(byte_table("x"), stop=("xx",))
    assert detokenizer.push(256) == ""
    detokenizer.push(0xC3)
    branch = detokenizer.copy()
    assert detokenizer.push(0xA9) == "xé"
    assert branch.push(256) == "x\ufffd"
    assert (detokenizer.flush(), branch.flush()) == ("", "x")


def test_an_id_that_names_no_token_gives_nothing() -> None:
    assert stream(StreamDetokenizer(byte_table("x")), [-1, 256, 999]) == "x"


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    detokenizer = StreamDetokenizer(byte_table("He", "llo\nUs", "ed", "er:", "..."), ("\nUser:",))
    assert [detokenizer.push(token_id) for token_id in (256, 257, 258)] == ["He", "llo", "\nUsed"]
    assert [detokenizer.push(token_id) for token_id in (257, 259, 256)] == ["llo", "", ""]
    assert detokenizer.has_stopped and detokenizer.stop_string == "\nUser:"
    assert detokenizer.flush() == ""


def test_held_text_is_given_at_the_end() -> None:
    detokenizer = StreamDetokenizer(byte_table("a sto"), ("stop",))
    assert (detokenizer.push(256), detokenizer.flush()) == ("a ", "sto")
    assert not detokenizer.has_stopped


def test_a_stop_string_may_be_completed_by_the_flush() -> None:
    detokenizer = StreamDetokenizer(byte_table("a"), ("\ufffd",))
    assert (detokenizer.push(256), detokenizer.push(0xE2), detokenizer.flush()) == ("a", "", "")
    assert detokenizer.has_stopped


@settings(deadline=None, max_examples=300)
@given(
    text=st.text("ab\n", max_size=12),
    stop=st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.sets(st.integers(0, 12)),
)
def test_stop_strings_cut_at_the_same_place_however_the_text_is_split(
    text: str, stop: list[str], cuts: set[int]
) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    words = [text[start:end] for start, end in pairwise(places)]
    detokenizer = StreamDetokenizer(byte_table(*words), stop)
    ends = [end for end in range(len(text) + 1) if text[:end].endswith(tuple(stop))]
    expected = text
    if ends:
        start = min(ends[0] - len(s) for s in stop if text[: ends[0]].endswith(s))
        expected = text[:start]
    assert stream(detokenizer, list(range(256, 256 + len(words)))) == expected
    assert detokenizer.has_stopped == bool(ends)
