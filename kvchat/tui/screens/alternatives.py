"""AlternativesScreen: the tokens of a message, and what the model could have said at each.

Taking another token makes a version of the reply with the same tokens before it. A preview lets
short forks go on from the first three; they are deleted as soon as they have said enough. Of text
that the model did not generate nothing was kept: what reading it again costs is said first.
"""

import asyncio
from contextlib import suppress
from math import exp
from typing import TYPE_CHECKING

from textual import on

from kvchat.errors import InvalidArgument, KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import Line, fit, line_width, shorten
from kvchat.tui.chat_state import SessionView
from kvchat.tui.command import Where
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.view import ViewBody, ViewScreen
from kvchat.tui.session_actions import way_back
from kvchat.tui.token_text import TokenText, is_doubtful

if TYPE_CHECKING:
    from kvchat.session.alternatives import TokenAlternative, TokenPosition
    from kvchat.session.message import Message
    from kvchat.session.session import Session

SIDE_BY_SIDE_CELLS = 110
LIST_CELLS = 66
BAR_CELLS = 12
MAX_TEXT_CELLS = 100
NUM_PREVIEWS = 3
PREVIEW_TOKENS = 12
POLL_SECONDS = 0.1
MAX_SIBLINGS = 16


class AlternativesScreen(ViewScreen):
    """The token view of one message of a session."""

    place: Where = "token"

    def __init__(self, view: SessionView, message: "Message") -> None:
        super().__init__()
        self._view = view
        self._message = message
        self._tokens: tuple[TokenPosition, ...] = ()
        self._text: TokenText | None = None
        self._others: list[tuple[int, tuple[int, ...]]] = []
        self._is_read = False
        self._num_to_read = 0
        self._is_scoring = False
        self._cursor = 0
        self._choice = 0
        self._has_heat = False
        self._previews: dict[tuple[int, int], str] = {}
        self._forks: dict[tuple[int, int], Session] = {}

    def on_mount(self) -> None:
        """Read the tokens, away from the screen: the tokenizer may still be loading."""
        run_in_background(self, self._read)
        self.set_interval(POLL_SECONDS, self._read_previews)

    async def _read(self) -> None:
        session, message = self._view.session, self._message
        try:
            self._tokens = await asyncio.to_thread(session.tokens, message.id)
            self._num_to_read = await asyncio.to_thread(self._scoring_cost)
            siblings = await asyncio.to_thread(session.siblings, message.id)
            for number, other in enumerate(siblings[:MAX_SIBLINGS], start=1):
                if other != message.id:
                    tokens = await asyncio.to_thread(session.tokens, other)
                    self._others.append((number, tuple(token.token_id for token in tokens)))
        except KVChatError as error:
            self.notice(error.sentence, "error")
        self._text = TokenText(self._tokens, self.app.glyphs)
        self._is_read = True
        self._choose_taken()
        self.update_view()

    def _scoring_cost(self) -> int:
        """Return how many tokens `Session.score` reads, 0 when all is known; may wait."""
        missing = [each.position for each in self._tokens if each.logprob is None and each.position]
        if not missing:
            return 0
        resident = self._view.session.resume_cost().num_resident_tokens
        return self._tokens[-1].position + 1 - min(resident, missing[0] - 1)

    def score(self) -> None:
        """Compute what else could stand in a text whose probabilities nobody kept."""
        if self._is_scoring:
            return
        if not self._num_to_read:
            self.notice("All that can be known of these tokens is shown.")
            return
        self._is_scoring = True
        run_in_background(self, self._score)

    async def _score(self) -> None:
        try:
            tokens = await asyncio.to_thread(self._view.session.score, self._message.id)
        except KVChatError as error:
            self.notice(error.sentence, "error")
        else:
            self._tokens, self._num_to_read = tokens, 0
            self._text = TokenText(tokens, self.app.glyphs)
            self._choose_taken()
        finally:
            self._is_scoring = False
        self.update_view()

    # -- keys ------------------------------------------------------------------------------

    @property
    def position(self) -> "TokenPosition | None":
        """The token under the cursor."""
        return self._tokens[self._cursor] if self._tokens else None

    @property
    def choices(self) -> "tuple[TokenAlternative, ...]":
        """The likeliest tokens at the cursor."""
        return self.position.alternatives if self.position is not None else ()

    @property
    def is_previewing(self) -> bool:
        """Whether forks still show how alternatives would go on."""
        return bool(self._forks)

    def _choose_taken(self) -> None:
        taken = self.position.token_id if self.position is not None else None
        ids = [choice.token_id for choice in self.choices]
        self._choice = ids.index(taken) if taken in ids else 0

    def move(self, step: int) -> None:
        """Put the cursor on another token."""
        if self._tokens:
            self._cursor = min(max(self._cursor + step, 0), len(self._tokens) - 1)
            self._choose_taken()

    def move_word(self, step: int) -> None:
        """Put the cursor on the token that begins the next or this word."""
        if self._text is None or not self._tokens:
            return
        place = self._cursor + step
        while 0 < place < len(self._tokens) - 1 and not self._text.starts_word(place):
            place += step
        self.move(place - self._cursor)

    def move_to_doubt(self, step: int) -> None:
        """Put the cursor on the next token that was taken with less than one half."""
        place = self._cursor + step
        while 0 <= place < len(self._tokens):
            if is_doubtful(self._tokens[place]):
                self.move(place - self._cursor)
                return
            place += step
        self.notice("There is no doubtful token further on.")

    def choose(self, index: int) -> None:
        """Choose one of the alternatives."""
        if self.choices:
            self._choice = min(max(index, 0), len(self.choices) - 1)

    def step_choice(self, step: int) -> None:
        """Choose the alternative above or below."""
        self.choose(self._choice + step)

    def change_heat(self) -> None:
        """Show or hide how sure the model was."""
        self._has_heat = not self._has_heat

    def take(self) -> None:
        """Make a version of the reply that goes on with the chosen token; first compute them."""
        if not self.choices and self._num_to_read:
            self.score()
            return
        choice = self._chosen()
        session = self._view.session
        reply = session.regenerate(
            message_id=self._message.id, keep_tokens=self._cursor, token=choice.token_id
        )
        chat = self.app.chat
        self.close_view()
        chat.feed.watch(reply)
        chat.leave_cursor()
        chat.show_session(self._view)
        chat.sync()
        chat.transcript.follow()
        kept = count_of(self._cursor, "token")
        quoted = self.app.glyphs.quoted(safe_line(choice.text))
        chat.notice(f"{kept} kept, then {quoted}; {way_back(chat)}.")

    def _chosen(self) -> "TokenAlternative":
        if self._message.role != "assistant":
            raise InvalidArgument("Only a reply can go on from another token.")
        if not self.choices:
            raise InvalidArgument("What else could stand here is not known.")
        return self.choices[self._choice]

    def preview(self) -> None:
        """Let short forks show how the first three alternatives would go on."""
        self._chosen()
        position = self.position
        assert position is not None  # there is a chosen alternative
        for choice in self.choices[:NUM_PREVIEWS]:
            key = (self._cursor, choice.token_id)
            if key in self._previews or key in self._forks:
                continue
            fork = self._view.session.fork(
                at=position.position, title="preview", token=choice.token_id
            )
            self.app.chat.trash.keep_out(fork)
            self._forks[key] = fork
            self._previews[key] = ""

    def _read_previews(self) -> None:
        for key, fork in list(self._forks.items()):
            reply = fork.reply
            if reply is None:
                continue
            had = self._cursor_text_length(key)
            self._previews[key] = reply.text[had:]
            if reply.is_finished or reply.num_generated_tokens >= PREVIEW_TOKENS:
                self._drop(key)
            self.update_view()

    def _cursor_text_length(self, key: tuple[int, int]) -> int:
        return sum(len(token.text) for token in self._tokens[: key[0]])

    def _drop(self, key: tuple[int, int]) -> None:
        fork = self._forks.pop(key)
        if fork.reply is not None:
            with suppress(KVChatError):  # what is not stored yet counts as no version either
                fork.hide(fork.reply.message_id)
        self.app.chat.trash.delete_now(fork)

    def close_view(self) -> None:
        """Go back to the chat; previews that still run are dropped."""
        for key in list(self._forks):
            self._drop(key)
        super().close_view()

    @on(ViewBody.Clicked)
    def _clicked(self, event: ViewBody.Clicked) -> None:
        width, height = self.body.size
        first = height - self._list_rows(height) if not self._is_wide(width) else 0
        row = event.y - first - 1
        is_in_list = event.x >= width - LIST_CELLS if self._is_wide(width) else row >= 0
        if is_in_list and 0 <= row < len(self.choices):
            self.choose(row)
            if event.count == 2:
                self.press("enter")
            self.update_view()

    # -- drawing ---------------------------------------------------------------------------

    def head_line(self, width: int) -> Line:
        """Return whose tokens these are and where the cursor stands."""
        heat = "on" if self._has_heat else "off"
        place = f"token {token_count(self._cursor + 1)} of {token_count(len(self._tokens))}"
        right = f"{place}  heat: {heat} " if self._tokens else ""
        who = "your message" if self._message.role == "user" else "reply"
        session = self._view.session
        left = f" {session.tag} {safe_line(session.title)} {self.app.glyphs.dot} {who}"
        return ((fit(left, width - len(right), self.app.glyphs.ellipsis), "bold"), (right, "dim"))

    def status_line(self) -> Line:
        """Return what computing would cost, or what taking the chosen token would do."""
        if self._is_scoring:
            count = count_of(self._num_to_read, "token")
            return ((f" reading {count}{self.app.glyphs.ellipsis}", "dim"),)
        if self._num_to_read:
            count = count_of(self._num_to_read, "token")
            return ((f" not kept for this text: s reads {count} to know them", "accent"),)
        if not self.choices or self._message.role != "assistant":
            return ()
        choice = self.choices[self._choice]
        kept = count_of(self._cursor, "token")
        quoted = self.app.glyphs.quoted(safe_line(choice.text))
        words = f" take {quoted}: a new version, {kept} kept, none re-read"
        return ((words, "dim"),)

    def body_lines(self, width: int, height: int) -> list[Line]:
        """Return the text with the list beside it, or below it."""
        if not self._is_read:
            return [((f" Reading the tokens{self.app.glyphs.ellipsis}", "dim"),)]
        if not self._tokens or self._text is None:
            return [((" This message has no tokens yet.", "dim"),)]
        if self._is_wide(width):
            left = self._text_lines(width - LIST_CELLS - 1, height)
            right = self._list_lines(LIST_CELLS, height)
            bar = (self.app.glyphs.vertical, "frame")
            lines: list[Line] = []
            for row in range(height):
                text = left[row] if row < len(left) else ()
                used = width - LIST_CELLS - 1
                lines.append((*_padded(text, used), bar, *(right[row] if row < len(right) else ())))
            return lines
        rows = self._list_rows(height)
        lines = self._text_lines(width, height - rows)
        lines += [()] * (height - rows - len(lines))
        return lines + self._list_lines(width, rows)

    def _is_wide(self, width: int) -> bool:
        return width >= SIDE_BY_SIDE_CELLS

    def _list_rows(self, height: int) -> int:
        """Return how many rows the list takes below the text."""
        return min(max(height * 2 // 3, height - 8), 12) if height > 4 else height // 2

    def _text_lines(self, width: int, height: int) -> list[Line]:
        assert self._text is not None  # the caller looked
        room = max(min(MAX_TEXT_CELLS, width - 4), 1)
        lines, at = self._text.lines(room, self._cursor, heat=self._has_heat)
        first = min(max(at - height // 2, 0), max(len(lines) - height, 0))
        return [(("   ", ""), *line) for line in lines[first : first + max(height, 0)]]

    def _list_lines(self, width: int, height: int) -> list[Line]:
        sampling = self._view.session.sampling
        drawn = f"drawn, t {sampling.temperature:g}"
        lines: list[Line] = [((fit(f"      {'token':<14}  {'model':<22}{drawn}", width), "dim"),)]
        for index, choice in enumerate(self.choices):
            lines.append(self._choice_line(index, choice, width))
            preview = self._previews.get((self._cursor, choice.token_id))
            if preview is not None:
                text = shorten(f"      {safe_line(preview)}", width, self.app.glyphs.ellipsis)
                lines.append(((text, "dim italic"),))
        if not self.choices:
            is_first = self.position is not None and not self.position.position
            words = "nothing stands before it" if is_first else "not kept for this text"
            lines.append(((shorten(f"   {words}", width), "dim"),))
        elif self.position is not None and self.position.token_id not in [
            choice.token_id for choice in self.choices
        ]:
            lines.append(((shorten("   taken: none of these ten", width), "dim"),))
        return lines[: max(height, 0)]

    def _choice_line(self, index: int, choice: "TokenAlternative", width: int) -> Line:
        glyphs = self.app.glyphs
        is_chosen = index == self._choice
        chosen = " chosen" if is_chosen else ""
        model = exp(choice.logprob)
        bar = glyphs.meter_full * round(model * BAR_CELLS)
        drawn = f"{100 * choice.drawn:5.1f} %" if choice.drawn else f"{'cut':>7}"
        notes = []
        if self.position is not None and choice.token_id == self.position.token_id:
            notes.append("taken")
        number = self._branch_of(choice.token_id)
        if number is not None:
            notes.append(f"{glyphs.left}{number}{glyphs.right} a version")
        pointer = glyphs.chosen if is_chosen else " "
        token = fit(glyphs.quoted(safe_line(choice.text)), 14, glyphs.ellipsis)
        key = str((index + 1) % 10)
        text = f"{token}  {100 * model:5.1f} %  {fit(bar, BAR_CELLS)} {drawn}  {', '.join(notes)}"
        room = max(width - 6, 0)
        return (
            (fit(f" {pointer} {key}  ", min(6, width)), f"accent{chosen}"),
            (fit(text, room, glyphs.ellipsis), chosen.strip()),
        )

    def _branch_of(self, token_id: int) -> int | None:
        """Return the number of the version that has this token here after the same ones."""
        before = tuple(token.token_id for token in self._tokens[: self._cursor])
        wanted = (*before, token_id)
        for number, ids in self._others:
            if ids[: len(wanted)] == wanted:
                return number
        return None


def _padded(line: Line, width: int) -> Line:
    return (*line, (" " * max(width - line_width(line), 0), ""))
