import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvchat.clean_text import MAX_MARKS, clean, storable

ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\0\x1b\x9b\x7f\u202e\u2028\u200b\u200d\ufe0f\u0301\U000e0041\ud800a\n\t"),
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain\ttext\nin lines",
        "Grüße, 你好……！！，ありがとう",
        "👩‍👩‍👧‍👦 and ❤️ and 🇩🇪",
        "نمی‌خواهم",
        "─" * 80,
        "हिन्दी में",
        "e\u0301" * 1000,
        "[@click=app.bell]x[/]",
        "x" + "\u0301" * 8,
    ],
)
def test_plain_text_is_returned_unchanged(text: str) -> None:
    assert clean(text) is text or clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("a\0b\rc\x07", "a␀b␍c␇"),
        ("\x7f", "␡"),
        ("\x9b2J\x85", "⟨9B⟩2J⟨85⟩"),
        ("abc\u202edef\u202c", "abc⟨RLO⟩def⟨PDF⟩"),
        ("a\u2028b\u2029c", "a⟨LS⟩b⟨PS⟩c"),
        ("a\u200bb\ufeff\u00ad", "a⟨1 hidden⟩b⟨2 hidden⟩"),
        ("x" + "".join(chr(0xE0000 + ord(c)) for c in "ignore this!"), "x⟨12 hidden⟩"),
        ("\ud800x\udfff", "⟨D800⟩x⟨DFFF⟩"),
        ("a" + "\u0301" * 10_000 + "b", "a" + "\u0301" * 8 + "⟨9992 marks⟩b"),
        ("a" + "\ufe0f" * 20, "a" + "\ufe0f" * 8 + "⟨12 marks⟩"),
        ("a" + "\u0301\u200d" * 5 + "……", "a" + "\u0301\u200d" * 4 + "⟨2 marks⟩……"),
    ],
)
def test_what_acts_or_hides_becomes_visible(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_no_control_or_invisible_character_of_unicode_is_left() -> None:
    kept = {"\n", "\t", "\u200c", "\u200d"}
    shown_by_fonts = {  # prepended and joining signs that are drawn
        *map(chr, range(0x0600, 0x0606)), "\u06dd", "\u070f", "\u0890", "\u0891", "\u08e2",
        "\U000110bd", "\U000110cd", *map(chr, range(0x13430, 0x13440)),
    }  # fmt: skip
    hiding = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    left = [
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character) in hiding and clean(character) == character
    ]
    assert set(left) <= kept | shown_by_fonts


def test_no_combining_mark_counts_as_a_word_character() -> None:
    marks = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M"]
    assert not any(mark.isalnum() or mark.isspace() for mark in marks)


@given(ANY_TEXT)
@example("a" + "\u0301" * 6 + "\u200b" + "\u0301" * 6)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(ANY_TEXT, st.integers(0, 50))
def test_text_cleaned_in_pieces_is_as_harmless_as_text_cleaned_at_once(text: str, cut: int) -> None:
    joined = clean(text[:cut]) + clean(text[cut:])
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in joined)


@given(ANY_TEXT)
def test_cleaned_text_can_be_encoded_and_has_few_marks_in_a_row(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    run = 0
    for character in cleaned:
        run = run + 1 if unicodedata.category(character)[0] == "M" else 0
        assert run <= MAX_MARKS


def test_stored_text_loses_only_what_cannot_be_stored() -> None:
    assert storable("a\0b\x1b\u202eä\r\n") == "a␀b\x1b\u202eä\r\n"
    assert storable("x\ud800y\udc00z\0") == "x\ufffdy\ufffdz␀"
    assert storable("\ud83d\ude00") == "😀"


@given(ANY_TEXT)
def test_storing_twice_changes_nothing_and_always_encodes(text: str) -> None:
    stored = storable(text)
    stored.encode()
    assert storable(stored) == stored
    assert "\0" not in stored
