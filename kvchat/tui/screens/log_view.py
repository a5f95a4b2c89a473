"""LogView: the last lines of the log file, read again each second; it never holds chat text."""

import os
from pathlib import Path

from textual.containers import VerticalScroll
from textual.widgets import Static

from kvchat.tui.safe import safe
from kvchat.tui.screens.help import Help

SHOWN_BYTES = 64 * 1024
READ_SECONDS = 1.0


class LogView(Help):
    """A page that follows the end of a file while its end is in view."""

    def __init__(self, path: Path) -> None:
        super().__init__("Log", [last_lines(path)])
        self._path = path
        self._said = self._page_lines[0]

    def on_mount(self) -> None:
        """Begin at the end, and look for new lines."""
        self.query_one("#page", VerticalScroll).scroll_end(animate=False)
        self.set_interval(READ_SECONDS, self.read)

    def read(self) -> None:
        """Show what the file holds now."""
        text = last_lines(self._path)
        if text == self._said:
            return
        self._said = text
        page = self.query_one("#page", VerticalScroll)
        is_at_end = page.scroll_offset.y >= page.max_scroll_y
        page.query_one(Static).update(safe(text))
        if is_at_end:
            page.scroll_end(animate=False)


def last_lines(path: Path) -> str:
    """Return the end of a log file, from the beginning of a line on; words when it is empty."""
    try:
        with open(path, "rb") as file:
            start = max(file.seek(0, os.SEEK_END) - SHOWN_BYTES, 0)
            file.seek(start)
            text = file.read(SHOWN_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    if start_is_cut := bool(text) and path.stat().st_size > SHOWN_BYTES:
        text = text.partition("\n")[2]
    text = text.rstrip("\n")
    if text:
        return f"…\n{text}" if start_is_cut else text
    return f"Nothing was logged. The log is {path}; it never holds what is said in chats."
