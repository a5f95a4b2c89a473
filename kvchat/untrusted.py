"""Reading files that may be rubbish: sizes, JSON and safetensors headers are checked before use.

Everything here raises UntrustedFile with one sentence that starts with the file's name, so that a
caller can put "Cannot load <folder>: " in front of it. Nothing here allocates more than the given
limits, follows a FIFO or device, or recurses over what a file says. What the content means, and
whether its names and shapes are the right ones, is the caller's question.
"""

import codecs
import errno
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from kvchat.errors import KVChatError, fault

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

MAX_WEIGHTS_HEADER_BYTES = 8_000_000
"""The longest safetensors header of a weights file; a large real one has about 200 kB."""
MAX_TENSORS = 20_000
"""The most tensors one safetensors file may name; 700 000 of them cost seconds and a gigabyte."""
MAX_DIMENSIONS = 8

DTYPE_BYTES: Mapping[str, int] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes per element of every safetensors dtype kvchat knows."""

# A string that is never closed runs to the end, so that each byte is looked at once.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class UntrustedFile(KVChatError):
    """A file from outside is damaged, too large or not a plain file; the sentence names it."""

    code = "file_bad"
    exit_status = 65


class FileMissing(UntrustedFile):
    """The file is not there."""

    code = "file_missing"


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the whole content of a regular file of at most `max_bytes`.

    Never waits on a FIFO and never reads a device or a directory; links are followed. Raises
    FileMissing or UntrustedFile.
    """
    with _OpenRegular(path) as opened:
        if opened.size > max_bytes:
            raise UntrustedFile(
                f"{path.name} is too large: {opened.size} bytes, at most {max_bytes} are read."
            )
        return opened.read(opened.size)


def read_regular_writable(path: Path, max_bytes: int) -> bytearray:
    """Return the same as `read_regular` in memory that may be written, without a second copy."""
    with _OpenRegular(path) as opened:
        if opened.size > max_bytes:
            raise UntrustedFile(
                f"{path.name} is too large: {opened.size} bytes, at most {max_bytes} are read."
            )
        content = bytearray(opened.size)
        opened.read_into(memoryview(content))
        return content


class _OpenRegular:
    """A regular file open for reading, with the size it had when it was opened."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            fault("untrusted.open")
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except ValueError as error:  # a NUL in the name
            raise UntrustedFile(f"{self.name} is not the name of a file.") from error
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise FileMissing(f"{self.name} is missing.") from error
            raise UntrustedFile(f"{self.name} cannot be read: {error.strerror}.") from error
        status = os.fstat(self._fd)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise UntrustedFile(f"{self.name} is not a regular file.")

    def read(self, num_bytes: int) -> bytes:
        """Return exactly the next `num_bytes`; a file that was cut meanwhile is damaged."""
        parts: list[bytes] = []
        while num_bytes:
            try:
                fault("untrusted.read")
                part = os.read(self._fd, min(num_bytes, 1 << 24))
            except OSError as error:
                raise UntrustedFile(f"{self.name} cannot be read: {error.strerror}.") from error
            if not part:
                _damaged(self.name, "it ends early")
            parts.append(part)
            num_bytes -= len(part)
        return b"".join(parts)

    def read_into(self, target: memoryview) -> None:
        """Fill a buffer with the next bytes, as `read` does."""
        while target:
            try:
                fault("untrusted.read")
                count = os.readv(self._fd, [target[: 1 << 24]])
            except OSError as error:
                raise UntrustedFile(f"{self.name} cannot be read: {error.strerror}.") from error
            if not count:
                _damaged(self.name, "it ends early")
            target = target[count:]

    def __enter__(self) -> "_OpenRegular":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _damaged(name: str, why: str, line: int | None = None) -> NoReturn:
    place = "" if line is None else f" at line {line}"
    raise UntrustedFile(f"{name} is damaged{place}: {why}.")


def _shown(text: str) -> str:
    """Return a name from a file as it may stand in a sentence: quoted, escaped and short."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def strict_json(raw: bytes, *, max_depth: int = 64, name: str = "the JSON text") -> JsonValue:
    """Return the value of JSON text in UTF-8, or raise UntrustedFile.

    Refuses duplicate keys, NaN, Infinity and numbers beyond float64, and text nested deeper than
    `max_depth`, which is counted before the parser may recurse. A byte order mark before it, as
    some editors write, is passed over. `name` is what messages call it.
    """
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(raw):
        character = match.group()
        if character in (b"[", b"{"):
            depth += 1
            if depth > max_depth:
                line = raw.count(b"\n", 0, match.start()) + 1
                _damaged(name, f"it is nested deeper than {max_depth} levels", line)
        elif character in (b"]", b"}"):
            depth -= 1

    def unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            _damaged(name, f"the key {_shown(twice)} appears twice")
        return result

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            _damaged(name, f"the number {_shown(text)} is too large")
        return value

    def constant(text: str) -> NoReturn:
        _damaged(name, f"{text} is not a JSON number")

    try:
        value: JsonValue = json.loads(
            raw.removeprefix(codecs.BOM_UTF8).decode("utf-8"),
            object_pairs_hook=unique,
            parse_float=number,
            parse_constant=constant,
        )
    except json.JSONDecodeError as error:
        _damaged(name, error.msg[:1].lower() + error.msg[1:], error.lineno)
    except UnicodeDecodeError as error:
        _damaged(name, "it is not UTF-8 text", raw.count(b"\n", 0, error.start) + 1)
    except ValueError:  # an integer with thousands of digits
        _damaged(name, "it has a number with too many digits")
    return value


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a safetensors file; `begin` and `end` count bytes from the data's start."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A checked header: the tensors cover the file's data exactly, without hole or overlap."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int
    """Where the data begins in the file, in bytes."""


def read_safetensors_header(
    path: Path, max_header_bytes: int = MAX_WEIGHTS_HEADER_BYTES
) -> SafetensorsHeader:
    """Read and check the header of a safetensors file without reading its data.

    Checked are the header's length, its JSON, every entry's dtype, shape and size, and that the
    entries together are exactly the rest of the file. Raises FileMissing or UntrustedFile.
    """
    with _OpenRegular(path) as opened:
        prefix = opened.read(min(opened.size, 8))
        length = int.from_bytes(prefix, "little")
        _check_header_length(path.name, length, opened.size, max_header_bytes)
        return parse_safetensors_header(
            prefix + opened.read(length), opened.size, max_header_bytes, name=path.name
        )


def _check_header_length(name: str, length: int, file_size: int, max_header_bytes: int) -> None:
    if file_size < 8:
        _damaged(name, "it ends early")
    if length > max_header_bytes:
        _damaged(name, f"header too long, {length} bytes where at most {max_header_bytes} are read")
    if 8 + length > file_size:
        _damaged(name, "it ends early, inside its header")


def parse_safetensors_header(
    raw: bytes,
    file_size: int,
    max_header_bytes: int = MAX_WEIGHTS_HEADER_BYTES,
    *,
    name: str = "the safetensors file",
) -> SafetensorsHeader:
    """Check the header in `raw`, the first bytes (or all) of a file of `file_size` bytes."""
    length = int.from_bytes(raw[:8], "little")
    _check_header_length(name, length, file_size, max_header_bytes)
    document = strict_json(raw[8 : 8 + length], max_depth=4, name=name)
    if not isinstance(document, dict):
        _damaged(name, "its header is not a JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        _damaged(name, "its metadata is not a JSON object")
    texts: dict[str, str] = {}
    for key, value in metadata.items():
        if not isinstance(value, str):
            _damaged(name, f"its metadata {_shown(key)} is not text")
        texts[key] = value
    if len(document) > MAX_TENSORS:
        _damaged(name, f"it names {len(document)} tensors, at most {MAX_TENSORS} are read")
    tensors = {key: _tensor_entry(name, key, value) for key, value in document.items()}

    data_bytes = file_size - 8 - length
    covered = 0
    for key, entry in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != covered:
            _damaged(name, f"{'overlap' if entry.begin < covered else 'hole'} at {_shown(key)}")
        covered = entry.end
        if covered > data_bytes:
            _damaged(name, f"it ends early, inside {_shown(key)}")
    if covered != data_bytes:
        _damaged(name, f"{data_bytes - covered} bytes at its end belong to no tensor")
    return SafetensorsHeader(tensors, texts, 8 + length)


def _tensor_entry(name: str, key: str, value: JsonValue) -> TensorEntry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        _damaged(name, f"the entry of {_shown(key)} does not have dtype, shape and data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        _damaged(name, f"{_shown(key)} has the unknown dtype {_shown(str(dtype))}")
    shape = _sizes(value["shape"])
    if shape is None or len(shape) > MAX_DIMENSIONS:
        _damaged(name, f"{_shown(key)} has an impossible shape")
    offsets = _sizes(value["data_offsets"])
    if offsets is None or len(offsets) != 2:
        _damaged(name, f"{_shown(key)} has impossible data_offsets")
    begin, end = offsets
    if math.prod(shape) * DTYPE_BYTES[dtype] != end - begin:
        _damaged(name, f"{_shown(key)} has {end - begin} bytes, which does not fit its shape")
    return TensorEntry(dtype, shape, begin, end)


def _sizes(value: JsonValue) -> tuple[int, ...] | None:
    """Return a list of integers from 0 to 2**62 as a tuple, or None for anything else."""
    if not isinstance(value, list):
        return None
    sizes = tuple(
        item
        for item in value
        if isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= 1 << 62
    )
    return sizes if len(sizes) == len(value) else None
