"""PagedWindows: what the sequences of a cache see, and how that changes while they grow.

A change counts from a position on and rewrites nothing: tokens that are computed stay, blocks that
nobody will see are let go of, and those that are seen again are taken back where they still are.
Plain Python, no tensors.
"""

from collections.abc import Sequence

from kvchat.kv.paged_bookkeeping import PagedBookkeeping
from kvchat.kv.spec import SequenceId, VisibleSet
from kvchat.kv.window_schedule import WindowChange, WindowSchedule


class PagedWindows(PagedBookkeeping):
    """Windows of the sequences of a PagedKVCache."""

    def visible_set(self, sequence: SequenceId) -> VisibleSet:
        """Return what the next token sees: window and sinks, rounded up to blocks."""
        state = self._state(sequence)
        return state.schedule.at(state.length)

    def schedule(self, sequence: SequenceId) -> WindowSchedule:
        """Return the windows of a sequence, each from a position on."""
        return self._state(sequence).schedule

    def schedules(self, sequence: SequenceId) -> list[WindowSchedule]:
        """Return what queries of a sequence see, in the order of the layer groups."""
        return self._schedules(self._state(sequence))

    def set_window(self, sequence: SequenceId, window: int | None, sinks: int = 0) -> int:
        """Let the tokens that follow see the first `sinks` and the last `window`; None is all.

            cache.set_window(sequence, 512, 32)     # gives blocks back at once
            cache.set_window(sequence, None)        # sees again what is still in the pool

        Tokens that are there were computed under the windows before and stay as they are. Returns
        the length that is kept: all of it, or 0 where what is seen again has gone from the pool;
        its tokens are then found by `adopt` or brought again, under the same windows as before.
        Raises InvalidArgument for a window below 1 or negative sinks.
        """
        state = self._at_rest(sequence)
        changes = [
            WindowChange(start, seen.window, seen.sinks)
            for start, seen in state.schedule.parts
            if start < state.length
        ]
        return self.set_windows(sequence, [*changes, WindowChange(state.length, window, sinks)])

    def set_windows(self, sequence: SequenceId, changes: Sequence[WindowChange]) -> int:
        """Give a sequence other windows, from position 0 on; return the length it keeps.

        changes  in order of their positions, which may lie behind the sequence's end

        Keeps the tokens that saw the same as they would under the new windows. Returns 0 where a
        window has released what is seen again and it has gone from the pool, as `truncate` does.
        Raises InvalidArgument for a window below 1 or negative sinks.
        """
        state = self._at_rest(sequence)
        old, before = state.schedule, state.length
        schedule = WindowSchedule.of(changes, self.block_size, old.scheme_length)
        if schedule == old:
            return before
        dropped = self._cut(state, old.num_agreeing(schedule, before))
        state.schedule = schedule
        schedules = self._schedules(state)
        num_filled = state.fill_holes(schedules)
        if num_filled is None:
            dropped += self._cut(state, 0)
        else:
            dropped += state.release_hidden(schedules)
        if num_filled:
            self.record("hit", f"{state.name} sees what was kept again", num_filled)
        if dropped:
            self.record("release", f"{state.name} has another window; the text stays", dropped)
        return state.length

    def scheme_length(self, sequence: SequenceId, num_tokens: int) -> int:
        """Return the `scheme_length` that a sequence should have once it has `num_tokens`."""
        schedule = self._state(sequence).schedule.rotated_for(0)
        return self.spec.scheme_length(schedule.rotated_length(num_tokens))

    def rotate_for(self, sequence: SequenceId, scheme_length: int) -> None:
        """Have keys of a sequence rotated for another `scheme_length` from now on.

        It lets go of all it has, which was rotated otherwise: its tokens are found again by
        `adopt`, or brought again. Nothing changes where it has that length already.
        """
        state = self._at_rest(sequence)
        if scheme_length != state.schedule.scheme_length:
            dropped = self._cut(state, 0)
            state.schedule = state.schedule.rotated_for(scheme_length)
            self.record("release", f"{state.name} is rotated for another length", dropped)

    def hold(self, sequence: SequenceId) -> None:
        """Keep what the sequence sees now, although windows move on, until `let_go`.

        So it can be truncated to any length from now on, at the price of the blocks held. Asked
        again, it holds what is seen by then, and lets go of the rest.
        """
        self.let_go(sequence)
        state = self._at_rest(sequence)
        state.held_since = state.length

    def let_go(self, sequence: SequenceId) -> None:
        """End `hold`: release what the windows of the sequence have left behind."""
        state = self._at_rest(sequence)
        state.held_since = None
        state.release_hidden(self._schedules(state))
