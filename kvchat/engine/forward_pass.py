"""ForwardPass: the rows of a step reserved, computed, sampled and committed, or undone.

Whatever fails ends the row that fails again alone, and no other. What becomes of a token is told to
whoever runs the pass.
"""

from collections.abc import Callable
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from kvchat.engine.lineup import Lineup
from kvchat.engine.logit_reader import LogitReader
from kvchat.engine.model_runner import ModelRunner
from kvchat.engine.one_thread import one_thread
from kvchat.engine.room import Room
from kvchat.engine.sampler import Choice, SamplerRow, choose
from kvchat.engine.scheduler import ScheduledRow, Scheduler
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.engine.step_times import StepTimes
from kvchat.errors import KVChatError, OutOfBlocks, PoolTooSmall, StepStopped
from kvchat.kv.block_counts import BlockCounts
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.paged_step import PagedStep


class RunsModel(Protocol):
    """What the engine needs of a model runner."""

    def run(self, rows: list[list[int]], positions: list[int], cache: PagedKVCache) -> Tensor:
        """Return logits [len(rows), vocab_size]."""


class ForwardPass:
    """Runs the rows of one step as a transaction.

    on_token   called with each token that was drawn, after its step was committed
    on_failed  called with a sequence whose row failed, one sentence about it, and its code
    clock      seconds, for what steps cost
    """

    def __init__(
        self,
        runner: ModelRunner | RunsModel,
        cache: PagedKVCache,
        lineup: Lineup,
        room: Room,
        scheduler: Scheduler,
        *,
        vocab_size: int,
        on_token: Callable[[Sequence, Choice], None],
        on_failed: Callable[[Sequence, str, str | None], None],
        clock: Callable[[], float],
    ) -> None:
        self.num_steps = 0
        self.step_times = StepTimes()
        self._runner = runner
        self._cache = cache
        self._lineup = lineup
        self._room = room
        self._scheduler = scheduler
        self._vocab_size = vocab_size
        self._reader = LogitReader.of(cache.kernels)
        self.num_choices = vocab_size
        """Ids below this may be chosen; the model has rows for others that nobody trained."""
        self._on_token = on_token
        self._on_failed = on_failed
        self._clock = clock

    def run(self, rows: list[ScheduledRow]) -> None:
        """Reserve, compute, sample and commit; whatever fails on the way is undone."""
        rows, reserved = self._reserve(rows)
        if reserved is None:
            return
        started = self._clock()
        requests = [row.sequence.request for row in rows]
        self._cache.should_stop = lambda: all(
            request is None or request.is_cancelled for request in requests
        )
        try:
            new = [self._new_tokens(row) for row in rows]
            logits = self._runner.run(new, reserved.positions, self._cache)[:, : self._vocab_size]
            with one_thread():
                is_finite = self._reader.are_finite(logits)
                tokens = self._sample(rows, only_choices(logits, self.num_choices), is_finite)
        except StepStopped:
            reserved.rollback()
            return
        except Exception as error:
            # Whatever failed, only the row that fails again alone is ended.
            reserved.rollback()
            self._run_alone(rows, error)
            return
        finally:
            self._cache.should_stop = None
        self._commit(rows, reserved, is_finite, tokens, started)

    def _run_alone(self, rows: list[ScheduledRow], error: Exception) -> None:
        """Find out whose error it was: that reply ends, the neighbors go on."""
        if len(rows) == 1:
            self._on_failed(rows[0].sequence, sentence_of(error), code_of(error))
            return
        for row in rows:
            # Making room for one row may have preempted another.
            if row.sequence in self._lineup.running:
                self.run([row])

    def _reserve(self, rows: list[ScheduledRow]) -> tuple[list[ScheduledRow], PagedStep | None]:
        """Reserve as many rows as there is room for; idle sequences, then new ones, give way."""
        while rows:
            try:
                return rows, self._cache.reserve(
                    [(row.sequence.cache_id, row.num_new_tokens) for row in rows],
                    [self._new_tokens(row) for row in rows],
                )
            except OutOfBlocks:
                need = self._blocks_for(rows)
                before = self._room.num_resting_tokens()
                self._room.make_room(need)
                if self._room.num_resting_tokens() < before:
                    # More blocks, or a block that is no longer shared and needs no copy.
                    continue
                if self._room.residency is not None and self._room.residency.give_way():
                    continue
                # Behind a window a smaller chunk needs fewer blocks at a time.
                largest = max(rows, key=lambda row: row.num_new_tokens)
                if largest.num_new_tokens > 1 and (
                    len(self._lineup.running) == 1 or self._is_behind_window(largest, need)
                ):
                    rows = [
                        ScheduledRow(row.sequence, row.num_new_tokens // 2)
                        if row is largest
                        else row
                        for row in rows
                    ]
                    continue
                if len(self._lineup.running) > 1:
                    newest = max(self._lineup.running, key=lambda sequence: sequence.arrival)
                    self._room.preempt(newest)
                    rows = [row for row in rows if row.sequence is not newest]
                    continue
                (full, *_) = need.lacking(self._cache.available)
                self._on_failed(
                    rows[0].sequence,
                    f"The pool of {self._cache.size[full]} blocks is full, so this reply stopped;"
                    " its text is kept. Use a larger --pool or a window.",
                    PoolTooSmall.code,
                )
                return [], None
            except Exception as error:
                # A copy or an allocation failed: nothing was reserved, as if computing had failed.
                self._run_alone(rows, error)
                return [], None
        return [], None

    def _blocks_for(self, rows: list[ScheduledRow]) -> BlockCounts:
        needs = (
            self._cache.blocks_by_group(row.sequence.cache_id, row.num_new_tokens) for row in rows
        )
        return reduce(BlockCounts.__add__, needs)

    def _is_behind_window(self, row: ScheduledRow, need: BlockCounts) -> bool:
        """Say whether a row could do with fewer of the blocks that are lacking."""
        schedules = self._cache.schedules(row.sequence.cache_id)
        lacking = need.lacking(self._cache.available)
        return all(schedules[group].last.window is not None for group in lacking)

    def _sample(
        self, rows: list[ScheduledRow], logits: Tensor, is_finite: list[bool]
    ) -> dict[int, Choice]:
        """Return a token, by place, for each row whose tokens are all computed after this step."""
        sampling, chosen = [], []
        for place, row in enumerate(rows):
            sequence = row.sequence
            request = sequence.request
            assert request is not None
            if is_finite[place] and self._room.remaining(sequence) == row.num_new_tokens:
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
        # All rows are nearly always chosen, and then need no copy.
        asked = logits if len(chosen) == len(rows) else logits[chosen]
        return dict(zip(chosen, choose(asked, sampling, self._reader), strict=True))

    def _commit(
        self,
        rows: list[ScheduledRow],
        reserved: PagedStep,
        is_finite: list[bool],
        tokens: dict[int, Choice],
        started: float,
    ) -> None:
        good: list[int] = []
        for place, (row, step_row) in enumerate(zip(rows, list(reserved.rows), strict=True)):
            request = row.sequence.request
            if request is None or request.is_cancelled:
                reserved.rollback_row(step_row)
            elif not is_finite[place]:
                reserved.rollback_row(step_row)
                self._on_failed(
                    row.sequence,
                    "The model computed invalid numbers, so this reply stopped; its text is kept.",
                    None,
                )
            else:
                good.append(place)
        reserved.commit()
        seconds = self._clock() - started
        self.num_steps += 1
        self.step_times.note(seconds)
        prompt_tokens = sum(
            rows[place].num_new_tokens
            for place in good
            if rows[place].sequence.state is SequenceState.PREFILL
        )
        decodes = sum(rows[place].sequence.state is SequenceState.DECODE for place in good)
        if good:
            self._scheduler.budget.learn(seconds, decodes, prompt_tokens)
            if self._room.residency is not None and not decodes:
                self._room.residency.costs.learn_prefill(seconds, prompt_tokens)
        for place in good:
            sequence = rows[place].sequence
            sequence.last_used = self._lineup.tick()
            if sequence.state is SequenceState.PREFILL:
                sequence.prefill_seconds += seconds
            else:
                sequence.decode_seconds += seconds
            if place in tokens:
                self._on_token(sequence, tokens[place])

    def _new_tokens(self, row: ScheduledRow) -> list[int]:
        start = self._cache.length(row.sequence.cache_id)
        return row.sequence.token_ids[start : start + row.num_new_tokens]


def sentence_of(error: Exception) -> str:
    """Return the one sentence that a reader of the reply is told about an error."""
    if isinstance(error, KVChatError):
        return error.sentence
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "Memory ran out, so this reply stopped; its text is kept."
    # The class alone: messages of libraries may hold text of the chat.
    return f"Computing failed ({type(error).__name__}), so this reply stopped; its text is kept."


def code_of(error: Exception) -> str | None:
    """Return the stable code of an error that users can act on, None for any other."""
    return error.code if isinstance(error, KVChatError) else None


def only_choices(logits: Tensor, num_choices: int) -> Tensor:
    """Return logits [R, vocab_size] that are -inf from `num_choices` on: none of these is chosen.

    The width stays, since a prompt may hold such ids, and penalties look at them.
    """
    if num_choices >= logits.shape[1]:
        return logits
    allowed = logits.clone()  # what the model returned may be its own memory
    allowed[:, num_choices:] = float("-inf")
    return allowed
