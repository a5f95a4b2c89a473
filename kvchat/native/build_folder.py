"""BuildFolder: compiled kernels in the cache folder, one file per source, processor and compiler.

A library appears whole under its name or not at all, and two processes that want the same one
compile it once. The folder may be deleted at any time.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvchat.durable_files import private_dir, temporary_name
from kvchat.errors import NotSaving
from kvchat.native.toolchain import BuildFailed, Toolchain, source_key

MAX_BUILDS = 4
"""Older ones, of versions and compilers that are gone, are deleted when a new one is made."""


class BuildFolder:
    """The libraries below one directory, which is made when the first one is compiled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self) -> Path | None:
        """Return the newest library of these sources for this processor, by any compiler."""
        found = [each for each in self._builds() if each.name.startswith(f"{source_key()}-")]
        return found[0] if found else None

    def provide(self, tell: Callable[[str], None]) -> Path:
        """Return the library of these sources, compiled now if it is not there yet.

        Where no compiler is left, any compiler's library will do. `tell` gets a sentence before
        something takes long. Raises BuildFailed.
        """
        try:
            toolchain = Toolchain.find()
        except BuildFailed:
            found = self.find()
            if found is None:
                raise
            return found
        target = self.path / f"{source_key()}-{toolchain.key}.so"
        if _is_ours(target):
            return target
        try:
            private_dir(self.path)
            with self._lock(tell):
                if not _is_ours(target):
                    tell("Compiling the native kernels, once; this takes about ten seconds.")
                    self._compile(toolchain, target)
        except (NotSaving, OSError) as error:
            reason = error.sentence if isinstance(error, NotSaving) else f"{error}."
            raise BuildFailed(f"The native kernels cannot be stored: {reason}") from error
        return target

    def _compile(self, toolchain: Toolchain, target: Path) -> None:
        for stump in self.path.glob(".*.tmp"):  # of a build that was killed; we hold the lock
            stump.unlink(missing_ok=True)
        temporary = temporary_name(target)
        try:
            toolchain.compile(temporary)
            temporary.chmod(0o700)
            with temporary.open("rb") as library:  # one that is cut kills whoever maps it
                os.fsync(library.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        for old in self._builds()[MAX_BUILDS:]:
            old.unlink(missing_ok=True)

    @contextmanager
    def _lock(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Be the one process that compiles here; others wait."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path / "lock", flags, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                tell("Waiting for the native kernels, which another process is compiling.")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _builds(self) -> list[Path]:
        """Return what was compiled, the newest first."""
        times = {}
        for path in self.path.glob("*.so"):
            if _is_ours(path):
                times[path] = path.stat().st_mtime_ns
        return sorted(times, key=lambda path: times[path], reverse=True)


def _is_ours(path: Path) -> bool:
    """Whether it is a file that nobody else can have written: what we load, we run."""
    try:
        folder, status = path.parent.stat(), path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and all(each.st_uid == os.geteuid() for each in (folder, status))
        and not (folder.st_mode | status.st_mode) & 0o022
    )
