"""Bold, italic, code and links inside one line of Markdown, in time linear in its length.

A mark without a partner is shown as it stands, so unfinished text never disappears.
"""

import re
from collections import Counter

from kvchat.tui.cells import Span

_TOKEN = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)"
    r"|(?P<link>!?\[(?P<label>[^\[\]]{1,400})\]\((?P<target>[^()\s]{1,1000})\))"
    r"|(?P<mark>\*{1,3}|_{1,3}|~~)"
)
_STYLES = {"*": "italic", "_": "italic", "**": "bold", "__": "bold", "***": "bold italic",
           "___": "bold italic", "~~": "strike"}  # fmt: skip


def inline_spans(text: str, style: str = "") -> list[Span]:
    """Return the spans of one line of Markdown; `style` is what all of them have in common."""
    if not any(mark in text for mark in "\\`[*_~"):
        return [(text, style)] if text else []
    pieces, marks = _tokens(text)
    for opener, closer, pair_style in _pairs(marks):
        pieces[opener] = ("", f"+{pair_style}")
        pieces[closer] = ("", f"-{pair_style}")
    active: Counter[str] = Counter()
    spans: list[Span] = []
    for piece, kind in pieces:
        if kind[:1] in ("+", "-") and not piece:
            change = 1 if kind[0] == "+" else -1
            for name in kind[1:].split():
                active[name] += change
            continue
        names = [style, kind, *(name for name in sorted(active) if active[name] > 0)]
        joined = " ".join(name for name in names if name)
        if spans and spans[-1][1] == joined:
            spans[-1] = (spans[-1][0] + piece, joined)
        elif piece:
            spans.append((piece, joined))
    return spans


_Mark = tuple[int, str, bool, bool]  # index of the piece, the mark, can open, can close


def _tokens(text: str) -> tuple[list[Span], list[_Mark]]:
    closing_ticks = _closing_ticks(text)
    pieces: list[Span] = []
    marks: list[_Mark] = []
    at = 0
    while (match := _TOKEN.search(text, at)) is not None:
        start, end = match.span()
        if start > at:
            pieces.append((text[at:start], ""))
        if match["escape"]:
            pieces.append((text[start + 1 : end], ""))
        elif match["ticks"]:
            closing = closing_ticks.get(start)
            if closing is None:
                pieces.append((text[start:end], ""))
            else:
                inner = text[end:closing]
                if inner.strip(" ") and inner[0] == inner[-1] == " ":
                    inner = inner[1:-1]
                pieces.append((inner, "inline-code"))
                end = closing + (end - start)
        elif match["link"]:
            label, target = match["label"], match["target"]
            pieces.append((label, "link"))
            if target != label:
                pieces.append((f" ({target})", "target"))
        else:
            before = text[start - 1] if start else " "
            after = text[end] if end < len(text) else " "
            can_open, can_close = not after.isspace(), not before.isspace()
            if text[start] == "_":
                can_open = can_open and not before.isalnum()
                can_close = can_close and not after.isalnum()
            marks.append((len(pieces), match["mark"], can_open, can_close))
            pieces.append((text[start:end], ""))
        at = end
    if at < len(text):
        pieces.append((text[at:], ""))
    return pieces, marks


def _closing_ticks(text: str) -> dict[int, int]:
    """Return for each run of backticks where the next run of the same length begins."""
    closing: dict[int, int] = {}
    last: dict[int, int] = {}
    for match in reversed(list(re.finditer("`+", text))):
        size = match.end() - match.start()
        if size in last:
            closing[match.start()] = last[size]
        last[size] = match.start()
    return closing


def _pairs(marks: list[_Mark]) -> list[tuple[int, int, str]]:
    stack: list[tuple[int, str]] = []
    waiting: Counter[str] = Counter()
    pairs: list[tuple[int, int, str]] = []
    for index, mark, can_open, can_close in marks:
        if can_close and waiting[mark]:
            while True:
                opener, kind = stack.pop()
                waiting[kind] -= 1
                if kind == mark:
                    break
            if index > opener + 1:
                pairs.append((opener, index, _STYLES[mark]))
                continue
        if can_open:
            stack.append((index, mark))
            waiting[mark] += 1
    return pairs
