"""`kvchat config`: where settings.toml lies, changing it in an editor, and checking it."""

import os
import sys
from collections.abc import Sequence

from kvchat import paths
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.print_mode import write
from kvchat.settings import Settings, load_settings
from kvchat.settings_file import create_settings_file


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
