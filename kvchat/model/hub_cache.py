"""The cache of the Hugging Face hub on this machine: which models lie in it, and where.

Only looks at names of folders and at refs, in the layout models--ORG--NAME/snapshots/COMMIT, and
needs no library for it. What it finds is no more trusted than any other folder.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kvchat.untrusted import UntrustedFile, read_regular

MAX_ENTRIES = 10_000
"""The most names read of one folder."""
_REPOSITORY = re.compile(r"models((?:--\w(?:-?[\w.])*){1,2})", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HELD_BY_MAIN = "main"


@dataclass(frozen=True, slots=True)
class CachedSnapshot:
    """One downloaded state of a repository.

    refs  names that stand for this commit, such as main; empty for one that was replaced
    """

    repository: str
    commit: str
    refs: tuple[str, ...]
    path: Path

    @property
    def is_main(self) -> bool:
        """Whether this is what the name of the repository alone means."""
        return _HELD_BY_MAIN in self.refs


def hub_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the hub's own programs keep what they download, by their rules."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return _expanded(environ[name])
    if environ.get("HF_HOME"):
        return _expanded(environ["HF_HOME"]) / "hub"
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(cache) / "huggingface" / "hub"


def cached_snapshots(cache_dir: Path) -> Iterator[CachedSnapshot]:
    """Yield the snapshots in a cache, by repository, what `main` means first.

    A folder that is not there, or not readable, has none.
    """
    for folder in _folders(cache_dir):
        match = _REPOSITORY.fullmatch(folder.name)
        if match is None:
            continue
        refs = dict(_refs(folder / "refs", ""))
        found = [
            CachedSnapshot(
                match[1].removeprefix("--").replace("--", "/"),
                snapshot.name,
                tuple(sorted(name for name, commit in refs.items() if commit == snapshot.name)),
                snapshot,
            )
            for snapshot in _folders(folder / "snapshots")
            if _COMMIT.fullmatch(snapshot.name)
        ]
        yield from sorted(found, key=lambda each: (not each.is_main, not each.refs, each.commit))


def _refs(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield (name, commit) of the refs in a folder, one level of refs/pr/1 included."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            if not prefix:
                yield from _refs(folder / entry.name, f"{entry.name}/")
            continue
        with suppress(UntrustedFile, UnicodeDecodeError):
            yield prefix + entry.name, read_regular(folder / entry.name, 100).decode().strip()


def _folders(path: Path) -> list[Path]:
    return sorted(path / entry.name for entry in _entries(path) if entry.is_dir())


def _entries(path: Path) -> list["os.DirEntry[str]"]:
    found = []
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            found.append(entry)
            if len(found) == MAX_ENTRIES:
                break
    return found


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))
