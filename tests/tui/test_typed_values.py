import pytest

from kvchat.errors import InvalidArgument
from kvchat.tui.typed_values import list_of_texts, parse_value, text_of_value, whole_number


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("-1", -1),
        ("off", None),
        ("", None),
        ('"END"', "END"),
        ("a", "a"),
    ],
)
def test_what_is_typed_is_a_number_a_text_or_nothing(typed: str, value: object) -> None:
    assert parse_value(typed) == value


@pytest.mark.parametrize("value", [None, 3, 0.5, 1.0, ("a", "b c")])
def test_a_value_is_typed_as_it_is_shown(value: object) -> None:
    shown = text_of_value(value)

    assert (list_of_texts(shown) if isinstance(value, tuple) else parse_value(shown)) == value


def test_a_number_with_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(InvalidArgument, match=r"window is 1\.5, but it must be a whole number"):
        whole_number("window", "1.5")
    assert whole_number("window", "off") is None and whole_number("window", "12") == 12
