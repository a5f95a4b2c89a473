from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from kvchat.tui.cells import line_width
from kvchat.tui.glyphs import ASCII
from kvchat.tui.markdown_lines import MarkdownLines

PARTS = [
    "# Title", "## Two ##", "text **bold** and *it* `code`", "- item", "  - nested", "1. one",
    "> quote", "> > deeper", "```", "```python", "~~~", "def f(x): return 'a' # c", '"""', "*/",
    "| a | b |", "|---|:-:|", "| 1 | 漢字 |", "---", "", "", "   ", "👩‍👩‍👧 漢字", "a\u200d",
    "vector<int> [l](http://x) [/] [@click=x]", "\x1b[2J", "\u202eabc", "x" * 90, "**open", "\r",
    "/* open", "a | b", "- [x] done",
    "> ```py", "> x = [1]", "> ```", "> > ~~~", "> > y", ">",
    "  ```", "   | a | b |", "  |--:|---|", "> - q", "> # h", "      - deep",
    "e\u0301" * 4, "\t tab", "\\*no\\*", "~~s~~", "***bi***",
]  # fmt: skip
sources = st.lists(st.sampled_from(PARTS), max_size=14).map("\n".join)


def text_of(source: str, width: int = 60) -> list[str]:
    return ["".join(part for part, _ in line) for line in MarkdownLines(source).lines(width)]


def styles_of(source: str) -> dict[str, str]:
    return {part: style for line in MarkdownLines(source).lines(60) for part, style in line}


@settings(max_examples=250, deadline=None)
@given(sources, st.data(), st.integers(1, 70))
def test_a_streamed_text_ends_in_the_lines_of_the_whole_text(
    source: str, data: st.DataObject, width: int
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(source)), max_size=8)))
    streamed = MarkdownLines()
    for start, end in zip([0, *cuts], [*cuts, len(source)], strict=True):
        streamed.append(source[start:end])
        if data.draw(st.booleans()):
            streamed.lines(width)

    assert streamed.lines(width) == MarkdownLines(source).lines(width)
    assert streamed.source == source


@settings(max_examples=150, deadline=None)
@given(sources, st.integers(2, 90))
def test_no_line_is_wider_than_asked(source: str, width: int) -> None:
    for line in MarkdownLines(source).lines(width):
        assert line_width(line) <= width


@given(st.text(max_size=80), st.integers(2, 40))
def test_any_text_becomes_lines_of_any_width(source: str, width: int) -> None:
    for line in MarkdownLines(source).lines(width):
        assert line_width(line) <= width


def test_closed_lines_stay_when_text_is_added() -> None:
    lines = MarkdownLines("one\n\n```python\nx = 1\n")
    before = lines.lines(40)[: lines.num_closed_lines]

    lines.append("y = 2\n```\nend")

    assert lines.lines(40)[: len(before)] == before
    assert len(before) >= 3


def test_an_unfinished_line_is_shown_with_the_gap_above_it() -> None:
    assert text_of("a\n\n\nb") == ["a", "", "b"]
    assert text_of("a | b\n\nc") == ["a | b", "", "c"]


def test_text_that_looks_like_html_is_shown() -> None:
    assert text_of("a vector<int> and <b>x</b>") == ["a vector<int> and <b>x</b>"]


def test_inline_marks_become_styles_and_unfinished_ones_stay() -> None:
    styles = styles_of("a **bold** *slanted* `x*y*` **open and 2 * 3 * 4 snake_case_name")
    assert styles["bold"] == "bold"
    assert styles["slanted"] == "italic"
    assert styles["x*y*"] == "inline-code"
    assert styles[" **open and 2 * 3 * 4 snake_case_name"] == ""


def test_a_list_item_hangs_below_its_mark() -> None:
    assert text_of("- one two three four", 12) == ["• one two", "  three four"]


def test_long_code_lines_wrap_with_a_mark() -> None:
    lines = text_of("```\n" + "x" * 30 + "\n```", 24)
    assert lines[0] == "┌" + "─" * 22 + "┐"
    assert lines[1].startswith("│ xxxxxxxxxxxxxxxxxx")
    assert lines[2].startswith("│ ↪ xxxxxxxxxxxx")
    assert all(cell_len(line) == 24 for line in lines)


def test_code_is_colored_with_what_is_open_from_the_lines_above() -> None:
    styles = styles_of('```python\nx = """open\ndef inside\nend""" + f(1)\n```')
    assert styles["def inside"] == "code str"
    assert styles["f"] == "code call"
    assert styles["1"] == "code number"


def test_lists_in_lists_keep_their_depth_and_hang_below_their_marks() -> None:
    source = "1. one two three\n   - aa bb cc dd\n     2) xx yy zz\n        more text here\n" + (
        "                - deep"
    )
    assert text_of(source, 14) == [
        "1. one two", "   three", "   • aa bb cc", "     dd", "2) xx yy zz", "more text here",
        "• deep",
    ]  # fmt: skip
    assert text_of(source, 40)[-2:] == ["        more text here", " " * 16 + "• deep"]


def test_code_and_tables_stand_in_their_list_item() -> None:
    lines = text_of("- a\n  ```py\n  x\n  ```\n  | a | 漢字 |\n  |---|---|\n  | 1 | 2 |", 20)
    assert lines == [
        "• a", "  ┌─ py " + "─" * 11 + "┐", "  │ x" + " " * 14 + "│", "  └" + "─" * 16 + "┘",
        "  a │ 漢字", "  ──┼─────", "  1 │ 2   ",
    ]  # fmt: skip


def test_a_frame_without_room_beside_its_indent_begins_at_the_left() -> None:
    assert text_of("        ```\n        x\n        ```", 14)[0] == "┌" + "─" * 12 + "┐"


def test_a_table_puts_its_columns_where_the_rule_below_the_head_says() -> None:
    lines = text_of("| name | 名 | n |\n|:--|:-:|--:|\n| a | 漢字漢 | 1 |\n| b | x | 23 |", 40)
    assert lines[2:] == ["a    │ 漢字漢 │  1", "b    │   x    │ 23"]


def test_a_quote_holds_quotes_lists_and_headings() -> None:
    source = "> one\n> > two three four five\n> - item\n>   - inner aa bb cc\n> # Head"
    assert text_of(source, 16) == [
        "▎ one", "▎ ▎ two three", "▎ ▎ four five", "▎ • item", "▎   • inner aa", "▎     bb cc",
        "▎ Head",
    ]  # fmt: skip


def test_a_table_is_aligned_and_its_rows_wrap() -> None:
    lines = text_of("| a | long |\n|---|---|\n| 漢字 | one two three |", 16)
    assert lines[1] == "─────┼──────────"
    assert lines[2:] == ["漢字 │ one two  ", "     │ three    "]


def test_code_in_a_quote_stands_in_its_frame_behind_the_bar() -> None:
    lines = text_of("> see\n> ```py\n> x = [1]\n>\n>   y\n> ```\n> end", 24)

    assert lines == [
        "▎ see",
        "▎ ┌─ py ───────────────┐",
        "▎ │ x = [1]            │",
        "▎ │                    │",
        "▎ │   y                │",
        "▎ └────────────────────┘",
        "▎ end",
    ]


def test_code_in_a_quote_ends_with_the_quote() -> None:
    source = "> > ~~~\n> > in\n> out\n```\nnext\n```"

    assert text_of(source, 20) == [
        "▎ ▎ ┌──────────────┐",
        "▎ ▎ │ in           │",
        "▎ ▎ └──────────────┘",
        "▎ out",
        "┌──────────────────┐",
        "│ next             │",
        "└──────────────────┘",
    ]
    assert MarkdownLines(source).code_blocks() == ["in", "next"]
    assert MarkdownLines("> ```\n> a\n```\nb").code_blocks() == ["a", "b"]


def test_code_blocks_are_returned_exactly_as_written() -> None:
    source = "x\n```py\na = [1]\n\n  b\n```\n- y\n  ```\n  z\n  ```"
    assert MarkdownLines(source).code_blocks() == ["a = [1]\n\n  b", "z"]


def test_control_characters_become_marks() -> None:
    assert text_of("a\x1b[2Jb\u202ec") == ["a␛[2Jb⟨RLO⟩c"]


def test_ten_thousand_brackets_and_stars_are_read_in_linear_time() -> None:
    for mark in ("[", "*", "**a ", "`", "_a", "[a](", "~~"):
        assert text_of(mark * 10_000, 100)


def test_ascii_glyphs_draw_with_ascii_alone() -> None:
    lines = MarkdownLines("- a\n> b\n```\nc\n```\n|a|b|\n|-|-|\n---", ASCII).lines(30)
    assert "".join(part for line in lines for part, _ in line).isascii()
