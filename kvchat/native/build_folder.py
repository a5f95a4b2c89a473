"""BuildFolder: compiled kernels in the cache folder, one file per source, processor and compiler.

A library appears whole under its name or not at all, and two processes that want the same one
compile it once. Its name ends in a digest of its bytes, so it and the proof of it are one step on
the disk; a file that does not fit its name is never mapped, since one that was cut ends the process
which reads it. The folder may be deleted at any time.
"""

import errno
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kvchat.durable_files import adopt_durably, private_dir, temporary_name
from kvchat.errors import NotSaving
from kvchat.native.toolchain import BuildFailed, Toolchain, source_key

MAX_BUILDS = 4
"""Older ones, of versions and compilers that are gone, are deleted when a new one is made."""

log = logging.getLogger(__name__)


class BuildFolder:
    """The libraries below one directory, which is made when the first one is compiled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self) -> Path | None:
        """Return the newest library of these sources for this processor, by any compiler.

        One that is not as it was compiled is passed over, with a line in the log.
        """
        for path in self._builds(f"{source_key()}-"):
            if _is_sound(path):
                return path
            log.warning("%s is damaged, so these native kernels are not used.", path)
        return None

    def provide(self, tell: Callable[[str], None]) -> Path:
        """Return the library of these sources, compiled now if it is not there or is damaged.

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
        name = f"{source_key()}-{toolchain.key}"
        found = self._sound(name)
        if found is not None:
            return found
        try:
            private_dir(self.path)
            with self._lock(tell):
                found = self._sound(name)
                if found is None:
                    self._remove_damaged(name)
                    tell("Compiling the native kernels, once; this takes about ten seconds.")
                    found = self._compile(toolchain, name)
        except (NotSaving, OSError) as error:
            reason = error.sentence if isinstance(error, NotSaving) else f"{error}."
            raise BuildFailed(f"The native kernels cannot be stored: {reason}") from error
        return found

    def _sound(self, name: str) -> Path | None:
        return next(filter(_is_sound, self._builds(name)), None)

    def _remove_damaged(self, name: str) -> None:
        """Delete every build of a name; call it with the lock held, where none of them is sound."""
        for path in self._builds(name):
            log.warning("%s is damaged, so the native kernels are compiled again.", path)
            path.unlink(missing_ok=True)

    def _compile(self, toolchain: Toolchain, name: str) -> Path:
        for stump in self.path.glob(".*.tmp"):  # of a build that was killed; we hold the lock
            stump.unlink(missing_ok=True)
        temporary = temporary_name(self.path / name)
        try:
            toolchain.compile(temporary)
            temporary.chmod(0o700)
            target = self.path / f"{name}-{_digest(temporary)}.so"
            adopt_durably(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        for old in self._builds()[MAX_BUILDS:]:
            old.unlink(missing_ok=True)
        return target

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

    def _builds(self, beginning: str = "") -> list[Path]:
        """Return what was compiled under such names, sound or not, the newest first."""
        times = {}
        for path in self.path.glob(f"{beginning}*.so"):
            with suppress(OSError):  # another process deletes old ones
                if _is_ours(path):
                    times[path] = path.stat().st_mtime_ns
        return sorted(times, key=lambda path: times[path], reverse=True)


def _is_sound(path: Path) -> bool:
    """Whether a library is, byte for byte, what was compiled."""
    try:
        return path.stem.rpartition("-")[2] == _digest(path)
    except OSError:  # a disk that does not give it back, or somebody who deleted it just now
        return False


def _digest(path: Path) -> str:
    """Return a digest of a file's bytes."""
    with path.open("rb") as library:
        return hashlib.file_digest(library, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


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
