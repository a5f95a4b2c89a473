"""Find: a text searched for in the shown chat: its hits, the one that is looked at, their marks."""

import re
from typing import TYPE_CHECKING

from kvchat.clean_text import clean
from kvchat.tui.find_marks import pattern_of

if TYPE_CHECKING:
    from kvchat.tui.screens.chat import ChatScreen


class Find:
    """The search of one chat screen; nothing is searched for until `look_for`."""

    def __init__(self, chat: "ChatScreen") -> None:
        self._chat = chat
        self._pattern: re.Pattern[str] | None = None
        self._hits: list[tuple[str, int]] = []
        """For each hit, oldest first: its message, and the how-manieth it is there."""
        self._place = -1

    @property
    def is_active(self) -> bool:
        """Whether hits are marked."""
        return self._pattern is not None

    @property
    def count_words(self) -> str:
        """Which hit of how many is looked at."""
        if self._pattern is None:
            return ""
        return f"{self._place + 1}/{len(self._hits)}" if self._hits else "not found"

    def look_for(self, wanted: str, message_id: str | None = None) -> None:
        """Mark every hit and show the last one, or the first one in a message; '' ends it."""
        self._pattern = pattern_of(wanted)
        self._hits = []
        if self._pattern is not None:
            for entry in self._chat.transcript.entries:
                count = len(self._pattern.findall(clean(entry.text)))
                self._hits += [(entry.message_id, number) for number in range(count)]
        self._place = len(self._hits) - 1
        if message_id is not None:
            places = [place for place, hit in enumerate(self._hits) if hit[0] == message_id]
            self._place = places[0] if places else self._place
        self._chat.transcript.mark_hits(self._pattern)
        self._show()

    def step(self, step: int) -> None:
        """Show the next hit below, or above for -1; behind the last one comes the first."""
        if self._hits:
            self._place = (self._place + step) % len(self._hits)
            self._show()

    def close(self) -> None:
        """Mark nothing any more."""
        if self._pattern is not None:
            self._pattern, self._hits, self._place = None, [], -1
            self._chat.transcript.mark_hits(None)

    @property
    def message_id(self) -> str | None:
        """The message of the hit that is looked at."""
        return self._hits[self._place][0] if self._hits else None

    def _show(self) -> None:
        if self._hits:
            message_id, number = self._hits[self._place]
            self._chat.transcript.show_hit(message_id, number)
