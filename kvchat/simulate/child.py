"""The child process: one runtime after the other, and all users on a few threads.

It is killed without warning when a crash is due; so everything it knows it tells at once.
"""

import gc
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from kvchat.errors import EngineStopped, KVChatError, SessionClosed
from kvchat.hash_folder import HashFolder
from kvchat.runtime import ChatRuntime
from kvchat.simulate.facts import Closed, Fact, Failed, Figures, Life, Woke
from kvchat.simulate.process_figures import num_children, num_descriptors, rss_bytes
from kvchat.simulate.user import User
from kvchat.store.database import Database

NUM_THREADS = 4
ROUND_SECONDS = 0.004
"""Users wait so long between two looks at their replies; a busy loop would starve the engine."""
FIGURES_SECONDS = 0.5


def run(connection: Connection) -> None:
    """Live one life after the other until the other side hangs up."""
    torch.set_num_threads(1)
    while True:
        try:
            life = connection.recv()
        except EOFError:
            return
        House(life, connection).live()


class House:
    """One runtime and its users; ends when the connection has something to read."""

    def __init__(self, life: Life, connection: Connection) -> None:
        self._life = life
        self._connection = connection
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def tell(self, fact: Fact) -> None:
        """Send a fact; waits while the judge is behind."""
        with self._lock:
            self._connection.send(fact)

    def live(self) -> None:
        """Open a runtime, let its users live until told to close, close, and tell what is left."""
        life = self._life
        before = (threading.active_count(), num_descriptors(), num_children())
        folder = HashFolder.over_bundled(context_tokens=life.context_tokens)
        token_bytes = folder.kv_spec().bytes_per_token(4, life.kv_dtype)
        runtime = ChatRuntime(
            folder,
            device="cpu",
            weights="fp32",
            kv_dtype=life.kv_dtype,
            pool_bytes=life.pool_tokens * token_bytes,
            block_size=life.block_size,
            data_dir=Path(life.data_dir),
            threads=1,
        )
        try:
            self._wake(runtime)
            runtime.want_pool_view(True)
            users = [
                User(number, f"{life.seed} life {life.number}", runtime, self.tell)
                for number in range(life.num_users)
            ]
            threads = [
                threading.Thread(target=self._turn, args=(users[place::NUM_THREADS],))
                for place in range(NUM_THREADS)
            ]
            for thread in threads:
                thread.start()
            while not self._connection.poll(FIGURES_SECONDS):
                self.tell(self._figures(runtime))
            self._connection.recv()
            self.tell(self._figures(runtime))
            self._is_over.set()
        finally:
            runtime.close()
        for thread in threads:
            thread.join()
        del users, threads, runtime
        gc.collect()
        after = (threading.active_count(), num_descriptors(), num_children())
        self.tell(Closed(*(now - then for now, then in zip(after, before, strict=True))))

    def _wake(self, runtime: ChatRuntime) -> None:
        def look(database: Database) -> Woke:
            paths = {
                row.id: tuple(database.load_path(row.tip_id)) for row in database.list_sessions()
            }
            messages = tuple(database.message(each) for each in self._life.message_ids)
            return Woke(paths, messages)

        self.tell(runtime.host.save(look).result())

    def _turn(self, users: list[User]) -> None:
        """Turn some users until the life is over; whatever one of them raises ends it."""
        lives: list[Iterator[None]] = [user.live() for user in users]
        try:
            while not self._is_over.is_set():
                for life in lives:
                    next(life)
                time.sleep(ROUND_SECONDS)
        except (EngineStopped, SessionClosed) as error:
            if not self._is_over.is_set():
                self.tell(Failed(f"a user met {error!r}"))
        except Exception as error:
            # A finding whatever it is: the judge ends the life and tells the seed.
            if not self._is_over.is_set() or not isinstance(error, KVChatError):
                self.tell(Failed(f"a user met {error!r} {_place(error)}"))

    def _figures(self, runtime: ChatRuntime) -> Figures:
        stats, view = runtime.stats(), runtime.pool_view()
        blocks = {} if view is None else dict(view.num_blocks_by_kind)
        directory = Path(self._life.data_dir)
        files = [path for path in directory.rglob("*") if path.is_file()]
        wal = directory / "chats.db-wal"
        return Figures(
            num_preemptions=stats.num_preemptions,
            num_restored_blocks=blocks.get("restore", 0),
            num_evicted_blocks=blocks.get("evict", 0),
            num_copied_blocks=stats.num_copied_blocks,
            num_steps=stats.num_steps,
            pool_bytes=stats.memory.pool_bytes,
            rss_bytes=rss_bytes(),
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            num_files=len(files),
        )


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(reversed(places[-5:]))
