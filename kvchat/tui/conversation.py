"""The conversation of a session as MessageLines: headers, notes, waiting prompts.

Reads the session and keeps what was made in its SessionView, so that only what changed is made
again. Knows no widgets.
"""

from typing import TYPE_CHECKING

from kvchat.tui.cells import Line, wrap_ranges
from kvchat.tui.chat_state import SessionView
from kvchat.tui.figures import token_count
from kvchat.tui.glyphs import Glyphs
from kvchat.tui.message_lines import MessageHead, MessageLines
from kvchat.tui.model_reach import reaches
from kvchat.tui.safe import safe_line
from kvchat.tui.themes import NUM_HUES

if TYPE_CHECKING:
    from kvchat.session.message import Message
    from kvchat.session.session import Session

WELCOME = (
    ("Type a message and press Enter.", ""),
    ("While it answers, open another chat with ^n: they run side by side.", "dim"),
    ("/fork goes on from here in a second chat, without copying anything.", "dim"),
    ("F3 shows the memory, block by block. F1 shows every key.", "dim"),
)
"""What an empty chat says."""
MARGIN_CELLS = 3


def welcome_lines(width: int) -> list[Line]:
    """Return what an empty chat says, in lines of at most `width` cells."""
    margin = " " * min(MARGIN_CELLS, width // 10)
    lines: list[Line] = [()]
    for number, (text, style) in enumerate(WELCOME):
        for start, end in wrap_ranges(text, max(width - len(margin), 1)):
            lines.append(((margin + text[start:end], style),))
        if not number:
            lines.append(())
    return lines


def entries_of(view: SessionView, glyphs: Glyphs) -> list[MessageLines]:
    """Return the messages of a session and the prompts that wait in line, oldest first.

    A running reply is read up to `view.read_position`, from where its text goes on.
    """
    session = view.session
    messages = session.messages
    entries: list[MessageLines] = []
    path = [message.id for message in messages]
    moved = _first_difference(path, view.path)
    for message_id in path[moved:] if moved < len(view.path) else []:
        if message_id in view.entries:
            view.entries[message_id].forget_siblings()
    view.path = path
    for message in messages:
        entries.append(_entry(view, message, glyphs))
    found, last_dropped, rule = reaches(session)
    for entry in entries:
        key = entry.message_id
        entry.set_reach(found.get(key, "seen"), rule if key == last_dropped else "")
    for number, text in enumerate(view.waiting_prompts):
        head = MessageHead("waiting", words=("waits in line",))
        entry = MessageLines(f"waiting {number}", head, text, glyphs)
        entries.append(entry)
    return entries


def _entry(view: SessionView, message: "Message", glyphs: Glyphs) -> MessageLines:
    session, reply = view.session, view.session.reply
    text, is_live = message.text, False
    if reply is not None and reply.message_id == message.id:
        is_live = not reply.is_finished
        # The place to read on from belongs to this text; the message may be ahead of it.
        said, view.read_position = reply.read(0)
        text = said if is_live else text
    entry = view.entries.get(message.id)
    head = _head(session, message, is_live)
    note = _note(view, message, is_live, bool(text), glyphs)
    if entry is None:
        entry = MessageLines(
            message.id,
            head,
            text,
            glyphs,
            lambda: _place_among(session, message.id),
        )
        view.entries[message.id] = entry
    entry.update(head, text, note, is_live)
    entry.shorten_long(view.is_short)
    return entry


def _head(session: "Session", message: "Message", is_live: bool) -> MessageHead:
    words: list[str] = []
    if message.role == "assistant" and not is_live:
        words.append(f"{token_count(message.num_tokens)} tok")
        if message.decode_tokens_per_second:
            words.append(f"{message.decode_tokens_per_second:.1f} tok/s")
        if message.num_cached_tokens:
            words.append(f"{token_count(message.num_cached_tokens)} reused")
    if message.is_edited:
        words.append("edited")
    warning = {"INTERRUPTED": "interrupted", "FAILED": "failed"}.get(message.state.name, "")
    return MessageHead(
        message.role,
        session.tag,
        session.hue_index % NUM_HUES,
        message.created_at,
        tuple(words),
        warning,
        safe_line(message.label or ""),
    )


def _note(
    view: SessionView, message: "Message", is_live: bool, has_text: bool, glyphs: Glyphs
) -> str:
    if is_live:
        return "" if has_text else waiting_words(view)
    if message.state.name == "FAILED":
        sentence = safe_line(view.session.error or "The reply stopped.")
        return f"{glyphs.error} {sentence} /retry tries again."
    return ""


def waiting_words(view: SessionView) -> str:
    """Return what a reply without text waits for, empty when it waits for nothing."""
    session, name = view.session, view.state_name
    if name == "LOADING":
        return "waits for the model to load"
    if name == "PREFILL":
        return f"reading the prompt, {session.prefill_progress * 100:.0f}%"
    if name == "WAITING":
        place = session.queue_place
        return "waits for room" + (f", {place[0]} of {place[1]}" if place else "")
    return ""


def _place_among(session: "Session", message_id: str) -> tuple[int, int]:
    siblings = session.siblings(message_id)
    return (siblings.index(message_id) + 1 if message_id in siblings else 1), len(siblings)


def _first_difference(first: list[str], second: list[str]) -> int:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
