"""What lists, status line and block panel say about a session; functions of state, no widgets."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kvchat.tui.chat_state import SessionView, mark_of, title_of
from kvchat.tui.conversation import waiting_words
from kvchat.tui.figures import count_of, token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.safe import safe_line
from kvchat.tui.themes import NUM_HUES
from kvchat.tui.widgets.sidebar import SessionLine

if TYPE_CHECKING:
    from kvchat.runtime import RuntimeStatus


def session_line(
    view: SessionView, views: Mapping[str, SessionView], is_shown: bool, glyphs: Glyphs
) -> SessionLine:
    """Return what sidebar and tabs say; `views` are all sessions, for the origin of a fork."""
    session = view.session
    mark, style = mark_of(view, glyphs)
    origin = views.get(session.origin or "")
    figures = [f"{glyphs.branch} {origin.session.tag}"] if origin is not None else []
    if not view.entries and session.reply is None:  # its figures would read it from the store
        figures.append(count_of(session.num_messages, "message"))
    else:
        stats = session.stats()
        figures.append(f"{token_count(stats.num_tokens)} tok")
        if stats.num_blocks:
            figures.append(f"{stats.num_blocks} blk")
        if stats.num_shared_blocks:
            figures.append(f"{stats.num_shared_blocks} shr")
    return SessionLine(
        session.id,
        session.tag,
        session.hue_index % NUM_HUES,
        title_of(session),
        mark,
        style,
        tuple(figures),
        is_shown,
        origin.session.tag if origin is not None else "",
    )


def state_words(view: SessionView, status: "RuntimeStatus") -> tuple[str, str]:
    """Return what a session does, in words, and their style; what went wrong comes first."""
    if status.state == "failed":
        return safe_line(status.sentence), "error"
    if status.state == "loading":
        part = f" {status.loaded_part:.0%}" if status.loaded_part else ""
        words = safe_line(status.notice) or f"loading {safe_line(status.model_name)}{part}"
        return words, "accent"
    if view.session.error and not view.is_running:
        return safe_line(view.session.error), "error"
    name = view.state_name
    waiting = len(view.waiting_prompts)
    line = f", {waiting} waiting in line" if waiting else ""
    if name == "STREAMING":
        return f"writing{line}", "good"
    if name in ("PREFILL", "WAITING"):
        return waiting_words(view) + line, "accent"
    return "ready", "dim"
