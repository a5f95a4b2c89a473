"""BlockCounts: a number of blocks in each layer group, which is what room is counted in.

Layer groups have pools of their own size, so neither their sum nor their largest says whether
something fits. Plain integers, no tensors.
"""

from collections.abc import Iterable, Iterator


class BlockCounts:
    """One number per layer group; immutable."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Iterable[int]) -> None:
        self._counts = tuple(counts)

    def __iter__(self) -> Iterator[int]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, group_index: int) -> int:
        return self._counts[group_index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockCounts) and self._counts == other._counts

    def __hash__(self) -> int:
        return hash(self._counts)

    def __repr__(self) -> str:
        return f"BlockCounts({list(self._counts)})"

    def __add__(self, other: "BlockCounts | int") -> "BlockCounts":
        """Add another count group by group, or the same number to every group."""
        if isinstance(other, int):
            return BlockCounts(count + other for count in self._counts)
        return BlockCounts(map(int.__add__, self._counts, other._counts))

    def lacking(self, available: "BlockCounts") -> tuple[int, ...]:
        """Return the indexes of the groups in which fewer are available than these."""
        pairs = zip(self._counts, available._counts, strict=True)
        return tuple(index for index, (need, there) in enumerate(pairs) if need > there)

    def fits(self, available: "BlockCounts") -> bool:
        """Say whether every group has enough available."""
        return not self.lacking(available)
