"""SavedBlocks: which file holds which block, for the model in use. Plain lookups, no files.

Any thread may ask. A lock makes each answer one of a single moment; nobody holds it for long.
"""

from collections.abc import Iterable, Sequence
from threading import Lock

from kvchat.kv.segments import SegmentIndex


class SavedBlocks:
    """Blocks of files by key and by stem, all of one block size.

    A file that is still to be written counts as well. A block found damaged does not, so that it is
    saved again once it was computed again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._indexes: dict[str, SegmentIndex] = {}
        self._masks: dict[str, list[int]] = {}  # of each block of a file, its layer groups
        self._damaged: set[str] = set()
        self._places: dict[bytes, dict[str, int]] = {}
        self._keys: dict[bytes, dict[bytes, None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._indexes

    def __len__(self) -> int:
        return len(self._indexes)

    def add(self, name: str, index: SegmentIndex) -> None:
        """Find the blocks of a file from now on, all of them."""
        with self._lock:
            self._masks[name] = index.masks()
            self._damaged.discard(name)
            if name in self._indexes:
                return
            self._indexes[name] = index
            for place, (key, stem) in enumerate(zip(index.keys, index.stems, strict=True)):
                self._places.setdefault(key, {})[name] = place
                self._keys.setdefault(stem, {})[key] = None

    def remove(self, name: str) -> None:
        """Find the blocks of a file no longer; harmless when it is not known."""
        with self._lock:
            index = self._indexes.pop(name, None)
            if index is None:
                return
            del self._masks[name]
            self._damaged.discard(name)
            for key, stem in zip(index.keys, index.stems, strict=True):
                places = self._places[key]
                del places[name]
                if not places:
                    del self._places[key]
                    keys = self._keys[stem]
                    del keys[key]
                    if not keys:
                        del self._keys[stem]

    def lose(self, name: str, place: int, group: int) -> None:
        """Find one damaged block of a file no longer, in one layer group."""
        with self._lock:
            if name in self._masks:
                self._masks[name][place] &= ~(1 << group)
                self._damaged.add(name)

    def is_damaged(self, name: str) -> bool:
        """Say whether a block of this file was lost."""
        return name in self._damaged

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which some file holds the block with this key."""
        with self._lock:
            return self._groups(key)

    def find(self, key: bytes, token_ids: tuple[int, ...]) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""
        with self._lock:
            for name, place in self._places.get(key, {}).items():
                if self._indexes[name].token_ids[place] != token_ids:
                    return 0
            return self._groups(key)

    def find_tail(self, stem: bytes, token_ids: Sequence[int]) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the block that begins most like these tokens."""
        best: tuple[bytes, int, int] | None = None
        with self._lock:
            for key in self._keys.get(stem, ()):
                groups = self._groups(key)
                name, place = next(iter(self._places[key].items()))
                length = 0
                for ours, theirs in zip(
                    token_ids, self._indexes[name].token_ids[place], strict=False
                ):
                    if ours != theirs:
                        break
                    length += 1
                if length and groups and (best is None or length > best[1]):
                    best = key, length, groups
        return best

    def places(self, key: bytes, group: int) -> list[tuple[str, int]]:
        """Return (file, place in it) wherever the block of a layer group is."""
        with self._lock:
            return [
                (name, place)
                for name, place in self._places.get(key, {}).items()
                if self._masks[name][place] >> group & 1
            ]

    def names(self, keys: Iterable[bytes]) -> set[str]:
        """Return all files that hold one of these blocks."""
        with self._lock:
            return {name for key in keys for name in self._places.get(key, ())}

    def _groups(self, key: bytes) -> int:
        mask = 0
        for name, place in self._places.get(key, {}).items():
            mask |= self._masks[name][place]
        return mask
