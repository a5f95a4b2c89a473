"""SessionRow: what the views of the pool say about one session beside its blocks.

Read from the session without waiting; text is cleaned here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.chat_state import SessionView, title_of
from kvchat.tui.figures import token_count
from kvchat.tui.themes import NUM_HUES

if TYPE_CHECKING:
    from kvchat.engine.sequence import ResumeCost


@dataclass(frozen=True, slots=True)
class Owner:
    """How the blocks of one session are drawn."""

    tag: str
    hue: int
    is_writing: bool


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What the views say about one session; the title is cleaned.

    num_tokens       tokens of its text, computed or not, as far as they are known
    num_disk_tokens  those only on disk
    prefill_speed    tokens per second at which its last prompt was read, 0 if unknown
    """

    title: str
    owner: Owner
    reused: str = ""
    speed: str = ""
    now: str = ""
    origin: str = ""
    num_tokens: int = 0
    num_disk_tokens: int = 0
    prefill_speed: float = 0.0


def row_of(view: SessionView, cost: "ResumeCost | None" = None) -> SessionRow:
    """Return the row of a session; `cost` says where its tokens are, if somebody asked."""
    session, name = view.session, view.state_name
    reply = session.reply
    reused = speed = ""
    prefill_speed = 0.0
    num_tokens = num_disk = 0
    if cost is not None:
        num_disk = cost.num_disk_tokens
        num_tokens = cost.num_resident_tokens + num_disk + cost.num_prefill_tokens
    if reply is not None:
        if reply.num_prompt_tokens:
            reused = f"{100 * reply.num_cached_tokens // reply.num_prompt_tokens}%"
        prefill_speed = reply.prefill_tokens_per_second
        if name in ("PREFILL", "WAITING"):
            num_tokens = max(num_tokens, session.stats().num_tokens)
    if name == "STREAMING" and reply is not None:
        speed = f"{reply.decode_tokens_per_second:.1f}"
    else:
        speed = {"PREFILL": "read", "WAITING": "wait", "LOADING": "load"}.get(name, "")
    return SessionRow(
        title_of(session),
        Owner(session.tag, session.hue_index % NUM_HUES, name in ("STREAMING", "PREFILL")),
        reused,
        speed,
        _now(view, speed, num_disk),
        session.origin or "",
        num_tokens,
        num_disk,
        prefill_speed,
    )


def _now(view: SessionView, speed: str, num_disk_tokens: int) -> str:
    session, name = view.session, view.state_name
    if name == "STREAMING":
        return f"{speed} tok/s"
    if name == "PREFILL":
        return f"reading {session.prefill_progress * 100:.0f}%"
    if name == "WAITING":
        place = session.queue_place
        return f"waits {place[0]}/{place[1]}" if place else "waits"
    if name == "LOADING":
        return "loading"
    if name == "ERROR":
        return "stopped"
    if view.num_unread:
        return f"unread {view.num_unread}"
    if num_disk_tokens:
        return f"{token_count(num_disk_tokens)} on disk"
    return "idle"


def family_order(rows: Mapping[str, SessionRow]) -> list[tuple[str, int, bool]]:
    """Return session ids with forks below their origin: (id, depth, is the last of its origin).

    Whatever the origins say, each session stands in the list once.
    """
    children: dict[str, list[str]] = {}
    for key, row in rows.items():
        parent = row.origin if row.origin in rows and row.origin != key else ""
        children.setdefault(parent, []).append(key)
    ordered: list[tuple[str, int, bool]] = []
    seen: set[str] = set()
    pending = [(key, 0, False) for key in reversed(children.get("", []))]
    while pending:
        key, depth, is_last = pending.pop()
        if key in seen:
            continue
        seen.add(key)
        ordered.append((key, depth, is_last))
        forks = children.get(key, [])
        pending += [(fork, depth + 1, place == 0) for place, fork in enumerate(reversed(forks))]
    ordered += [(key, 0, False) for key in rows if key not in seen]
    return ordered
