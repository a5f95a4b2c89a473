"""Reading a conversation from a file: kvchat JSON or Markdown, neither of which is trusted.

What is wrong is said in one sentence and nothing is stored. Text is stored as text: lone surrogates
and NUL become visible marks, and no control token can come out of it. Token ids are only carried
along: nothing computes with them until they were proved to be what the text gives (`proof.py`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from time import time
from typing import NoReturn

from kvchat.clean_text import storable
from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.session.export import FORMAT, HEADING_LINE, HEADINGS, SESSION_FIELDS
from kvchat.session.exported_chat import ExportedChat
from kvchat.store.rows import MessageRow, SessionRow, new_id
from kvchat.untrusted import JsonValue, UntrustedFile, strict_json

MAX_BYTES = 64 << 20
MAX_MESSAGES = 100_000
MAX_NAME_LENGTH = 4096
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INT32 = range(-(1 << 31), 1 << 31)


def import_text(text: str) -> ExportedChat:
    """Return the conversation of a kvchat JSON or Markdown text.

    Raises InvalidArgument with one sentence for a text that is neither, or makes no sense.
    """
    if len(text) > MAX_BYTES:
        _refuse(f"it has {len(text)} characters, at most {MAX_BYTES} are read")
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return _from_json(text.lstrip("\ufeff"))
    return _from_markdown(storable(text.lstrip("\ufeff")))


def _refuse(why: str) -> NoReturn:
    raise InvalidArgument(f"Cannot import this chat: {why}.")


# JSON


def _from_json(text: str) -> ExportedChat:
    try:
        document = strict_json(text.encode("utf-8", "surrogatepass"), max_depth=8, name="it")
    except UntrustedFile as error:
        _refuse(error.sentence.rstrip("."))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        _refuse(f'its "format" is not "{FORMAT}"')
    if document.keys() != {"format", "session", "messages"}:
        _refuse('it has other parts than "format", "session" and "messages"')
    values, listed = document["session"], document["messages"]
    if not isinstance(values, dict) or not isinstance(listed, list):
        _refuse('its "session" is no object or its "messages" are no list')
    if len(listed) > MAX_MESSAGES:
        _refuse(f"it has {len(listed)} messages, at most {MAX_MESSAGES} are read")
    unknown = sorted(values.keys() - set(SESSION_FIELDS))
    if unknown:
        _refuse(f"its session has the unknown field {unknown[0][:40]!a}")
    session = SessionRow(
        **{name: _SESSION_CHECKS[name](value, name) for name, value in values.items()}  # type: ignore[arg-type]
        | {name: new_id() for name in ("id", "tree_id") if name not in values}
    )
    messages: dict[str, MessageRow] = {}
    for number, each in enumerate(listed, start=1):
        row = _message(each, f"message {number}", session.tree_id)
        if row.id in messages:
            _refuse(f"message {number} has the id of another message")
        if row.parent_id is not None and row.parent_id not in messages:
            _refuse(f"message {number} is below a message that does not stand before it")
        messages[row.id] = row
    if session.tip_id is not None and session.tip_id not in messages:
        _refuse("its session stands on a message that is not in it")
    return ExportedChat(session, tuple(messages.values()))


def _message(value: JsonValue, name: str, tree_id: str) -> MessageRow:
    if not isinstance(value, dict):
        _refuse(f"{name} is no object")
    for needed in ("id", "role", "text"):
        if needed not in value:
            _refuse(f"{name} has no {needed}")
    unknown = sorted(value.keys() - _MESSAGE_CHECKS.keys())
    if unknown:
        _refuse(f"{name} has the unknown field {unknown[0][:40]!a}")
    checked = {
        field: _MESSAGE_CHECKS[field](each, f"the {field} of {name}")
        for field, each in value.items()
        if field in _MESSAGE_FIELDS
    }
    return MessageRow(tree_id=tree_id, **{"parent_id": None} | checked)  # type: ignore[arg-type]


def _text(value: JsonValue, name: str) -> str:
    if not isinstance(value, str):
        _refuse(f"{name} is not text")
    return storable(value)


def _name(value: JsonValue, name: str) -> str:
    text = _text(value, name)
    if len(text) > MAX_NAME_LENGTH:
        _refuse(f"{name} has {len(text)} characters, at most {MAX_NAME_LENGTH} are read")
    return text


def _id(value: JsonValue, name: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        _refuse(f"{name} is not an id")
    return value


def _date(value: JsonValue, name: str) -> str:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            date.fromisoformat(value)  # which the template will ask for at every message
            return value
    except ValueError:
        pass  # as in 2020-99-99
    _refuse(f"{name} is not a date")


def _integer(low: int, high: int) -> "Callable[[JsonValue, str], int]":
    def check(value: JsonValue, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _refuse(f"{name} is no integer from {low} to {high}")
        return value

    return check


def _number(value: JsonValue, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) > 1e15:  # type: ignore[arg-type]  # a number
        _refuse(f"{name} is no number in its range")
    return float(value)  # type: ignore[arg-type]  # a number


def _flag(value: JsonValue, name: str) -> bool:
    if not isinstance(value, bool):
        _refuse(f"{name} is neither true nor false")
    return value


def _one_of(*allowed: str) -> "Callable[[JsonValue, str], str]":
    def check(value: JsonValue, name: str) -> str:
        if value not in allowed:
            _refuse(f"{name} is none of {', '.join(allowed)}")
        return str(value)

    return check


def _or_none(check: "Callable[[JsonValue, str], object]") -> "Callable[[JsonValue, str], object]":
    return lambda value, name: None if value is None else check(value, name)


def _token_ids(value: JsonValue, name: str) -> tuple[int, ...]:
    """Return ids that can be stored; impossible ones are ignored, the text is encoded again."""
    if not isinstance(value, list):
        return ()
    ids = tuple(each for each in value if isinstance(each, int) and not isinstance(each, bool))
    is_possible = len(ids) == len(value) and all(each in _INT32 for each in ids)
    # Only the first may be negative: it says how much of the history stands; see `prompt.py`.
    return ids if is_possible and all(each >= 0 for each in ids[1:]) else ()


def _sampling(value: JsonValue, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        _refuse(f"{name} is no object")
    try:
        SamplingParams().with_values(value)
    except (InvalidArgument, TypeError) as error:
        why = error.sentence if isinstance(error, InvalidArgument) else "a field has a wrong type."
        _refuse(f"its sampling is impossible: {why.rstrip('.')}")
    return value


_SESSION_CHECKS: Mapping[str, Callable[[JsonValue, str], object]] = {
    "id": _id,
    "tree_id": _id,
    "title": _name,
    "system": _or_none(_text),
    "sampling": _sampling,
    "window": _or_none(_integer(1, 2**31 - 1)),
    "sinks": _integer(-1, 2**31 - 1),
    "tip_id": _or_none(_id),
    "created_at": _number,
    "template_date": _or_none(_date),
    "draft": _text,
}
_MESSAGE_FIELDS = frozenset(field.name for field in fields(MessageRow)) - {"tree_id"}
_MESSAGE_CHECKS: Mapping[str, Callable[[JsonValue, str], object]] = {
    "id": _id,
    "parent_id": _or_none(_id),
    "role": _one_of("user", "assistant"),
    "text": _text,
    "token_ids": _token_ids,
    "state": _one_of("done", "interrupted", "failed"),
    "created_at": _number,
    "model_name": _or_none(_name),
    "seed": _or_none(_integer(0, 2**64 - 1)),
    "finish_reason": _or_none(_name),
    "error": _or_none(_name),
    "num_cached_tokens": _integer(0, 2**31 - 1),
    "decode_tokens_per_second": _number,
    "is_edited": _flag,
    "label": _or_none(_name),
    "notice": _or_none(_name),
    "system_key": _or_none(_name),
    "is_hidden": _flag,
    "window": _or_none(_integer(1, 2**31 - 1)),
    "sinks": _or_none(_integer(-1, 2**31 - 1)),
}


# Markdown


def _from_markdown(text: str) -> ExportedChat:
    """Return a conversation without branches; what stands before the first heading is its title.

    A file whose lines all end as on Windows went through an editor there, so none keeps that end.
    """
    if text.count("\n") == text.count("\r\n"):
        text = text.replace("\r\n", "\n")
    parts = re.split(r"^## (System|User|Assistant)[ \t]*$", text, flags=re.MULTILINE)
    if len(parts) < 3:
        _refuse(f'it is no kvchat JSON, and has no line "{HEADINGS["user"]}" as in kvchat Markdown')
    head = re.search(r"^# +(.+?)\s*$", parts[0], re.MULTILINE)
    system: str | None = None
    turns: list[tuple[str, str]] = []
    for heading, content in zip(parts[1::2], parts[2::2], strict=True):
        content = HEADING_LINE.sub(lambda line: line[1][1:] + line[2], content.strip("\r\n"))
        role = heading.lower()
        if role == "system":
            if system is not None or turns:
                _refuse('"## System" stands elsewhere than once, before all messages')
            system = content
        elif turns and turns[-1][0] == role:
            turns[-1] = role, f"{turns[-1][1]}\n\n{content}"
        else:
            turns.append((role, content))
    if turns and turns[0][0] != "user":
        _refuse("its first message is not the user's")
    if len(turns) > MAX_MESSAGES:
        _refuse(f"it has {len(turns)} messages, at most {MAX_MESSAGES} are read")
    tree_id = new_id()
    messages: list[MessageRow] = []
    for role, content in turns:
        parent_id = messages[-1].id if messages else None
        messages.append(MessageRow(new_id(), tree_id, parent_id, role, content))  # type: ignore[arg-type]
    session = SessionRow(
        id=new_id(),
        tree_id=tree_id,
        title=head[1][:MAX_NAME_LENGTH] if head else "",
        system=system,
        sampling=SamplingParams().to_dict(),
        sinks=-1,
        created_at=time(),
        template_date=date.today().isoformat(),
        tip_id=messages[-1].id if messages else None,
    )
    return ExportedChat(session, tuple(messages))
