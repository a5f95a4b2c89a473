"""SegmentFolder: the files with saved keys and values, and the secret they are proved good with.

The folder can be deleted at any time. Only regular files with names of ours are ever touched.
"""

import os
import re
import secrets
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from kvchat.durable_files import private_dir, remove_stumps, write_durably
from kvchat.errors import fault
from kvchat.untrusted import FileMissing, read_regular, read_regular_writable

SECRET_NAME = "segments.key"
SECRET_BYTES = 32
_SEGMENT_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{1,4}-[0-9a-f]{16}\.safetensors")


def installation_secret(data_dir: Path) -> bytes:
    """Return the secret of this installation; the first time, or if it is unusable, a new one.

    With a new secret no older segment is proved good. Raises OSError or UntrustedFile.
    """
    path = data_dir / SECRET_NAME
    try:
        secret = read_regular(path, 4096)
    except FileMissing:
        secret = b""
    if len(secret) != SECRET_BYTES:
        secret = secrets.token_bytes(SECRET_BYTES)
        write_durably(path, secret)
    return secret


def installation_id(secret: bytes) -> str:
    """Return a name for this installation that says nothing about its secret."""
    return blake2b(b"installation", key=secret, digest_size=8).hexdigest()


class SegmentFolder:
    """Writes, reads and deletes files of one directory, which it makes; raises NotSaving."""

    def __init__(self, path: Path) -> None:
        self.path = private_dir(path)

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is complete on disk when this returns; raises OSError."""
        path = self.path / name
        try:
            write_durably(path, content)
        except BaseException:
            # After the rename only the name's durability is in doubt: a file nobody names.
            self.remove([name])
            raise

    def read(self, name: str, num_bytes: int) -> bytearray:
        """Return a whole file of at most `num_bytes`; raises UntrustedFile."""
        return read_regular_writable(self.path / name, num_bytes)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; what cannot be deleted stays until the next start."""
        for name in names:
            try:
                fault("segment.remove")
                os.unlink(self.path / name)
            except OSError:
                continue

    def sweep(self, known: Iterable[str]) -> list[str]:
        """Delete what is not known, after a crash; return the known names without a file."""
        missing = set(known)
        remove_stumps(self.path)
        unknown = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if _SEGMENT_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    if entry.name not in missing:
                        unknown.append(entry.name)
                    missing.discard(entry.name)
        self.remove(unknown)
        return sorted(missing)
