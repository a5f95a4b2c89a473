"""ChatScreen: the one full screen. Binds the shown session to the widgets.

What arrives from the engine is read by its `feed`. Nothing here waits for the engine.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from kvchat.errors import KVChatError
from kvchat.tui.background import run_in_background
from kvchat.tui.block_feed import BlockFeed
from kvchat.tui.branch_actions import finish_edit
from kvchat.tui.chat_state import ChatState, SessionView
from kvchat.tui.completion import completion_for
from kvchat.tui.conversation import entries_of, welcome_lines
from kvchat.tui.drafts import Drafts
from kvchat.tui.figures import session_figures
from kvchat.tui.find import Find
from kvchat.tui.model_reach import meter_words
from kvchat.tui.prompt_actions import run_command
from kvchat.tui.reply_feed import DRAIN_SECONDS, ReplyFeed
from kvchat.tui.safe import safe, safe_line
from kvchat.tui.screens.blocks import BlocksScreen
from kvchat.tui.screens.view import ViewScreen
from kvchat.tui.session_lines import session_line, state_words
from kvchat.tui.tight_compositor import TightCompositor
from kvchat.tui.trash import Trash
from kvchat.tui.widgets.block_panel import DOCK_ROWS, BlockPanel
from kvchat.tui.widgets.command_hints import CommandHints
from kvchat.tui.widgets.find_bar import FindBar
from kvchat.tui.widgets.footer_line import FooterLine
from kvchat.tui.widgets.line_widget import LineWidget
from kvchat.tui.widgets.prompt import MAX_ROWS, Prompt
from kvchat.tui.widgets.sidebar import Sidebar
from kvchat.tui.widgets.status_line import Status, StatusLine
from kvchat.tui.widgets.tabs_line import TabsLine
from kvchat.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime, RuntimeStatus
    from kvchat.session.session import Session
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.command import Command, Where

WIDE_CELLS = 120
NARROW_CELLS = 60


class ChatScreen(Screen[None]):
    """Sessions, transcript, block panel, prompt, status and footer."""

    app: "KVChatApp"

    def __init__(self) -> None:
        super().__init__()
        self._compositor = TightCompositor()
        self.state = ChatState()
        self.trash = Trash(self)
        self.blocks = BlockFeed(self)
        self.drafts = Drafts(self)
        self.find = Find(self)
        self._early_prompts: list[str] = []
        self._edited: tuple[str, str] | None = None
        self._notice: tuple[str, str, float] = ("", "", 0.0)
        self._pressed: dict[str, float] = {}
        self._hinted: tuple[str, tuple[int, int]] = ("", (0, 0))
        self._code_places: dict[str, int] = {}
        self._wants_blocks = True
        self._wants_sidebar: bool | None = None

    # -- parts -----------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Build the widgets; which are shown, the size decides."""
        yield Static(safe("window too small"), id="too-small")
        yield TabsLine(id="tabs")
        with Horizontal(id="middle"):
            yield Sidebar(id="sidebar")
            with Vertical(id="center"):
                yield Transcript(id="transcript")
                yield BlockPanel(id="dock")
                yield CommandHints(id="hints")
                yield FindBar(id="find")
                with Horizontal(id="prompt-row"):
                    yield Static(safe(self.app.glyphs.prompt), id="prompt-mark")
                    yield Prompt("Ask anything, / for commands", id="prompt")
                yield StatusLine(id="status")
            yield BlockPanel(id="panel")
        yield FooterLine(id="footer")

    def on_mount(self) -> None:
        """Name the widgets, lay out for the size, start the timer."""
        self.tabs = self.query_one(TabsLine)
        self.sidebar = self.query_one(Sidebar)
        self.transcript = self.query_one(Transcript)
        self.dock = self.query_one("#dock", BlockPanel)
        self.panel = self.query_one("#panel", BlockPanel)
        self.panel.is_docked_below = False
        self.hints = self.query_one(CommandHints)
        self.hints.display = False
        self.prompt = self.query_one(Prompt)
        self.status = self.query_one(StatusLine)
        self.footer = self.query_one(FooterLine)
        settings = self.app.settings
        self._wants_blocks = settings.block_panel
        self._wants_sidebar = {"shown": True, "hidden": False}.get(settings.sidebar)
        self.lay_out()
        self.prompt.focus()
        self.transcript.show([], welcome_lines, None)
        self.draw_status()
        self.draw_footer()
        self.feed = ReplyFeed(self)
        self.set_interval(DRAIN_SECONDS, self.feed.tick)

    @property
    def view(self) -> SessionView | None:
        """The shown session, None until the runtime is there."""
        return self.state.shown

    # -- layout ----------------------------------------------------------------------------

    def on_resize(self, _event: events.Resize) -> None:
        """Choose what fits the new size."""
        self.lay_out()

    def lay_out(self) -> None:
        """Show the widgets that fit, and only those."""
        width, height = self.app.size
        usable = width >= 20 and height >= 4
        wide = width >= WIDE_CELLS
        has_room = width >= NARROW_CELLS and height >= 12
        sidebar = wide if self._wants_sidebar is None else self._wants_sidebar
        shown = {
            "#too-small": not usable,
            "#middle": usable,
            "#tabs": usable and height >= 8,
            "#footer": usable and height >= 12,
            "#status": usable and height >= 6,
            "#sidebar": sidebar and has_room,
            "#dock": self._wants_blocks and has_room and not wide,
            "#panel": self._wants_blocks and has_room and wide,
        }
        for selector, is_shown in shown.items():
            widget = self.query_one(selector)
            if widget.display != is_shown:
                widget.display = is_shown
        if usable and self.focused is None:
            self.prompt.focus()
        self.tabs.is_wide = sidebar and has_room
        self.tabs.notify_style_update()
        self.dock.styles.height = self.dock.rows_for(width, min(DOCK_ROWS, max(height // 3, 3)))
        self.prompt.styles.height = self._prompt_rows()
        self.blocks.want()
        self.draw_lists()

    def _prompt_rows(self) -> int:
        limit = max(min(MAX_ROWS, self.app.size.height // 3), 1)
        return self.prompt.fitting_rows(max(self.prompt.size.width - 1, 10), limit)

    def toggle_blocks(self) -> None:
        """Show or hide the block panel."""
        self._wants_blocks = not self._wants_blocks
        if self._wants_blocks and not self.has_room_for_panel:
            self.notice("The block panel needs 60 columns and 12 rows.")
        if not self._wants_blocks and (self.dock.has_focus or self.panel.has_focus):
            self.prompt.focus()
        self.lay_out()

    @property
    def has_room_for_panel(self) -> bool:
        """Whether the screen is large enough for the block panel beside a chat."""
        width, height = self.app.size
        return width >= NARROW_CELLS and height >= 12

    def toggle_sidebar(self) -> None:
        """Show or hide the sidebar."""
        self._wants_sidebar = not self.sidebar.display
        if self._wants_sidebar and self.app.size.width < NARROW_CELLS:
            self.notice("The sidebar needs 60 columns.")
        self.lay_out()

    # -- commands --------------------------------------------------------------------------

    @property
    def place(self) -> "Where":
        """Where the keys go now: to a view in front, else to what has the focus here."""
        top = self.app.screen
        if isinstance(top, ViewScreen | BlocksScreen):
            return top.place
        if self.dock.has_focus or self.panel.has_focus:
            return "blocks"
        on_message = self.transcript.has_focus and self.transcript.cursor is not None
        return "message" if on_message else "prompt"

    def press(self, key: str) -> bool:
        """Run the command a key means now; False lets the key go on to the widget.

        The focused widget calls this from its own queue, so that no key overtakes another.
        """
        places = (self.place, "chat")
        for command in self.app.registry.for_key(key):
            if command.where in places and command.applies(self, key):
                args = key.rpartition("+")[2] if command.id == "session.go" else ""
                run_command(self, command, args)
                return True
        return False

    def run(self, command: "Command") -> None:
        """Run a command; what it refuses becomes a sentence."""
        run_command(self, command, "")

    def on_key(self, event: events.Key) -> None:
        """Take keys while nothing has the focus, as after the window was too small."""
        if self.focused is None and self.press(event.key):
            event.stop()

    def pressed_again(self, key: str, seconds: float) -> bool:
        """Whether this key came a second time within so many seconds."""
        now = self.app.clock()
        again = now - self._pressed.get(key, -1e9) <= seconds
        self._pressed[key] = -1e9 if again else now
        return again

    def notice(
        self, sentence: str, style: str = "", seconds: float = 4.0, *, whole: bool = False
    ) -> None:
        """Say one sentence in the status line; errors stay longer.

        Errors, and what is to be read `whole`, become a toast where the line is too short.
        """
        is_error = style == "error"
        is_long = cell_len(sentence) + 2 > self.status.size.width
        top = self.app.screen
        if isinstance(top, ViewScreen):
            top.notice(sentence, style)
            return
        if self.blocks.screen is not None:
            self.blocks.tell(sentence, style, seconds)
            return
        if (is_error or whole) and is_long and self.footer.display:
            self.app.notify(safe_line(sentence), severity="error" if is_error else "information")
            return
        seconds = max(seconds, 8.0) if is_error else seconds
        self._notice = (safe_line(sentence), style, self.app.clock() + seconds)
        self.draw_status()

    def forget_notice(self) -> None:
        """Say nothing any more: what was said is about something older."""
        self._notice = ("", "", 0.0)
        self.draw_status()

    # -- the prompt ------------------------------------------------------------------------

    def prompt_changed(self) -> None:
        """Give the prompt the rows its text needs, and offer what completes it."""
        rows = self._prompt_rows()
        if self.prompt.styles.height is None or self.prompt.styles.height.value != rows:
            self.prompt.styles.height = rows
        self.drafts.note_changed()
        self.update_hints()

    def update_hints(self) -> None:
        """Offer what fits the text as it is now; a change is only told of later than a key."""
        text = self.prompt.text
        state = (text, self.prompt.cursor_location)
        if state == self._hinted:
            return
        self._hinted = state
        if self.app.size.height < 10 or ("@" not in text and not text.startswith("/")):
            self.hints.close()
            return
        before = self.prompt.text_before_cursor
        self.hints.show(completion_for(before, len(before) == len(text), self.app.registry))

    @on(Prompt.Refused)
    def _paste_refused(self, event: Prompt.Refused) -> None:
        self.notice(event.sentence, "error")

    def begin_edit(self, message_id: str, text: str) -> None:
        """Have a message changed in the prompt; what stood there comes back afterwards."""
        self.cancel_edit()
        self._edited = (message_id, self.prompt.exact_text)
        self.prompt.set_exact_text(text)

    def cancel_edit(self) -> bool:
        """Leave the message that is being changed as it was; False when there is none."""
        if self._edited is None:
            return False
        _, draft = self._edited
        self._edited = None
        self.prompt.set_exact_text(draft)
        return True

    def submit(self, text: str) -> bool:
        """Send a prompt or let it wait in line; False when it could be neither."""
        if self._edited is not None:
            message_id, draft = self._edited
            finish_edit(self, message_id, text)
            self._edited = None
            self.prompt.set_exact_text(draft)
            return False  # the prompt holds what it should already
        self.state.history.remember(text)
        self.forget_notice()
        view = self.view
        if view is None:
            self._early_prompts.append(text)
            self.notice("This is sent as soon as kvchat has started.")
            return True
        if not self.feed.send(view, text):
            return False
        self.drafts.note_sent()
        if view.waiting_prompts:
            self.notice("Waits in line until this reply ends; esc brings it back.")
        self.transcript.follow()
        self.sync()
        return True

    def remember_unsent(self, text: str) -> None:
        """Keep a prompt that was cleared, for later runs of the app."""
        runtime = self.app.runtime
        if runtime is not None:
            runtime.remember_prompt(text)

    def leave_cursor(self) -> None:
        """Give the keys back to the prompt; marks of a search go as well."""
        self._end_reading()
        self.prompt.focus()

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        """Count the versions of messages again: a view in front may have made or hidden some."""
        self._forget_siblings()
        self.transcript.refresh()

    def _forget_siblings(self) -> None:
        for entry in self.view.entries.values() if self.view is not None else ():
            entry.forget_siblings()

    def _end_reading(self) -> None:
        self.find.close()
        self.query_one(FindBar).display = False
        self.transcript.set_cursor(None)
        self.draw_footer()

    @on(events.DescendantFocus)
    def _focus_moved(self) -> None:
        if self.focused is self.prompt:  # also by a click; an older event may still arrive
            self._end_reading()

    def stand_on(self, message_id: str) -> None:
        """Put the message cursor on a message."""
        self.transcript.focus()
        self.transcript.set_cursor(message_id)
        self.draw_footer()

    def next_code_block(self, message_id: str) -> int:
        """Return which code block of a message is copied now: each time the next one."""
        place = self._code_places.get(message_id, -1) + 1
        self._code_places = {message_id: place}
        return place

    # -- sessions --------------------------------------------------------------------------

    def start(
        self, runtime: "ChatRuntime", first_prompt: str | None, first: "Session | None" = None
    ) -> None:
        """Show the `first` session, else the one used last, and send what was typed early."""
        self.state.refresh(runtime)
        self.blocks.want()
        last = max(self.state.listed, key=lambda view: view.session.use_order, default=None)
        if first is not None:
            last = self.view_of(first)
        elif last is None or (first_prompt and last.session.num_messages):
            last = self.view_of(runtime.new_session())
        typed = self.prompt.exact_text
        self.show_session(last)
        if typed:  # before kvchat had started; a stored draft stays in the history
            self.state.history.remember(self.prompt.exact_text)
            self.prompt.set_exact_text(typed)
        run_in_background(self, partial(self._read_history, runtime))
        for text in [first_prompt] if first_prompt else []:
            self.submit(text)
        for text in self._early_prompts:
            self.submit(text)
        self._early_prompts.clear()

    async def _read_history(self, runtime: "ChatRuntime") -> None:
        try:
            self.state.history.take_stored(await asyncio.to_thread(runtime.recent_prompts))
        except KVChatError as error:
            self.notice(error.sentence, "error")

    def view_of(self, session: "Session") -> SessionView:
        """Return the view of a session that may be new."""
        runtime = self.app.runtime
        if runtime is not None:
            self.state.refresh(runtime)
        return self.state.views[session.id]

    def show_session(self, view: SessionView) -> None:
        """Bind everything to another session; the old one keeps draft and scroll place."""
        old = self.view
        if old is view:
            return
        self.cancel_edit()
        if old is not None:
            self.drafts.store()
            old.scroll_place = self.transcript.place
        self.leave_cursor()
        self._notice = ("", "", 0.0)
        self.state.show(view)
        self._forget_siblings()  # other chats of its tree may have got new versions
        self.blocks.follow(view.session.id)
        if self.app.runtime is not None:
            self.app.runtime.focus(view.session)
        self.transcript.show(entries_of(view, self.app.glyphs), welcome_lines, view.scroll_place)
        self.drafts.show(view)
        self.state.history.leave()
        self.feed.drain()
        self.draw_lists()
        self.draw_status()

    # -- drawing ---------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring the transcript in line with the messages of the shown session."""
        view = self.view
        if view is None:
            return
        self.transcript.replace_entries(entries_of(view, self.app.glyphs), welcome_lines)
        self.draw_lists()
        self.draw_status()
        self.draw_footer()

    def draw_lists(self) -> None:
        """Draw sidebar and top line."""
        lines = [
            session_line(view, self.state.views, view is self.view, self.app.glyphs)
            for view in self.state.listed
        ]
        self.sidebar.show(lines)
        runtime = self.app.runtime
        about = load = ""
        if runtime is not None:
            status = runtime.status()
            about = safe_line(f"{status.model_name} · {status.weights} · {status.device}")
            if status.kernel == "native":
                about += " · native"
            if not status.saving:
                about += " · not saved"
            running = [view for view in self.state.listed if view.state_name == "STREAMING"]
            speed = sum(view.session.stats().decode_tokens_per_second for view in running)
            if running:
                load = f"{len(running)} streaming · {speed:.0f} tok/s"
                if self.app.size.width < WIDE_CELLS:
                    load = f"{speed:.0f} tok/s"
        dot = self.app.glyphs.dot
        self.tabs.show(lines, about.replace("·", dot), load.replace("·", dot))

    def draw_status(self) -> None:
        """Draw the status line: an error first, then a notice, then the state."""
        runtime, view = self.app.runtime, self.view
        notice, notice_style, until = self._notice
        if self.app.clock() >= until:
            notice = ""
        if runtime is None or view is None:
            self.status.show(Status("starting", "dim", notice, notice_style))
            return
        status = runtime.status()
        state, style = state_words(view, status)
        self.status.show(Status(state, style, notice, notice_style, self._figures(view, status)))

    def _figures(self, view: SessionView, status: "RuntimeStatus") -> tuple[str, ...]:
        stats = view.session.stats()
        figures = session_figures(view.session, stats, status)
        meter = meter_words(view.session, stats.num_tokens)
        return figures if meter is None else (meter, *figures[1:])

    def restyle(self) -> None:
        """Draw everything in the colours of another theme."""
        self.transcript.restyle()
        for view in self.state.views.values():
            for entry in view.entries.values():
                entry.strips.clear()
        for widget in self.query(LineWidget):
            widget.notify_style_update()
        self.refresh()

    def draw_footer(self) -> None:
        """Draw the keys that matter now."""
        view = self.view
        on_message = self.transcript.cursor is not None
        is_running = view is not None and view.is_running
        self.footer.show(self.app.registry.footer("message" if on_message else "chat", is_running))

    def draw_blocks(self) -> None:
        """Give whoever shows the pool the latest view."""
        self.blocks.draw()

    def fit_dock(self) -> None:
        """Give the dock the rows its map needs."""
        width, height = self.app.size
        wanted = self.dock.rows_for(width, min(DOCK_ROWS, max(height // 3, 3)))
        if self.dock.display and self.dock.size.height != wanted:
            self.dock.styles.height = wanted

    @on(BlockPanel.Moved)
    def _block_pointed_at(self) -> None:
        self.blocks.moved()

    @on(BlockPanel.Left)
    def _block_left(self) -> None:
        self.blocks.leave_block()

    @on(BlockPanel.Jumped)
    def _block_text_wanted(self) -> None:
        self.run(self.app.registry["blocks.text"])

    @on(Sidebar.Chosen)
    def _session_clicked(self, event: Sidebar.Chosen) -> None:
        view = self.state.views.get(event.session_id)
        if view is not None:
            self.show_session(view)
