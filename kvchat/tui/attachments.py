"""Files as part of a prompt: reading one as text, and the paths that complete what is typed.

Only regular files of UTF-8 text up to MAX_FILE_BYTES are taken; a FIFO or device is never opened
for long, and nothing outside the named folder is listed.
"""

import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from kvchat.errors import InvalidArgument
from kvchat.tui.safe import safe_line
from kvchat.untrusted import FileMissing, read_regular

MAX_FILE_BYTES = 1024 * 1024
MAX_LISTED = 2_000
"""Entries of one folder that are looked at for a completion."""
MAX_PATHS = 50


def read_named(name: str, max_bytes: int) -> tuple[Path, bytes]:
    """Return the path of a file the user named, `~` expanded, and its content.

    Raises FileMissing, which says where it was looked for, and
    UntrustedFile for what is no regular file, is too long or cannot be read.
    """
    path = Path(os.path.expanduser(name))  # the method of Path raises for unknown users
    try:
        return path, read_regular(path, max_bytes)
    except FileMissing as error:
        place = "" if path.is_absolute() else f"; looked in {Path.cwd()}"
        raise FileMissing(f"{path} is missing{place}.") from error


def read_attachment(name: str) -> tuple[str, str]:
    """Return the cleaned name of a text file, and its content as a prompt holds it.

    Raises InvalidArgument for a name without a file, UntrustedFile for what is no regular file, is
    longer than 1 MiB or cannot be read.
    """
    if not name:
        raise InvalidArgument("Name the file: /attach notes.md.")
    path, content = read_named(name, MAX_FILE_BYTES)
    shown = safe_line(path.name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{shown} is not UTF-8 text; only text can be attached.") from error
    if "\0" in text:
        raise InvalidArgument(f"{shown} is not a text file; only text can be attached.")
    if not text.strip():
        raise InvalidArgument(f"{shown} is empty.")
    return shown, text


def fenced(name: str, text: str) -> str:
    """Return a file's text as the model is told it: its name, then a fence no line of it ends."""
    runs = re.findall(r"`{3,}", text)
    fence = "`" * max((len(run) + 1 for run in runs), default=3)
    ending = "" if text.endswith("\n") else "\n"
    return f"{name}\n{fence}\n{text}{ending}{fence}\n"


def complete_path(typed: str, *, only_folders: bool = False) -> Sequence[str]:
    """Return paths that begin with what was typed, folders first and ending in a slash.

    Hidden ones are offered only when a dot was typed; unreadable folders hold nothing.
    """
    beginning = typed.rpartition("/")[2]
    prefix = typed[: len(typed) - len(beginning)]
    place = os.path.expanduser(prefix or ".")
    wanted = beginning.lower()
    found: list[tuple[bool, str]] = []
    try:
        with os.scandir(place) as entries:
            for entry in islice(entries, MAX_LISTED):
                name = entry.name
                if not name.lower().startswith(wanted) or not name.isprintable():
                    continue
                if name.startswith(".") and not beginning.startswith("."):
                    continue
                is_folder = entry.is_dir()
                if is_folder or (entry.is_file() and not only_folders):
                    found.append((not is_folder, f"{prefix}{name}{'/' if is_folder else ''}"))
    except (OSError, ValueError):
        return []
    return [path for _, path in sorted(found)][:MAX_PATHS]
