from kvchat.text.added_tokens import AddedToken, TokenCutter


def cut(text: str, *tokens: AddedToken) -> list[str | int]:
    return [
        segment.text if segment.token is None else segment.token.id
        for segment in TokenCutter(tokens).cut(text)
    ]


def test_the_leftmost_token_counts_and_then_the_longest() -> None:
    tokens = (AddedToken(1, "ab"), AddedToken(2, "abc"), AddedToken(3, "bcd"))
    assert cut("xabcd", *tokens) == ["x", 2, "d"]
    assert cut("bcdab", *tokens) == [3, 1]


def test_a_token_eats_the_white_space_beside_it() -> None:
    tokens = (AddedToken(1, "<l>", lstrip=True), AddedToken(2, "<r>", rstrip=True))
    assert cut("a \t<l> b <r>\n\n c", *tokens) == ["a", 1, " b ", 2, "c"]
    assert cut("<r>  <l>", *tokens) == [2, 1]


def test_a_whole_word_is_not_found_inside_another() -> None:
    token = AddedToken(1, "end", single_word=True)
    assert cut("end, ending end_ (end)", token) == [1, ", ending end_ (", 1, ")"]


def test_marks_and_joiners_belong_to_words_and_other_numbers_do_not() -> None:
    token = AddedToken(1, "end", single_word=True)
    assert cut("e\u0301end", token) == ["e\u0301end"]
    assert cut("end\u200dx", token) == ["end\u200dx"]
    assert cut("²end", token) == ["²", 1]


def test_a_token_that_the_text_ends_in_the_middle_of_is_not_found() -> None:
    tokens = (AddedToken(1, "<end>"), AddedToken(2, "<e"))
    assert cut("a<en", *tokens) == ["a", 2, "n"]
    assert cut("a<", *tokens) == ["a<"]
    assert TokenCutter(tokens).cut("a<e")[-1].end == 3


def test_thousands_of_tokens_are_found_like_a_few() -> None:
    tokens = [AddedToken(n, f"<unused{n}>") for n in range(5000)]
    assert cut("<unused4999><unused49>9><b>", *tokens) == [4999, 49, "9><b>"]
    cutter = TokenCutter([*tokens, AddedToken(5000, "]"), AddedToken(5001, "^-")])
    assert cutter.replace("<unused7>^-]-", {"<unused7>": "a", "^-": "b", "]": "c"}) == "abc-"


def test_the_segments_cover_the_text() -> None:
    text = "  a <x>  b<x>"
    segments = TokenCutter([AddedToken(1, "<x>", lstrip=True, rstrip=True)]).cut(text)
    assert [(segment.start, segment.end) for segment in segments] == [
        (0, 3),
        (3, 9),
        (9, 10),
        (10, 13),
    ]


def test_without_tokens_text_stays_whole() -> None:
    assert cut("a.b", AddedToken(1, "")) == ["a.b"]
