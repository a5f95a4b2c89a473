"""Admission: which waiting prompt may start, and when.

A prompt enters when its blocks fit beside what was promised to those that run; what can never run
is refused at once, with the numbers.
"""

import logging

from kvchat.engine.lineup import Lineup
from kvchat.engine.request import Request
from kvchat.engine.room import Room
from kvchat.engine.scheduler import Scheduler
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.errors import ContextTooLong, InvalidArgument, PoolTooSmall
from kvchat.kv.paged_cache import PagedKVCache

log = logging.getLogger(__name__)


class Admission:
    """Moves sequences from the line to those that run; the focused one first, then by arrival."""

    def __init__(
        self,
        cache: PagedKVCache,
        lineup: Lineup,
        room: Room,
        scheduler: Scheduler,
        *,
        context_tokens: int,
        vocab_size: int,
    ) -> None:
        self._cache = cache
        self._lineup = lineup
        self._room = room
        self._scheduler = scheduler
        self._context_tokens = context_tokens
        self._vocab_size = vocab_size

    def check(self, sequence: Sequence, request: Request) -> None:
        """Refuse a prompt that can never run: InvalidArgument, ContextTooLong or PoolTooSmall."""
        if not request.token_ids:
            raise InvalidArgument("An empty prompt has nothing to answer.")
        if not 0 <= min(request.token_ids) <= max(request.token_ids) < self._vocab_size:
            raise InvalidArgument("The prompt has token ids that the model does not know.")
        schedule = self._cache.schedule(sequence.cache_id)
        visible = schedule.last
        num_tokens = len(request.token_ids)
        if visible.window is None and num_tokens >= self._context_tokens:
            raise ContextTooLong(
                f"The prompt has {num_tokens} tokens, but the model's context holds "
                f"{self._context_tokens}; rewind, or give the session a window "
                "(/window 1024 in the app)."
            )
        needed = self._cache.most_blocks(sequence.cache_id, num_tokens + 1)
        # What was read under a larger window, in a larger pool, a smaller one does not help.
        way = "a window" if visible.window is None or len(schedule.parts) == 1 else "rewind"
        for group in needed.lacking(self._cache.size):
            raise PoolTooSmall(
                f"The prompt needs {needed[group]} blocks, but the whole pool has "
                f"{self._cache.size[group]}; use a larger --pool or {way}."
            )

    def ready(self) -> list[Sequence]:
        """Return the sequences in line that do not wait for a disk."""
        if self._room.residency is None:
            return self._lineup.waiting
        return [
            sequence
            for sequence in self._lineup.waiting
            if not self._room.residency.waits(sequence)
        ]

    def place_in_line(self, sequence: Sequence) -> tuple[bool, int]:
        """Return what the line is ordered by: the focused prompt passes another one only once."""
        is_focused = sequence.owner == self._scheduler.focus
        return not (is_focused or sequence.is_overtaken), sequence.arrival

    def admit(self) -> None:
        """Move waiting sequences to the running ones while their prompts have room.

        The first of a step whose blocks lie scattered is moved into one piece.
        """
        may_compact = True
        follows: set[Sequence] = set()
        self._scheduler.leads_focus = None
        while ready := [sequence for sequence in self.ready() if sequence not in follows]:
            if self._lineup.is_draining and self._lineup.running:
                return
            sequence = min(ready, key=self.place_in_line)
            first = None if self._room.residency is None else self._room.residency.lacks_room
            if first is not None and self.place_in_line(first) < self.place_in_line(sequence):
                return
            self._adopt(sequence)
            if self._room.residency is not None and self._room.residency.begin(sequence):
                continue
            leader = self._leader(sequence)
            if leader is not None:
                follows.add(sequence)
                if sequence.owner == self._scheduler.focus:
                    self._scheduler.leads_focus = leader.owner
                continue
            # For this prompt, for what was promised to others, and a watermark of one block each.
            need = self._room.blocks_to_finish(sequence) + len(self._lineup.running)
            for other in self._lineup.running:
                need += self._room.blocks_to_finish(other)
            has_room = self._room.make_room(need, keep=sequence)
            if self._lineup.running and not has_room:
                return
            self._lineup.start(sequence)
            if sequence.num_generated_tokens == 0:
                sequence.num_cached_tokens = self._cache.length(sequence.cache_id)
            if may_compact:
                may_compact = not self._compact(sequence)

    def _adopt(self, sequence: Sequence) -> None:
        """Take over what is resident of a prompt, if that can be more than when it last looked."""
        state = self._cache.num_published, self._cache.length(sequence.cache_id)
        if sequence.looked_at == state:
            return
        length = self._cache.adopt(sequence.cache_id, sequence.token_ids)
        sequence.looked_at = state[0], length

    def _leader(self, sequence: Sequence) -> Sequence | None:
        """Return who is computing the next block of a prompt right now, so that it need not.

        Looked for anew in each step among those that run, so nobody waits for one that has left.
        """
        cache, size = self._cache, self._cache.block_size
        state = cache.paged_sequence(sequence.cache_id)
        index = len(state.keys)
        tokens = sequence.token_ids[index * size : (index + 1) * size]
        if len(tokens) < size:
            return None
        for other in self._lineup.running:
            if other.state is not SequenceState.PREFILL:
                continue  # it fills a block with what nobody else can know yet
            ahead = cache.paged_sequence(other.cache_id)
            if (
                len(ahead.keys) == index
                and ahead.keys[-1:] == state.keys[-1:]
                and ahead.schedule == state.schedule
                and other.token_ids[index * size : (index + 1) * size] == tokens
            ):
                return other
        return None

    def _compact(self, sequence: Sequence) -> bool:
        """Bring a sequence's own blocks side by side; say whether any were moved."""
        self._cache.tidy()
        try:
            return self._cache.compact(sequence.cache_id, self._room.remaining(sequence)) > 0
        except Exception as error:
            # Nothing was changed, and all that is lost is some speed.
            log.warning("blocks were not moved: %s", type(error).__name__)
            return False
