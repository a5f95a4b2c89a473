"""SettingsForm: title, system prompt, sampling and window of one session, with what a change costs.

Nothing is changed before Enter, and then all of it or nothing: what cannot be is said in the form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.tui.safe import safe, safe_line
from kvchat.tui.screens.picker import FilterInput
from kvchat.tui.typed_values import list_of_texts, parse_value, text_of_value, whole_number

if TYPE_CHECKING:
    from kvchat.session.session import Session
    from kvchat.tui.app import KVChatApp

SAMPLING = (
    ("temperature", "temperature", "0 is greedy"),
    ("top_p", "top-p", "1 keeps all"),
    ("top_k", "top-k", "0 keeps all"),
    ("min_p", "min-p", "0 keeps all"),
    ("repetition_penalty", "repetition penalty", "1 is none"),
    ("seed", "seed", "empty: another each time"),
    ("max_tokens", "longest reply", "empty: no limit"),
    ("stop", "stop at", "texts with | between them"),
)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the form returns; None for `system` and `window` means none of it."""

    title: str
    system: str | None
    sampling: SamplingParams
    window: int | None
    sinks: int | None


class SettingsForm(ModalScreen[SessionSettings | None]):
    """One form; `cost_of` says what changing the system prompt or the window costs, in words."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "leave", show=False, priority=True),
        Binding("ctrl+s,f2", "apply", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(self, session: "Session", cost_of: Callable[[], str]) -> None:
        super().__init__()
        self._session = session
        self._cost_of = cost_of

    def compose(self) -> ComposeResult:
        """Build the fields with the values as they are."""
        session = self._session
        with VerticalScroll(id="form", can_focus=False) as frame:
            frame.border_title = safe(f"Settings of {session.tag}")
            dot = self.app.glyphs.dot
            frame.border_subtitle = safe(f"enter apply {dot} esc leave {dot} tab next")
            yield from self._field("title", "title", session.title if session.has_title else "", "")
            yield Static(safe("system prompt"), classes="label")
            yield TextArea(
                clean(session.system or ""),
                id="field-system",
                tab_behavior="focus",
                show_line_numbers=False,
                highlight_cursor_line=False,
            )
            for name, label, hint in SAMPLING:
                value = text_of_value(getattr(session.sampling, name))
                yield from self._field(name, label, value, hint)
            window = "" if session.window is None else str(session.window)
            yield from self._field("window", "window", window, "last tokens seen; empty: all")
            sinks = "" if session.window is None else str(session.sinks)
            yield from self._field("sinks", "sinks", sinks, "first tokens kept; empty: as it is")
            yield Static(safe(""), id="form-cost")
            yield Static(safe(""), id="form-error")

    def _field(self, name: str, label: str, value: str, hint: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static(safe(label), classes="label")
            yield FilterInput(
                safe_line(value),
                placeholder=safe_line(hint),
                select_on_focus=False,
                id=f"field-{name}",
            )

    def on_mount(self) -> None:
        """Begin in the title."""
        self.query_one("#field-title", Input).focus()

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _show_cost(self) -> None:
        self.query_one("#form-error", Static).update(safe(""))
        try:
            wanted = self.wanted()
        except InvalidArgument:
            return  # not typed to its end; said when it is applied
        session = self._session
        is_read_again = wanted.system != session.system and session.num_messages > 0
        cost = self._cost_of() if is_read_again else ""
        self.query_one("#form-cost", Static).update(safe(cost))

    @on(Input.Submitted)
    def _apply_line(self) -> None:
        self.action_apply()

    def wanted(self) -> SessionSettings:
        """Return what stands in the form; raises InvalidArgument, naming the field."""
        values: dict[str, object] = {}
        for name, _, _ in SAMPLING:
            typed = self._typed(name)
            values[name] = list_of_texts(typed) if name == "stop" else parse_value(typed)
            if values[name] is None and name not in ("seed", "max_tokens"):
                values[name] = getattr(SamplingParams(), name)
        system = self.query_one("#field-system", TextArea).text
        if system == clean(self._session.system or ""):  # unchanged: exactly as it was
            system = self._session.system or ""
        return SessionSettings(
            self._typed("title"),
            system if system.strip() else None,
            self._session.sampling.with_values(values),
            whole_number("window", self._typed("window")),
            whole_number("sinks", self._typed("sinks")),
        )

    def _typed(self, name: str) -> str:
        return self.query_one(f"#field-{name}", Input).value.strip()

    def action_apply(self) -> None:
        """Return what was typed, or say in the form what cannot be."""
        try:
            wanted = self.wanted()
        except InvalidArgument as error:
            self.query_one("#form-error", Static).update(safe(error.sentence))
            self.query_one("#form-error").scroll_visible(animate=False)
            return
        self.dismiss(wanted)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()
