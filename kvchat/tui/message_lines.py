"""MessageLines: one message of the transcript as lines: its header, its text, a note, a gap.

The text of a reply is Markdown, what the user typed is shown as typed. Heights can be estimated
without making lines, so a long conversation costs only what is seen of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from kvchat.clean_text import clean
from kvchat.tui.cells import Line, Span, line_width, shorten, without_stray_joiners, wrap_ranges
from kvchat.tui.figures import count_of
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.markdown_lines import MarkdownLines
from kvchat.tui.shortened import short_code, short_text

TEXT_CELLS = 100
INDENT = 3
SHOWN_CHARACTERS = 64 * 1024
"""Of what the user sent; all of it is sent and copied."""


Reach = Literal["seen", "sink", "dropped"]
"""Whether the model sees a message: inside the window, among the sinks, or no longer."""


@dataclass(frozen=True, slots=True)
class MessageHead:
    """What the header of a message says; all text cleaned."""

    role: str
    tag: str = ""
    hue: int = 0
    created_at: float | None = None
    words: tuple[str, ...] = ()
    warning: str = ""
    label: str = ""


class MessageLines:
    """The lines of one message at one width, kept until text, header or width change."""

    def __init__(
        self,
        message_id: str,
        head: MessageHead,
        text: str,
        glyphs: Glyphs,
        siblings: Callable[[], tuple[int, int]] = lambda: (1, 1),
    ) -> None:
        self.message_id = message_id
        self.is_streaming = False
        self.strips: list[object] = []
        """The transcript's drawn lines, as far as they are still right."""
        self._head = head
        self._note = ""
        self._glyphs = glyphs
        self._siblings = siblings
        self._sibling_place: tuple[int, int] | None = None
        self._is_header_old = False
        self._text = text
        self._markdown: MarkdownLines | None = None
        self._width = -1
        self._lines: list[Line] = []
        self._estimate = (-1, 0)  # for a width
        self._is_folded = False
        self._is_short = False
        self._reach: Reach = "seen"
        self._rule = ""

    @property
    def is_folded(self) -> bool:
        """Whether only the first line is shown."""
        return self._is_folded

    def fold(self, folded: bool) -> None:
        """Show only the first line of the text, or all of it again."""
        if folded != self._is_folded:
            self._is_folded = folded
            self.forget()

    def shorten_long(self, is_short: bool) -> None:
        """Show only the beginning of long code and of a long prompt, or all of it."""
        if is_short != self._is_short:
            self._is_short = is_short
            self.forget()

    def set_reach(self, reach: Reach, rule: str = "") -> bool:
        """Say whether the model still sees this message, and what stands in a rule below it."""
        if (reach, rule) == (self._reach, self._rule):
            return False
        self._reach, self._rule = reach, rule
        self.forget()
        return True

    @property
    def text(self) -> str:
        """The source text of the message."""
        return self._text

    @property
    def role(self) -> str:
        """`user`, `assistant`, or `waiting` for a prompt that stands in line."""
        return self._head.role

    @property
    def is_measured(self) -> bool:
        """Whether lines for the last asked width exist."""
        return self._width >= 0

    def update(self, head: MessageHead, text: str, note: str, is_streaming: bool) -> bool:
        """Take a new state of the same message; return whether any line may differ."""
        same_text = text == self._text
        unchanged = same_text and (head, note, is_streaming) == (
            self._head,
            self._note,
            self.is_streaming,
        )
        if unchanged:
            return False
        if self.is_streaming and not is_streaming:
            self._sibling_place = None  # a running reply may not be stored as a version yet
        self._head, self._note, self.is_streaming = head, note, is_streaming
        if not same_text:
            if self._markdown is not None and text.startswith(self._text):
                self._markdown.append(text[len(self._text) :])
            else:
                self._markdown = None
            self._text = text
        self.forget()
        return True

    def set_note(self, note: str) -> bool:
        """Say something else below the text; return whether that is different."""
        if note == self._note:
            return False
        self._note = note
        self.forget()
        return True

    def append(self, piece: str) -> None:
        """Add streamed text at the end; lines that cannot change any more are kept."""
        self._text += piece
        if self._note and self.is_streaming:
            self._note = ""
            self.strips.clear()
        if self._markdown is not None:
            self._markdown.append(piece)
            del self.strips[1 + self._markdown.num_closed_lines :]
        self._lines = []
        self._width = -1 if self._markdown is None else self._width

    def forget_siblings(self) -> None:
        """Ask again, when the header is next drawn, how many versions there are.

        The other lines stay, so that every height that was measured does.
        """
        if self._sibling_place is not None:
            self._sibling_place = None
            self._is_header_old = bool(self._lines)
            self.strips.clear()

    def forget(self) -> None:
        """Make the lines again when they are next asked for."""
        self._width = -1
        self._estimate = (-1, 0)
        self.strips.clear()

    def height(self, width: int) -> int:
        """Return the number of lines, estimated when they were not made for this width."""
        if self._width == width:
            return len(self._lines or self.lines(width))
        if self._estimate[0] != width:
            room = max(self._room(width), 1)
            self._estimate = (width, len(self._text) // room + self._text.count("\n") + 3)
        return self._estimate[1]

    def lines(self, width: int) -> list[Line]:
        """Return all lines for a transcript of `width` cells."""
        if self._width != width:
            self._width = width
            self._lines = []
            self.strips.clear()
        if not self._lines:
            self._lines = self._made(width)
        elif self._is_header_old:
            self._lines[0] = self._first_line(width)
        self._is_header_old = False
        return self._lines

    def code_blocks(self) -> list[str]:
        """Return the text of every code block of the message."""
        return MarkdownLines(self._text).code_blocks()

    def _room(self, width: int) -> int:
        return min(TEXT_CELLS, width - INDENT - 1)

    def _made(self, width: int) -> list[Line]:
        room = self._room(width)
        indent = " " * INDENT
        if room < 4:
            room, indent = max(width, 1), ""
        body = self._body(room)
        if self._is_short and not self.is_streaming:
            shortened = short_code if self._head.role == "assistant" else short_text
            body = shortened(body, room, self._glyphs)
        if self._is_folded and len(body) > 1:
            count = count_of(len(body) - 1, "more line")
            more = f"{self._glyphs.ellipsis} {count}, space unfolds"
            body = [body[0], ((more, "dim"),)]
        if self.is_streaming:
            body = _with_cursor(body, room, self._glyphs.cursor)
        if self._note:
            body = body + [
                ((self._note[start:end], self._note_style()),)
                for start, end in wrap_ranges(self._note, room)
            ]
        lines: list[Line] = [((indent, ""), *line) for line in body]
        if self._reach != "seen":
            lines = [self._reached(line, indent) for line in lines]
        lines.insert(0, self._first_line(width))
        if self._rule:
            lines.append(self._rule_line(width))
        lines.append(())
        return lines

    def _first_line(self, width: int) -> Line:
        header = self._header(min(width, TEXT_CELLS + INDENT + 1))
        is_narrow = self._room(width) < 4
        return header if self._reach == "seen" or is_narrow else self._reached(header, " " * INDENT)

    def _reached(self, line: Line, indent: str) -> Line:
        """Return a line with the sign of its reach in the gutter; dim if it is not seen."""
        if not indent or not line:
            return line
        is_gone = self._reach == "dropped"
        sign = self._glyphs.unseen if is_gone else self._glyphs.sink
        text, style = line[0]
        first: Line = ((sign, "dim" if is_gone else "accent"), (text[1:], style))
        if not is_gone:
            return (*first, *line[1:])
        return tuple((part, f"{own} dim".strip()) for part, own in (*first, *line[1:]))

    def _rule_line(self, width: int) -> Line:
        rule = self._glyphs.horizontal
        text = shorten(f"{rule * 2} {self._rule} ", width, self._glyphs.ellipsis)
        return ((text + rule * max(width - cell_len(text), 0), "dim"),)

    def _note_style(self) -> str:
        return "dim" if self.is_streaming else "warning"

    def _body(self, room: int) -> list[Line]:
        if self._head.role == "assistant":
            if self._markdown is None:
                self._markdown = MarkdownLines(self._text, self._glyphs)
            return self._markdown.lines(room)
        style = "dim" if self._head.role == "waiting" else ""
        lines: list[Line] = []
        shown = self._text[:SHOWN_CHARACTERS]
        for source in clean(shown.replace("\r\n", "\n")).split("\n"):
            text = without_stray_joiners(source.expandtabs(4))
            lines += [((text[start:end], style),) for start, end in wrap_ranges(text, room)]
        while len(lines) > 1 and not lines[-1][0][0]:
            lines.pop()
        if len(shown) < len(self._text):
            more = len(self._text) - len(shown)
            lines.append(((f"{self._glyphs.ellipsis} {more:,} more characters", "dim"),))
        return lines

    def _header(self, width: int) -> Line:
        head, glyphs = self._head, self._glyphs
        is_reply = head.role == "assistant"
        who_style = f"hue{head.hue} bold" if is_reply else "user"
        if head.role == "waiting":
            who_style = "dim"
        parts: list[Span] = [(" ", ""), (glyphs.bar, who_style)]
        parts.append((head.tag if is_reply else "you", who_style))
        words = list(head.words)
        if head.created_at is not None:
            words.insert(0, time.strftime("%H:%M", time.localtime(head.created_at)))
        for index, word in enumerate(words):
            separator = f" {glyphs.dot} " if index else " "
            if line_width(parts) + len(separator) + len(word) > width - 8:
                break
            parts.append((separator + word, "dim"))
        if head.warning:
            parts.append((f" {glyphs.dot} ", "dim"))
            parts.append((head.warning, "warning"))
        if head.label:
            parts.append((f" {glyphs.star} {shorten(head.label, 24, glyphs.ellipsis)}", "accent"))
        if self._sibling_place is None:
            self._sibling_place = self._siblings()
        place, count = self._sibling_place
        if count > 1:
            mark = f"{glyphs.left}{place}/{count}{glyphs.right}"
            blank = max(width - line_width(parts) - len(mark) - 1, 1)
            parts += [(" " * blank, ""), (mark, "accent")]
        return tuple(parts)


def _with_cursor(body: list[Line], room: int, cursor: str) -> list[Line]:
    if not body:
        return [((cursor, "accent"),)]
    last = body[-1]
    if line_width(last) < room:
        return [*body[:-1], (*last, (cursor, "accent"))]
    return body
