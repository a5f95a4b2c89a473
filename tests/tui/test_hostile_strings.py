"""The corpus of hostile strings through every sink of the app: only text, exact rows, no action."""

import ast
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import kvchat
from kvchat.clean_text import storable
from kvchat.tui.cells import fit
from kvchat.tui.glyphs import UNICODE
from kvchat.tui.markdown_lines import MarkdownLines
from kvchat.tui.message_lines import MessageHead, MessageLines
from kvchat.tui.safe import safe, safe_line
from kvchat.tui.screens.confirm import Confirm
from kvchat.tui.screens.help import Help
from kvchat.tui.screens.picker import Choice, Picker
from kvchat.tui.screens.text_question import TextQuestion
from kvchat.tui.token_text import TokenText
from kvchat.tui.word_difference import difference_spans

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

from driver import read_screen, say  # type: ignore[import-not-found]
from fake_branches import fake_position  # type: ignore[import-not-found]
from hostile import hostile_strings  # type: ignore[import-not-found]

Make = Callable[..., Any]
Settle = Callable[..., Awaitable[str]]
STRINGS: list[str] = hostile_strings()
BATCHES = [STRINGS[start::4] for start in range(4)]


def obeyed(text: str) -> list[str]:
    """Characters a terminal would obey, or that turn the writing direction."""
    return [
        char
        for char in text
        if ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0x202A <= ord(char) <= 0x202E
        or 0x2066 <= ord(char) <= 0x2069 or char in "\u2028\u2029" or 0xE0000 <= ord(char) < 0xE0080
    ]  # fmt: skip


def test_the_corpus_has_at_least_four_hundred_strings() -> None:
    assert len(STRINGS) >= 400
    assert sum(bool(obeyed(text)) for text in STRINGS) >= 300


@pytest.mark.parametrize("width", [7, 40, 100])
def test_every_string_is_only_text_in_lines_that_are_never_too_wide(width: int) -> None:
    from kvchat.tui.cells import line_width

    for text in STRINGS:
        assert not obeyed(safe_line(text)), ascii(text)
        assert not obeyed(safe(text).plain.replace("\n", "").replace("\t", "")), ascii(text)
        lines = MarkdownLines(text).lines(width)
        lines += MessageLines("m", MessageHead("user"), text, UNICODE).lines(width)[1:]
        lines += MessageLines("m", MessageHead("assistant"), text, UNICODE).lines(width)[1:]
        tokens = TokenText([fake_position(0, text), fake_position(1, text)], UNICODE)
        lines += tokens.lines(width, 0, heat=True)[0]
        for line in lines:
            assert not obeyed("".join(part for part, _ in line)), ascii(text)
            assert line_width(line) <= max(width, 8) + 3, ascii(text)
        assert len(fit(safe_line(text), 9)) <= 60


def test_comparing_hostile_answers_adds_nothing_but_marks() -> None:
    for text, other in zip(STRINGS, reversed(STRINGS), strict=True):
        spans = difference_spans(text, other)
        assert "".join(part[1:-1] if style else part for part, style in spans) == text


@pytest.mark.parametrize("batch", range(len(BATCHES)))
async def test_every_sink_of_the_screen_shows_them_as_text_and_nothing_happens(
    batch: int, make_app: Make, make_runtime: Make, settle: Settle
) -> None:
    strings = [storable(text) for text in BATCHES[batch]]
    joined = "\n\n".join(strings)
    runtime = make_runtime([joined, joined, joined], num_blocks=20_000)
    app = make_app(runtime)
    rung = []
    app.bell = lambda: rung.append("bell")
    screens: list[str] = []

    async with app.run_test(size=(140, 40), notifications=True) as pilot:

        async def look() -> None:
            screens.append(await settle(pilot))

        await settle(pilot)
        await say(pilot, joined)
        runtime.step(3)
        await look()  # streaming
        runtime.finish_all()
        await look()
        for text in strings[:12]:  # titles: sidebar, origin, switcher
            runtime.new_session(f"{text} t")
        runtime.open_sessions[0].title = "".join(strings[:9])
        for text in strings:  # sentences, toasts, errors, events, labels
            app.chat.notice(f"{text} n")
            app.chat.notice(f"{text} e", "error")
            app.notify(text, title=text)
            runtime.note("copy", text, 1)
        runtime.open_sessions[0].label("".join(strings))
        runtime.open_sessions[0].error = joined
        app.chat.sync()
        await look()
        app.clear_notifications()
        runtime.open_sessions[0].error = None
        for modal in (
            Picker(strings[0], [Choice(safe_line(text), text, note=safe_line(text))
                                for text in strings], placeholder=strings[-1]),
            Confirm(joined, strings[0]),
            Help(strings[0], strings),
            TextQuestion(strings[0], joined, placeholder=strings[-1]),
        ):  # fmt: skip
            app.push_screen(modal)
            await look()
            await pilot.click(offset=(70, 12))
            if app.screen is modal:
                await pilot.press("escape")
        app.chat.leave_cursor()
        for keys in (["ctrl+s"], ["ctrl+p"], ["ctrl+t"], ["alt+up", "t"], ["alt+up", "i"]):
            await pilot.press(*keys)
            await look()
            await pilot.press("escape")
            app.chat.leave_cursor()
        app.chat.prompt.set_exact_text(joined)  # a draft, then many branches
        await pilot.press("f5")
        await look()
        await pilot.press("enter")
        runtime.finish_all()
        await look()
        await pilot.click(offset=(20, 5))
        await look()
        screens.append(read_screen(app))

    assert app.return_code in (None, 0)
    assert rung == []
    for screen in screens:
        assert not obeyed(screen.replace("\n", "")), ascii(obeyed(screen.replace("\n", "")))


# -- the syntax trees ----------------------------------------------------------------------

TUI = Path(kvchat.__file__).parent / "tui"
WIDGETS = {"Static", "Label", "Button", "Checkbox", "RadioButton", "Link"}
TEXT_NAMES = {"border_title", "border_subtitle", "tooltip", "title", "sub_title"}


def is_safe(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("safe", "safe_line")


def unsafe_texts(source: str) -> list[str]:
    """Return the places where text reaches a widget without `safe`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in WIDGETS or (name.endswith(".update") and "Static" in name):
                texts += node.args[:1]
            if name in WIDGETS | {"FilterInput", "Input", "TextArea"}:
                texts += [word.value for word in node.keywords if word.arg == "placeholder"]
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in TEXT_NAMES:
                    texts.append(node.value)
        found += [f"line {text.lineno}: {ast.unparse(text)}" for text in texts if not is_safe(text)]
    return found


def test_no_text_reaches_a_widget_past_safe() -> None:
    wrong = [
        f"{path.name} {place}"
        for path in sorted(TUI.rglob("*.py"))
        for place in unsafe_texts(path.read_text())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    ["Static(title)", "self.border_title = name", "x.query_one(Static).update(f'{a}')",
     "FilterInput(placeholder=hint)"],
)  # fmt: skip
def test_the_search_for_unsafe_text_finds_it(line: str) -> None:
    assert unsafe_texts(line)
