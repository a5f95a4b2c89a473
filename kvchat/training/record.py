"""Records of a corpus: texts and chats, one JSON object a line, as its files hold them.

Knows no tokens. What is no record is named by file and line, since a corpus is written by hand and
by programs of others.
"""

import json
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kvchat.errors import InvalidArgument

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat as the corpus stores it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """A text (messages is empty) or a chat (text is empty), and the source it came from."""

    source: str
    text: str
    messages: tuple[Message, ...]


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a `.jsonl` or `.jsonl.zst` file in order; empty lines are passed over.

    Raises InvalidArgument, with the number of the line, for what is no record, and for a file that
    cannot be read.
    """
    number = 0
    try:
        for line in _lines(path):
            number += 1
            if line.strip():
                yield _record(line)
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"{path} is not UTF-8 behind line {number}; convert it first."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{path}, line {number}, is no record: {error}; mend or delete that line."
        ) from error


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".zst":
        with path.open(encoding="utf-8-sig") as plain:
            yield from plain
        return
    import zstandard  # only the corpus needs it

    unpack = zstandard.ZstdDecompressor().decompressobj()
    decoder, rest = getincrementaldecoder("utf-8-sig")(), ""
    with path.open("rb") as packed:
        try:
            while not unpack.eof and (chunk := packed.read(CHUNK_BYTES)):
                *lines, rest = (rest + decoder.decode(unpack.decompress(chunk))).split("\n")
                yield from lines
        except zstandard.ZstdError as error:
            raise OSError(f"it is damaged, {error}") from error
    if not unpack.eof:
        raise OSError("it is cut off")
    yield rest + decoder.decode(b"", final=True)


def _record(line: str) -> Record:
    """Return the record of a line; raises ValueError with what is wrong."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:  # whose own text counts lines within this one
        raise ValueError(f"it is no JSON ({error.msg.lower()})") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("source"), str):
        raise ValueError("it is no object with a 'source'")
    text, found = fields.get("text", ""), fields.get("messages", [])
    if not isinstance(text, str) or not isinstance(found, list):
        raise ValueError("its 'text' is no text, or its 'messages' no list")
    messages = []
    for message in found:
        role, content = (
            (message.get("role"), message.get("content"))
            if isinstance(message, dict)
            else (None, None)
        )
        if not isinstance(role, str) or not isinstance(content, str):
            raise ValueError("a message needs a 'role' and a 'content'")
        messages.append(Message(role, content))
    for each in (text, *(message.content for message in messages)):
        each.encode()  # half a surrogate pair is no text
    return Record(fields["source"], text, tuple(messages))
