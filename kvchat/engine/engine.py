"""Engine: submit, cancel, fork, rewind, close and step, over one paged cache. Deterministic.

It has no thread and no clock of its own besides the one it is given: whoever owns it calls `step`.
A sequence here is token ids; what is in the cache is only how much of it need not be computed.
"""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from kvchat.engine.admission import Admission
from kvchat.engine.forward_pass import ForwardPass, RunsModel, sentence_of
from kvchat.engine.lineup import Lineup
from kvchat.engine.model_runner import ModelRunner
from kvchat.engine.request import FinishReason, Request, TokenEvent
from kvchat.engine.room import Room
from kvchat.engine.rotation_fit import RotationFit
from kvchat.engine.sampler import Choice
from kvchat.engine.scheduler import ScheduledRow, Scheduler
from kvchat.engine.scoring import score_chunk
from kvchat.engine.sequence import ResumeCost, Sequence, SequenceState, SequenceStats
from kvchat.engine.step_times import StepTimes
from kvchat.engine.window_fit import WindowFit, Windows
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.prefix_index import num_equal
from kvchat.kv.window_schedule import WindowChange

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kvchat.engine.residency import Residency

log = logging.getLogger(__name__)


class Engine:
    """Continuous batching over one model and one paged cache.

    Every method belongs to one thread. Errors of a single request end that request with an event;
    what is raised here is wrong use of the engine itself.
    """

    def __init__(
        self,
        runner: ModelRunner | RunsModel,
        cache: PagedKVCache,
        *,
        context_tokens: int,
        vocab_size: int,
        scheduler: Scheduler | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.cache = cache
        self._runner = runner
        self.context_tokens = context_tokens
        self.vocab_size = vocab_size
        self.scheduler = scheduler if scheduler is not None else Scheduler()
        self._lineup = Lineup()
        self._sequences = self._lineup.by_owner
        self._room = Room(cache, self._lineup)
        self._rotation_fit = RotationFit(cache, self._lineup)
        self._window_fit = WindowFit(cache, context_tokens)
        self._admission = Admission(
            cache,
            self._lineup,
            self._room,
            self.scheduler,
            context_tokens=context_tokens,
            vocab_size=vocab_size,
        )
        self._forward_pass = ForwardPass(
            runner,
            cache,
            self._lineup,
            self._room,
            self.scheduler,
            vocab_size=vocab_size,
            on_token=self._take_token,
            on_failed=self._fail,
            clock=clock,
        )

    @property
    def residency(self) -> "Residency | None":
        """What saves and restores sequences, where keys and values are kept on disk."""
        return self._room.residency

    @residency.setter
    def residency(self, residency: "Residency | None") -> None:
        self._room.residency = residency
        self._rotation_fit.residency = residency
        self._window_fit.residency = residency

    def limit_choices(self, num_ids: int) -> None:
        """Choose no id from `num_ids` on: models have rows for more than their tokenizer has."""
        assert num_ids > 0, num_ids
        self._forward_pass.num_choices = min(num_ids, self.vocab_size)

    @property
    def num_steps(self) -> int:
        """Steps that were committed."""
        return self._forward_pass.num_steps

    @property
    def step_times(self) -> StepTimes:
        """How long the last steps took."""
        return self._forward_pass.step_times

    @property
    def num_preemptions(self) -> int:
        """How often a running sequence gave its blocks to others."""
        return self._room.num_preemptions

    # Commands

    @property
    def has_work(self) -> bool:
        """Say whether a step would do anything."""
        return bool(
            self._lineup.running
            or self._admission.ready()
            or (self.residency is not None and self.residency.has_work)
        )

    @property
    def seconds_to_wait(self) -> float | None:
        """Seconds after which there is work even if no command comes; None is never."""
        return None if self.residency is None else self.residency.seconds_to_wait

    def open(
        self, owner: str, *, window: int | None = None, sinks: int = 0, label: str = ""
    ) -> None:
        """Start an empty sequence; raises InvalidArgument for a name in use or a bad window."""
        if owner in self._lineup.by_owner:
            raise InvalidArgument(f"The sequence '{owner}' is open already.")
        self._window_fit.check([WindowChange(0, window, sinks)])
        cache_id = self.cache.open(window=window, sinks=sinks, owner=owner, label=label)
        self._lineup.by_owner[owner] = Sequence(owner, cache_id)

    def is_open(self, owner: str) -> bool:
        """Say whether a sequence of this name is open."""
        return owner in self._lineup.by_owner

    def set_windows(self, owner: str, windows: Windows) -> int:
        """Give an idle sequence other windows, from position 0 on; return how many are computed.

        Lets go of what nobody will see, and takes back what is seen again and still resident.
        Does nothing while it generates: the next request says what it is to be read under. Raises
        InvalidArgument for windows that do not fit the context.
        """
        sequence = self._lineup.find(owner)
        self._window_fit.check(windows)
        if sequence.request is None:
            self._window_fit.prepare(sequence, windows)
            self.cache.adopt(sequence.cache_id, [*sequence.token_ids, -1])
        return self.cache.length(sequence.cache_id)

    def submit(self, request: Request) -> None:
        """Queue a generation; keys and values of the common prefix are kept.

        A prompt that can never run ends at once with an event and an error.
        """
        sequence = self._lineup.find(request.owner)
        assert sequence.request is None, "one generation a sequence"
        sequence.request = request
        sequence.num_prompt_tokens = len(request.token_ids)
        sequence.num_cached_tokens = sequence.num_generated_tokens = 0
        sequence.prefill_seconds = sequence.decode_seconds = 0.0
        sequence.looked_at = None
        sequence.arrival = sequence.last_used = self._lineup.tick()
        try:
            if request.windows is not None:
                self._window_fit.check(request.windows)
                self._window_fit.prepare(sequence, request.windows)
            self._admission.check(sequence, request)
        except KVChatError as error:
            self._finish(sequence, FinishReason.FAILED, error.sentence, code=error.code)
            return
        self._rotation_fit.prepare(sequence, len(request.token_ids))
        self._keep_common_prefix(sequence, request.token_ids)
        sequence.token_ids = list(request.token_ids)
        if self.residency is not None:
            self.residency.asked(sequence)
        self._lineup.wait(sequence)

    def prefetch(self, owner: str, token_ids: list[int], windows: Windows | None = None) -> None:
        """Bring an idle sequence of these tokens back from disk, before its next request is known.

        Does nothing while it generates, or has computed other tokens.
        """
        sequence = self._lineup.find(owner)
        computed = self.cache.token_ids(sequence.cache_id)
        is_other = computed != token_ids[: len(computed)]
        if self.residency is None or sequence.request is not None or is_other:
            return
        sequence.token_ids = list(token_ids)
        self._window_fit.prepare(sequence, windows)
        self._rotation_fit.prepare(sequence, len(token_ids))
        self.cache.adopt(sequence.cache_id, [*token_ids, -1])
        self.residency.prefetch(sequence)

    def cancel(self, request: Request) -> None:
        """End a generation now; harmless when it has ended already."""
        request.is_cancelled = True
        sequence = self._lineup.by_owner.get(request.owner)
        if sequence is not None and sequence.request is request:
            self._finish(sequence, FinishReason.CANCELLED)

    def fork(self, parent: str, child: str, length: int | None = None, label: str = "") -> int:
        """Open `child` with the first `length` tokens of `parent`; return how many are computed.

        Shares blocks, computes and copies nothing. Also while the parent is generating.
        """
        if child in self._lineup.by_owner:
            raise InvalidArgument(f"The sequence '{child}' is open already.")
        source = self._lineup.find(parent)
        computed = self.cache.length(source.cache_id)
        length = len(source.token_ids) if length is None else min(length, len(source.token_ids))
        cache_id = self.cache.fork(source.cache_id, min(length, computed), owner=child, label=label)
        ticks = self._lineup.tick()
        forked = Sequence(child, cache_id, source.token_ids[:length], last_used=ticks)
        self._lineup.by_owner[child] = forked
        if self.residency is not None:
            self.residency.turn_ended(forked)
        return self.cache.length(cache_id)

    def rewind(self, owner: str, length: int, windows: Windows | None = None) -> int:
        """Keep the first `length` tokens of an idle sequence; return how many are computed.

        windows  under which the sequence is read from here on, where they change with it
        """
        sequence = self._lineup.find(owner)
        assert sequence.request is None, "a running sequence is cancelled before it is rewound"
        if length < 0:
            raise InvalidArgument(f"Cannot rewind to {length} tokens.")
        if self.residency is not None:
            self.residency.forget(sequence)
            self.residency.will_cut(sequence, length)
        del sequence.token_ids[length:]
        before = self.cache.length(sequence.cache_id)
        self._window_fit.prepare(sequence, windows)
        if length < self.cache.length(sequence.cache_id):
            self.cache.truncate(sequence.cache_id, length)
        if self.cache.length(sequence.cache_id) < min(before, length):
            # A window had let go of what is seen there.
            self.cache.adopt(sequence.cache_id, [*sequence.token_ids, -1])
        return self.cache.length(sequence.cache_id)

    def num_restorable(self, owner: str, token_ids: list[int]) -> int:
        """Return how many of these tokens an idle sequence has, or could have back from disk.

        Counts what it has where its tokens are others.
        """
        sequence = self._lineup.find(owner)
        computed = self.cache.token_ids(sequence.cache_id)
        if self.residency is None or computed != token_ids[: len(computed)]:
            return len(computed)
        return self.residency.num_restorable(sequence, token_ids)

    def num_common(self, owner: str, token_ids: list[int]) -> int:
        """Return how many first tokens of a sequence, computed or not, are these."""
        own = self._lineup.find(owner).token_ids
        return num_equal(own, token_ids)

    def resume_cost(
        self, owner: str, token_ids: list[int], windows: Windows | None = None
    ) -> ResumeCost:
        """Return where the tokens are that a sequence is to have next; changes nothing of it."""
        own = self._lineup.find(owner)
        computed = self.cache.token_ids(own.cache_id)
        is_fit = self._window_fit.is_fit(own, windows)
        if computed == token_ids and is_fit and self._rotation_fit.is_fit(own, len(token_ids)):
            return ResumeCost(owner, len(computed), 0, 0)
        name = f"{owner}?"
        with self.cache.unrecorded():
            self.fork(owner, name, self.num_common(owner, token_ids))
            try:
                twin = self._lineup.find(name)
                twin.token_ids = list(token_ids)
                self._window_fit.prepare(twin, windows)
                self._rotation_fit.prepare(twin, len(token_ids))
                self.cache.adopt(twin.cache_id, [*token_ids, -1])
                resident = self.cache.length(twin.cache_id)
                restorable = max(resident, self.num_restorable(name, token_ids))
                missing = len(token_ids) - restorable
                return ResumeCost(owner, resident, restorable - resident, missing)
            finally:
                self.close(name)

    def begin_score(
        self,
        owner: str,
        name: str,
        token_ids: list[int],
        first: int,
        windows: Windows | None = None,
    ) -> None:
        """Open `name` to read tokens again from `first` on; see `score_chunk`, then `close` it."""
        length = min(self.num_common(owner, token_ids), first - 1)
        self.fork(owner, name, length)
        twin = self._lineup.find(name)
        twin.token_ids = list(token_ids)
        self._window_fit.prepare(twin, windows)
        self.cache.adopt(twin.cache_id, token_ids[:first])

    def score_chunk(self, name: str) -> dict[int, bytes]:
        """Read some more tokens; return their records by position, none at the end."""
        assert isinstance(self._runner, ModelRunner), "scoring needs the logits of every token"
        twin = self._lineup.find(name)
        return score_chunk(self._runner, self.cache, self._room, twin, self.vocab_size)

    def resume_costs(self) -> list[ResumeCost]:
        """Return for every open sequence where its tokens are; looks up each saved block."""
        costs = []
        for sequence in self._lineup.by_owner.values():
            resident = self.cache.length(sequence.cache_id)
            restorable = self.num_restorable(sequence.owner, sequence.token_ids)
            num_tokens = len(sequence.token_ids)
            costs.append(
                ResumeCost(
                    sequence.owner,
                    resident,
                    max(0, restorable - resident),
                    num_tokens - max(resident, restorable),
                )
            )
        return costs

    def close(self, owner: str) -> None:
        """Forget a sequence and give its blocks back; a running generation is cancelled."""
        sequence = self._lineup.by_owner.get(owner)
        if sequence is None:
            return
        if sequence.request is not None:
            self.cancel(sequence.request)
        if self.residency is not None:
            self.residency.closed(sequence)
        del self._lineup.by_owner[owner]
        self.cache.release(sequence.cache_id)

    def save(self, owner: str) -> "Future[bool] | None":
        """Hand a sequence over to be saved; None if there is no room to queue it now."""
        if self.residency is None or owner not in self._lineup.by_owner:
            return None
        return self.residency.save(self._lineup.by_owner[owner])

    def save_all(self) -> bool:
        """Hand every sequence over to be saved, the last used first; say if all had room."""
        by_use = sorted(self._lineup.by_owner.values(), key=lambda sequence: -sequence.last_used)
        has_room = all([self.save(sequence.owner) is not None for sequence in by_use])
        return has_room and (self.residency is None or self.residency.save_cached())

    def abandon(self, error: str | None = None) -> None:
        """End every generation, before the engine itself ends: cancelled, or failed with an error.

        So every reader sees an end and its text so far, whatever happened.
        """
        reason = FinishReason.CANCELLED if error is None else FinishReason.FAILED
        for sequence in self._lineup.with_request():
            self._finish(sequence, reason, error)

    def stats(self) -> list[SequenceStats]:
        """Return a row per open sequence."""
        in_line = sorted(self._lineup.waiting, key=self._admission.place_in_line)
        places = {sequence.owner: place for place, sequence in enumerate(in_line, 1)}
        return [
            SequenceStats(
                sequence.owner,
                sequence.state,
                len(sequence.token_ids),
                self.cache.length(sequence.cache_id),
                sequence.num_prompt_tokens,
                places.get(sequence.owner, 0),
                len(self._lineup.waiting),
            )
            for sequence in self._lineup.by_owner.values()
        ]

    # Steps

    def step(self) -> None:
        """Admit, reserve, compute, commit: one forward pass for every sequence that can run."""
        self._drop_cancelled()
        if self.residency is not None:
            self.residency.work(self._room.make_room_to_restore, is_idle=not self._lineup.running)
        self._rotation_fit.requeue_outgrown()
        self._admission.admit()
        if not self._lineup.running:
            return
        remaining = {sequence: self._room.remaining(sequence) for sequence in self._lineup.running}
        picked = self.scheduler.pick(self._lineup.running, remaining)
        rows = [
            ScheduledRow(
                row.sequence,
                self.cache.chunk_limit(row.sequence.cache_id, row.num_new_tokens),
            )
            for row in picked
        ]
        self._forward_pass.run(rows)
        # A cancel that came while the step ran has discarded its row; now its reader is told.
        self._drop_cancelled()

    def _take_token(self, sequence: Sequence, choice: Choice) -> None:
        request, token_id = sequence.request, choice.token_id
        assert request is not None
        sequence.state = SequenceState.DECODE
        sequence.token_ids.append(token_id)
        sequence.num_generated_tokens += 1
        if token_id in request.stop_ids:
            self._finish(sequence, FinishReason.STOP, choice=choice)
            return
        try:
            text = request.text_stream.push(token_id)
            has_stopped = request.text_stream.has_stopped
        except Exception as error:
            # A decoder that fails ends its own reply; the row's keys and values are committed.
            self._finish(sequence, FinishReason.FAILED, sentence_of(error), choice=choice)
            return
        limit = request.sampling.max_tokens
        if has_stopped:
            self._finish(sequence, FinishReason.STOP, choice=choice, text=text)
        elif limit is not None and sequence.num_generated_tokens >= limit:
            self._finish(sequence, FinishReason.LENGTH, choice=choice, text=text)
        elif self._is_context_full(sequence):
            self._finish(sequence, FinishReason.CONTEXT, choice=choice, text=text)
        else:
            notice = sequence.take_notice()
            timing = sequence.timing()
            _tell(request, TokenEvent(token_id, text, timing, notice=notice, record=choice.record))

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        error: str | None = None,
        *,
        code: str | None = None,
        choice: Choice | None = None,
        text: str = "",
    ) -> None:
        request = sequence.request
        assert request is not None
        self._lineup.end(sequence)
        if self.residency is not None:
            self.residency.forget(sequence)
            self.residency.turn_ended(sequence)
        try:
            text += request.text_stream.flush()
        except Exception as failure:
            # The end must be told in any case.
            log.error("the end of a text is lost: %s", type(failure).__name__)
        notice = sequence.take_notice()
        token_id, record = (None, b"") if choice is None else (choice.token_id, choice.record)
        timing = sequence.timing()
        _tell(request, TokenEvent(token_id, text, timing, reason, error, notice, code, record))

    def _fail(self, sequence: Sequence, sentence: str, code: str | None) -> None:
        self._finish(sequence, FinishReason.FAILED, sentence, code=code)

    # Pieces

    def _find(self, owner: str) -> Sequence:
        return self._lineup.find(owner)

    def _is_context_full(self, sequence: Sequence) -> bool:
        visible = self.cache.schedule(sequence.cache_id).last
        return visible.window is None and len(sequence.token_ids) >= self.context_tokens

    def _keep_common_prefix(self, sequence: Sequence, token_ids: list[int]) -> None:
        """Cut the cache to what the new prompt shares with it, and leave one token to compute."""
        computed = self.cache.token_ids(sequence.cache_id)
        limit = min(len(computed), len(token_ids) - 1)
        if computed[:limit] != token_ids[:limit]:
            limit = next(index for index in range(limit) if computed[index] != token_ids[index])
        if limit < len(computed):
            if self.residency is not None:
                self.residency.will_cut(sequence, limit)
            self.cache.truncate(sequence.cache_id, limit)

    def _drop_cancelled(self) -> None:
        for sequence in self._lineup.with_request():
            request = sequence.request
            if request is not None and request.is_cancelled:
                self._finish(sequence, FinishReason.CANCELLED)


def _tell(request: Request, event: TokenEvent) -> None:
    try:
        request.on_event(event)
    except Exception as error:
        # A reader that fails loses its own reply, not the engine.
        log.error("a reader of tokens failed: %s", type(error).__name__)
        request.is_cancelled = True
