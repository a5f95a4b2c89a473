"""The user's own editor over a text: `$VISUAL`, `$EDITOR`, or what every system has.

The terminal is given away meanwhile and the event loop stands still, so that nothing of ours is
drawn into it; the engine's threads go on. The file is for its owner alone and removed afterwards.
"""

import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from kvchat import paths
from kvchat.durable_files import private_dir
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.untrusted import read_regular

if TYPE_CHECKING:
    from kvchat.tui.app import KVChatApp

MAX_EDITED_BYTES = 5 * 1024 * 1024
USUAL_EDITORS = ("nano", "vi")


def editor_command() -> list[str]:
    """Return the words of the editor's command; raises InvalidArgument when there is none."""
    for name in ("VISUAL", "EDITOR"):
        wanted = os.environ.get(name, "").strip()
        if not wanted:
            continue
        try:
            words = shlex.split(wanted)
        except ValueError as error:
            raise InvalidArgument(f"${name} is no command: {error}.") from error
        if shutil.which(words[0]) is None:
            raise InvalidArgument(f"${name} names {words[0][:80]}, which is not there.")
        return words
    for usual in USUAL_EDITORS:
        if shutil.which(usual):
            return [usual]
    raise InvalidArgument("There is no editor; set VISUAL or EDITOR to one.")


def edited(app: "KVChatApp", text: str) -> str | None:
    """Let the user change a text; return it without its last line break, None to keep it as it was.

    None also stands for an editor that ended with an error. Blocks until the editor is left.
    Raises KVChatError when there is no editor or the file cannot be written or read.
    """
    command = editor_command()
    path = private_dir(paths.cache_dir()) / f"prompt-{token_hex(8)}.md"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
        if not run_editor(app, [*command, str(path)]):
            return None
        after = read_regular(path, MAX_EDITED_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise KVChatError(f"The prompt cannot be edited: {error.strerror}.") from error
    finally:
        path.unlink(missing_ok=True)
    return after.removesuffix("\n")


def edit_file(app: "KVChatApp", path: Path) -> bool:
    """Open a file of the user's in the editor; return whether the editor ended well."""
    return run_editor(app, [*editor_command(), str(path)])


def run_editor(app: "KVChatApp", command: list[str]) -> bool:
    """Give the terminal to a program until it ends; return whether it ended with status 0."""
    failure: OSError | None = None
    status = 0
    with _terminal_lent(app), _interrupt_ignored():
        # Nothing may be raised in here: the terminal would not be taken back.
        try:
            child = os.posix_spawnp(
                command[0], command, dict(os.environ), setsigdef=[signal.SIGINT, signal.SIGPIPE]
            )
            _, status = os.waitpid(child, 0)
        except OSError as error:
            failure = error
    if failure is not None:
        raise KVChatError(f"{command[0][:80]} cannot be started: {failure.strerror}.")
    return os.waitstatus_to_exitcode(status) == 0


@contextmanager
def _terminal_lent(app: "KVChatApp") -> Iterator[None]:
    driver = app._driver
    if driver is None or not driver.can_suspend:  # without a screen there is nothing to lend
        yield
        return
    with app.batch_update(), app.suspend():
        yield
    app.refresh(layout=True)


@contextmanager
def _interrupt_ignored() -> Iterator[None]:
    """Ctrl-C belongs to the program in front; to us it would be the end of the app."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        with suppress(TypeError):  # it was not set from Python
            signal.signal(signal.SIGINT, before)
