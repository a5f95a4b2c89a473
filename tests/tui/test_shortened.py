from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from driver import say  # type: ignore[import-not-found]

from kvchat.tui.cells import line_width
from kvchat.tui.glyphs import ASCII, UNICODE, Glyphs
from kvchat.tui.markdown_lines import MarkdownLines
from kvchat.tui.shortened import MAX_LINES, short_code, short_text

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]


def shown(source: str, width: int = 30, glyphs: Glyphs = UNICODE) -> list[str]:
    lines = short_code(MarkdownLines(source, glyphs).lines(width), width, glyphs)
    assert all(line_width(line) <= width for line in lines)
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def code(count: int) -> str:
    return "```\n" + "\n".join(f"line {number}" for number in range(count)) + "\n```"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("before", ["", "> ", "  "])
def test_a_long_frame_keeps_its_first_lines_and_says_how_many_more(
    glyphs: Glyphs, before: str
) -> None:
    source = "\n".join(before + line for line in code(MAX_LINES + 1).split("\n"))
    lines = shown(f"above\n\n{source}\n\n| a | b |\n|---|---|\n\nbelow", glyphs=glyphs)
    text = "\n".join(lines)

    assert "line 3" in text and "line 4" not in text
    assert f"{glyphs.ellipsis} 9 more lines" in text
    assert lines[0] == "above" and lines[-1] == "below" and len(lines) == 14


def test_a_frame_that_is_not_long_stays_and_so_does_one_without_an_end() -> None:
    whole = shown(code(MAX_LINES))
    open_end = shown(code(MAX_LINES + 5).removesuffix("\n```"))

    assert len(whole) == MAX_LINES + 2 and "more line" not in "".join(whole)
    assert "13 more lines" in "".join(open_end)


def test_a_long_prompt_keeps_its_beginning() -> None:
    lines = [((f"line {number}", ""),) for number in range(MAX_LINES + 1)]

    assert len(short_text(lines[:-1], 30, UNICODE)) == MAX_LINES
    assert short_text(lines, 30, UNICODE)[-1] == (("… 9 more lines, ^o shows all", "dim"),)


async def test_one_key_folds_what_is_long_in_a_chat_and_unfolds_it(
    make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    runtime = make_runtime([code(20)])
    async with make_app(runtime).run_test(size=(80, 60)) as pilot:
        await settle(pilot)
        await say(pilot, "go")
        runtime.finish_all()
        whole = await settle(pilot)
        await pilot.press("ctrl+o")
        folded = await settle(pilot)
        await pilot.press("ctrl+o")
        again = await settle(pilot)

    assert "line 19" in whole and "line 19" in again
    assert "line 19" not in folded and "line 3" in folded and "16 more lines" in folded
