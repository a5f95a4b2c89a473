"""AskBranch: one branch that was asked: its session, its growing answer, its lines at a width."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.cells import cell_len

from kvchat.clean_text import clean
from kvchat.errors import KVChatError
from kvchat.tui.cells import Line, Span, cut, line_width, shorten, wrap_ranges
from kvchat.tui.chat_state import SessionView, title_of
from kvchat.tui.figures import token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.markdown_lines import MarkdownLines
from kvchat.tui.safe import safe_line
from kvchat.tui.themes import NUM_HUES

if TYPE_CHECKING:
    from kvchat.session.reply import Reply


class AskBranch:
    """The answer of one branch; `is_fresh` when its session was made for the question."""

    def __init__(self, view: SessionView, *, is_fresh: bool = False) -> None:
        self.view = view
        self.is_fresh = is_fresh
        self.scroll = 0
        """Lines above the first shown one; the end is followed while `is_following`."""
        self.is_following = True
        self.label: str | None = None
        self.difference: list[Span] | None = None
        """While branches are compared: the answer in spans, marked."""
        self._before = view.session.reply
        self._reply: Reply | None = None
        self._position = 0
        self._markdown = MarkdownLines()
        self.mean_logprob: float | None = None
        """Of the tokens of the ended answer, natural logarithm; None until it was asked for."""
        self._has_asked_logprob = False
        self.num_own_blocks = 0
        """Blocks of all layers that no other session holds."""

    def expect(self) -> None:
        """Wait for the next answer of this branch; the one it has now is an old one."""
        self._before = self.view.session.reply
        self._forget_answer()

    def expect_again(self, reply: "Reply") -> None:
        """Show another answer to the same question."""
        self._before = None
        self._forget_answer()
        self._reply = reply

    def _forget_answer(self) -> None:
        self._reply, self._position = None, 0
        self._markdown = MarkdownLines()
        self.difference = None
        self.mean_logprob, self._has_asked_logprob = None, False
        self.label = None
        self.scroll, self.is_following = 0, True

    @property
    def reply(self) -> "Reply | None":
        """The answer, None while the branch is still busy with what was before."""
        if self._reply is None and self.view.session.reply is not self._before:
            self._reply = self.view.session.reply
        return self._reply

    @property
    def is_running(self) -> bool:
        """Whether this branch still answers, or will."""
        reply = self.reply
        return self.view.is_running if reply is None else not reply.is_finished

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.reply.text if self.reply is not None else ""

    def drain(self) -> bool:
        """Take over what was generated since the last time; return whether there was anything."""
        if self.reply is None:
            return False
        piece, self._position = self.reply.read(self._position)
        if piece:
            self._markdown.append(piece)
            self.difference = None
        return bool(piece)

    @property
    def wants_logprob(self) -> bool:
        """Whether the answer has ended and nobody has looked at its tokens yet."""
        reply = self.reply
        return reply is not None and reply.is_finished and not self._has_asked_logprob

    async def read_logprob(self) -> None:
        """Read how likely the model found what it said, from the store."""
        reply = self.reply
        self._has_asked_logprob = True
        if reply is None:
            return
        with suppress(KVChatError):  # a session that was deleted meanwhile has no tokens
            tokens = await asyncio.to_thread(self.view.session.tokens, reply.message_id)
            known = [token.logprob for token in tokens if token.logprob is not None]
            if known and reply is self.reply:
                self.mean_logprob = sum(known) / len(known)

    def head(
        self, number: int, width: int, is_chosen: bool, glyphs: Glyphs, *, is_shared: bool = False
    ) -> Line:
        """Return the header of its column, at most `width` cells wide.

        is_shared  whether another column has the same title, so that it takes a number or label
        """
        session = self.view.session
        title = title_of(session)
        if is_shared:
            title = safe_line(self.label) if self.label else f"fork {number}: {title}"
        figures = self._figures(glyphs, max(width - 20, 16))
        hue = f"hue{session.hue_index % NUM_HUES}"
        start = f"{glyphs.bar if is_chosen else ' '}{number} {session.tag} "
        room = width - len(start) - len(figures) - 2
        title = shorten(title, max(room, 0), glyphs.ellipsis)
        style = f"{hue} bold" if is_chosen else hue
        line: list[Span] = [(start, style), (title, "bold" if is_chosen else "")]
        blank = width - line_width(line) - len(figures) - 1
        return (*line, (" " * max(blank, 1), ""), (figures, "dim"))

    def _figures(self, glyphs: Glyphs, width: int) -> str:
        """Return the figures that fit, what matters least left out first."""
        reply = self.reply
        if reply is None:
            return "waits in line" if self.view.is_running else "not asked yet"
        state = glyphs.streaming if self.is_running else glyphs.done
        if self.is_running and not reply.num_generated_tokens:
            state = glyphs.waiting
        parts = [f"{state} {token_count(reply.num_generated_tokens)} tok"]
        if reply.finish_reason == "cancelled":
            parts.append("interrupted")
        if self.label:
            parts.append(f"{glyphs.star} {shorten(safe_line(self.label), 16, glyphs.ellipsis)}")
        if self.num_own_blocks:
            parts.append(f"+{token_count(self.num_own_blocks)} blk")
        if self.mean_logprob is not None:
            parts.append(f"{self.mean_logprob:.2f}/tok")
        if reply.decode_tokens_per_second:
            parts.append(f"{reply.decode_tokens_per_second:.1f} tok/s")
        joint = f" {glyphs.dot} "
        while len(parts) > 1 and cell_len(joint.join(parts)) > width:
            parts.pop()
        return joint.join(parts)

    def detail(self, width: int, glyphs: Glyphs) -> Line:
        """Return the row below the answer, with the figures a narrow header has no room for."""
        parts = []
        if self.mean_logprob is not None:
            parts.append(f"logprob {self.mean_logprob:.2f}/tok")
        if self.reply is not None and self.reply.decode_tokens_per_second:
            parts.append(f"{self.reply.decode_tokens_per_second:.1f} tok/s")
        text = f" {glyphs.dot} ".join(parts)
        return ((shorten(text, max(width, 1), glyphs.ellipsis), "dim"),)

    def lines(self, width: int, glyphs: Glyphs) -> list[Line]:
        """Return all lines of the answer at this width."""
        room = max(width, 1)
        if self.difference is not None:
            return _wrapped(self.difference, room)
        reply = self.reply
        if reply is not None and reply.error:
            note: Line = ((f"{glyphs.error} {safe_line(reply.error)}", "error"),)
            return [*self._markdown.lines(room), *_wrapped(list(note), room)]
        return self._markdown.lines(room)

    def window(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        """Return the `height` lines that are scrolled to."""
        lines = self.lines(width, glyphs)
        limit = max(len(lines) - height, 0)
        if self.is_following or self.scroll >= limit:
            self.scroll = limit
        return lines[self.scroll : self.scroll + height]

    def scroll_by(self, count: int) -> None:
        """Move the shown lines; the next drawing stops at the ends."""
        self.scroll = max(self.scroll + count, 0)
        self.is_following = False


def _wrapped(spans: list[Span], width: int) -> list[Line]:
    lines: list[Line] = []
    text = clean("".join(part for part, _ in spans))
    at = 0
    for source in text.split("\n"):
        for start, end in wrap_ranges(source, width):
            lines.append(tuple(cut(spans, at + start, at + end)))
        at += len(source) + 1
    return lines
