"""`kvchat config`: where settings.toml lies, changing it in an editor, and checking it.

A file that is not there yet begins as a list of every setting, each with what it means.
"""

import ast
import inspect
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields

from kvchat import paths
from kvchat.cli_options import Parser
from kvchat.durable_files import private_dir, write_durably
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.print_mode import write
from kvchat.settings import Settings, load_settings


def main(words: Sequence[str]) -> int:
    """Run `kvchat config path`, `edit` or `check` and return the exit status."""
    parser = Parser(prog="kvchat config", description="The settings file: its place, its content.")
    parser.add_argument(
        "what", choices=("path", "edit", "check"), help="say where it is, change it, check it"
    )
    what = parser.parse_args(words).what
    path = paths.settings_path()
    if what == "path":
        write(f"{path}\n")
        return 0
    if what == "edit":
        if not sys.stdin.isatty():
            raise InvalidArgument(f"An editor needs a terminal; the file is {path}.")
        create_settings_file()
        from kvchat.tui.external_editor import editor_command

        command = [*editor_command(), str(path)]
        if os.spawnvp(os.P_WAIT, command[0], command) != 0:
            raise KVChatError("The editor ended with an error; the settings were not checked.")
    check_settings()
    is_there = path.exists()
    write(f"{path} is fine.\n" if is_there else f"There is no {path}; the defaults are used.\n")
    return 0


def check_settings() -> Settings:
    """Return the settings, `[keys]` checked as well; raises InvalidArgument."""
    from kvchat.tui.commands import Registry

    settings = load_settings(paths.settings_path())
    Registry(settings.keys)
    return settings


def create_settings_file() -> None:
    """Write a settings file in which everything is explained and nothing set, unless there is one.

    Raises KVChatError when it cannot be written.
    """
    path = paths.settings_path()
    if path.exists():
        return
    private_dir(path.parent)
    try:
        write_durably(path, settings_template().encode())
    except OSError as error:
        raise KVChatError(f"{path} cannot be written: {error.strerror}.") from error


def settings_template() -> str:
    """Return a settings file of comments: each setting, what it means, and its default."""
    meanings = _meanings()
    lines = ["# Settings of kvchat. Take the # away to set one; `kvchat config check` checks.\n"]
    tables = []
    for each in fields(Settings):
        meaning = "\n# ".join(meanings[each.name].split("\n"))
        if each.default is MISSING:
            tables.append(f'\n# {meaning}\n# [keys]\n# "view.blocks" = ["f8"]\n')
        else:
            value = '""' if each.default is None else json.dumps(each.default)
            unset = "  # not set" if each.default is None else ""
            lines.append(f"\n# {meaning}\n# {each.name} = {value}{unset}\n")
    return "".join(lines + tables)


def _meanings() -> dict[str, str]:
    """Return the docstring under each field of Settings."""
    found: dict[str, str] = {}
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(settings, ast.ClassDef)
    name = ""
    for statement in settings.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            found[name] = inspect.cleandoc(str(statement.value.value))
    return found
