"""Blocks that no chat holds any more are saved when they are evicted, as long as there is room."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat import errors
from tests.engine.disk_kit import Disk
from tests.engine.engine_kit import random_tokens
from tests.engine.test_residency import NUM_NEW, expect_solo, talk

NO_WINDOWS: Any = {"layer_windows": (None, None)}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    errors.fault_hook = None
    disk.segments.close()
    disk.store.close()


def unsaved_turn(disk: Disk, **options: Any) -> list[int]:
    """Say something while the queue has no room, so that nothing of it is on disk."""
    disk.start(num_blocks=40, queue_bytes=0, **options)
    disk.open("a")
    prompt = random_tokens(random.Random(1), 60)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    assert disk.file_names() == []
    return text


def fill_pool(disk: Disk) -> None:
    """Let others take every block, then end them."""
    for name in "xyz":
        disk.open(name)
        talk(disk, name, random_tokens(random.Random(name), 120))
        disk.engine.close(name)
        disk.run()


@pytest.mark.parametrize("layer_windows", [(None, None), (None, 33, None)])
@pytest.mark.parametrize("end", ["closed", "rewound", "cut by a request"])
def test_a_block_of_no_chat_is_saved_when_it_is_evicted(
    disk: Disk, end: str, layer_windows: Any
) -> None:
    text = unsaved_turn(disk, layer_windows=layer_windows)
    if end == "closed":
        disk.engine.close("a")
    elif end == "rewound":
        disk.engine.rewind("a", 4)
    else:
        talk(disk, "a", [*text[:4], 9])
        disk.engine.close("a")
    disk.segments._queue_bytes = 1 << 20
    fill_pool(disk)
    names = disk.file_names()
    assert names
    if end != "rewound":
        disk.open("a")
    disk.model.counts.clear()
    reader = talk(disk, "a", [*text, 5])
    if layer_windows == (None, None):
        # All but the open tail, which is never published.
        assert reader.events[-1].timing.num_cached_tokens == (len(text) - 1) // 4 * 4
    else:
        expect_solo(reader)
    disk.stop()


def test_evicted_neighbors_share_a_file(disk: Disk) -> None:
    unsaved_turn(disk, **NO_WINDOWS)
    disk.engine.close("a")
    disk.segments._queue_bytes = 1 << 20
    for pool in disk.engine.cache.pools:
        pool.drop_cached()
    assert disk.engine.has_work
    disk.run()
    assert len(disk.file_names()) == 1
    disk.stop()


def test_without_room_it_is_dropped_and_the_words_are_the_same(disk: Disk) -> None:
    text = unsaved_turn(disk)
    disk.engine.close("a")
    fill_pool(disk)
    assert disk.file_names() == []
    disk.open("a")
    disk.model.counts.clear()
    expect_solo(talk(disk, "a", [*text, 5]))
    assert disk.num_computed == len(text) + 1 + NUM_NEW - 1
    disk.stop()


def test_a_queue_with_little_room_takes_what_fits(disk: Disk) -> None:
    unsaved_turn(disk, **NO_WINDOWS)
    disk.engine.close("a")
    block_bytes = 2 * 2 * 2 * 4 * 32 * 4
    disk.segments._queue_bytes = 5 * block_bytes
    for pool in disk.engine.cache.pools:
        pool.drop_cached()
    residency = disk.engine.residency
    assert residency is not None and 5 <= len(residency._evicted) <= 6
    disk.run()
    disk.stop()


def test_what_is_saved_already_is_not_copied(disk: Disk) -> None:
    disk.start(num_blocks=40)
    disk.open("a")
    talk(disk, "a", random_tokens(random.Random(1), 60))
    disk.engine.close("a")
    exports: list[str] = []
    errors.fault_hook = lambda point: exports.append(point) if point == "blocks.export" else None
    for pool in disk.engine.cache.pools:
        pool.drop_cached()
    assert exports == []
    errors.fault_hook = None
    disk.stop()


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
def test_a_block_that_cannot_be_copied_is_dropped_and_the_eviction_goes_on(
    disk: Disk, kind: type[Exception]
) -> None:
    text = unsaved_turn(disk)
    disk.engine.close("a")
    disk.segments._queue_bytes = 1 << 20

    def hook(point: str) -> None:
        if point == "blocks.export":
            raise kind

    errors.fault_hook = hook
    fill_pool(disk)
    errors.fault_hook = None
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 5]))
    disk.stop()


def test_an_exit_saves_what_is_cached_and_was_never_saved(disk: Disk) -> None:
    text = unsaved_turn(disk, **NO_WINDOWS)
    disk.engine.close("a")
    disk.segments._queue_bytes = 1 << 20
    disk.stop(check_leaks=False)
    disk.start(num_blocks=40, **NO_WINDOWS)
    disk.open("a")
    reader = talk(disk, "a", [*text, 5])
    assert reader.events[-1].timing.num_cached_tokens == (len(text) - 1) // 4 * 4
    disk.stop()


def test_what_is_remembered_of_blocks_stays_small(disk: Disk) -> None:
    disk.start(num_blocks=40, queue_bytes=0, **NO_WINDOWS)
    for number in range(30):
        disk.open("a")
        talk(disk, "a", random_tokens(random.Random(number), 60))
        disk.engine.close("a")
    residency = disk.engine.residency
    assert residency is not None
    assert len(residency._evicted._origins) <= 2 * 2 * 40
    disk.stop()
