"""KVChatApp: the terminal app around one ChatScreen, and `run`, which gives the terminal back.

The runtime is made after the first frame, away from the event loop, so that the prompt works at
once. Knows no model and never imports torch.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.app import App
from textual.binding import BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen

from kvchat.clean_text import clean
from kvchat.errors import KVChatError
from kvchat.settings import Settings
from kvchat.tui.background import run_in_background
from kvchat.tui.commands import Registry
from kvchat.tui.glyphs import ASCII, UNICODE, plain_text
from kvchat.tui.notifier import Notifier
from kvchat.tui.screens.chat import ChatScreen
from kvchat.tui.terminal import end_signals, repair_input, screen_on_terminal
from kvchat.tui.themes import PALETTES, LineStyles, palette_named

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.session.session import Session

Answer = TypeVar("Answer")
TOAST_SECONDS = 4.0
"""Toasts lie over the prompt or the block panel, so they leave soon."""
CLOSE_SECONDS = 10.0
CLOSE_SECONDS_LOADING = 0.2
"""A model that is still being loaded has nothing to save."""


class KVChatApp(App[int], inherit_bindings=False):
    """The app: settings, theme, runtime; everything visible is the chat screen's.

    `runtime` is a runtime, or what makes one: then it is called once, on another thread, after
    the first frame. Raises InvalidArgument when `[keys]` of the settings make no sense.
    """

    CSS_PATH = "app.tcss"
    TITLE = "kvchat"
    ENABLE_COMMAND_PALETTE = False
    NOTIFICATION_TIMEOUT = TOAST_SECONDS
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        runtime: "ChatRuntime | Callable[[], ChatRuntime]",
        settings: Settings | None = None,
        *,
        first_prompt: str | None = None,
        first_session: "Callable[[ChatRuntime], Session | None] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        repair_input()
        self.settings = settings or Settings()
        self.registry = Registry(self.settings.keys)
        self.glyphs = ASCII if self.settings.ascii else UNICODE
        self.clock = clock
        self.runtime: ChatRuntime | None = None
        self.made_runtime: ChatRuntime | None = None
        """What the factory made, even if the user left before it could be shown."""
        self.failure: KVChatError | None = None
        self._make_runtime = runtime
        self._first_prompt = first_prompt
        self._first_session = first_session
        palette = palette_named(self.settings.theme)
        self.line_styles = LineStyles(palette)
        super().__init__()
        self.animation_level = "none"
        self.notifier = Notifier(self, self.settings.notify)
        for each in PALETTES.values():
            self.register_theme(each.theme)
        self.theme = palette.theme.name
        self.set_class(self.settings.ascii, "-ascii")
        self.chat = ChatScreen()

    def get_default_screen(self) -> Screen[None]:
        """Return the chat screen, which lies below everything that opens."""
        return self.chat

    def on_mount(self) -> None:
        """Start the runtime once the first frame is out."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if callable(self._make_runtime):
            run_in_background(self, partial(self._start, self._make_runtime))
        else:
            self._take(self._make_runtime)

    async def _start(self, make_runtime: "Callable[[], ChatRuntime]") -> None:
        def make() -> "ChatRuntime":
            self.made_runtime = make_runtime()
            return self.made_runtime

        try:
            runtime = await asyncio.to_thread(make)
            self._take(runtime)
        except KVChatError as error:
            self.failure = error
            self.exit(return_code=error.exit_status)

    def _take(self, runtime: "ChatRuntime") -> None:
        first = self._first_session(runtime) if self._first_session is not None else None
        self.runtime = runtime
        self.chat.start(runtime, self._first_prompt, first)

    async def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """Return what the engine answers, without holding up the screen; None if it cannot.

        Before the model is loaded the engine would not answer, and the app could not end.
        """
        if self.runtime is None or self.runtime.status().state != "ready":
            return None
        try:
            return await asyncio.to_thread(question)
        except KVChatError as error:
            self.chat.notice(error.sentence, "error")
            return None

    def leave(self, return_code: int = 0) -> None:
        """End the app; sessions hidden by /delete, and unused ones, are deleted now."""
        self.chat.drafts.store()
        self.chat.trash.empty(float("inf"))
        self.chat.trash.delete_unused()
        self.exit(return_code=return_code)

    async def action_quit(self) -> None:
        """End the app."""
        self.leave()

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a toast; its text is cleaned and never markup."""
        super().notify(
            plain_text(clean(message), self.glyphs),
            title=clean(title),
            severity=severity,
            timeout=timeout,
            markup=False,
        )

    def watch_theme(self, theme: str) -> None:
        """Draw the lines in the colours of another theme."""
        if theme in PALETTES and self.line_styles.palette.theme.name != theme:
            self.line_styles = LineStyles(PALETTES[theme])
            if self.is_running:
                self.chat.restyle()


def run(
    make_runtime: "Callable[[], ChatRuntime]",
    settings: Settings | None = None,
    *,
    first_prompt: str | None = None,
    first_session: "Callable[[ChatRuntime], Session | None] | None" = None,
) -> int:
    """Run the app until the user leaves or a signal ends it; return the exit status.

    `make_runtime` is called once after the first frame, on another thread, and `first_session`
    with what it made: it may name the session to show, else that is the last one. What they refuse
    is written to stderr once the terminal is back. The runtime is closed here.
    """
    app = KVChatApp(make_runtime, settings, first_prompt=first_prompt, first_session=first_session)

    def end(status: int) -> None:
        loop = getattr(app, "_loop", None)
        if loop is not None and app.is_running:
            loop.call_soon_threadsafe(app.leave, status)

    try:
        with end_signals(end), screen_on_terminal():
            app.run(mouse=app.settings.mouse)
    finally:
        if app.made_runtime is not None:
            is_loading = app.made_runtime.status().state == "loading"
            app.made_runtime.close(CLOSE_SECONDS_LOADING if is_loading else CLOSE_SECONDS)
    if app.failure is not None:
        print(f"kvchat: {clean(app.failure.sentence)}", file=sys.stderr)
    return app.return_code or 0
