"""SessionBlocks: keys and values of sessions: forked, cut, brought back, saved, counted."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from kvchat.engine.engine_thread import EngineThread
from kvchat.errors import EngineStopped
from kvchat.session.conversation import AUTO_SINKS
from kvchat.session.prompt_thread import PromptThread
from kvchat.store.rows import SessionRow, new_id
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine
    from kvchat.engine.sequence import ResumeCost

MIN_SINKS = 4


def whole_blocks(num_sinks: int, block_size: int) -> int:
    """Return how many first tokens a window keeps when so many are wanted."""
    return -(-max(MIN_SINKS, num_sinks) // block_size) * block_size


class SessionBlocks:
    """What sessions ask of the engine besides replies; a part of SessionHost. For any thread.

    `tag_of` gives the letter of a session, which its sequence has in panels.
    """

    def __init__(
        self,
        *,
        block_size: int,
        store: StoreThread,
        segments: SegmentThread | None,
        prompts: PromptThread,
        engine: EngineThread,
        tag_of: Callable[[str], str],
    ) -> None:
        self._block_size = block_size
        self._store = store
        self._segments = segments
        self._prompts = prompts
        self._engine = engine
        self._tag_of = tag_of

    def num_fixed_tokens(self, row: SessionRow) -> int:
        """Return how many tokens every prompt of a session begins with; 0 while loading."""
        return self._prompts.num_fixed_tokens(row.system) or 0

    def num_sink_tokens(self, row: SessionRow) -> int:
        """Return how many first tokens a session's window keeps, in whole blocks."""
        return whole_blocks(self._num_sinks(row), self._block_size)

    def fork(self, parent_id: str, child_id: str, num_tokens: int, tag: str) -> None:
        """Let a new session share the blocks of its parent's first tokens."""

        def share(engine: "Engine") -> None:
            if engine.is_open(parent_id) and not engine.is_open(child_id):
                engine.fork(parent_id, child_id, num_tokens, tag)
            if self._segments is not None:
                self._segments.share(parent_id, child_id)

        self._engine.call(share)

    def rewind(self, row: SessionRow, token_ids: list[int]) -> "Future[tuple[int, int]]":
        """Cut a session's sequence; the result is how many tokens are resident, and are on disk."""

        def cut(engine: "Engine") -> tuple[int, int]:
            if not self._can_open(engine, row):
                return 0, 0
            engine.rewind(row.id, engine.num_common(row.id, token_ids))
            return _figures(engine.resume_cost(row.id, token_ids))

        return self._engine.call(cut)

    def prefetch(self, row: SessionRow, token_ids: list[int]) -> None:
        """Bring what is saved of these tokens back from disk, soon; harmless where nothing is."""

        def bring(engine: "Engine") -> None:
            if not engine.is_open(row.id):
                if row.window is not None and self._prompts.num_fixed_tokens(row.system) is None:
                    return  # its sinks are not known yet
                self._open(engine, row)
            engine.prefetch(row.id, token_ids)

        if self._segments is not None and token_ids:
            self._engine.call(bring)

    def plan(self, row: SessionRow, token_ids: list[int]) -> "Future[tuple[int, int]]":
        """Return how many of these tokens are resident, and are on disk; changes nothing.

        Where nothing was said since the start it first has to be learned what a window keeps.
        """

        def look(engine: "Engine") -> tuple[int, int]:
            if not self._can_open(engine, row):
                return 0, 0
            return _figures(engine.resume_cost(row.id, token_ids))

        if row.window is None or self._prompts.num_fixed_tokens(row.system) is not None:
            return self._engine.call(look)
        known: Future[tuple[int, int]] = Future()

        def ask() -> None:
            self._prompts.learn_fixed_tokens(row)
            self._engine.call(look).add_done_callback(lambda done: _hand_over(done, known))

        def has_asked(done: "Future[None]") -> None:
            if done.cancelled():
                known.set_exception(EngineStopped("kvchat is closing; all text is saved."))
            elif (error := done.exception()) is not None:
                known.set_exception(error)

        self._prompts.submit(ask).add_done_callback(has_asked)
        return known

    def _can_open(self, engine: "Engine", row: SessionRow) -> bool:
        if engine.is_open(row.id):
            return True
        if row.window is not None and self._prompts.num_fixed_tokens(row.system) is None:
            return False  # its sinks are not known yet
        self._open(engine, row)
        return True

    def score(self, row: SessionRow, token_ids: list[int], first: int) -> dict[int, bytes]:
        """Return packed records of the tokens from `first` on, by position; waits for the engine.

        Raises EngineStopped, PoolTooSmall.
        """
        self._prompts.submit(lambda: self._prompts.learn_fixed_tokens(row)).result()
        name = f"{row.id}?{new_id()}"

        def begin(engine: "Engine") -> None:
            if self._can_open(engine, row):
                engine.begin_score(row.id, name, token_ids, first)

        records: dict[int, bytes] = {}
        self._engine.call(begin).result()
        try:
            # A chunk at a time, so that others go on streaming meanwhile.
            while chunk := self._engine.call(lambda engine: engine.score_chunk(name)).result():
                records |= chunk
        finally:
            self._engine.call(lambda engine: engine.close(name))
        return records

    def load(self, row: SessionRow, token_ids: list[int]) -> None:
        """Bring what is saved of these tokens back, once it is known what a window keeps."""

        def bring() -> None:
            self._prompts.learn_fixed_tokens(row)
            self.prefetch(row, token_ids)

        self._prompts.submit(bring)

    def release(self, session_id: str) -> None:
        """Give a session's blocks back; its next message reads it again."""
        self._engine.call(lambda engine: engine.close(session_id))

    def save_blocks(self, session_id: str) -> None:
        """Wait until what is computed of a session is on disk, with its text."""
        self._store.flush().result()
        while self._segments is not None:
            saved = self._engine.call(lambda engine: engine.save(session_id)).result()
            if saved is not None:
                saved.result()
                return
            is_open = self._engine.call(lambda engine: engine.is_open(session_id)).result()
            self._segments.flush().result()
            if not is_open:
                return

    def num_blocks(self, session_id: str) -> tuple[int, int]:
        """Return blocks of a session and how many of them are shared, from the latest view."""
        view = self._engine.view
        if view is not None:
            for sequence in view.sequences:
                if sequence.session_id == session_id:
                    blocks = [block for block in sequence.table if block >= 0]
                    return len(blocks), sum(view.ref_counts[block] > 1 for block in blocks)
        return 0, 0

    def _open(self, engine: "Engine", row: SessionRow) -> None:
        sinks = max(MIN_SINKS, self._num_sinks(row)) if row.window is not None else 0
        tag = self._tag_of(row.id)
        engine.open(row.id, window=row.window, sinks=sinks, label=tag)

    def _num_sinks(self, row: SessionRow) -> int:
        return self.num_fixed_tokens(row) if row.sinks == AUTO_SINKS else row.sinks


def _figures(cost: "ResumeCost") -> tuple[int, int]:
    return cost.num_resident_tokens, cost.num_disk_tokens


def _hand_over(done: "Future[tuple[int, int]]", known: "Future[tuple[int, int]]") -> None:
    if (error := done.exception()) is not None:
        known.set_exception(error)
    else:
        known.set_result(done.result())
