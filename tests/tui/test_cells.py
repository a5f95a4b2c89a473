import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from kvchat.tui.cells import fit, shorten, without_stray_joiners, wrap_ranges

words = st.text(alphabet="ab 漢字é👩\u200d\u0301️⏺", max_size=60)


@settings(max_examples=300, deadline=None)
@given(words, st.integers(0, 30))
def test_fitted_text_has_exactly_the_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


@settings(max_examples=300, deadline=None)
@given(words, st.integers(1, 30), st.booleans())
def test_wrapped_lines_fit_and_lose_only_spaces(text: str, width: int, breaks: bool) -> None:
    text = without_stray_joiners(text)
    ranges = wrap_ranges(text, width, break_words=breaks)
    lines = [text[start:end] for start, end in ranges]

    assert all(cell_len(line) <= max(width, 2) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not breaks or "".join(lines) == text


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("漢字漢字 abc", 5, ["漢字", "漢字", "abc"]),
        ("x 👩‍👩‍👧 y", 4, ["x 👩‍👩‍👧", "y"]),
        ("", 5, [""]),
        ("   é", 1, [" ", "é"]),
    ],
)
def test_lines_break_where_a_reader_expects(text: str, width: int, lines: list[str]) -> None:
    assert [text[start:end] for start, end in wrap_ranges(text, width)] == lines


def test_a_cut_text_ends_in_an_ellipsis() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 6) == "漢字… "
    assert fit("漢字", 1) == "…"
