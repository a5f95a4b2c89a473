"""BlockFeed: brings the latest view of the pool to whichever widget shows it, and only then.

Asks the engine for views while the dock or the full screen is open, and every two seconds for
where tokens are while the full screen is; reads the text of the block under the cursor once that
rests.
"""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kvchat.errors import KVChatError, SessionClosed
from kvchat.tui.background import run_in_background
from kvchat.tui.block_place import BlockPlace
from kvchat.tui.block_rows import row_of
from kvchat.tui.block_text import read_block, token_range
from kvchat.tui.blocks_state import BlocksState, Mode, PoolPicture
from kvchat.tui.chat_state import SessionView
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.blocks import BlocksScreen
from kvchat.tui.view_keys import close_above

if TYPE_CHECKING:
    from kvchat.engine.sequence import ResumeCost
    from kvchat.runtime import RuntimeStats
    from kvchat.session.rewind_plan import RewindPlan
    from kvchat.tui.screens.chat import ChatScreen
    from kvchat.tui.widgets.block_panel import BlockPanel

COST_SECONDS = 2.0
MAX_COLD = 8
REST_SECONDS = 0.08
"""So long a cursor stays on a block before its text is read."""


class BlockFeed:
    """What the views of the pool are fed with; belongs to one chat screen."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self.state = BlocksState(time.time)
        self.screen: BlocksScreen | None = None
        """The full screen, while it is open."""
        self.is_planned_with = False
        """Whether a view that shows no blocks plans with them."""
        self._costs_due = 0.0
        self._next_cold = 0
        self._notice_until = 0.0
        self._step_words = ""

    # -- what is open ----------------------------------------------------------------------

    @property
    def panel(self) -> "BlockPanel | None":
        """The dock or side panel, if it is shown."""
        chat = self._chat
        for panel in (chat.dock, chat.panel):
            if panel.display:
                return panel
        return None

    @property
    def is_watched(self) -> bool:
        """Whether anything shows the pool."""
        return self.screen is not None or self.panel is not None

    def want(self) -> None:
        """Have views made while somebody watches, of the layer group that is looked at."""
        runtime = self._chat.app.runtime
        if runtime is not None:
            wanted = self.is_watched or self.is_planned_with
            runtime.want_pool_view(wanted, self.state.group_index)

    def open(self, mode: Mode) -> None:
        """Show a view of the pool on the whole screen."""
        self.state.mode = mode
        if self.screen is None:
            self.screen = BlocksScreen(self)
            self._chat.app.push_screen(self.screen)
        else:
            close_above(self._chat, self.screen)
        self.want()
        self._costs_due = 0.0
        self.start()
        self.draw()
        self.moved()

    def start(self) -> None:
        """Put the cursor on the shown chat if it is nowhere."""
        shown = self._chat.view
        if shown is not None:
            self.state.start(shown.session.id if shown.session.num_messages else "")

    def follow(self, session_id: str) -> None:
        """Leave the block of another chat: what acts on a block must not act behind one's back."""
        place = self.state.place
        if self.screen is None and place is not None and place.session_id != session_id:
            self.state.place, self.state.lit = None, None
            self.redraw()

    def leave_block(self) -> None:
        """Show the legend in the small panel again; where the cursor was is kept for its keys."""
        state = self.state
        if self.screen is None and (state.is_pointed_at or state.lit is not None):
            state.is_pointed_at, state.lit = False, None
            self.redraw()

    def close(self) -> None:
        """Go back to what was there before."""
        if self.screen is not None:
            close_above(self._chat, self.screen)
            self.screen.dismiss()
            self.screen = None
            self.state.is_frozen = self.state.is_pointed_at = False
            self.want()
            self.draw()

    # -- feeding ---------------------------------------------------------------------------

    def draw(self) -> None:
        """Give whoever watches the latest view and what sessions are called now."""
        chat, runtime = self._chat, self._chat.app.runtime
        if runtime is None or not self.is_watched:
            return
        view = runtime.pool_view()
        if view is not None:
            rows = {
                key: row_of(each, self.state.costs.get(key))
                for key, each in chat.state.views.items()
                if key not in chat.state.deleted
            }
            now = self.state.clock()
            self.state.take(PoolPicture(view, rows, now, self._speeds()))
            if self.screen is not None:
                self.start()
        if chat.app.clock() >= self._notice_until:
            self.state.notice = None
        if self.screen is not None:
            self._poll_costs()
        self.redraw()

    def redraw(self) -> None:
        """Draw the state again, where it is shown."""
        if self.screen is not None:
            self.screen.redraw()
        elif self.panel is not None:
            self.panel.show(self.state)
            self._chat.fit_dock()

    def tell(self, sentence: str, style: str, seconds: float) -> None:
        """Say one sentence at the bottom of the full screen."""
        self.state.notice = (safe_line(sentence), style)
        self._notice_until = self._chat.app.clock() + seconds
        self.redraw()

    def _speeds(self) -> tuple[str, ...]:
        chat = self._chat
        if self.screen is None or self.state.mode != "time":
            return ()
        lines = []
        for view in chat.state.listed:
            reply = view.session.reply
            if reply is not None and reply.decode_tokens_per_second:
                words = f"{view.session.tag} {reply.decode_tokens_per_second:6.1f} tok/s"
                if reply.prefill_tokens_per_second:
                    new = reply.num_prompt_tokens - reply.num_cached_tokens
                    seconds = new / reply.prefill_tokens_per_second
                    words += f", first token after {seconds:.2f} s"
                lines.append(words)
        if self._step_words:
            lines.append(self._step_words)
        lines.append(f"the screen takes {100 * chat.feed.ui_share:.0f}% of a core")
        return tuple(lines)

    def ask_costs(self) -> None:
        """Ask soon where the tokens of every session are: something just changed that."""
        self._costs_due = 0.0
        self.draw()

    def _poll_costs(self) -> None:
        """Ask where the tokens of every session are, now and then, without waiting."""
        chat, runtime = self._chat, self._chat.app.runtime
        now = chat.app.clock()
        if runtime is None or now < self._costs_due:
            return
        self._costs_due = now + COST_SECONDS
        resident = set()
        if self.state.picture is not None:
            view = self.state.picture.view
            resident = {each.session_id for each in view.sequences if each.table}
        cold = [
            view.session
            for view in chat.state.listed
            if view.session.num_messages and view.session.id not in resident
        ]
        # Chats without blocks are asked one by one, so a few at a time; the others keep theirs.
        first = self._next_cold % max(len(cold), 1)
        asked = (cold[first:] + cold[:first])[:MAX_COLD]
        self._next_cold = first + len(asked)

        def look() -> "dict[str, ResumeCost]":
            stats = runtime.stats()
            self._step_words = step_words(stats)
            costs = {cost.owner: cost for cost in stats.resume_costs if cost.owner in resident}
            for session in asked:
                with suppress(SessionClosed):  # it was deleted meanwhile
                    costs[session.id] = session.resume_cost()
            return costs

        async def ask() -> None:
            costs = await chat.app.ask(look)
            if costs is not None:
                old = {key: cost for key, cost in self.state.costs.items() if key not in resident}
                self.state.costs = {**old, **costs}

        run_in_background(chat, ask, group="costs", exclusive=True)

    # -- the cursor ------------------------------------------------------------------------

    def moved(self) -> None:
        """Draw the cursor where it is now, and read the text under it when it rests there."""
        self.redraw()
        self._chat.set_timer(REST_SECONDS, self.read_text)

    def read_text(self) -> None:
        """Read the text of the block under the cursor, if it was not."""
        state, place = self.state, self.state.place
        if place is None or state.text_of == place or state.picture is None:
            return
        view = self.view_at(place)
        state.text, state.text_of, state.plan = None, place, None
        runtime = self._chat.app.runtime
        if view is not None and runtime is not None and runtime.status().state == "ready":
            size = state.picture.view.block_size
            try:
                state.text = read_block(view.session, place.index * size, size)
            except KVChatError:
                return  # the session was deleted meanwhile
            self._ask_plan(view, place)
        self.redraw()

    def _ask_plan(self, view: SessionView, place: BlockPlace) -> None:
        """Ask the engine what a rewind to the message at a block would leave to compute."""
        state, said = self.state, self.state.text
        if said is None or self.screen is None:
            return

        async def ask() -> None:
            plan = await self._chat.app.ask(lambda: _figures(view.session.plan_rewind(said.target)))
            if plan is not None and state.text_of == place:
                state.plan = plan
                self.redraw()

        run_in_background(self._chat, ask, group="plan", exclusive=True)

    def view_at(self, place: BlockPlace) -> SessionView | None:
        """Return the session a place is in."""
        return self._chat.state.views.get(place.session_id)

    def light(self, view: SessionView, message_id: str) -> bool:
        """Light the blocks of a message, and put the cursor on the first; False without any."""
        picture = self.state.picture
        tokens = token_range(view.session, message_id)
        if tokens is None or picture is None:
            return False
        size = picture.view.block_size
        indexes = range(tokens.start // size, (tokens.stop - 1) // size + 1)
        self.state.place = None
        self.state.take(picture)
        place = BlockPlace(view.session.id, indexes.start, -1)
        self.state.place = place
        self.state.take(picture)
        self.state.is_pointed_at, self.state.lit = True, (view.session.id, indexes)
        self.moved()
        return True


def _figures(plan: "RewindPlan") -> tuple[int, int]:
    return plan.num_disk_tokens, plan.num_prefill_tokens


def step_words(stats: "RuntimeStats") -> str:
    """Return how long the last steps of the engine took; nothing before the first."""
    if not stats.step_p95_seconds:
        return ""
    p50, p95 = 1000 * stats.step_p50_seconds, 1000 * stats.step_p95_seconds
    return f"a step takes {p50:.1f} ms, p95 {p95:.1f} ms"
