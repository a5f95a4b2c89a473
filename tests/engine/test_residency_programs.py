"""Random programs of many chats at once, with a disk, restarts and evictions, against no cache."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat.hash_model import HashModel
from kvchat.store.database import Database
from kvchat.store.rows import SessionRow
from tests.engine.disk_kit import Disk
from tests.engine.engine_kit import (
    VOCAB_SIZE,
    HashOracle,
    assert_all_blocks_come_back,
    random_tokens,
    run,
    seeds,
)
from tests.engine.programs import Program

MAX_SESSIONS = 60


class DiskProgram(Program):
    """A program whose engine saves, is restarted, and whose disk answers when it likes."""

    def __init__(self, rng: random.Random, disk: Disk, options: dict[str, Any]) -> None:
        oracle = HashOracle(HashModel(VOCAB_SIZE))
        super().__init__(rng, disk.start(**options), oracle, max_chats=6)
        self.disk = disk
        self.options = options
        self.num_restored = 0
        disk.store.submit(store_sessions).result()

    def step(self) -> None:
        super().step()
        if self.rng.random() < 0.4:
            self.let_disk_answer()

    def let_disk_answer(self) -> None:
        self.disk.segments.flush().result()
        while self.disk.posted:
            self.disk.posted.popleft()()

    def restart(self) -> None:
        self.disk.run()
        self.collect()
        self.disk.stop()
        self.engine = self.disk.start(**self.options)
        for name, chat in self.chats.items():
            self.engine.open(name)
            self.engine.set_windows(name, chat.windows)

    def run(self, num_commands: int) -> None:
        for _ in range(num_commands):
            command = self.rng.choices(
                (
                    self.open,
                    self.ask,
                    self.step,
                    self.fork,
                    self.rewind,
                    self.cancel,
                    self.close,
                    self.restart,
                    self.change_window,
                ),
                (3, 10, 22, 4, 4, 2, 1, 2, 4),
            )[0]
            command()
            self.engine.cache.check_integrity()
            self.collect()
            self.num_restored += sum(
                event.kind == "restore" for event in self.engine.cache.pool_view().events
            )
        self.disk.run()
        run(self.engine)
        self.collect()
        assert all(chat.reader is None for chat in self.chats.values())
        assert_all_blocks_come_back(self.engine)


def store_sessions(database: Database) -> None:
    for number in range(1, MAX_SESSIONS):
        database.create_session(SessionRow(id=f"chat {number}", tree_id="tree"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.segments.close()
    disk.store.close()


def disk_program(disk: Disk, seed: int) -> DiskProgram:
    print(f"KVCHAT_SEED={seed}")
    rng = random.Random(seed)
    options = {
        "num_blocks": rng.choice([12, 20, 60, 200]),
        "block_size": rng.choice([1, 4, 8, 32]),
        "budget": rng.choice([3, 16, 64, 512]),
        "slice_bytes": rng.choice([1, 30_000, 8 << 20]),
        "fetch_bytes": rng.choice([1, 100_000, 256 << 20]),
        "queue_bytes": rng.choice([30_000, 64 << 20]),
        "folder_bytes": rng.choice([200_000, 1 << 30]),
        "kv_dtype": rng.choice(["auto", "int8"]),
        "layer_windows": (None, 33, None),
    }
    return DiskProgram(rng, disk, options)


@pytest.mark.parametrize("seed", seeds(10))
def test_any_program_with_a_disk_gives_the_tokens_of_a_run_without_cache(
    disk: Disk, seed: int
) -> None:
    disk_program(disk, seed).run(100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(200, first=1000))
def test_any_long_program_with_a_disk_gives_the_tokens_of_a_run_without_cache(
    disk: Disk, seed: int
) -> None:
    disk_program(disk, seed).run(400)


def test_such_programs_do_restore(disk: Disk) -> None:
    rng = random.Random(7)
    program = DiskProgram(rng, disk, {"num_blocks": 60})
    program.open()
    chat = next(iter(program.chats.values()))
    chat.text = random_tokens(rng, 40)
    program.ask()
    program.restart()
    program.ask()
    program.run(30)
    assert program.num_restored > 0 and program.num_checked_tokens > 0
