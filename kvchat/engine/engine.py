"""Engine: submit, cancel, fork, rewind, close and step, over one paged cache. Deterministic.

It has no thread and no clock of its own besides the one it is given: whoever owns it calls `step`.
A sequence here is token ids; what is in the cache is only how much of it need not be computed.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from kvchat.engine.model_runner import ModelRunner
from kvchat.engine.request import FinishReason, Request, TokenEvent
from kvchat.engine.sampler import SamplerRow, sample
from kvchat.engine.scheduler import ScheduledRow, Scheduler
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.errors import (
    ContextTooLong,
    InvalidArgument,
    KVChatError,
    OutOfBlocks,
    PoolTooSmall,
    SessionNotFound,
)
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_step import PagedStep

if TYPE_CHECKING:
    from concurrent.futures import Future

    from kvchat.engine.residency import Residency

log = logging.getLogger(__name__)


class RunsModel(Protocol):
    """What the engine needs of a model runner."""

    def run(self, rows: list[list[int]], positions: list[int], cache: PagedKVCache) -> Tensor:
        """Return logits [len(rows), vocab_size]."""


@dataclass(frozen=True, slots=True)
class SequenceStats:
    """One sequence for a panel: tokens, how many are in the cache, and where it waits."""

    owner: str
    state: SequenceState
    num_tokens: int
    num_computed_tokens: int
    num_prompt_tokens: int
    queue_place: int
    queue_length: int


@dataclass(frozen=True, slots=True)
class ResumeCost:
    """Where the tokens of a sequence are: in the pool, only on disk, or to be computed again."""

    owner: str
    num_resident_tokens: int
    num_disk_tokens: int
    num_prefill_tokens: int


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
        self.context_tokens = context_tokens
        self.vocab_size = vocab_size
        self.scheduler = scheduler if scheduler is not None else Scheduler()
        self._runner = runner
        self._clock = clock
        self._sequences: dict[str, Sequence] = {}
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._ticks = 0
        self._is_draining = False
        self.residency: Residency | None = None
        """Saves and restores sequences, where keys and values are kept on disk."""
        self.num_steps = 0
        self.num_preemptions = 0

    # Commands

    @property
    def has_work(self) -> bool:
        """Say whether a step would do anything."""
        return bool(
            self._running
            or self._ready()
            or (self.residency is not None and self.residency.has_work)
        )

    def open(
        self, owner: str, *, window: int | None = None, sinks: int = 0, label: str = ""
    ) -> None:
        """Start an empty sequence; raises InvalidArgument for a name in use or a bad window."""
        if owner in self._sequences:
            raise InvalidArgument(f"The sequence '{owner}' is open already.")
        rounded = -(-sinks // self.cache.block_size) * self.cache.block_size
        if window is not None and window + rounded > self.context_tokens:
            raise InvalidArgument(
                f"A window of {window} tokens and {rounded} sinks do not fit the context of "
                f"{self.context_tokens} tokens."
            )
        cache_id = self.cache.open(window=window, sinks=sinks, owner=owner, label=label)
        self._sequences[owner] = Sequence(owner, cache_id)

    def is_open(self, owner: str) -> bool:
        """Say whether a sequence of this name is open."""
        return owner in self._sequences

    def submit(self, request: Request) -> None:
        """Queue a generation; keys and values of the common prefix are kept.

        A prompt that can never run ends at once with an event and an error.
        """
        sequence = self._find(request.owner)
        assert sequence.request is None, "one generation a sequence"
        sequence.request = request
        sequence.num_prompt_tokens = len(request.token_ids)
        sequence.num_cached_tokens = sequence.num_generated_tokens = 0
        sequence.prefill_seconds = sequence.decode_seconds = 0.0
        sequence.notice = None
        self._ticks += 1
        sequence.arrival = sequence.last_used = self._ticks
        try:
            self._check(sequence, request)
        except KVChatError as error:
            self._finish(sequence, FinishReason.FAILED, error.sentence)
            return
        self._keep_common_prefix(sequence, request.token_ids)
        sequence.token_ids = list(request.token_ids)
        sequence.state = SequenceState.WAITING
        self._waiting.append(sequence)

    def cancel(self, request: Request) -> None:
        """End a generation now; harmless when it has ended already."""
        request.is_cancelled = True
        sequence = self._sequences.get(request.owner)
        if sequence is not None and sequence.request is request:
            self._finish(sequence, FinishReason.CANCELLED)

    def fork(self, parent: str, child: str, length: int | None = None, label: str = "") -> int:
        """Open `child` with the first `length` tokens of `parent`; return how many are computed.

        Shares blocks, computes and copies nothing. Also while the parent is generating.
        """
        if child in self._sequences:
            raise InvalidArgument(f"The sequence '{child}' is open already.")
        source = self._find(parent)
        computed = self.cache.length(source.cache_id)
        length = len(source.token_ids) if length is None else min(length, len(source.token_ids))
        cache_id = self.cache.fork(source.cache_id, min(length, computed), owner=child, label=label)
        self._ticks += 1
        forked = Sequence(child, cache_id, source.token_ids[:length], last_used=self._ticks)
        self._sequences[child] = forked
        if self.residency is not None:
            self.residency.turn_ended(forked)
        return self.cache.length(cache_id)

    def rewind(self, owner: str, length: int) -> int:
        """Keep the first `length` tokens of an idle sequence; return how many are computed."""
        sequence = self._find(owner)
        assert sequence.request is None, "a running sequence is cancelled before it is rewound"
        if length < 0:
            raise InvalidArgument(f"Cannot rewind to {length} tokens.")
        del sequence.token_ids[length:]
        computed = self.cache.length(sequence.cache_id)
        if length < computed:
            self.cache.truncate(sequence.cache_id, length)
            self.cache.adopt(sequence.cache_id, [*sequence.token_ids, -1])
        return self.cache.length(sequence.cache_id)

    def num_restorable(self, owner: str, token_ids: list[int]) -> int:
        """Return how many of these tokens an idle sequence has, or could have back from disk.

        Counts what it has where its tokens are others.
        """
        sequence = self._find(owner)
        computed = self.cache.token_ids(sequence.cache_id)
        if self.residency is None or computed != token_ids[: len(computed)]:
            return len(computed)
        return self.residency.num_restorable(sequence, token_ids)

    def resume_costs(self) -> list[ResumeCost]:
        """Return for every open sequence where its tokens are; looks up each saved block."""
        costs = []
        for sequence in self._sequences.values():
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
        sequence = self._sequences.get(owner)
        if sequence is None:
            return
        if sequence.request is not None:
            self.cancel(sequence.request)
        if self.residency is not None:
            self.residency.closed(sequence)
        del self._sequences[owner]
        self.cache.release(sequence.cache_id)

    def save(self, owner: str) -> "Future[bool] | None":
        """Hand a sequence over to be saved; None if there is no room to queue it now."""
        if self.residency is None or owner not in self._sequences:
            return None
        return self.residency.save(self._sequences[owner])

    def save_all(self) -> bool:
        """Hand every sequence over to be saved, the last used first; say if all had room."""
        by_use = sorted(self._sequences.values(), key=lambda sequence: -sequence.last_used)
        return all([self.save(sequence.owner) is not None for sequence in by_use])

    def abandon(self, error: str | None = None) -> None:
        """End every generation, before the engine itself ends: cancelled, or failed with an error.

        So every reader sees an end and its text so far, whatever happened.
        """
        reason = FinishReason.CANCELLED if error is None else FinishReason.FAILED
        for sequence in self._with_request():
            self._finish(sequence, reason, error)

    def stats(self) -> list[SequenceStats]:
        """Return a row per open sequence."""
        in_line = sorted(self._waiting, key=self._place_in_line)
        places = {sequence.owner: place for place, sequence in enumerate(in_line, 1)}
        return [
            SequenceStats(
                sequence.owner,
                sequence.state,
                len(sequence.token_ids),
                self.cache.length(sequence.cache_id),
                sequence.num_prompt_tokens,
                places.get(sequence.owner, 0),
                len(self._waiting),
            )
            for sequence in self._sequences.values()
        ]

    # Steps

    def step(self) -> None:
        """Admit, reserve, compute, commit: one forward pass for every sequence that can run."""
        self._drop_cancelled()
        if self.residency is not None:
            self.residency.work(self._make_room_to_restore, is_idle=not self._running)
        self._admit()
        if not self._running:
            return
        remaining = {sequence: self._remaining(sequence) for sequence in self._running}
        picked = self.scheduler.pick(self._running, remaining)
        rows = [
            ScheduledRow(
                row.sequence,
                self.cache.chunk_limit(row.sequence.cache_id, row.num_new_tokens),
            )
            for row in picked
        ]
        self._run(rows)

    def _run(self, rows: list[ScheduledRow]) -> None:
        """Reserve, compute, sample and commit; whatever fails on the way is undone."""
        rows, reserved = self._reserve(rows)
        if reserved is None:
            return
        started = self._clock()
        try:
            new = [self._new_tokens(row) for row in rows]
            logits = self._runner.run(new, reserved.positions, self.cache)[:, : self.vocab_size]
            is_finite = logits.isfinite().all(-1).tolist()
            tokens = self._sample(rows, logits, is_finite)
        except Exception as error:
            # Whatever failed, only the row that fails again alone is ended.
            reserved.rollback()
            self._run_alone(rows, error)
            return
        self._commit(rows, reserved, is_finite, tokens, started)

    def _run_alone(self, rows: list[ScheduledRow], error: Exception) -> None:
        """Find out whose error it was: that reply ends, the neighbors go on."""
        if len(rows) == 1:
            self._finish(rows[0].sequence, FinishReason.FAILED, _sentence(error))
            return
        for row in rows:
            # Making room for one row may have preempted another.
            if row.sequence in self._running:
                self._run([row])

    def _commit(
        self,
        rows: list[ScheduledRow],
        reserved: PagedStep,
        is_finite: list[bool],
        tokens: dict[int, int],
        started: float,
    ) -> None:
        good: list[int] = []
        for place, (row, step_row) in enumerate(zip(rows, list(reserved.rows), strict=True)):
            request = row.sequence.request
            if request is None or request.is_cancelled:
                reserved.rollback_row(step_row)
            elif not is_finite[place]:
                reserved.rollback_row(step_row)
                self._finish(
                    row.sequence,
                    FinishReason.FAILED,
                    "The model computed invalid numbers, so this reply stopped; its text is kept.",
                )
            else:
                good.append(place)
        reserved.commit()
        seconds = self._clock() - started
        self.num_steps += 1
        prompt_tokens = sum(
            rows[place].num_new_tokens
            for place in good
            if rows[place].sequence.state is SequenceState.PREFILL
        )
        decodes = sum(rows[place].sequence.state is SequenceState.DECODE for place in good)
        if good:
            self.scheduler.budget.learn(seconds, decodes, prompt_tokens)
        for place in good:
            sequence = rows[place].sequence
            self._ticks += 1
            sequence.last_used = self._ticks
            if sequence.state is SequenceState.PREFILL:
                sequence.prefill_seconds += seconds
            else:
                sequence.decode_seconds += seconds
            if place in tokens:
                self._take_token(sequence, tokens[place])

    def _sample(
        self, rows: list[ScheduledRow], logits: Tensor, is_finite: list[bool]
    ) -> dict[int, int]:
        """Return a token, by place, for each row whose tokens are all computed after this step."""
        sampling, chosen = [], []
        for place, row in enumerate(rows):
            sequence = row.sequence
            request = sequence.request
            assert request is not None
            if is_finite[place] and self._remaining(sequence) == row.num_new_tokens:
                chosen.append(place)
                sampling.append(
                    SamplerRow(
                        request.sampling,
                        request.seed,
                        len(sequence.token_ids),
                        sequence.token_ids,
                    )
                )
        if not chosen:
            return {}
        return dict(zip(chosen, sample(logits[chosen], sampling), strict=True))

    def _take_token(self, sequence: Sequence, token_id: int) -> None:
        request = sequence.request
        assert request is not None
        sequence.state = SequenceState.DECODE
        sequence.token_ids.append(token_id)
        sequence.num_generated_tokens += 1
        if token_id in request.stop_ids:
            self._finish(sequence, FinishReason.STOP, token_id=token_id)
            return
        try:
            text = request.text_stream.push(token_id)
            has_stopped = request.text_stream.has_stopped
        except Exception as error:
            # A decoder that fails ends its own reply; the row's keys and values are committed.
            self._finish(sequence, FinishReason.FAILED, _sentence(error), token_id=token_id)
            return
        limit = request.sampling.max_tokens
        if has_stopped:
            self._finish(sequence, FinishReason.STOP, token_id=token_id, text=text)
        elif limit is not None and sequence.num_generated_tokens >= limit:
            self._finish(sequence, FinishReason.LENGTH, token_id=token_id, text=text)
        elif self._is_context_full(sequence):
            self._finish(sequence, FinishReason.CONTEXT, token_id=token_id, text=text)
        else:
            notice = sequence.take_notice()
            _tell(request, TokenEvent(token_id, text, sequence.timing(), notice=notice))

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        error: str | None = None,
        *,
        token_id: int | None = None,
        text: str = "",
    ) -> None:
        request = sequence.request
        assert request is not None
        if sequence in self._running:
            self._running.remove(sequence)
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        sequence.request = None
        sequence.state = SequenceState.IDLE
        if self.residency is not None:
            self.residency.forget(sequence)
            self.residency.turn_ended(sequence)
        self._is_draining = False
        try:
            text += request.text_stream.flush()
        except Exception as failure:
            # The end must be told in any case.
            log.error("the end of a text is lost: %s", type(failure).__name__)
        notice = sequence.take_notice()
        _tell(request, TokenEvent(token_id, text, sequence.timing(), reason, error, notice))

    # Room

    def _admit(self) -> None:
        """Move waiting sequences to the running ones while their prompts have room.

        The first of a step whose blocks lie scattered is moved into one piece.
        """
        may_compact = True
        while ready := self._ready():
            if self._is_draining and self._running:
                return
            sequence = min(ready, key=self._place_in_line)
            first = None if self.residency is None else self.residency.lacks_room
            if first is not None and self._place_in_line(first) < self._place_in_line(sequence):
                return
            self.cache.adopt(sequence.cache_id, sequence.token_ids)
            if self.residency is not None and self.residency.begin(sequence):
                continue
            # For this prompt, for what was promised to others, and a watermark of one block each.
            need = self._blocks_to_finish(sequence) + len(self._running)
            need += sum(self._blocks_to_finish(other) for other in self._running)
            has_room = self._make_room(need, keep=sequence)
            if self._running and not has_room:
                return
            self._waiting.remove(sequence)
            self._running.append(sequence)
            sequence.state = SequenceState.PREFILL
            if sequence.num_generated_tokens == 0:
                sequence.num_cached_tokens = self.cache.length(sequence.cache_id)
            if may_compact:
                may_compact = not self._compact(sequence)

    def _compact(self, sequence: Sequence) -> bool:
        """Bring a sequence's own blocks side by side; say whether any were moved."""
        self.cache.tidy()
        try:
            return self.cache.compact(sequence.cache_id, self._remaining(sequence)) > 0
        except Exception as error:
            # Nothing was changed, and all that is lost is some speed.
            log.warning("blocks were not moved: %s", type(error).__name__)
            return False

    def _ready(self) -> list[Sequence]:
        """Return the sequences in line that do not wait for a disk."""
        if self.residency is None:
            return self._waiting
        return [sequence for sequence in self._waiting if not self.residency.waits(sequence)]

    def _place_in_line(self, sequence: Sequence) -> tuple[bool, int]:
        return sequence.owner != self.scheduler.focus, sequence.arrival

    def _reserve(self, rows: list[ScheduledRow]) -> tuple[list[ScheduledRow], PagedStep | None]:
        """Reserve as many rows as there is room for; idle sequences, then new ones, give way."""
        while rows:
            try:
                return rows, self.cache.reserve(
                    [(row.sequence.cache_id, row.num_new_tokens) for row in rows],
                    [self._new_tokens(row) for row in rows],
                )
            except OutOfBlocks:
                need = sum(
                    self.cache.blocks_for(row.sequence.cache_id, row.num_new_tokens) for row in rows
                )
                before = self._num_resting_tokens()
                self._make_room(need)
                if self._num_resting_tokens() < before:
                    # More blocks, or a block that is no longer shared and needs no copy.
                    continue
                if self.residency is not None and self.residency.give_way():
                    continue
                if len(self._running) > 1:
                    newest = max(self._running, key=lambda sequence: sequence.arrival)
                    self._preempt(newest)
                    rows = [row for row in rows if row.sequence is not newest]
                    continue
                sequence, count = rows[0].sequence, rows[0].num_new_tokens
                if count > 1:
                    # Behind a window a smaller chunk needs fewer blocks at a time.
                    rows = [ScheduledRow(sequence, count // 2)]
                    continue
                self._finish(
                    sequence,
                    FinishReason.FAILED,
                    f"The pool of {self.cache.num_blocks} blocks is full, so this reply stopped;"
                    " its text is kept. Use a larger --pool or a window.",
                )
                return [], None
            except Exception as error:
                # A copy or an allocation failed: nothing was reserved, as if computing had failed.
                self._run_alone(rows, error)
                return [], None
        return [], None

    def _make_room(self, need: int, keep: Sequence | None = None) -> bool:
        """Let sequences that do not run give up blocks until `need` are there.

        Idle ones first, least recently used first; then waiting ones, newest first, whose cached
        prefix is found again or prefilled when their turn comes.
        """
        if self.cache.num_available >= need:
            return True
        holders = sorted(
            (sequence for sequence in self._resting() if sequence is not keep),
            key=lambda sequence: (
                sequence.state is SequenceState.WAITING,
                sequence.last_used if sequence.state is SequenceState.IDLE else -sequence.arrival,
            ),
        )
        for sequence in holders:
            if self.residency is not None:
                self.residency.spill(sequence)
            self.cache.shrink(sequence.cache_id, need)
            if self.cache.num_available >= need:
                return True
        return False

    def _make_room_to_restore(self, need: int, sequence: Sequence) -> bool:
        """Make room beside what running sequences may soon want."""
        return self._make_room(need + len(self._running), keep=sequence)

    def _resting(self) -> list[Sequence]:
        """Return sequences that hold blocks and do not run."""
        return [
            sequence
            for sequence in self._sequences.values()
            if sequence.state in (SequenceState.IDLE, SequenceState.WAITING)
            and self.cache.length(sequence.cache_id)
        ]

    def _num_resting_tokens(self) -> int:
        return sum(self.cache.length(sequence.cache_id) for sequence in self._resting())

    def _preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks; it rejoins at its place by arrival."""
        self.num_preemptions += 1
        self._running.remove(sequence)
        if self.residency is not None:
            self.residency.spill(sequence)
            self.residency.forget(sequence)
        self.cache.shrink(sequence.cache_id, self.cache.num_blocks)
        sequence.state = SequenceState.WAITING
        self._waiting.append(sequence)
        self._is_draining = True

    def _blocks_to_finish(self, sequence: Sequence) -> int:
        """Blocks until the prompt is computed, and one to grow; a window bounds what is held."""
        count = self._remaining(sequence)
        count = self.cache.chunk_limit(sequence.cache_id, count)
        return max(0, self.cache.blocks_for(sequence.cache_id, count)) + 1

    # Pieces

    def _find(self, owner: str) -> Sequence:
        sequence = self._sequences.get(owner)
        if sequence is None:
            raise SessionNotFound(f"No sequence '{owner}' is open.")
        return sequence

    def _check(self, sequence: Sequence, request: Request) -> None:
        if not request.token_ids:
            raise InvalidArgument("An empty prompt has nothing to answer.")
        if not 0 <= min(request.token_ids) <= max(request.token_ids) < self.vocab_size:
            raise InvalidArgument("The prompt has token ids that the model does not know.")
        size = self.cache.block_size
        visible = self.cache.visible_set(sequence.cache_id)
        num_tokens = len(request.token_ids)
        if visible.window is None and num_tokens >= self.context_tokens:
            raise ContextTooLong(
                f"The prompt has {num_tokens} tokens, but the model's context holds "
                f"{self.context_tokens}; rewind, or give the session a window "
                "(/window 1024 in the app)."
            )
        needed = num_tokens // size + 1
        if visible.window is not None:
            # The sinks, the blocks over which a window can lie, and nothing between them.
            needed = min(needed, visible.sinks // size + (visible.window + size - 2) // size + 1)
        if needed > self.cache.num_blocks:
            raise PoolTooSmall(
                f"The prompt needs {needed} blocks, but the whole pool has "
                f"{self.cache.num_blocks}; use a larger --pool or a window."
            )

    def _is_context_full(self, sequence: Sequence) -> bool:
        visible = self.cache.visible_set(sequence.cache_id)
        return visible.window is None and len(sequence.token_ids) >= self.context_tokens

    def _keep_common_prefix(self, sequence: Sequence, token_ids: list[int]) -> None:
        """Cut the cache to what the new prompt shares with it, and leave one token to compute."""
        computed = self.cache.token_ids(sequence.cache_id)
        limit = min(len(computed), len(token_ids) - 1)
        if computed[:limit] != token_ids[:limit]:
            limit = next(index for index in range(limit) if computed[index] != token_ids[index])
        if limit < len(computed):
            self.cache.truncate(sequence.cache_id, limit)

    def _remaining(self, sequence: Sequence) -> int:
        return len(sequence.token_ids) - self.cache.length(sequence.cache_id)

    def _new_tokens(self, row: ScheduledRow) -> list[int]:
        start = self.cache.length(row.sequence.cache_id)
        return row.sequence.token_ids[start : start + row.num_new_tokens]

    def _drop_cancelled(self) -> None:
        for sequence in self._with_request():
            request = sequence.request
            if request is not None and request.is_cancelled:
                self._finish(sequence, FinishReason.CANCELLED)

    def _with_request(self) -> Iterable[Sequence]:
        return [*self._running, *self._waiting]


def _tell(request: Request, event: TokenEvent) -> None:
    try:
        request.on_event(event)
    except Exception as error:
        # A reader that fails loses its own reply, not the engine.
        log.error("a reader of tokens failed: %s", type(error).__name__)
        request.is_cancelled = True


def _sentence(error: Exception) -> str:
    if isinstance(error, KVChatError):
        return error.sentence
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "Memory ran out, so this reply stopped; its text is kept."
    # The class alone: messages of libraries may hold text of the chat.
    return f"Computing failed ({type(error).__name__}), so this reply stopped; its text is kept."
