"""Which words a block holds, and where they stand in the chat."""

from typing import Any

import pytest

from kvchat.tui.block_text import characters_of, read_block, token_range
from kvchat.tui.glyphs import UNICODE
from kvchat.tui.marked_text import marked_cells, with_style
from kvchat.tui.message_lines import MessageHead, MessageLines


@pytest.fixture
def chat(make_runtime: Any) -> Any:
    runtime = make_runtime(["alpha beta gamma delta"], block_size=4)
    session = runtime.new_session("one")
    session.send("one two three")
    runtime.finish_all()
    return session


def test_a_block_says_the_words_of_its_tokens(chat: Any) -> None:
    block = read_block(chat, 4, 4)
    assert block is not None
    assert block.text == " three alpha beta gamma"
    assert [(part.first, part.behind) for part in block.parts] == [(7, 13), (0, 16)]
    assert [part.message_id for part in block.parts] == chat.path()


def test_a_rewind_at_a_prompt_keeps_what_is_before_it_and_at_a_reply_all_of_it(chat: Any) -> None:
    blocks = [read_block(chat, first, 4) for first in (0, 8)]
    assert [block.num_kept for block in blocks if block is not None] == [0, 9]


def test_the_blocks_of_a_session_say_its_whole_text(chat: Any) -> None:
    texts = [read_block(chat, first, 1) for first in range(9)]
    assert "".join(text.text for text in texts if text) == "one two threealpha beta gamma delta"
    assert read_block(chat, 9, 4) is None


def test_a_message_knows_its_tokens(chat: Any) -> None:
    prompt, reply = chat.path()
    assert token_range(chat, prompt) == range(5)
    assert token_range(chat, reply) == range(5, 9)
    assert token_range(chat, "another") is None


@pytest.mark.parametrize(
    ("first", "behind", "text"), [(0, 2, ""), (1, 3, "ab"), (2, 9, "abcd"), (4, 9, "")]
)
def test_marks_of_the_template_are_no_part_of_a_message(first: int, behind: int, text: str) -> None:
    pieces = ["<user>", "\n", "ab", "cd", "<end>"]
    start, end = characters_of("abcd", pieces, first, behind)
    assert "abcd"[start:end] == text


def lines_of(source: str, width: int) -> list[Any]:
    return MessageLines("m", MessageHead("assistant"), source, UNICODE).lines(width)


def marked(source: str, words: str, width: int = 24) -> str:
    lines = lines_of(source, width)
    first = source.index(words)
    cells = marked_cells(lines, source, first, first + len(words))
    texts = ["".join(text for text, _ in line) for line in lines]
    return " | ".join(texts[number][start:end] for number, (start, end) in cells.items())


def test_marked_words_are_found_in_wrapped_lines() -> None:
    source = "The quick brown fox jumps over the lazy dog and runs away."
    assert marked(source, "fox jumps over the lazy dog") == "fox | jumps over the lazy | dog"


def test_markdown_signs_are_not_in_the_way() -> None:
    source = "# Head\n\nSome **bold words** and `code`.\n\n- item one\n- item two\n"
    assert marked(source, "**bold words** and `c", 60) == "bold words and code"
    assert marked(source, "item two", 60) == "item two"


def test_a_word_that_is_said_twice_is_marked_where_it_was_meant() -> None:
    source = "one two one two one"
    cells = marked_cells(lines_of(source, 60), source, 8, 11)
    ((_, (start, _)),) = cells.items()
    assert start == 3 + 8


def test_behind_a_word_that_was_cut_by_the_edge_the_right_words_are_marked() -> None:
    source = "Supercalifragilisticexpialidocious one two three four five"
    assert marked(source, "three", 20) == "three"
    assert marked(source, "two three four", 20) == "two three | four"


def test_text_that_is_not_shown_marks_nothing() -> None:
    assert marked_cells(lines_of("a b", 60), "a b", 1, 1) == {}


def test_a_style_is_added_to_some_characters_of_a_line() -> None:
    line = (("abc", ""), ("def", "dim"))
    assert with_style(line, 2, 4, "marked") == (
        ("ab", ""), ("c", "marked"), ("d", "dim marked"), ("ef", "dim"),
    )  # fmt: skip
