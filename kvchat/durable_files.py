"""Files of ours that survive a crash, are seen by their owner alone, and belong to one process.

Every file operation of kvchat's own directories is here, with a fault point before each step. A
file appears whole under its name or not at all: temporary file in the same directory, fsync,
rename, fsync of the directory. A failed fsync is final: the pages may be gone although a second
call would succeed, so the temporary file is thrown away and never renamed.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from kvchat.errors import DataDirInUse, NotSaving, fault

_STUMP_NAME = re.compile(r"\..+\.[0-9a-f]{16}\.tmp(-journal|-wal|-shm)?")
_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "davfs")
)
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_durably(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 that is complete on disk when this returns.

    Whatever stood at `path` before, a link included, is replaced in one step; until then it stays
    readable. Raises OSError, after which `path` is as before and no temporary file is left.
    """
    temporary = temporary_name(path)
    fault("file.create")
    descriptor = os.open(temporary, os.O_WRONLY | _NEW_FILE, 0o600)
    try:
        try:
            remaining = memoryview(content)
            while remaining:
                fault("file.write")
                remaining = remaining[os.write(descriptor, remaining) :]
            fault("file.fsync")
            _flush(descriptor)
        finally:
            os.close(descriptor)
        fault("file.rename")
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fault("file.fsync_directory")
    _flush_directory(path.parent)


def temporary_name(path: Path) -> Path:
    """Return an unused name beside `path` for what will become it; `remove_stumps` knows it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def adopt_durably(temporary: Path, path: Path) -> None:
    """Give a complete file of ours its name, with its content on disk first; raises OSError."""
    descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fault("file.fsync")
        _flush(descriptor)
    finally:
        os.close(descriptor)
    fault("file.rename")
    os.rename(temporary, path)
    fault("file.fsync_directory")
    _flush_directory(path.parent)


def copy_durably(source: Path, path: Path) -> None:
    """Copy a regular file of ours, as `write_durably` would write it; raises OSError."""
    temporary = temporary_name(path)
    try:
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as original:
            fault("file.create")
            descriptor = os.open(temporary, os.O_WRONLY | _NEW_FILE, 0o600)
            with open(descriptor, "wb") as copy:
                fault("file.write")
                shutil.copyfileobj(original, copy, 1 << 20)
        adopt_durably(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _flush(descriptor: int) -> None:
    full_flush = getattr(fcntl, "F_FULLFSYNC", None)
    if full_flush is None:
        os.fsync(descriptor)
    else:  # on Apple systems fsync stops at the disk's own memory
        fcntl.fcntl(descriptor, full_flush)


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_dir(path: Path) -> Path:
    """Create a directory of mode 0700 with its parents, or tighten the one that is there.

    Returns `path`. Raises NotSaving, with the code `cannot_create`, when that is not possible.
    """
    try:
        missing = []
        ancestor = path
        while not ancestor.exists() and ancestor.parent != ancestor:
            missing.append(ancestor)
            ancestor = ancestor.parent
        for directory in reversed(missing):
            fault("dir.create")
            directory.mkdir(mode=0o700, exist_ok=True)
            _flush_directory(directory.parent)
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if status.st_mode & 0o077:
            path.chmod(0o700)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a valid path").lower()
        failure = NotSaving(f"Cannot create {path}: {reason}.", code="cannot_create")
        failure.exit_status = 73
        raise failure from error
    return path


def private_file(path: Path) -> None:
    """Make sure that `path` is a regular file of mode 0600; a new one is empty.

    Raises OSError, also for a link, which is never followed.
    """
    fault("file.touch")
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
    )
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def tighten(directory: Path) -> int:
    """Take from other users what they may do with the files in a directory of ours.

    Returns how many files that were. Links and files of others are left alone.
    """
    num_tightened = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if is_ours and status.st_mode & 0o077:
                private_file(directory / entry.name)
                num_tightened += 1
    return num_tightened


def network_file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the type of the file system a directory is on if that is a network's, else None.

    Known on Linux only; elsewhere, and where it cannot be read, the answer is None.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
        place = path.resolve()
    except OSError:
        return None
    kind, depth = "", -1
    for line in table.splitlines():
        fields, _, types = line.partition(" - ")
        if len(fields.split(" ")) < 5 or not types:
            continue
        mounted_at = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields.split(" ")[4]))
        if place.is_relative_to(mounted_at) and len(mounted_at.parts) >= depth:
            kind, depth = types.split(" ")[0], len(mounted_at.parts)  # the last mount is on top
    return kind if kind in _NETWORK_TYPES or kind.startswith("fuse") else None


def remove_stumps(directory: Path) -> int:
    """Delete temporary files that a killed process left in a directory of ours; return how many.

    Call it with the lock held. Only regular files with a name that `write_durably` makes are
    touched; what cannot be deleted stays.
    """
    num_removed = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if _STUMP_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                try:
                    os.unlink(entry.path)
                except OSError:
                    continue
                num_removed += 1
    return num_removed


class DataDirLock:
    """The right to use a data directory, held by one process until `release` or its death.

    The file `lock` holds the number of that process, only so that others can say it. The lock
    itself is the kernel's, so a killed process leaves none behind; it is not passed on to programs
    this one starts.

    Raises DataDirInUse when somebody else has it, NotSaving when the file cannot be locked.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        try:
            fault("lock.open")
            private_file(self.path)
            self._descriptor: int | None = os.open(
                self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError as error:
            raise self._cannot_lock(error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, str(os.getpid()).encode())
        except OSError as error:
            owner = os.pread(self._descriptor, 20, 0)
            os.close(self._descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise self._cannot_lock(error) from error
            who = f"process {int(owner)}" if owner.isdigit() else "another process"
            raise DataDirInUse(f"Already open in {who}. Use --data-dir or --no-save.") from error

    def _cannot_lock(self, error: OSError) -> NotSaving:
        reason = (error.strerror or str(error)).lower()
        return NotSaving(f"Cannot lock {self.path}: {reason}. Use --data-dir or --no-save.")

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            # Said outright, since a program that is just being started may still have a copy.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def __enter__(self) -> "DataDirLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
