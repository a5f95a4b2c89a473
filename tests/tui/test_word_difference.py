from hypothesis import given
from hypothesis import strategies as st

from kvchat.tui.word_difference import difference_spans


def test_runs_of_new_words_stand_between_plus_signs() -> None:
    spans = difference_spans("Like Pin, a shared block stays.", "A shared block goes.")
    text = "".join(part for part, _ in spans)
    assert text == "+Like Pin, a+ shared block +stays+."
    assert [part for part, style in spans if style] == ["+Like Pin, a+", "+stays+"]


def test_the_same_words_have_no_marks() -> None:
    assert not any(style for _, style in difference_spans("one  two\nthree", "one two three"))


@given(st.text(alphabet="ab \n,漢", max_size=40), st.text(alphabet="ab \n,漢", max_size=40))
def test_without_its_marks_the_text_is_unchanged(text: str, reference: str) -> None:
    spans = difference_spans(text, reference)
    plain = "".join(part[1:-1] if style else part for part, style in spans)
    assert plain == text
