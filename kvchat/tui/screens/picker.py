"""Picker: a list narrowed by typing; the base of switcher, palette and rewind menu."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from kvchat.tui.cells import Line, fit, shorten
from kvchat.tui.glyphs import plain_text
from kvchat.tui.safe import safe, safe_line
from kvchat.tui.widgets.line_widget import LineWidget

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Choice(Generic[Value_co]):
    """One line of a picker; its texts are cleaned, `value` is what choosing it returns."""

    text: str
    value: Value_co
    note: str = ""
    style: str = ""
    mark: str = ""
    is_current: bool = False


class FilterInput(Input):
    """A one-line input that never holds what a terminal would obey."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(safe_line(event.text[:200]))


class ChoiceList(LineWidget):
    """The lines of a picker, with one chosen."""

    class Clicked(Message):
        """A line was clicked: it is chosen now and wanted."""

    def __init__(self) -> None:
        super().__init__(id="choices")
        self.choices: Sequence[Choice[object]] = ()
        self.chosen = 0
        self._first = 0

    def show(self, choices: Sequence[Choice[object]], chosen: int) -> None:
        """Show other lines."""
        self.choices, self.chosen = choices, chosen
        self._drawn_size = (-1, -1)
        self.refresh()

    def lines_for(self, width: int, height: int) -> list[Line]:
        """Return the lines around the chosen one."""
        self._first = min(self._first, max(len(self.choices) - height, 0))
        if self.chosen < self._first:
            self._first = self.chosen
        elif self.chosen >= self._first + height:
            self._first = self.chosen - height + 1
        lines: list[Line] = []
        if not self.choices:
            return [((" nothing fits", "dim"),)]
        for index in range(self._first, min(self._first + height, len(self.choices))):
            lines.append(self._choice_line(index, width))
        return lines

    def _choice_line(self, index: int, width: int) -> Line:
        choice, glyphs = self.choices[index], self.app.glyphs
        chosen = " chosen" if index == self.chosen else ""
        pointer = glyphs.chosen if chosen else " "
        note = shorten(choice.note, width // 2, glyphs.ellipsis)
        note_cells = cell_len(note)
        mark = f"{choice.mark} " if choice.mark else ""
        room = width - 3 - note_cells - (2 if note else 0)
        text = fit(f"{mark}{choice.text}", room, glyphs.ellipsis)
        bold = " bold" if choice.is_current else ""
        return (
            (f" {pointer} ", f"accent{chosen}"),
            (text, f"{choice.style}{chosen}{bold}".strip()),
            ("  " if note else "", chosen.strip()),
            (fit(note, note_cells), f"dim{chosen}"),
        )

    async def _on_click(self, event: events.Click) -> None:
        index = self._first + event.y
        if index < len(self.choices):
            self.chosen = index
            self.post_message(self.Clicked())


class Picker(ModalScreen[Value | None]):
    """A modal list; Enter returns the chosen value, Esc returns None."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "leave", show=False, priority=True),
        Binding("enter", "choose", show=False, priority=True),
        Binding("up,ctrl+k", "move(-1)", show=False, priority=True),
        Binding("down,ctrl+j", "move(1)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice[Value]],
        *,
        chosen: int = 0,
        placeholder: str = "type to narrow",
    ) -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._chosen = chosen
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Build the frame: title, input, list."""
        with Vertical(id="picker") as frame:
            frame.border_title = safe(self._title)
            placeholder = plain_text(self._placeholder, self.app.glyphs)
            yield FilterInput(placeholder=safe_line(placeholder), select_on_focus=False)
            yield ChoiceList()

    def on_mount(self) -> None:
        """Size the list to what it holds, and show all of it."""
        self._resize_list()
        self._list.show(self._choices, min(self._chosen, max(len(self._choices) - 1, 0)))
        self.query_one(FilterInput).focus()

    @property
    def _list(self) -> ChoiceList:
        return self.query_one(ChoiceList)

    def _resize_list(self) -> None:
        rows = max(min(len(self._choices), self.app.size.height - 6), 1)
        self._list.styles.height = rows

    def on_resize(self, _event: events.Resize) -> None:
        """Fit the list to the new size."""
        self._resize_list()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        wanted = event.value.strip().lower()
        if not wanted:
            self._list.show(self._choices, min(self._chosen, max(len(self._choices) - 1, 0)))
            return
        self._list.show(self.narrowed(wanted), 0)

    def show_choices(self, choices: Sequence[Choice[Value]]) -> None:
        """Show other choices, the first one chosen, in as many rows as they need."""
        self._list.show(choices, 0)
        self._list.styles.height = max(min(len(choices), self.app.size.height - 6), 1)

    def narrowed(self, wanted: str) -> list[Choice[Value]]:
        """Return the choices that fit what is typed, in small letters, the best first."""
        scored: list[tuple[int, Choice[Value]]] = [
            (score, choice)
            for choice in self._choices
            if (score := fuzzy_score(wanted, f"{choice.text} {choice.note}".lower())) is not None
        ]
        scored.sort(key=lambda pair: pair[0])
        return [choice for _, choice in scored]

    @on(ChoiceList.Clicked)
    def _take_clicked(self) -> None:
        self.action_choose()

    def action_move(self, step: int) -> None:
        """Choose another line."""
        count = len(self._list.choices)
        if count:
            self._list.show(self._list.choices, min(max(self._list.chosen + step, 0), count - 1))

    def action_choose(self) -> None:
        """Return the chosen value."""
        choices = self._list.choices
        if choices:
            value = choices[self._list.chosen].value
            self.dismiss(value)  # type: ignore[arg-type]  # the list holds what __init__ got

    def action_leave(self) -> None:
        """Return nothing."""
        self.dismiss(None)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()


def fuzzy_score(wanted: str, text: str) -> int | None:
    """Return how far `text` is from `wanted` (0 is best), None if letters are missing."""
    at = text.find(wanted)
    if at >= 0:
        return at if at == 0 or not text[at - 1].isalnum() else at + 50
    score = 200
    position = 0
    for letter in wanted:
        found = text.find(letter, position)
        if found < 0:
            return None
        score += found - position
        position = found + 1
    return score
