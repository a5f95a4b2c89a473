"""The user's settings: a checked record, and the file settings.toml it is read from.

The file holds `name = value` lines with the field names of Settings, and a table `[keys]`. Nothing
in it is ignored: an unknown name or a bad value is one clear sentence. Saving one setting changes
its line alone, so comments and order stay the user's.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from kvchat.device import parse_size
from kvchat.durable_files import private_dir, write_durably
from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.untrusted import FileMissing, read_regular

MAX_SETTINGS_BYTES = 1 << 20
DEVICES = ("auto", "cpu", "cuda", "mps")
KERNELS = ("auto", "torch", "native")
SIDEBAR_MODES = ("auto", "shown", "hidden")
NOTIFY_MODES = ("auto", "bell", "osc9", "osc99", "off")
SAMPLING_NAMES = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_tokens")

_NO_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user prefers; None leaves a choice to the model or the machine.

    Raises InvalidArgument, naming the setting, when a value is out of range.
    """

    model: str | None = None
    """The model: a folder, or None for the one that comes with kvchat."""
    device: str = "auto"
    """Where it runs: "auto", "cpu", "cuda" or "mps"."""
    kernel: str = "auto"
    """Arithmetic on a CPU: "torch", "native" for compiled kernels, "auto" where there are some."""
    pool: int | None = None
    """Bytes of memory for keys and values, in the file also as text: "512MiB"."""
    window: int | None = None
    """Tokens a new session looks back; 0 for no limit, None for what the model suggests."""
    sinks: int | None = None
    """Tokens at the start that a windowed session keeps; None for its system prompt."""
    temperature: float | None = None
    """0 picks the likeliest token, higher is more varied."""
    top_k: int | None = None
    """Only the k likeliest tokens are drawn; 0 for all."""
    top_p: float | None = None
    """Only the likeliest tokens that together have this probability are drawn."""
    min_p: float | None = None
    """Tokens less likely than this fraction of the likeliest are not drawn."""
    repetition_penalty: float | None = None
    """Above 1, words that were said become less likely."""
    max_tokens: int | None = None
    """The longest reply, in tokens."""
    theme: str | None = None
    """The name of the color theme."""
    ascii: bool = False
    """Draw with ASCII characters only."""
    mouse: bool = True
    """Take the mouse; without it the terminal's own selection works."""
    notify: str = "auto"
    """When a reply ends while the terminal is in the background: "bell", "osc9", "osc99", "off"."""
    sidebar: str = "auto"
    """The list of sessions: "shown", "hidden", or "auto" for shown where there is room."""
    block_panel: bool = True
    """Show the panel with the blocks of the cache."""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_KEYS)
    """Other keys for commands: `"chat.find" = ["ctrl+f", "f8"]`; an empty list unbinds."""

    def __post_init__(self) -> None:
        for name in ("model", "theme"):
            value = getattr(self, name)
            if value is not None and not _is_name(value):
                raise InvalidArgument(f"{name} is {value!r}, but it must be a name.")
        _check_choice("device", self.device, DEVICES)
        _check_choice("kernel", self.kernel, KERNELS)
        _check_choice("sidebar", self.sidebar, SIDEBAR_MODES)
        _check_choice("notify", self.notify, NOTIFY_MODES)
        for name, low in (("pool", 1), ("window", 0), ("sinks", 0)):
            value = getattr(self, name)
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (is_integer and low <= value < 1 << 62):
                raise InvalidArgument(f"{name} is {value!r}, but it must be an integer >= {low}.")
        for name in ("ascii", "mouse", "block_panel"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidArgument(
                    f"{name} is {getattr(self, name)!r}, but it must be true or false."
                )
        SamplingParams().with_values(self.sampling_overrides)
        keys: dict[str, tuple[str, ...]] = {}
        for command, value in self.keys.items():
            bound = [value] if isinstance(value, str) else value
            if not isinstance(bound, list | tuple) or not all(isinstance(k, str) for k in bound):
                raise InvalidArgument(f"keys: {command!r} must be a list of key names.")
            keys[command] = tuple(key for key in bound if key)
        object.__setattr__(self, "keys", MappingProxyType(keys))

    @property
    def sampling_overrides(self) -> dict[str, object]:
        """The sampling settings that are not left to the model, by name."""
        return {
            name: value
            for name in SAMPLING_NAMES
            if (value := getattr(self, name)) is not None
        }  # fmt: skip

    @classmethod
    def from_toml(cls, text: str, *, file_name: str = "settings.toml") -> "Settings":
        """Return the settings of a file's text; raises InvalidArgument with its name."""
        try:
            values: dict[str, object] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidArgument(f"{file_name}: {str(error)[:200]}.") from error
        except RecursionError as error:
            raise InvalidArgument(f"{file_name} is nested too deep.") from error
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}."
                raise InvalidArgument(f"{file_name}: {name[:80]!r} is no setting; {hint}")
        try:
            if isinstance(values.get("pool"), str):
                values["pool"] = parse_size(str(values["pool"]))
            if not isinstance(values.get("keys", {}), dict):
                raise InvalidArgument("keys must be a table: [keys].")
            return cls(**values)  # type: ignore[arg-type]  # checked in __post_init__
        except InvalidArgument as error:
            raise InvalidArgument(f"{file_name}: {error.sentence}") from error

    def to_toml(self) -> str:
        """Return the text of a file that gives these settings; defaults are left out."""
        lines = [
            f"{each.name} = {_toml_value(getattr(self, each.name))}\n"
            for each in fields(self)
            if each.name != "keys" and getattr(self, each.name) != getattr(_DEFAULTS, each.name)
        ]
        if self.keys:
            lines.append("\n[keys]\n")
            lines += [f"{_toml_value(k)} = {_toml_value(list(v))}\n" for k, v in self.keys.items()]
        return "".join(lines)


def _is_name(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode()) and "\0" not in value
    except UnicodeEncodeError:
        return False


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidArgument(f"{name} is {value!r}, but it must be one of {', '.join(choices)}.")


def _toml_value(value: object) -> str:
    """Return a bool, number, text or list of texts as TOML; JSON's text is valid TOML but DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_DEFAULTS = Settings()


def load_settings(path: Path) -> Settings:
    """Return the settings of a file, or the defaults if there is none.

    Raises InvalidArgument when the file says something that is no setting, UntrustedFile when it is
    not a plain file of text.
    """
    try:
        text = read_regular(path, MAX_SETTINGS_BYTES).decode()
    except FileMissing:
        return Settings()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path.name} is not UTF-8 text.") from error
    return Settings.from_toml(text, file_name=path.name)


def save_setting(path: Path, name: str, value: bool | int | float | str | None) -> Settings:
    """Write one setting durably and return all of them; None takes its line out.

    Only the setting's own line changes. Raises InvalidArgument for a bad value, OSError or
    NotSaving when the file cannot be written; the file is then as before.
    """
    try:
        text = read_regular(path, MAX_SETTINGS_BYTES).decode()
    except FileMissing:
        text = ""
    table = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    place = len(text) if table is None else table.start()
    head, tail = text[:place], text[place:]
    line = "" if value is None else f"{name} = {_toml_value(value)}\n"
    own_line = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=.*\n?", re.MULTILINE)
    if own_line.search(head):
        head = own_line.sub(lambda _: line, head, count=1)
    else:
        head += "\n" if line and head and not head.endswith("\n") else ""
        head += line
    settings = Settings.from_toml(head + tail, file_name=path.name)
    private_dir(path.parent)
    write_durably(path, (head + tail).encode())
    return settings
