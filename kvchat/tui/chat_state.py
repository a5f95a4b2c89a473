"""ChatState: what the app knows about each session beside the session itself.

Unread counts, scroll places, which session is shown and which were before. Drafts and prompts that
wait in line belong to the session itself. Plain objects; widgets only show them.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvchat.tui.glyphs import Glyphs
from kvchat.tui.prompt_history import PromptHistory
from kvchat.tui.safe import safe_line

if TYPE_CHECKING:
    from kvchat.runtime import ChatRuntime
    from kvchat.session.reply import Reply
    from kvchat.session.session import Session
    from kvchat.tui.message_lines import MessageLines

UNDO_DELETE_SECONDS = 10.0


@dataclass(slots=True)
class ScrollPlace:
    """The line at the top of the transcript: a message, and a line of it."""

    message_id: str
    line: int


@dataclass(slots=True)
class SessionView:
    """One session as the user left it on screen."""

    session: "Session"
    num_unread: int = 0
    scroll_place: ScrollPlace | None = None
    """None while the transcript follows its end."""
    is_short: bool = False
    """Whether long code and long pastes show only their beginning."""
    was_told_full: bool = False
    """Whether the user knows that the context is nearly full."""
    entries: dict[str, "MessageLines"] = field(default_factory=dict)
    """The lines of messages shown before, so that coming back is free."""
    path: list[str] = field(default_factory=list)
    """Ids of the messages last shown, from the root to the tip."""
    last_reply: "Reply | None" = None
    read_position: int = 0
    """How far the last reply was read, for its `read`."""
    running_reply: "Reply | None" = None
    """The reply that was running when the session was last looked after."""

    @property
    def draft(self) -> str:
        """What stands in the prompt while this session is shown; stored with it."""
        return self.session.draft

    @draft.setter
    def draft(self, text: str) -> None:
        self.session.set_draft(text)

    @property
    def waiting_prompts(self) -> tuple[str, ...]:
        """Prompts that are sent one after the other when the running reply has ended."""
        return self.session.waiting

    @property
    def is_running(self) -> bool:
        """Whether a reply of this session is queued or being made."""
        reply = self.session.reply
        return reply is not None and not reply.is_finished

    @property
    def state_name(self) -> str:
        """The name of the session's state, in capitals as in its enum."""
        return self.session.state.name


class ChatState:
    """All sessions as shown in lists, in the runtime's stable order."""

    def __init__(self) -> None:
        self.views: dict[str, SessionView] = {}
        self.shown: SessionView | None = None
        self.recent: list[str] = []
        self.history = PromptHistory()
        self.deleted: dict[str, float] = {}
        """Sessions hidden by /delete, and when they are really deleted."""

    def refresh(self, runtime: "ChatRuntime") -> None:
        """Take over the runtime's list of sessions; known ones keep their view."""
        views: dict[str, SessionView] = {}
        for session in runtime.sessions():
            views[session.id] = self.views.get(session.id) or SessionView(session)
        self.views = views
        self.recent = [key for key in self.recent if key in views]

    @property
    def listed(self) -> list[SessionView]:
        """The sessions the user can see, oldest first."""
        return [view for key, view in self.views.items() if key not in self.deleted]

    @property
    def by_recency(self) -> list[SessionView]:
        """The visible sessions, the one looked at last first, never shown ones at the end."""
        known = [self.views[key] for key in self.recent if key not in self.deleted]
        return known + [view for view in reversed(self.listed) if view not in known]

    def show(self, view: SessionView) -> None:
        """Make a session the shown one; it has been read now."""
        self.shown = view
        view.num_unread = 0
        key = view.session.id
        self.recent = [key, *(other for other in self.recent if other != key)]

    def neighbour(self, step: int) -> SessionView | None:
        """Return the session `step` places further in the list, around its ends."""
        listed = self.listed
        if not listed or self.shown not in listed:
            return listed[0] if listed else None
        return listed[(listed.index(self.shown) + step) % len(listed)]

    def next_unread(self) -> SessionView | None:
        """Return the next session with something unread, after the shown one."""
        listed = self.listed
        start = listed.index(self.shown) + 1 if self.shown in listed else 0
        for view in listed[start:] + listed[:start]:
            if view.num_unread or (view.state_name == "ERROR" and view is not self.shown):
                return view
        return None


def title_of(session: "Session") -> str:
    """Return the cleaned title of a session; never empty."""
    title = safe_line(session.title).strip()
    return title or "new chat"


def mark_of(view: SessionView, glyphs: Glyphs) -> tuple[str, str]:
    """Return the mark that stands beside a session and its style; empty when idle and read."""
    session, name = view.session, view.state_name
    if name == "STREAMING":
        return glyphs.streaming, "good"
    if name == "PREFILL":
        return f"{glyphs.prefill} {session.prefill_progress * 100:.0f}%", "accent"
    if name == "WAITING":
        place = session.queue_place
        return glyphs.waiting + (f" {place[0]}/{place[1]}" if place else ""), "accent"
    if name == "LOADING":
        return glyphs.waiting, "dim"
    if name == "ERROR":
        return glyphs.error, "error"
    if view.num_unread:
        return f"{glyphs.unread} {view.num_unread}", "accent"
    return "", ""
