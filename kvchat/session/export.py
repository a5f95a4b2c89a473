"""A conversation as Markdown, as HTML, or as JSON, of which `import_text` makes the same again.

JSON has the whole tree with exact token ids; the others have what the session shows. None of them
ever holds keys and values.
"""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from time import gmtime, strftime
from typing import Literal

from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument
from kvchat.session.exported_chat import ExportedChat
from kvchat.store.rows import MessageRow

ExportForm = Literal["md", "json", "html"]
EXPORT_FORMS = ("md", "json", "html")
FORMAT = "kvchat-session-1"
SESSION_FIELDS = (
    "id", "tree_id", "title", "system", "sampling", "window", "sinks", "tip_id", "created_at",
    "template_date", "draft",
)  # fmt: skip
"""What a file says of a session; the rest belongs to the place where it is stored."""
HEADINGS = {"system": "## System", "user": "## User", "assistant": "## Assistant"}
HEADING_LINE = re.compile(r"^(\\*)(## (?:System|User|Assistant)[ \t]*)$", re.MULTILINE)
_NAMES = {"user": "You", "assistant": "Assistant"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
section { margin: 1.2rem 0; } h2 { font-size: .9rem; margin: 0; opacity: .6; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; } .user .text { font-weight: 600; }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #e8e8ea; } }
"""


def export_chat(chat: ExportedChat, form: ExportForm, first: str | None = None) -> str:
    """Return a conversation in one of the three forms, perhaps only from one message on."""
    if form == "json":
        if first is not None:
            raise InvalidArgument("JSON holds the whole tree; export md or html from a message on.")
        return to_json(chat)
    if first is not None and first not in {row.id for row in chat.path}:
        raise InvalidArgument("This message is not part of the session as it stands.")
    return {"md": to_markdown, "html": to_html}[form](chat, first)


def to_json(chat: ExportedChat) -> str:
    """Return the whole tree as kvchat JSON, one message a line; equal chats give equal text."""
    session = {name: getattr(chat.session, name) for name in SESSION_FIELDS}
    lines = ",\n".join("  " + _dump(_message_values(row)) for row in chat.messages)
    return (
        f'{{"format": {_dump(FORMAT)},\n"session": {_dump(session)},\n"messages": [\n{lines}\n]}}\n'
    )


def _message_values(row: MessageRow) -> dict[str, object]:
    """Return what a file says of a message: its fields, without those nobody has set."""
    values = {
        field.name: getattr(row, field.name)
        for field in fields(row)
        if field.name != "tree_id" and getattr(row, field.name) != field.default
    }
    values.setdefault("state", "done")
    if row.state == "streaming":
        values["state"] = "interrupted"  # whoever reads the file has no more of it
    return values


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=dict)


def to_markdown(chat: ExportedChat, first: str | None = None) -> str:
    """Return what the session shows as Markdown; a line that looks like our headings is escaped."""
    title = " ".join(chat.session.title.split()) or "New chat"
    parts = [f"# {title}"]
    if chat.session.system is not None and first is None:
        parts += [HEADINGS["system"], _escaped(chat.session.system)]
    for row in _path_from(chat, first):
        parts += [HEADINGS[row.role], _escaped(row.text)]
    return "\n\n".join(parts) + "\n"


def _path_from(chat: ExportedChat, first: str | None) -> Sequence[MessageRow]:
    ids = [row.id for row in chat.path]
    return chat.path[ids.index(first) if first is not None else 0 :]


def _escaped(text: str) -> str:
    return HEADING_LINE.sub(r"\\\1\2", text.strip("\r\n"))


def to_html(chat: ExportedChat, first: str | None = None) -> str:
    """Return what the session shows as one HTML page that loads and runs nothing."""
    title = html.escape(clean(chat.session.title) or "New chat")
    when = strftime("%Y-%m-%d", gmtime(max(0.0, chat.session.created_at)))
    sections = []
    if chat.session.system is not None and first is None:
        sections.append(("system", "System", chat.session.system))
    sections += [(row.role, _NAMES[row.role], row.text) for row in _path_from(chat, first)]
    body = "\n".join(
        f'<section class="{role}"><h2>{name}</h2>'
        f'<div class="text">{html.escape(clean(text))}</div></section>'
        for role, name, text in sections
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<p>{when}</p>\n{body}\n</body>\n</html>\n"
    )
