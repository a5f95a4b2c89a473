"""TreeScreen: all messages of a family, one line each; going, forking, naming and asking there."""

from typing import TYPE_CHECKING

from textual import on

from kvchat.errors import KVChatError
from kvchat.tui.cells import Line, fit
from kvchat.tui.chat_state import SessionView, mark_of
from kvchat.tui.command import Where
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.safe import safe_line
from kvchat.tui.screens.view import ViewBody, ViewScreen
from kvchat.tui.themes import NUM_HUES
from kvchat.tui.tree_rows import FILTERS, Filter, TreeRow, tree_rows

if TYPE_CHECKING:
    from kvchat.session.message import Message

REFRESH_SECONDS = 0.5
SHOWN_CHARACTERS = 400


class TreeScreen(ViewScreen):
    """The branch tree of the shown session."""

    place: Where = "tree"

    def __init__(self, view: SessionView) -> None:
        super().__init__()
        self._view = view
        self._tree = view.session.tree()
        self._path: list[str] = []
        self._rows: list[TreeRow] = []
        self._unfolded: dict[str, bool] = {}
        self._filter: Filter = "all"
        self._marked: set[str] = set()
        self._chosen = 0
        self._first = 0
        self._read()
        tip = self._path[-1] if self._path else None
        self.choose_message(tip)

    def on_mount(self) -> None:
        """Look again now and then: replies run, and others make branches."""
        self.set_interval(REFRESH_SECONDS, self.read_again)

    # -- state -----------------------------------------------------------------------------

    def _read(self) -> None:
        self._path = [message.id for message in self._view.session.messages]
        self._rows = tree_rows(self._tree, set(self._path), self._unfolded, self._filter)
        self._chosen = min(self._chosen, max(len(self._rows) - 1, 0))

    def read_again(self) -> None:
        """Take over what the tree is now; the chosen message stays chosen."""
        chosen = self.chosen_id
        self._tree = self._view.session.tree()
        self._marked &= set(self._tree.nodes)
        self._read()
        self.choose_message(chosen)
        self.update_view()

    @property
    def view(self) -> SessionView:
        """The session whose tree is shown."""
        return self._view

    @property
    def chosen_id(self) -> str | None:
        """The message the keys act on."""
        return self._rows[self._chosen].message_id if self._rows else None

    @property
    def chosen(self) -> "Message":
        """The message the keys act on; raises KVChatError when there is none."""
        if self.chosen_id is None:
            raise KVChatError("There is no message yet.")
        return self._tree.nodes[self.chosen_id].message

    @property
    def path(self) -> list[str]:
        """Ids of the messages from the root to the tip."""
        return self._path

    @property
    def marked(self) -> list[str]:
        """The marked messages, as they stand in the tree."""
        return [row.message_id for row in self._rows if row.message_id in self._marked]

    def choose_message(self, message_id: str | None) -> None:
        """Let the keys act on a message, if it is shown."""
        for index, row in enumerate(self._rows):
            if row.message_id == message_id:
                self._chosen = index

    def sessions_at(self, message_id: str) -> list[SessionView]:
        """Return the visible sessions that stand on a message."""
        ids = self._tree.nodes[message_id].session_ids
        return [view for view in self.app.chat.state.listed if view.session.id in ids]

    # -- keys ------------------------------------------------------------------------------

    def move(self, count: int) -> None:
        """Choose a row further down or up."""
        self._chosen = min(max(self._chosen + count, 0), max(len(self._rows) - 1, 0))

    def page(self, direction: int) -> None:
        """Move by what is seen at once."""
        self.move(direction * max(self.body.size.height - 1, 1))

    def go_to_parent(self) -> None:
        """Choose the message above in the conversation."""
        self.choose_message(self.chosen.parent_id)

    def go_to_child(self) -> None:
        """Unfold, else choose the first message below in the conversation."""
        row = self._rows[self._chosen] if self._rows else None
        if row is None:
            return
        if row.num_folded:
            self.fold()
            return
        children = self._tree.nodes[row.message_id].children
        if children:
            on_path = [child for child in children if child in self._path]
            self.choose_message((on_path or list(children))[0])

    def fold(self) -> None:
        """Fold what is below this message, or unfold it."""
        if not self._rows:
            return
        row = self._rows[self._chosen]
        if not self._tree.nodes[row.message_id].children:
            self.notice("Nothing is below this message.")
            return
        self._unfolded[row.message_id] = bool(row.num_folded)
        self._read()

    def mark(self) -> None:
        """Mark this message, or take its mark away."""
        key = self.chosen.id
        self._marked ^= {key}
        self.move(1)

    def change_filter(self) -> None:
        """Show all messages, those with a session, or only named places."""
        chosen = self.chosen_id
        self._filter = FILTERS[(FILTERS.index(self._filter) + 1) % len(FILTERS)]
        self._read()
        self.choose_message(chosen)

    @on(ViewBody.Clicked)
    def _clicked(self, event: ViewBody.Clicked) -> None:
        if self._first + event.y < len(self._rows):
            self._chosen = self._first + event.y
            self.update_view()
            if event.count == 2:
                self.press("enter")

    # -- drawing ---------------------------------------------------------------------------

    def head_line(self, width: int) -> Line:
        """Return what is shown of how much."""
        count = count_of(len(self._tree.nodes), "message")
        shown = {"all": "all", "mine": "with a chat", "labelled": "named places"}[self._filter]
        marked = f", {len(self._marked)} marked" if self._marked else ""
        right = f"{count}, {shown}{marked} "
        title = f" Tree  {safe_line(self._view.session.title)}"
        return ((fit(title, width - len(right), self.app.glyphs.ellipsis), "bold"), (right, "dim"))

    def body_lines(self, width: int, height: int) -> list[Line]:
        """Return the rows around the chosen one."""
        if not self._rows:
            return [((" Nothing is here yet.", "dim"),)]
        self._first = min(max(self._first, self._chosen - height + 1), self._chosen)
        shown = range(self._first, min(self._first + height, len(self._rows)))
        return [self._row_line(index, width) for index in shown]

    def _row_line(self, index: int, width: int) -> Line:
        row, glyphs = self._rows[index], self.app.glyphs
        node = self._tree.nodes[row.message_id]
        message = node.message
        chosen = " chosen" if index == self._chosen else ""
        bold = " bold" if message.id in self._path else ""
        corner = glyphs.bottom_left if row.is_last_child else glyphs.tee
        indent = "  " * max(row.depth - 1, 0) + (f"{corner} " if row.is_branch else "  ")
        indent = indent if row.depth else ""
        pointer = glyphs.chosen if chosen else " "
        mark = glyphs.marked if message.id in self._marked else " "
        who = "you" if message.role == "user" else glyphs.reply
        right = self._figures(row)
        tags = [
            (f" {view.session.tag}{self._mark_of(view)}", f"hue{view.session.hue_index % NUM_HUES}")
            for view in self.sessions_at(message.id)
        ]
        used = 3 + len(indent) + len(who) + 1 + len(right) + 1 + sum(len(text) for text, _ in tags)
        first_words = safe_line(message.text[:SHOWN_CHARACTERS]).strip() or glyphs.ellipsis
        text = fit(first_words, max(width - used, 4), glyphs.ellipsis)
        style = ("user" if message.role == "user" else "") + chosen
        return (
            (f"{pointer}{mark} ", f"accent{chosen}"),
            (indent, f"frame{chosen}"),
            (f"{who} ", f"{'user' if message.role == 'user' else 'dim'}{chosen}"),
            (text, f"{'' if message.role == 'user' else style}{chosen}{bold}".strip()),
            *((tag, f"{hue}{chosen} bold") for tag, hue in tags),
            (f" {right}", f"dim{chosen}"),
        )

    def _mark_of(self, view: SessionView) -> str:
        mark = mark_of(view, self.app.glyphs)[0]
        words = f" {mark}" if mark else ""
        count = view.session.stats().num_blocks
        return f"{words} {count} blk" if count else words

    def _figures(self, row: TreeRow) -> str:
        node, glyphs = self._tree.nodes[row.message_id], self.app.glyphs
        parts = []
        if row.num_folded:
            parts.append(f"{glyphs.left}{row.num_folded}{glyphs.right}")
        if node.label:
            parts.append(f"{glyphs.star} {safe_line(node.label)[:24]}")
        if node.message.is_edited:
            parts.append("edited")
        if node.message.state.name in ("INTERRUPTED", "FAILED"):
            parts.append(node.message.state.value)
        parts.append(f"{token_count(node.message.num_tokens)} tok")
        return f" {glyphs.dot} ".join(parts)
