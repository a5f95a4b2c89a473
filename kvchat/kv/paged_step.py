"""PagedStep: a reserved step in the hands of whoever runs the model.

Wraps the bookkeeping of a Step, and tells the cache what came of it: which rows were undone, and
which count when the step ends. Plain Python, no tensors.
"""

from collections.abc import Callable
from typing import Self

from kvchat.kv.step import Step, StepRow


class PagedStep:
    """A reserved step of a PagedKVCache; see `KVCache.reserve`.

        with cache.reserve([(sequence, 3)]):
            ...  # run the model

    At the end of such a block the step commits, unless that was done inside; if the block raises,
    it is rolled back.

    on_undone  called with rows that were rolled back, after their blocks were given back
    on_end     called once with the rows that were committed, none after a rollback
    """

    def __init__(
        self,
        step: Step,
        *,
        on_undone: Callable[[list[StepRow]], None],
        on_end: Callable[[Step, list[StepRow]], None],
    ) -> None:
        self._step = step
        self._on_undone = on_undone
        self._on_end = on_end
        self._is_over = False

    def __enter__(self) -> Self:
        """Return the step, which ends with the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Commit, or roll back what raised; does nothing to a step that is over."""
        if self._is_over:
            return
        if kind is None:
            self.commit()
        else:
            self.rollback()

    @property
    def rows(self) -> list[StepRow]:
        """Rows that are still part of the step."""
        return self._step.rows

    @property
    def positions(self) -> list[int]:
        """Absolute position of each packed token."""
        return self._step.positions

    def rollback_row(self, row: StepRow) -> None:
        """Undo one row after the forward pass; the others can still be committed."""
        self._step.rollback_row(row)
        self._on_undone([row])

    def commit(self) -> None:
        """Make the new tokens count, publish full blocks, release what windows left behind."""
        assert not self._is_over, "a step commits or rolls back once"
        rows = list(self._step.rows)
        self._step.commit()
        self._is_over = True
        self._on_end(self._step, rows)

    def rollback(self) -> None:
        """Forget the step; every sequence is as it was."""
        assert not self._is_over, "a step commits or rolls back once"
        rows = list(self._step.rows)
        self._step.rollback()
        self._is_over = True
        self._on_undone(rows)
        self._on_end(self._step, [])
