"""FreeExtents: the free block ids of one pool as maximal runs of consecutive ids.

Placement decides speed: attention reads each run of consecutive blocks as one view without a copy,
so blocks of one sequence should lie side by side. Plain integers, no tensors.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence


class FreeExtents:
    """Free ids 0 .. num_blocks - 1, as disjoint runs that are never adjacent to each other.

    Behind each block that was placed last for a sequence up to `headroom` ids are earmarked: free,
    but left to that sequence while anything else is. `python -m kvchat.bench.placement` compares
    this with other policies.
    """

    def __init__(self, num_blocks: int, headroom: int = 0) -> None:
        self._length_at = {0: num_blocks} if num_blocks else {}
        self._start_by_end = {num_blocks: 0} if num_blocks else {}
        self._by_length = [(num_blocks, 0)] if num_blocks else []
        self._headroom = headroom
        self._earmarks: dict[int, int] = {}  # start of a free run -> first id that is open again
        self.num_free = num_blocks

    def take(self, count: int, *, after: int | None = None) -> list[int]:
        """Take `count` free blocks, contiguous where possible, for a sequence ending in `after`.

        First the ids right behind `after`. Then the smallest run with room for the rest and
        headroom, so that large runs stay whole for long sequences; else the longest runs. Only when
        everything free is earmarked, the earmarks go.

        Changes the free set. The caller has checked that `count` blocks are free.
        """
        assert 0 < count <= self.num_free
        taken: list[int] = []
        if after is not None and after + 1 in self._length_at:
            start = after + 1
            self._earmarks.pop(start, None)  # its own
            taken += self._cut(start, start, min(count, self._length_at[start]))
        while len(taken) < count:
            missing = count - len(taken)
            runs = self._open_runs()
            if not runs:
                self._earmarks.clear()
                continue
            length, start = self._best_fit(runs, missing + self._headroom) or max(runs)
            taken += self._cut(self._extent_of(start), start, min(missing, length))
        self._set_aside(taken[-1] + 1)
        return taken

    def take_run(self, count: int) -> list[int] | None:
        """Take `count` consecutive free blocks that are not earmarked, or None if no run has them.

        With headroom behind where there is a run so long.
        """
        runs = self._open_runs()
        found = self._best_fit(runs, count + self._headroom) or self._best_fit(runs, count)
        if found is None:
            return None
        start = found[1]
        taken = self._cut(self._extent_of(start), start, count)
        self._set_aside(taken[-1] + 1)
        return taken

    def give(self, block: int) -> None:
        """Return one block, joining it with its free neighbors."""
        self._give_run(block, block + 1)
        self.num_free += 1

    def give_all(self, blocks: Sequence[int]) -> None:
        """Return blocks in any order, as `give` does one by one; adjacent ones cost one change."""
        ordered = sorted(blocks)
        place = 0
        while place < len(ordered):
            first = behind = ordered[place]
            while place < len(ordered) and ordered[place] == behind:
                behind += 1
                place += 1
            self._give_run(first, behind)
        self.num_free += len(ordered)

    @property
    def num_earmarked(self) -> int:
        """Free blocks that are left to the sequence before them while there are others."""
        return sum(behind - first for first, behind in self._earmarks.items())

    def extents(self) -> list[tuple[int, int]]:
        """Return all runs as (first id, length), in order of ids."""
        return sorted(self._length_at.items())

    def _best_fit(self, runs: list[tuple[int, int]], length: int) -> tuple[int, int] | None:
        return min((run for run in runs if run[0] >= length), default=None)

    def _extent_of(self, block: int) -> int:
        """Return the start of the run a free block lies in."""
        return max(start for start in self._length_at if start <= block)

    def _open_runs(self) -> list[tuple[int, int]]:
        """Return (length, first id) of what is free and not earmarked."""
        runs = []
        for start, length in self._length_at.items():
            first = self._earmarks.get(start, start)
            if first < start + length:
                runs.append((start + length - first, first))
        return runs

    def _set_aside(self, start: int) -> None:
        if self._headroom and start in self._length_at:
            self._earmarks[start] = start + min(self._headroom, self._length_at[start])

    def _give_run(self, start: int, end: int) -> None:
        """Add the ids start .. end - 1 to the free runs, joined with their neighbors."""
        self._earmarks.pop(end, None)  # nobody ends here any more
        if end in self._length_at:
            behind = end
            end += self._length_at[behind]
            self._remove(behind)
        if start in self._start_by_end:
            start = self._remove(self._start_by_end[start])
        self._insert(start, end)

    def _cut(self, extent: int, first: int, count: int) -> list[int]:
        """Take `count` ids from `first` on out of the run that starts at `extent`."""
        end = extent + self._length_at[extent]
        self._remove(extent)
        if first > extent:
            self._insert(extent, first)
        if first + count < end:
            self._insert(first + count, end)
        self.num_free -= count
        return list(range(first, first + count))

    def _insert(self, start: int, end: int) -> None:
        self._length_at[start] = end - start
        self._start_by_end[end] = start
        insort(self._by_length, (end - start, start))

    def _remove(self, start: int) -> int:
        length = self._length_at.pop(start)
        del self._start_by_end[start + length]
        del self._by_length[bisect_left(self._by_length, (length, start))]
        return start
