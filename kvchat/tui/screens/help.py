"""Help and other pages of plain lines, scrolled with the usual keys and left with Esc."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from kvchat.errors import InvalidArgument
from kvchat.tui.cells import fit
from kvchat.tui.command import Where
from kvchat.tui.glyphs import UNICODE, Glyphs, plain_text
from kvchat.tui.safe import safe
from kvchat.tui.widgets.plain_bar import PlainBar

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp
    from kvchat.tui.commands import Registry

_PLACES: tuple[tuple[Where, str], ...] = (
    ("prompt", "In the prompt"),
    ("chat", "Everywhere"),
    ("message", "On a message (alt+↑ puts the cursor there)"),
    ("token", "On the tokens of a message (t)"),
    ("tree", "In the tree of branches (^t)"),
    ("ask prompt", "Asking several branches (F5): the question"),
    ("ask", "Asking several branches: the answers"),
    ("blocks", "In the views of the pool (F3, or Tab to the panel)"),
)


def help_lines(
    registry: "Registry", first: Where = "prompt", glyphs: Glyphs = UNICODE
) -> list[str]:
    """Return the help page: every key and slash command, those of the place `first` on top."""
    lines: list[str] = []
    for where, title in sorted(_PLACES, key=lambda place: place[0] != first):
        lines += ["", title, ""]
        for command in registry.commands:
            if command.where == where and command.key_text:
                keys = plain_text(command.key_text, glyphs)
                lines.append(f"  {fit(keys, 16)} {command.title}")
    lines += ["", "Commands (a unique beginning is enough; // sends a literal slash)", ""]
    for command in registry.commands:
        if command.slash:
            names = f"/{command.slash} {command.args}".strip()
            lines.append(f"  {fit(names, 22)} {command.title}")
            if command.aliases:
                others = ", ".join(f"/{alias}" for alias in command.aliases)
                lines.append(f"  {fit('', 22)} also {others}")
            if command.help:
                lines.append(f"  {fit('', 22)} {command.help}")
    lines += [
        "",
        "The block panel (F3; again for the whole screen)",
        "",
        "  Every cell is a block of the KV cache, or several when room is short.",
        "  a…z     a block of one session, in its color",
        "  A…Z     a block being written",
        "  2…9 +   shared by so many sessions; a fork costs nothing until it writes",
        "  ░       cached, taken when room is short",
        "  ·       free      *  just copied before a write     x  just gave way",
        "  _       let go of by a window    =  only on disk    ?  to be computed",
        "  used + cached + free is always the whole pool.",
    ]
    return [plain_text(line, glyphs) for line in lines[1:]]


def topic_lines(registry: "Registry", topic: str) -> list[str]:
    """Return what help has on a topic: a command's name, a key, or words of what it does.

    Raises InvalidArgument where it has nothing.
    """
    wanted = topic.strip().removeprefix("/").lower()
    found = [each for each in registry.commands if wanted in (each.slash, *each.aliases, each.id)]
    found = found or [
        each
        for each in registry.commands
        if wanted in f"{each.id} {each.slash} {each.key_text} {each.title} {each.help}".lower()
    ]
    if not found:
        raise InvalidArgument(f"There is no help on “{topic[:40]}”; /help shows everything.")
    lines: list[str] = []
    for command in found:
        name = f"/{command.slash} {command.args}".strip() if command.slash else command.id
        lines += ["", name, "", f"  {command.title}"]
        if command.help:
            lines.append(f"  {command.help}")
        if command.aliases:
            lines.append("  also " + ", ".join(f"/{alias}" for alias in command.aliases))
        if command.key_text:
            lines.append(f"  key {command.key_text}")
    return lines[1:]


class Help(ModalScreen[None]):
    """A page of plain text."""

    app: "KVChatApp"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,ctrl+c,enter", "leave", show=False, priority=True),
        Binding("j,down", "scroll(1)", show=False, priority=True),
        Binding("k,up", "scroll(-1)", show=False, priority=True),
        Binding("pagedown,space", "scroll(15)", show=False, priority=True),
        Binding("pageup", "scroll(-15)", show=False, priority=True),
        Binding("home,g", "scroll(-100000)", show=False, priority=True),
        Binding("end,G", "scroll(100000)", show=False, priority=True),
        Binding("ctrl+q", "quit_app", show=False, priority=True),
    ]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self._page_lines = lines

    def compose(self) -> ComposeResult:
        """Build the page."""
        with VerticalScroll(id="page") as frame:
            frame.border_title = safe(self._title)
            frame.border_subtitle = safe("esc back")
            if self.app.settings.ascii:
                frame.vertical_scrollbar.renderer = PlainBar  # type: ignore[misc]  # only this one
            yield Static(safe("\n".join(self._page_lines)))

    def action_scroll(self, count: int) -> None:
        """Move the page by lines."""
        page = self.query_one("#page")
        page.scroll_to(y=page.scroll_offset.y + count, animate=False)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)

    def action_quit_app(self) -> None:
        """Quit from here as well."""
        self.app.leave()
