"""AskScreen: one prompt to several branches, their answers side by side while they stream.

Each answer is an ordinary branch, stored as it comes, so leaving the view stops nothing. Before
sending, the line above the prompt says what it will take.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from kvchat.errors import KVChatError
from kvchat.tui.ask_branch import AskBranch
from kvchat.tui.ask_plan import own_blocks, plan_for
from kvchat.tui.background import run_in_background
from kvchat.tui.cells import Line, Span, fit, line_width, shorten
from kvchat.tui.chat_state import SessionView, title_of
from kvchat.tui.command import Where
from kvchat.tui.figures import count_of
from kvchat.tui.reply_feed import DRAIN_SECONDS
from kvchat.tui.safe import safe, safe_line
from kvchat.tui.screens.view import ViewBody, ViewScreen
from kvchat.tui.typed_values import sampling_with
from kvchat.tui.widgets.prompt import Prompt
from kvchat.tui.word_difference import difference_spans

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime

SIDE_BY_SIDE_CELLS = 100
MAX_COLUMNS = 4
MIN_STACKED_ROWS = 4


class AskScreen(ViewScreen):
    """Asks `views` (existing branches), or makes `num_new` forks of the one view that is given."""

    place: Where = "ask"

    def __init__(
        self,
        runtime: "ChatRuntime",
        views: Sequence[SessionView],
        text: str,
        *,
        num_new: int = 0,
    ) -> None:
        super().__init__()
        self._runtime = runtime
        self._source = views[0]
        self._num_new = num_new
        self.branches = [] if num_new else [AskBranch(view) for view in views]
        self._dropped: list[tuple[int, AskBranch]] = []
        self._question = ""
        self._text = text
        self._chosen = 0
        self._first = 0
        self._is_tied = False
        self._compared: AskBranch | None = None
        self.prompt = Prompt("one prompt for all of them", id="ask-prompt")

    def compose(self) -> ComposeResult:
        """Build head, columns, plan and prompt."""
        yield self.head
        yield self.body
        yield self._notice_line
        with Horizontal(id="ask-row"):
            yield Static(safe(self.app.glyphs.prompt), id="ask-mark")
            yield self.prompt
        yield self.foot

    def on_mount(self) -> None:
        """Write the question first; watch the answers."""
        self._want_pool(True)
        self.prompt.set_exact_text(self._text)
        self.set_interval(DRAIN_SECONDS, self.drain)

    @property
    def first_focus(self) -> Widget:
        """The question is written first."""
        return self.prompt

    # -- keys ------------------------------------------------------------------------------

    @property
    def is_writing(self) -> bool:
        """Whether the question is being written."""
        return self.prompt.has_focus

    @property
    def is_kept(self) -> bool:
        """Whether a question is written or answered: the view is not there again afterwards."""
        return bool(self._question or self.prompt.text)

    def interrupt(self) -> bool:
        """Clear the question, else stop all answers; False when there is neither."""
        if self.prompt.has_focus and self.prompt.text:
            self.app.chat.state.history.remember(self.prompt.exact_text)
            self.prompt.set_exact_text("")
            return True
        return self._stop_all()

    def press(self, key: str) -> bool:
        """Run the command of a key; while the question is written, only those of its line."""
        self.place = "ask prompt" if self.prompt.has_focus else "ask"
        return super().press(key)

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        """Show the keys of what has the focus now."""
        self.place = "ask prompt" if self.prompt.has_focus else "ask"
        self.update_view()

    @on(Prompt.Refused)
    def _paste_refused(self, event: Prompt.Refused) -> None:
        self.notice(event.sentence, "error")

    def prompt_changed(self) -> None:
        """Give the prompt the rows its text needs."""
        self.prompt.styles.height = self.prompt.fitting_rows(max(self.app.size.width - 5, 10), 4)
        self.update_view()

    @on(ViewBody.Clicked)
    def _clicked(self, event: ViewBody.Clicked) -> None:
        if not self.branches:
            return
        width, height = self.body.size
        shown = self._shown(width, height)
        part = event.x * len(shown) // width if self._is_wide(width) else (
            event.y * len(shown) // max(height, 1))  # fmt: skip
        self.choose(shown[min(part, len(shown) - 1)])
        if event.count == 2:
            self.open_chosen()

    # -- asking ----------------------------------------------------------------------------

    def send(self) -> None:
        """Send what is written to all branches; a busy one takes it when it is done."""
        text = self.prompt.exact_text
        if not text.strip():
            self.notice("Write what to ask.")
            return
        chat = self.app.chat
        chat.state.history.remember(text)
        if self._num_new and not self.branches:
            replies = self._runtime.ask(self._source.session, text, self._num_new)
            for reply in replies:
                view = chat.view_of(self._runtime.open_session(reply.session_id))
                branch = AskBranch(view, is_fresh=True)
                branch.expect_again(reply)
                self.branches.append(branch)
                view.session.rename(f"{len(self.branches)}. {safe_line(text)[:40]}")
        else:
            idle = [branch for branch in self.branches if not branch.view.is_running]
            for branch in self.branches:
                branch.expect()
            self._runtime.broadcast([branch.view.session for branch in idle], text)
            for branch in self.branches:
                if branch not in idle:
                    branch.view.session.enqueue(text)
        self._question = text
        self._compared = None
        self.prompt.set_exact_text("")
        self.drain()

    def drain(self) -> None:
        """Show what the branches said since the last time."""
        own = own_blocks(self._runtime.pool_view())
        for branch in self.branches:
            branch.drain()
            branch.num_own_blocks = own.get(branch.view.session.id, branch.num_own_blocks)
            if branch.wants_logprob:
                run_in_background(self, branch.read_logprob)
        self.update_view()

    @property
    def chosen(self) -> AskBranch | None:
        """The branch the keys act on."""
        return self.branches[self._chosen] if self.branches else None

    def choose(self, index: int) -> None:
        """Let the keys act on another branch."""
        if self.branches:
            self._chosen = min(max(index, 0), len(self.branches) - 1)
            self.update_view()

    def step(self, step: int) -> None:
        """Choose the branch beside this one."""
        if self.branches:
            self.choose((self._chosen + step) % len(self.branches))

    def scroll_chosen(self, count: int) -> None:
        """Scroll this branch, or all of them while they are tied."""
        for branch in self.branches if self._is_tied else [self.branches[self._chosen]]:
            branch.scroll_by(count)
        self.update_view()

    def page(self, direction: int) -> None:
        """Scroll by what is seen of a branch."""
        if self.branches:
            self.scroll_chosen(direction * max(self._answer_rows() - 1, 1))

    def tie(self) -> None:
        """Scroll all branches together, or each alone."""
        self._is_tied = not self._is_tied
        self.notice("They scroll together." if self._is_tied else "Each scrolls alone.")

    def open_chosen(self) -> None:
        """Make this branch the session of the chat, and go there."""
        if self.chosen is not None:
            view = self.chosen.view
            self.leave()
            self.app.chat.show_session(view)

    def again(self, words: str = "") -> None:
        """Answer again in this branch, perhaps with other settings."""
        branch = self.chosen
        if branch is None:
            return
        session = branch.view.session
        params = sampling_with(session.sampling, words) if words else None
        if branch.view.is_running:
            raise KVChatError("This branch still answers; esc stops all of them.")
        branch.expect_again(session.regenerate(params))
        self._compared = None

    def compare(self) -> None:
        """Mark in the others the words this branch does not have; again: show them plain."""
        if self._compared is not None:
            self._compared = None
            for branch in self.branches:
                branch.difference = None
            return
        if any(branch.is_running for branch in self.branches):
            raise KVChatError("They are compared when all of them have ended.")
        reference = self.chosen
        if reference is None or len(self.branches) < 2:
            raise KVChatError("There is nothing to compare with.")
        self._compared = reference
        texts = [(branch, branch.text) for branch in self.branches if branch is not reference]

        async def work() -> None:
            for branch, text in texts:
                spans = await asyncio.to_thread(difference_spans, text, reference.text)
                if self._compared is reference:
                    branch.difference = spans
                    self.update_view()

        run_in_background(self, work)

    def name_chosen(self, name: str) -> None:
        """Give the answer of this branch a label."""
        branch = self.chosen
        if branch is not None and branch.reply is not None:
            branch.view.session.label(name or None, branch.reply.message_id)
            branch.label = name or None
            self.update_view()

    def drop(self) -> None:
        """Take this branch away; a fork made for the question is deleted when the view is left."""
        branch = self.chosen
        if branch is None:
            return
        if branch.is_running:
            branch.view.session.stop()
        self._dropped.append((self._chosen, branch))
        del self.branches[self._chosen]
        self.choose(self._chosen)
        what = "It is deleted when you leave" if branch.is_fresh else "It stays in the list"
        self.notice(f"Dropped {branch.view.session.tag}. {what}; u brings it back.")

    def undo(self) -> None:
        """Bring the branch dropped last back."""
        if not self._dropped:
            raise KVChatError("Nothing was dropped.")
        place, branch = self._dropped.pop()
        self.branches.insert(place, branch)
        self.choose(place)

    def back(self) -> None:
        """Stop all of them; when none runs, go back to the chat."""
        if not self._stop_all():
            self.leave()

    def _stop_all(self) -> bool:
        running = [branch for branch in self.branches if branch.is_running]
        for branch in running:
            branch.view.session.stop()
        if running:
            self.notice("Stopped all; what they said is kept. esc again goes back.")
        return bool(running)

    def close_view(self) -> None:
        """Go back to the chat."""
        self.leave()

    def leave(self) -> None:
        """Go back to the chat; dropped forks go to the trash."""
        chat = self.app.chat
        for _, branch in self._dropped:
            if branch.is_fresh:
                with suppress(KVChatError):  # it is gone already
                    chat.trash.hide(branch.view)
        self._dropped.clear()
        for branch in self.branches:
            branch.view.num_unread = 0  # it was read here
        self._want_pool(False)
        self.dismiss()
        chat.lay_out()
        chat.sync()

    def _want_pool(self, is_wanted: bool) -> None:
        feed = self.app.chat.blocks
        feed.is_planned_with = is_wanted
        feed.want()

    def change_area(self) -> None:
        """Go between the columns and the prompt."""
        if self.prompt.has_focus and self.branches:
            self.body.focus()
        else:
            self.prompt.focus()

    # -- drawing ---------------------------------------------------------------------------

    def head_line(self, width: int) -> Line:
        """Return how many are asked what, and how fast they answer."""
        count = len(self.branches) or self._num_new
        running = [branch for branch in self.branches if branch.is_running]
        speed = sum(b.reply.decode_tokens_per_second for b in running if b.reply is not None)
        right = f"{len(running)} streaming {self.app.glyphs.dot} {speed:.0f} tok/s "
        if not running:
            done = sum(branch.reply is not None for branch in self.branches)
            right = f"{done} done " if done else ""
        left = f" Ask {count} {'branch' if count == 1 else 'branches'}"
        if self._question:
            left += f"  {self.app.glyphs.quoted(safe_line(self._question))}"
        room = width - len(right)
        return ((fit(left, room, self.app.glyphs.ellipsis), "bold"), (right, "dim"))

    def status_line(self) -> Line:
        """Return the plan for what is written, or how the branches are compared."""
        if self._compared is not None and self._compared in self.branches:
            number = self.branches.index(self._compared) + 1
            return ((f" compared with {number}: words it does not have stand between + +", "dim"),)
        view = self._runtime.pool_view()
        tables: list[tuple[int, ...]] = []
        known = {} if view is None else {each.session_id: each.table for each in view.sequences}
        sources = [branch.view for branch in self.branches] or [self._source] * self._num_new
        for each in sources:
            tables.append(tuple(known.get(each.session.id, ())))
        params = self._source.session.sampling
        plan = plan_for(self.prompt.text, tables, view, params.max_tokens)
        return ((f" plan: {plan.sentence}", "dim"),)

    def body_lines(self, width: int, height: int) -> list[Line]:
        """Return the columns, or the answers one below the other."""
        if not self.branches:
            return self._before_sending(width)
        if self._is_wide(width):
            return self._columns(width, height)
        return self._stacked(width, height)

    def _before_sending(self, width: int) -> list[Line]:
        answers = count_of(self._num_new, "answer")
        said = f"   {answers} to one question, each in a fork of "
        room = max(width - len(said) - 3, 8)  # two quotes and the full stop
        origin = self.app.glyphs.quoted(shorten(safe_line(self._source.session.title), room))
        lines: list[Line] = [
            (),
            ((f"{said}{origin}.", ""),),
            (),
            (("   Enter sends it; each answer becomes a branch of its own.", "dim"),),
        ]
        return lines

    def _is_wide(self, width: int) -> bool:
        return width >= SIDE_BY_SIDE_CELLS

    def _answer_rows(self) -> int:
        width, height = self.body.size
        if self._is_wide(width):
            return max(height - 2, 1)
        return max(height // max(len(self._shown(width, height)), 1) - 2, 1)

    def _shown(self, width: int, height: int) -> list[int]:
        """Return the branches in view, around the chosen one."""
        limit = MAX_COLUMNS if self._is_wide(width) else max(height // MIN_STACKED_ROWS, 1)
        count = min(limit, len(self.branches))
        self._first = min(max(self._first, self._chosen - count + 1), self._chosen)
        self._first = min(self._first, len(self.branches) - count)
        return list(range(self._first, self._first + count))

    def _columns(self, width: int, height: int) -> list[Line]:
        shown = self._shown(width, height)
        glyphs = self.app.glyphs
        inner = width - len(shown) + 1
        widths = [inner // len(shown) + (place < inner % len(shown)) for place in range(len(shown))]
        columns = []
        for index, cells in zip(shown, widths, strict=True):
            branch = self.branches[index]
            head = self._head(index, cells)
            body = branch.window(cells - 4, height - 2, glyphs)
            column: list[Line] = [head, *(((("   "), ""), *line) for line in body)]
            column += [()] * (height - 1 - len(column))
            columns.append([*column, (("   ", ""), *branch.detail(cells - 4, glyphs))])
        lines: list[Line] = []
        for row in range(height):
            parts: list[Span] = []
            for place, (column, cells) in enumerate(zip(columns, widths, strict=True)):
                if place:
                    parts.append((glyphs.vertical, "frame"))
                spans = column[row] if row < len(column) else ()
                parts += [*spans, (" " * max(cells - line_width(spans), 0), "")]
            lines.append(tuple(parts))
        return lines

    def _head(self, index: int, width: int) -> Line:
        """Return the header of a column; where titles are the same it says which one it is."""
        branch = self.branches[index]
        titles = [title_of(each.view.session) for each in self.branches]
        is_shared = titles.count(titles[index]) > 1
        is_chosen = index == self._chosen
        return branch.head(index + 1, width, is_chosen, self.app.glyphs, is_shared=is_shared)

    def _stacked(self, width: int, height: int) -> list[Line]:
        shown = self._shown(width, height)
        glyphs = self.app.glyphs
        rows = max(height // len(shown), 2)
        lines: list[Line] = []
        for index in shown:
            branch = self.branches[index]
            part: list[Line] = [self._head(index, width)]
            part += [(("   ", ""), *line) for line in branch.window(width - 4, rows - 2, glyphs)]
            lines += part + [()] * (rows - len(part))
        return lines
