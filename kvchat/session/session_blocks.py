"""SessionBlocks: keys and values of sessions: forked, cut, brought back, saved, counted."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from kvchat.engine.engine_thread import EngineThread
from kvchat.engine.request import WindowChange
from kvchat.errors import EngineStopped
from kvchat.session.path_windows import AUTO_SINKS, MIN_SINKS, Reading
from kvchat.session.prompt_thread import PromptThread
from kvchat.store.rows import SessionRow, new_id
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread

if TYPE_CHECKING:
    from kvchat.engine.engine import Engine
    from kvchat.engine.sequence import ResumeCost


Windows = tuple[WindowChange, ...]


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
        self.block_size = block_size
        """Tokens a block of the pool holds."""
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
        return whole_blocks(self._num_sinks(row), self.block_size)

    def fork(self, parent_id: str, child_id: str, num_tokens: int, tag: str) -> None:
        """Let a new session share the blocks of its parent's first tokens."""

        def share(engine: "Engine") -> None:
            if engine.is_open(parent_id) and not engine.is_open(child_id):
                engine.fork(parent_id, child_id, num_tokens, tag)
            if self._segments is not None:
                self._segments.share(parent_id, child_id)

        self._engine.call(share)

    def rewind(self, row: SessionRow, reading: Reading) -> "Future[tuple[int, int]]":
        """Cut a session's sequence; the result is how many tokens are resident, and are on disk."""

        def cut(engine: "Engine", windows: Windows) -> tuple[int, int]:
            engine.rewind(row.id, engine.num_common(row.id, reading.token_ids), windows)
            return _figures(engine.resume_cost(row.id, reading.token_ids, windows))

        return self._when_known(row, reading, cut)

    def change_window(self, row: SessionRow, reading: Reading) -> "Future[tuple[int, int]]":
        """Let what follows be read under another window; the result is that of `rewind`."""

        def change(engine: "Engine", windows: Windows) -> tuple[int, int]:
            engine.set_windows(row.id, windows)
            return _figures(engine.resume_cost(row.id, reading.token_ids, windows))

        return self._when_known(row, reading, change)

    def prefetch(self, row: SessionRow, reading: Reading) -> None:
        """Bring what is saved of these tokens back from disk, soon; harmless where nothing is."""

        def bring(engine: "Engine") -> None:
            windows = self._prompts.windows(row, reading.windows)
            if windows is not None:  # else it is not known yet how many sinks there are
                self._open_once(engine, row)
                engine.prefetch(row.id, reading.token_ids, windows)

        if self._segments is not None and reading.token_ids:
            self._engine.call(bring)

    def plan(self, row: SessionRow, reading: Reading) -> "Future[tuple[int, int]]":
        """Return how many of these tokens are resident, and are on disk; changes nothing."""

        def look(engine: "Engine", windows: Windows) -> tuple[int, int]:
            return _figures(engine.resume_cost(row.id, reading.token_ids, windows))

        return self._when_known(row, reading, look)

    def _when_known(
        self,
        row: SessionRow,
        reading: Reading,
        ask: "Callable[[Engine, Windows], tuple[int, int]]",
    ) -> "Future[tuple[int, int]]":
        """Ask the engine about a session once it is known how many sinks its windows have.

        Where nothing was said since the start that first has to be learned.
        """
        known: Future[tuple[int, int]] = Future()

        def put(windows: Windows) -> "Future[tuple[int, int]]":
            def answer(engine: "Engine") -> tuple[int, int]:
                self._open_once(engine, row)
                return ask(engine, windows)

            return self._engine.call(answer)

        windows = self._prompts.windows(row, reading.windows)
        if windows is not None:
            return put(windows)

        def learn() -> None:
            learned = self._prompts.learn_windows(row, reading.windows)
            put(learned).add_done_callback(lambda done: _hand_over(done, known))

        def has_asked(done: "Future[None]") -> None:
            if done.cancelled():
                known.set_exception(EngineStopped("kvchat is closing; all text is saved."))
            elif (error := done.exception()) is not None:
                known.set_exception(error)

        self._prompts.submit(learn).add_done_callback(has_asked)
        return known

    def score(self, row: SessionRow, reading: Reading, first: int) -> dict[int, bytes]:
        """Return packed records of the tokens from `first` on, by position; waits for the engine.

        Raises EngineStopped, PoolTooSmall.
        """
        windows = self._prompts.submit(
            lambda: self._prompts.learn_windows(row, reading.windows)
        ).result()
        name = f"{row.id}?{new_id()}"

        def begin(engine: "Engine") -> None:
            self._open_once(engine, row)
            engine.begin_score(row.id, name, reading.token_ids, first, windows)

        records: dict[int, bytes] = {}
        self._engine.call(begin).result()
        try:
            # A chunk at a time, so that others go on streaming meanwhile.
            while chunk := self._engine.call(lambda engine: engine.score_chunk(name)).result():
                records |= chunk
        finally:
            self._engine.call(lambda engine: engine.close(name))
        return records

    def load(self, row: SessionRow, reading: Reading) -> None:
        """Bring what is saved of these tokens back, once it is known what a window keeps."""

        def bring() -> None:
            self._prompts.learn_windows(row, reading.windows)
            self.prefetch(row, reading)

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
        """Open a session's sequence; under which windows it is read is said with what it reads."""
        engine.open(row.id, label=self._tag_of(row.id))

    def _open_once(self, engine: "Engine", row: SessionRow) -> None:
        if not engine.is_open(row.id):
            self._open(engine, row)

    def _num_sinks(self, row: SessionRow) -> int:
        return self.num_fixed_tokens(row) if row.sinks == AUTO_SINKS else row.sinks


def _figures(cost: "ResumeCost") -> tuple[int, int]:
    return cost.num_resident_tokens, cost.num_disk_tokens


def _hand_over(done: "Future[tuple[int, int]]", known: "Future[tuple[int, int]]") -> None:
    if (error := done.exception()) is not None:
        known.set_exception(error)
    else:
        known.set_result(done.result())
