"""SavedBlocks: which file holds which block, for the model in use. Plain lookups, no files."""

from collections.abc import Iterable, Sequence

from kvchat.kv.segments import SegmentIndex


class SavedBlocks:
    """Blocks of files by key and by stem; a file that is still to be written counts as well."""

    def __init__(self) -> None:
        self._indexes: dict[str, SegmentIndex] = {}
        self._places: dict[bytes, dict[str, int]] = {}
        self._keys: dict[bytes, dict[bytes, None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._indexes

    def add(self, name: str, index: SegmentIndex) -> None:
        """Find the blocks of a file from now on."""
        if name in self._indexes:
            return
        self._indexes[name] = index
        for place, (key, stem) in enumerate(zip(index.keys, index.stems, strict=True)):
            self._places.setdefault(key, {})[name] = place
            self._keys.setdefault(stem, {})[key] = None

    def remove(self, name: str) -> None:
        """Find the blocks of a file no longer; harmless when it is not known."""
        index = self._indexes.pop(name, None)
        if index is None:
            return
        for key, stem in zip(index.keys, index.stems, strict=True):
            places = self._places[key]
            del places[name]
            if not places:
                del self._places[key]
                keys = self._keys[stem]
                del keys[key]
                if not keys:
                    del self._keys[stem]

    def index(self, name: str) -> SegmentIndex:
        """Return what a file holds."""
        return self._indexes[name]

    def groups(self, key: bytes) -> int:
        """Return a mask of the layer groups in which some file holds the block with this key."""
        mask = 0
        for name, place in self._places.get(key, {}).items():
            mask |= self._indexes[name].groups_of(place)
        return mask

    def find(self, key: bytes, token_ids: tuple[int, ...]) -> int:
        """Return the same mask for the block with this key and exactly these tokens."""
        for name, place in self._places.get(key, {}).items():
            if self._indexes[name].token_ids[place] != token_ids:
                return 0
        return self.groups(key)

    def find_tail(self, stem: bytes, token_ids: Sequence[int]) -> tuple[bytes, int, int] | None:
        """Return key, common length and groups of the block that begins most like these tokens."""
        best: tuple[bytes, int, int] | None = None
        for key in self._keys.get(stem, ()):
            name, place = next(iter(self._places[key].items()))
            length = 0
            for ours, theirs in zip(token_ids, self._indexes[name].token_ids[place], strict=False):
                if ours != theirs:
                    break
                length += 1
            if length and (best is None or length > best[1]):
                best = key, length, self.groups(key)
        return best

    def places(self, key: bytes, group: int) -> list[tuple[str, int]]:
        """Return (file, place in it) wherever the block of a layer group is."""
        return [
            (name, place)
            for name, place in self._places.get(key, {}).items()
            if self._indexes[name].groups_of(place) >> group & 1
        ]

    def names(self, keys: Iterable[bytes]) -> set[str]:
        """Return all files that hold one of these blocks."""
        return {name for key in keys for name in self._places.get(key, ())}
