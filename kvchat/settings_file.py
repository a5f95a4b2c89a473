"""The settings file as it begins: a list of every setting, what each means, and its default."""

import ast
import inspect
import json
from dataclasses import MISSING, fields

from kvchat import paths
from kvchat.durable_files import private_dir, write_durably
from kvchat.errors import KVChatError
from kvchat.settings import Settings


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
