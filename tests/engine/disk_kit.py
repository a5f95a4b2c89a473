"""An engine with a disk that can be restarted: real threads and files, and no waiting by chance."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from kvchat.engine.engine import Engine
from kvchat.engine.model_runner import ModelRunner
from kvchat.engine.residency import Residency
from kvchat.engine.restore_costs import RestoreCosts
from kvchat.engine.scheduler import Scheduler, TokenBudget
from kvchat.hash_model import HashModel
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVDtype
from kvchat.kv.staged_restore import segment_layout
from kvchat.store.rows import SessionRow
from kvchat.store.segment_folder import SegmentFolder, installation_secret
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread
from tests.engine.engine_kit import VOCAB_SIZE, CountingModel, assert_all_blocks_come_back


class Disk:
    """A data directory in which one engine at a time saves; `start` begins, `stop` ends a life."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = directory / "kv"
        self.model: CountingModel
        self.posted: deque[Callable[[], None]] = deque()
        self.secret = installation_secret(directory)
        self.now = 0.0
        self.engine: Engine
        self.store: StoreThread
        self.segments: SegmentThread

    def start(
        self,
        num_blocks: int = 64,
        block_size: int = 4,
        *,
        digest: str = "model",
        budget: int = 64,
        slice_bytes: int = 8 << 20,
        fetch_bytes: int = 256 << 20,
        kv_dtype: KVDtype = "auto",
        folder_bytes: int = 1 << 30,
        queue_bytes: int = 64 << 20,
        layer_windows: Sequence[int | None] = (None, 33, None),
        costs: RestoreCosts | None = None,
    ) -> Engine:
        """Return a new engine over an empty pool and what the files hold."""
        model = HashModel(VOCAB_SIZE, layer_windows)
        self.model = CountingModel(model)
        cache = PagedKVCache(
            model.spec,
            num_blocks,
            block_size=block_size,
            kv_dtype=kv_dtype,
            salt=digest.encode(),
        )
        self.engine = Engine(
            ModelRunner(self.model, "cpu"),
            cache,
            context_tokens=10_000,
            vocab_size=VOCAB_SIZE,
            scheduler=Scheduler(32, TokenBudget(budget)),
        )
        self.posted.clear()
        self.store = StoreThread(self.directory / "chats.db")
        self.segments = SegmentThread(
            self.store.submit,
            SegmentFolder(self.files),
            self.secret,
            folder_bytes=folder_bytes,
            queue_bytes=queue_bytes,
        )
        layout = segment_layout(cache, digest)
        self.segments.open(layout)
        self.segments.flush().result()
        self.engine.residency = Residency(
            cache,
            self.segments,
            layout,
            self.posted.append,
            slice_bytes=slice_bytes,
            fetch_bytes=fetch_bytes,
            costs=RestoreCosts(is_fixed=True) if costs is None else costs,
            clock=lambda: self.now,
        )
        return self.engine

    def open(self, owner: str, *, window: int | None = None, sinks: int = 0) -> None:
        """Open a sequence, and store a session of its name."""
        if owner not in self.stored():
            row = SessionRow(id=owner, tree_id="tree")
            self.store.submit(lambda database: database.create_session(row)).result()
        self.engine.open(owner, window=window, sinks=sinks)

    def stored(self) -> set[str]:
        """Return the names of the stored sessions."""
        rows = self.store.submit(lambda database: database.list_sessions()).result()
        return {row.id for row in rows}

    def run(self, max_steps: int = 20_000) -> None:
        """Step, and let the disk do its part, until nothing is left; check the pool each time."""
        for _ in range(max_steps):
            if self.engine.has_work:
                self.engine.step()
                self.engine.cache.check_integrity()
                continue
            self.segments.flush().result()
            if not self.posted:
                return
            self.posted.popleft()()
        raise AssertionError(f"still working after {max_steps} steps")

    def stop(self, *, check_leaks: bool = True) -> None:
        """End this life as an orderly exit does."""
        self.run()
        self.engine.save_all()
        assert self.segments.close()
        self.store.close()
        if check_leaks:
            assert_all_blocks_come_back(self.engine)

    @property
    def num_computed(self) -> int:
        """Tokens computed since the start."""
        return sum(self.model.counts)

    def file_names(self) -> list[str]:
        """Return the names of all segment files."""
        return sorted(path.name for path in self.files.iterdir())
