"""WindowSchedule: which window each position of a sequence is computed under.

What a token saw is part of its keys and values, so a window that changes during a chat counts from
one position on: what was computed before stays as it is, and computing it again gives the same.
Plain Python, no tensors.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kvchat.kv.spec import VisibleSet, check_window


class WindowChange(NamedTuple):
    """From position `start` on a query sees `sinks` first and `window` last tokens; None is all."""

    start: int
    window: int | None
    sinks: int


class WindowPart(NamedTuple):
    """What queries see from position `start` on, until the next part begins."""

    start: int
    visible: VisibleSet


_Effect = tuple[int, int] | None
"""What a query really sees: sinks and window, or None while that is everything."""


@dataclass(frozen=True, slots=True)
class WindowSchedule:
    """The windows of a sequence in order; the first part begins at position 0.

    All parts have one `scheme_length`.
    """

    parts: tuple[WindowPart, ...]

    @classmethod
    def always(cls, visible: VisibleSet) -> "WindowSchedule":
        """Return the schedule of a sequence whose window never changes."""
        return cls((WindowPart(0, visible),))

    @classmethod
    def of(
        cls, changes: Iterable[WindowChange], block_size: int, scheme_length: int = 0
    ) -> "WindowSchedule":
        """Return a schedule in which sinks are rounded up to whole blocks.

        Everything is seen before the first change; of two from one position on the later counts.
        Raises InvalidArgument for a window below 1 or negative sinks.
        """
        parts = [*cls.always(VisibleSet(None, 0, scheme_length)).parts]
        for start, window, sinks in changes:
            check_window(window, sinks)
            assert start >= parts[-1].start, "changes are in order"
            rounded = 0 if window is None else -(-sinks // block_size) * block_size
            visible = VisibleSet(window, rounded, scheme_length)
            if start == parts[-1].start:
                parts.pop()
            if not parts or parts[-1].visible != visible:
                parts.append(WindowPart(start, visible))
        return cls(tuple(parts))

    # At a position

    def at(self, position: int) -> VisibleSet:
        """Return what the query at a position sees."""
        for part in reversed(self.parts):
            if part.start <= position:
                return part.visible
        raise AssertionError("positions begin at 0")

    @property
    def last(self) -> VisibleSet:
        """What is seen after the last change."""
        return self.parts[-1].visible

    @property
    def scheme_length(self) -> int:
        """The `VisibleSet.scheme_length` of all parts."""
        return self.parts[0].visible.scheme_length

    @property
    def has_window(self) -> bool:
        """Whether some part hides something sooner or later."""
        return any(part.visible.window is not None for part in self.parts)

    def chunk_limit(self, length: int, wanted: int) -> int:
        """Return how many of `wanted` tokens may follow `length` others in one step.

        Within one part, and there as `VisibleSet.chunk_limit` says.
        """
        limit = self.at(length).chunk_limit(length, wanted)
        ends = [part.start for part in self.parts if part.start > length]
        return min(limit, ends[0] - length) if ends else limit

    def rotated_length(self, num_tokens: int) -> int:
        """Return the greatest length for which one of so many tokens is rotated."""
        lengths = []
        for part, end in self._spans():
            if part.start < num_tokens:
                behind = num_tokens if end is None else min(end, num_tokens)
                lengths.append(part.visible.rotated_length(behind - 1))
        return max(lengths)

    # Other schedules

    def before(self, position: int) -> "WindowSchedule":
        """Return the schedule without the changes from a position > 0 on."""
        return WindowSchedule(tuple(part for part in self.parts if part.start < position))

    def within(self, layer_window: int | None) -> "WindowSchedule":
        """Return what a layer with a window of its own sees; see `VisibleSet.within`."""
        if layer_window is None:
            return self
        return WindowSchedule(
            tuple(WindowPart(start, seen.within(layer_window)) for start, seen in self.parts)
        )

    def rotated_for(self, scheme_length: int) -> "WindowSchedule":
        """Return the same windows with another `scheme_length`."""
        return WindowSchedule(
            tuple(
                WindowPart(start, replace(seen, scheme_length=scheme_length))
                for start, seen in self.parts
            )
        )

    def num_agreeing(self, other: "WindowSchedule", length: int) -> int:
        """Return how many of the first `length` positions see the same under another schedule."""
        borders = {border for each in (self, other) for border in each._borders(length)}
        for position in sorted(borders):
            if self._effect(position) != other._effect(position):
                return position
        return length

    # Blocks

    def hidden_blocks(self, length: int, block_size: int) -> range:
        """Return the indexes of blocks that no query at position `length` or behind sees.

        A later part with a larger window may see what the present one does not.
        """
        if len(self.parts) == 1:
            return self.parts[0].visible.hidden_blocks(length, block_size)
        first, behind = 0, length
        for part, end in self._spans():
            if end is None or end > length:
                position = max(length, part.start)
                hidden = part.visible.hidden_blocks(position, block_size)
                first, behind = max(first, hidden.start), min(behind, hidden.stop)
        return range(first, behind) if first < behind else range(0)

    def most_blocks(self, block_size: int, length: int = 0) -> int | None:
        """Return the most blocks a sequence holds from `length` tokens on; None: no limit.

        While tokens come singly: the sinks, and the blocks over which a window can lie, or what a
        later part will see.
        """
        most = 0
        later: list[WindowPart] = []
        for part, end in reversed(list(self._spans())):
            if end is not None and end <= length:
                break
            visible = part.visible
            if visible.window is None and end is None:
                return None
            num_recent = visible.window or 0
            if end is not None:
                lowest = [each.visible.first_recent(each.start) for each in later]
                lowest += [0] if visible.window is None else []
                num_recent = max(num_recent, end - min(lowest))
            later.append(part)
            sinks = max(each.visible.sinks for each in later)
            num_blocks = -(-sinks // block_size) + (num_recent + block_size - 2) // block_size + 1
            most = max(most, num_blocks)
        return most

    def block_salt(self, index: int, block_size: int) -> bytes:
        """Return what the key of a block says of windows; b'' while every token sees everything.

        Equal for schedules under which the tokens of the block see the same.
        """
        first, behind = index * block_size, (index + 1) * block_size
        effects: list[tuple[int, _Effect]] = []
        for position in (first, *self._borders(behind, first)):
            effect = self._effect(position)
            if not effects or effects[-1][1] != effect:
                effects.append((position, effect))
        start, effect = effects[-1]
        if len(effects) == 1 and effect is None:
            return b""
        is_plain = len(effects) == 1 or (len(effects) == 2 and effects[0][1] is None)
        if is_plain and effect is not None and start == max(first, sum(effect)):
            return b"|%d|%d" % effect
        said = ["-" if each is None else f"{each[0]}:{each[1]}" for _, each in effects]
        pairs = zip(effects, said, strict=True)
        return "".join(f"|{at - first}={words}" for (at, _), words in pairs).encode()

    def changes_in(self, index: int, block_size: int) -> tuple[int, ...]:
        """Return the positions inside a block, behind its first, from which on a part holds."""
        inside = range(index * block_size + 1, (index + 1) * block_size)
        return tuple(part.start for part in self.parts if part.start in inside)

    # Pieces

    def _spans(self) -> "Iterator[tuple[WindowPart, int | None]]":
        """Yield each part and where it ends; the last has no end."""
        ends = [*(part.start for part in self.parts[1:]), None]
        yield from zip(self.parts, ends, strict=True)

    def _effect(self, position: int) -> _Effect:
        visible = self.at(position)
        if not visible.has_slid(position):
            return None
        return visible.sinks, visible.window or 0

    def _borders(self, behind: int, first: int = -1) -> list[int]:
        """Return in order the positions first < p < behind at which what is seen may change."""
        found = {part.start for part in self.parts}
        found |= {
            max(start, seen.sinks + seen.window)
            for start, seen in self.parts
            if seen.window is not None
        }
        return sorted(position for position in found if first < position < behind)
