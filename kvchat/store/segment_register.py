"""SegmentRegister: the manifest in memory: all files, which chats use them, and what they hold.

The rows in the database are the truth; whoever changes them tells the register afterwards. Plain
lookups, no files and no database.
"""

from collections.abc import Iterable, Mapping, Sequence

from kvchat.kv.segments import ManifestRow, SegmentIndex, SegmentLayout
from kvchat.store.saved_blocks import SavedBlocks


class SegmentRegister:
    """What `read_manifest` found, kept up to date.

    `saved` may be asked from any thread; the rest is the segment thread's. Blocks of another size
    than the layout's are there to be converted; those of another model or kind of cache are not.
    """

    def __init__(self) -> None:
        self._saved: dict[int, SavedBlocks] = {}
        self._rows: dict[str, ManifestRow] = {}
        self._names: dict[str, set[str]] = {}
        self._use_orders: dict[str, int] = {}
        self._num_uses = 0

    def open(
        self,
        layout: SegmentLayout,
        rows: Sequence[ManifestRow],
        names: Mapping[str, set[str]],
    ) -> None:
        """Take over what the database knows, before anybody asks."""
        self._layout = layout
        self._saved.setdefault(layout.block_size, SavedBlocks())
        self._rows = {row.name: row for row in rows}
        self._use_orders = {row.name: row.use_order for row in rows}
        self._num_uses = max(self._use_orders.values(), default=0)
        self._names = {owner: set(of_owner) for owner, of_owner in names.items()}
        for row in rows:
            if layout.fits(row):
                self.saved(row.block_size).add(row.name, row.index)

    # Any thread

    def saved(self, block_size: int) -> SavedBlocks:
        """Return what is saved, or about to be, in blocks of one size."""
        return self._saved.setdefault(block_size, SavedBlocks())

    def other_sizes(self) -> list[int]:
        """Return the other sizes of blocks that can be converted, largest number of files first."""
        others = [
            (len(saved), size)
            for size, saved in list(self._saved.items())
            if size != self._layout.block_size and len(saved)
        ]
        return [size for _, size in sorted(others, reverse=True)]

    # The segment thread only, from here on.

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> ManifestRow:
        """Return what is known of a file."""
        return self._rows[name]

    def names(self) -> list[str]:
        """Return the names of all files."""
        return list(self._rows)

    def names_of(self, owner: str) -> set[str]:
        """Return the files a session uses; a copy."""
        return set(self._names.get(owner, ()))

    def add(self, row: ManifestRow) -> None:
        """Know a file that was written, whose blocks are all good."""
        self._rows[row.name] = row
        self.saved(row.block_size).add(row.name, row.index)

    def use(self, owner: str, names: set[str]) -> None:
        """Let a session use exactly these files, from now on."""
        self._names[owner] = names
        self.note_use(names)

    def share(self, parent: str, child: str) -> bool:
        """Let a fork use the files of its parent; say whether there are any."""
        names = self._names.get(parent)
        if not names:
            return False
        self._names.setdefault(child, set()).update(names)
        return True

    def leave(self, owner: str) -> bool:
        """Let a session use no file any more; say whether it used any."""
        return bool(self._names.pop(owner, None))

    def note_use(self, names: Iterable[str]) -> None:
        """Count files as used last."""
        self._num_uses += 1
        for name in names:
            self._use_orders[name] = self._num_uses

    def hide(self, name: str) -> None:
        """Let nobody find the blocks of a file, before it is forgotten."""
        for saved in list(self._saved.values()):
            saved.remove(name)

    def forget(self, name: str) -> None:
        """Know a file no more."""
        self.hide(name)
        self._rows.pop(name, None)
        self._use_orders.pop(name, None)
        for of_session in self._names.values():
            of_session.discard(name)

    def replaced(self, owner: str, num_blocks: int) -> set[str]:
        """Return the files of a session for which its first `num_blocks` blocks stand in.

        Those are open tails that have become full blocks, and what was converted to this size.
        """
        size = self._layout.block_size
        found = set()
        for name in self._names.get(owner, ()):
            row = self._rows.get(name)
            if row is None:
                continue
            if row.block_size != size:
                if self._layout.fits(row) and _end(row) <= num_blocks * size:
                    found.add(name)
            elif _is_open_tail(row.index, size) and row.index.first_block < num_blocks:
                found.add(name)
        return found

    def victims(self, max_bytes: int, spared: set[str]) -> list[str]:
        """Return what is to go so that at most so many bytes stay.

        Files used longest ago, ends of chats before their beginnings.
        """
        num_bytes = sum(row.num_bytes for row in self._rows.values())
        if num_bytes <= max_bytes:
            return []
        found = []
        for name, row in sorted(
            self._rows.items(),
            key=lambda item: (self._use_orders.get(item[0], 0), -item[1].index.first_block),
        ):
            if num_bytes <= max_bytes:
                break
            if name not in spared:
                found.append(name)
                num_bytes -= row.num_bytes
        return found


def _is_open_tail(index: SegmentIndex, block_size: int) -> bool:
    return len(index.token_ids[-1]) < block_size


def _end(row: ManifestRow) -> int:
    """Return the position behind the last token of a file."""
    return row.index.first_block * row.block_size + row.index.num_tokens
