"""What Tab would write into the prompt: slash commands, their arguments, and files after `@`.

Works on the text before the cursor alone; shows nothing and changes nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvchat.tui.attachments import complete_path

if TYPE_CHECKING:
    from kvchat.tui.command import Command
    from kvchat.tui.commands import Registry

_COMMAND_WORD = re.compile(r"/(?!/)(\S*)\Z")
_COMMAND_ARGUMENT = re.compile(r"/(?!/)(\S+)[ ]+(\S.*|)\Z")
_FILE_WORD = re.compile(r"(?:^|\s)@(\S*)\Z")


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that can be written instead of the word at the cursor."""

    shown: str
    text: str
    about: str = ""
    is_file: bool = False
    """The file itself is put in, not its name."""
    runs: bool = False
    """A command that needs nothing more."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Hints for the last `length` characters before the cursor."""

    hints: Sequence[Hint] = ()
    length: int = 0


Arguments = Callable[[str], Sequence[str]]
"""From the typed beginning of an argument to what it could become."""


def completion_for(before: str, is_whole: bool, registry: "Registry") -> Completion:
    """Return what fits the text before the cursor; `is_whole` says that nothing follows it."""
    if "\n" not in before and is_whole:
        word = _COMMAND_WORD.match(before)
        if word is not None:
            return Completion(
                [_command_hint(command) for command in registry.slash_matches(word[1].lower())],
                len(before),
            )
        argument = _COMMAND_ARGUMENT.match(before)
        if argument is not None:
            return _arguments(argument[1].lower(), argument[2], registry)
    file = _FILE_WORD.search(before[-500:])
    if file is not None and not before.startswith("/"):
        return Completion([_file_hint(path) for path in complete_path(file[1])], len(file[1]) + 1)
    return Completion()


def _command_hint(command: "Command") -> Hint:
    text = f"/{command.slash}"
    needs_more = bool(command.args) and not command.args.startswith("[")
    return Hint(
        f"{text} {command.args}".rstrip(),
        f"{text} " if command.args else text,
        command.title,
        runs=not needs_more,
    )


def _file_hint(path: str) -> Hint:
    is_file = not path.endswith("/")
    return Hint(f"@{path}", path if is_file else f"@{path}", is_file=is_file)


def _arguments(word: str, typed: str, registry: "Registry") -> Completion:
    matches = registry.slash_matches(word)
    exact = [command for command in matches if word in (command.slash, *command.aliases)]
    chosen = exact or matches
    if len(chosen) != 1 or chosen[0].complete is None:
        return Completion()
    found = [text for text in chosen[0].complete(typed) if text != typed]
    return Completion([Hint(text, text) for text in found], len(typed))


def one_of(*words: str) -> Arguments:
    """Return what completes to one of some words."""

    def complete(typed: str) -> Sequence[str]:
        return [word for word in words if word.startswith(typed.lower())]

    return complete


def path_after(*words: str) -> Arguments:
    """Return what completes to one of some words, then to a path; without words to a path."""

    def complete(typed: str) -> Sequence[str]:
        first, space, rest = typed.partition(" ")
        if words and not space:
            return [f"{word} " for word in words if word.startswith(first.lower())]
        if words:
            return [f"{first} {path}" for path in complete_path(rest.lstrip())]
        return complete_path(typed)

    return complete
