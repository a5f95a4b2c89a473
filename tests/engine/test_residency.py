"""What is saved comes back with the same words, or is computed again with the same words."""

import errno
import logging
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat import errors
from kvchat.engine.request import FinishReason
from kvchat.engine.residency import Residency
from kvchat.engine.restore_costs import RestoreCosts
from kvchat.hash_model import HashModel
from tests.engine.disk_kit import Disk
from tests.engine.engine_kit import (
    GREEDY,
    VOCAB_SIZE,
    Reader,
    ask,
    random_tokens,
    seeds,
    solo_tokens,
)

NUM_NEW = GREEDY.max_tokens or 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    errors.fault_hook = None
    disk.segments.close()
    disk.store.close()


def talk(disk: Disk, owner: str, token_ids: list[int]) -> Reader:
    reader = ask(disk.engine, owner, token_ids)
    disk.run()
    return reader


def save_chat(
    disk: Disk, count: int, *, window: int | None = None, sinks: int = 0, **options: Any
) -> list[int]:
    """Say something of `count` tokens in a first life; return all tokens that were computed."""
    disk.start(**options)
    disk.open("a", window=window, sinks=sinks)
    prompt = random_tokens(random.Random(count), count)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    disk.stop()
    return text


def expect_solo(reader: Reader, window: int | None = None, sinks: int = 0) -> None:
    expected = solo_tokens(reader.request.token_ids, window=window, sinks=sinks)
    assert reader.reason is FinishReason.LENGTH
    assert reader.tokens == expected


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 40, 93])
def test_a_restart_goes_on_with_the_same_words_and_computes_only_new_tokens(
    disk: Disk, count: int, kv_dtype: Any
) -> None:
    text = save_chat(disk, count, kv_dtype=kv_dtype)
    disk.start(kv_dtype=kv_dtype)
    disk.open("a")
    reader = talk(disk, "a", [*text, 5, 6])
    expect_solo(reader)
    # The last generated token was never computed: it is part of the new message.
    assert disk.num_computed == 1 + 2 + NUM_NEW - 1
    assert reader.events[-1].timing.num_cached_tokens == len(text) - 1
    disk.stop()


@pytest.mark.parametrize(("window", "sinks"), [(7, 0), (16, 4), (33, 8), (40, 0), (64, 4)])
@pytest.mark.parametrize("count", [30, 61, 120])
def test_a_chat_with_a_window_comes_back_with_sinks_and_window_only(
    disk: Disk, count: int, window: int, sinks: int
) -> None:
    text = save_chat(disk, count, window=window, sinks=sinks)
    disk.start()
    disk.open("a", window=window, sinks=sinks)
    reader = talk(disk, "a", [*text, 5, 6])
    expect_solo(reader, window, sinks)
    assert disk.num_computed == 1 + 2 + NUM_NEW - 1
    disk.stop()


def test_ten_forks_share_files_and_then_blocks_again(disk: Disk) -> None:
    disk.start(num_blocks=200)
    disk.open("a")
    prompt = random_tokens(random.Random(1), 90)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    names = disk.file_names()
    for number in range(10):
        disk.open(f"f{number}")
        disk.engine.close(f"f{number}")
        disk.engine.fork("a", f"f{number}")
    disk.stop(check_leaks=False)
    assert disk.file_names() == names
    reads: list[str] = []
    disk.start(num_blocks=200)
    errors.fault_hook = lambda point: reads.append(point) if point == "untrusted.open" else None
    readers = []
    for number in range(10):
        disk.open(f"f{number}")
        readers.append(ask(disk.engine, f"f{number}", [*text, number]))
    disk.run()
    errors.fault_hook = None
    for reader in readers:
        expect_solo(reader)
    # A fork may find one token more, which an earlier one has computed and saved meanwhile.
    assert disk.num_computed <= 10 * (2 + NUM_NEW - 1)
    # What all share is read once; each has an open block of its own.
    assert 2 <= len(reads) <= 1 + 10
    assert disk.engine.cache.pools[0].num_shared >= 90 // 4
    disk.stop()
    # Each fork has written what it alone has: its full blocks, and its open one.
    assert len(disk.file_names()) <= len(names) + 2 * 10


def test_going_back_and_saying_something_else_uses_what_was_saved(disk: Disk) -> None:
    text = save_chat(disk, 70)
    disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text[:50], 9]))
    # Full blocks, and the first two tokens of the one that the new text leaves.
    assert disk.num_computed == 1 + NUM_NEW - 1
    disk.stop()


def test_a_turn_is_saved_while_nobody_waits_for_it(disk: Disk) -> None:
    disk.start()
    disk.open("a")
    talk(disk, "a", random_tokens(random.Random(3), 30))
    assert len(disk.file_names()) == 2
    before = disk.file_names()
    talk(disk, "a", [*disk.engine._find("a").token_ids, 4, 5])
    # A file more with what is new; the old open tail gave way to a new one.
    assert len(disk.file_names()) == 3
    assert len(set(before) & set(disk.file_names())) == 1
    disk.stop()


def test_an_evicted_chat_comes_back_from_disk(disk: Disk) -> None:
    disk.start(num_blocks=20)
    disk.open("a")
    prompt = random_tokens(random.Random(4), 50)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    disk.open("b")
    expect_solo(talk(disk, "b", random_tokens(random.Random(5), 68)))
    assert disk.engine.cache.length(disk.engine._find("a").cache_id) < len(text) - 1
    disk.model.counts.clear()
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


def test_every_token_is_resident_on_disk_or_to_be_computed(disk: Disk) -> None:
    disk.start(num_blocks=200)
    for owner, count in (("a", 40), ("b", 61)):
        disk.open(owner)
        talk(disk, owner, random_tokens(random.Random(count), count))
    saved = disk.engine.save("a")
    assert saved is not None and saved.result()
    evicted = disk.engine._sequences["a"]
    disk.engine.cache.shrink(evicted.cache_id, 200)
    disk.engine.cache.pools[0].drop_cached()
    costs = {cost.owner: cost for cost in disk.engine.resume_costs()}
    for owner in ("a", "b"):
        cost, tokens = costs[owner], len(disk.engine._sequences[owner].token_ids)
        parts = (cost.num_resident_tokens, cost.num_disk_tokens, cost.num_prefill_tokens)
        assert sum(parts) == tokens and min(parts) >= 0
    assert costs["a"].num_resident_tokens == 0 and costs["a"].num_disk_tokens > 0
    assert costs["b"].num_disk_tokens == 0 and costs["b"].num_prefill_tokens <= 1


def test_a_chat_comes_back_into_a_pool_that_others_fill(disk: Disk) -> None:
    text = save_chat(disk, 60, num_blocks=24)
    disk.start(num_blocks=24)
    for name in "bcd":
        disk.open(name)
        talk(disk, name, random_tokens(random.Random(name), 26))
    disk.model.counts.clear()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


def test_a_chat_larger_than_what_is_left_is_computed_when_there_is_room(disk: Disk) -> None:
    text = save_chat(disk, 60, num_blocks=24)
    disk.start(num_blocks=24, budget=16)
    disk.open("b")
    other = ask(disk.engine, "b", random_tokens(random.Random(5), 60))
    for _ in range(3):
        disk.engine.step()
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.run()
    expect_solo(other)
    expect_solo(reader)
    disk.stop()


def test_a_chat_that_waits_for_room_is_not_overtaken_for_ever(disk: Disk) -> None:
    text = save_chat(disk, 60, num_blocks=24)
    disk.start(num_blocks=24)
    names = [f"b{number}" for number in range(24)]
    for name in ["a", *names]:
        disk.open(name)
    others: list[Reader] = []

    def one_more() -> None:
        name = names[len(others)]
        others.append(ask(disk.engine, name, [len(others), 2, 3, 4, 5, 6, 7]))
        for _ in range(2):  # there are always some who run
            disk.engine.step()
            disk.engine.cache.check_integrity()

    for _ in range(5):
        one_more()
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    disk.segments.flush().result()
    disk.posted.popleft()()
    num_behind = 0
    while len(others) < len(names):
        one_more()
        num_behind += not reader.events
    assert num_behind < 8
    disk.run()
    for each in (reader, *others):
        expect_solo(each)
    disk.stop()


def test_others_stream_while_a_chat_waits_for_the_disk(disk: Disk) -> None:
    text = save_chat(disk, 40)
    disk.start()
    disk.open("b")
    other = ask(disk.engine, "b", [1, 2, 3])
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    while other.reason is None:
        disk.engine.step()  # what the disk has read is in `posted` and not taken
        disk.engine.cache.check_integrity()
    assert reader.events == []
    residency = disk.engine.residency
    assert residency is not None
    assert residency.waits(disk.engine._find("a"))
    disk.run()
    expect_solo(reader)
    disk.stop()


def test_staging_in_small_slices_lets_others_step_between(disk: Disk) -> None:
    text = save_chat(disk, 60)
    disk.start(slice_bytes=1)
    disk.open("b")
    other = ask(disk.engine, "b", [1, 2, 3])
    disk.engine.step()
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    disk.segments.flush().result()
    disk.posted.popleft()()
    num_events = len(other.events)
    for expected in (1, 2, 3):
        disk.engine.step()
        disk.engine.cache.check_integrity()
        assert len(other.events) == num_events + expected
        assert disk.engine.cache.memory().held_bytes > 0
    disk.run()
    expect_solo(other)
    expect_solo(reader)
    disk.stop()


@pytest.mark.parametrize("num_steps", [0, 1, 3, 6])
@pytest.mark.parametrize("end", ["cancel", "close"])
def test_ending_a_restore_at_any_time_gives_everything_back(
    disk: Disk, num_steps: int, end: str
) -> None:
    text = save_chat(disk, 60)
    disk.start(slice_bytes=1)
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    if num_steps:
        disk.segments.flush().result()
        disk.posted.popleft()()
    for _ in range(num_steps - 1):
        disk.engine.step()
    if end == "cancel":
        disk.engine.cancel(reader.request)
        assert reader.reason is FinishReason.CANCELLED
        expect_solo(talk(disk, "a", [*text, 2]))
    else:
        disk.engine.close("a")
    disk.run()
    assert disk.engine.cache.memory().held_bytes == 0
    disk.stop()


def test_a_restore_gives_way_to_a_reply_that_needs_its_room(disk: Disk) -> None:
    text = save_chat(disk, 60, num_blocks=30)
    disk.start(num_blocks=30, slice_bytes=1)
    disk.open("b")
    other = ask(disk.engine, "b", random_tokens(random.Random(2), 8))
    disk.engine.step()
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    disk.segments.flush().result()
    disk.posted.popleft()()
    disk.engine.step()
    cache = disk.engine.cache
    assert cache.memory().held_bytes > 0
    # Somebody takes all that is free; the next step needs what the restore holds.
    pool = cache.pools[0]
    taken = pool.take(pool.num_available)
    pool_of_window = cache.pools[1]
    taken_of_window = pool_of_window.take(pool_of_window.num_available)
    for _ in range(6):
        disk.engine.step()
    assert len(other.tokens) > 2
    assert disk.engine.residency is not None
    assert not disk.engine.residency.waits(disk.engine._find("a"))
    for block in taken:
        pool.give_back(block)
    for block in taken_of_window:
        pool_of_window.give_back(block)
    disk.run()
    expect_solo(other)
    expect_solo(reader)
    disk.stop()


@pytest.mark.parametrize("loss", ["its own blocks", "what others left in the pool"])
def test_what_is_lost_while_a_chat_is_staged_is_computed_again(disk: Disk, loss: str) -> None:
    layer_windows = (None, None)
    text = save_chat(disk, 60, layer_windows=layer_windows)
    disk.start(layer_windows=layer_windows, slice_bytes=1)
    disk.open("b")
    talk(disk, "b", [*text[:20], 7])
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    disk.segments.flush().result()
    disk.posted.popleft()()
    for _ in range(3):
        disk.engine.step()
    cache = disk.engine.cache
    assert cache.memory().held_bytes > 0
    sequence = disk.engine._find("a").cache_id
    assert cache.length(sequence) == 20
    if loss == "its own blocks":
        cache.shrink(sequence, cache.num_blocks)
        assert cache.length(sequence) < 20
    else:
        disk.engine.close("b")
        for pool in cache.pools:
            pool.drop_cached()
    disk.run()
    expected = HashModel(VOCAB_SIZE, layer_windows)
    tokens = list(reader.request.token_ids)
    for token in reader.tokens:
        logits = expected.list_logits(expected.list_states(tokens)[-1])
        assert token == logits.index(max(logits))
        tokens.append(token)
    assert len(reader.tokens) == NUM_NEW
    disk.stop()


def test_a_long_chat_comes_back_in_parts(disk: Disk) -> None:
    layer_windows = (None, None)
    text = save_chat(disk, 100, layer_windows=layer_windows)
    disk.start(layer_windows=layer_windows, fetch_bytes=30_000)
    disk.open("a")
    sizes: list[int] = []
    fetch = disk.segments.fetch

    def counted(owner: str, wanted: Any, on_done: Any, block_size: int | None = None) -> None:
        sizes.append(len(wanted))
        fetch(owner, wanted, on_done, block_size)

    disk.segments.fetch = counted  # type: ignore[method-assign]
    reader = talk(disk, "a", [*text, 1])
    assert sizes == [7, 7, 7, 6]
    assert reader.events[-1].timing.num_cached_tokens == len(text) - 1
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
def test_blocks_that_cannot_be_copied_out_are_not_saved_and_nobody_notices(
    disk: Disk, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    disk.start(num_blocks=24)

    def hook(point: str) -> None:
        if point == "blocks.export":
            raise kind

    errors.fault_hook = hook
    readers = []
    for name in "abc":  # the third makes the first give way
        disk.open(name)
        readers.append(talk(disk, name, random_tokens(random.Random(name), 40)))
    for reader in readers:
        expect_solo(reader)
    assert disk.file_names() == []
    assert any("not saved" in line for line in caplog.messages)
    errors.fault_hook = None
    disk.stop()


Damage = Callable[[Disk], None]


def damage_everywhere(change: Callable[[bytearray], bytes | bytearray]) -> Damage:
    def damage(disk: Disk) -> None:
        for path in disk.files.iterdir():
            path.write_bytes(change(bytearray(path.read_bytes())))

    return damage


def flip(share: float) -> Damage:
    def change(content: bytearray) -> bytearray:
        content[int(share * (len(content) - 1))] ^= 0x10
        return content

    return damage_everywhere(change)


def swap_two(disk: Disk) -> None:
    first, second = list(disk.files.iterdir())[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def remove_all(disk: Disk) -> None:
    for path in disk.files.iterdir():
        path.unlink()


def make_directories(disk: Disk) -> None:
    for path in list(disk.files.iterdir()):
        path.unlink()
        path.mkdir()


def make_pipes(disk: Disk) -> None:
    for path in list(disk.files.iterdir()):
        path.unlink()
        os.mkfifo(path)


DAMAGES: dict[str, Damage] = {
    "a flipped length": flip(0.0),
    "a flipped header": flip(0.02),
    **{f"a flip at {percent} %": flip(percent / 100) for percent in (10, 30, 50, 70, 90, 98, 100)},
    "an empty file": damage_everywhere(lambda content: b""),
    "half a file": damage_everywhere(lambda content: content[: len(content) // 2]),
    "a byte less": damage_everywhere(lambda content: content[:-1]),
    "a byte more": damage_everywhere(lambda content: content + b"\0"),
    "zeros": damage_everywhere(lambda content: bytes(len(content))),
    "swapped files": swap_two,
    "no files": remove_all,
    "directories": make_directories,
    "pipes": make_pipes,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_leads_to_the_same_words_by_prefill(
    disk: Disk, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kvchat")
    text = save_chat(disk, 60)
    DAMAGES[name](disk)
    disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed > 2 + NUM_NEW - 1
    assert any("ignored" in line or "computed again" in line for line in caplog.messages), (
        caplog.messages
    )
    # What was bad is gone, so that the next life finds it good again.
    disk.stop()
    disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == 1 + NUM_NEW - 1
    disk.stop()


def test_what_lies_before_a_damaged_block_is_used(disk: Disk) -> None:
    layer_windows = (None, None)
    text = save_chat(disk, 60, layer_windows=layer_windows)
    largest = max(disk.files.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    block_bytes = 2 * 4 * 4 * 32 * 4
    content[len(content) - 1000 - 10 * block_bytes] ^= 1
    largest.write_bytes(content)
    disk.start(layer_windows=layer_windows)
    disk.open("a")
    reader = talk(disk, "a", [*text, 1])
    assert 2 + NUM_NEW - 1 < disk.num_computed < len(text)
    disk.stop()
    disk.files = disk.directory / "nothing saved"
    disk.start(layer_windows=layer_windows)
    disk.open("b")
    assert talk(disk, "b", [*text, 1]).tokens == reader.tokens
    disk.stop()


@pytest.mark.parametrize("change", ["model", "installation", "kv_dtype"])
def test_what_another_model_or_installation_saved_is_not_used(
    disk: Disk, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kvchat")
    text = save_chat(disk, 60)
    if change == "model":
        disk.start(digest="another model of the same shapes")
    elif change == "kv_dtype":
        disk.start(kv_dtype="int8")
    else:
        disk.secret = bytes(32)
        disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == len(text) + 1 + NUM_NEW - 1
    assert any("ignored" in line for line in caplog.messages)
    disk.stop()


class Faults:
    """Raises at one of the points that a restore, and the steps beside it, pass."""

    def __init__(self, hit: int, kind: type[Exception]) -> None:
        self.hit, self.kind, self.num_hits = hit, kind, 0

    def __call__(self, point: str) -> None:
        if point.startswith(("untrusted", "pool", "blocks.import", "restore")):
            self.num_hits += 1
            if self.num_hits == self.hit:
                raise self.kind(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("kind", [OSError, MemoryError, RuntimeError])
def test_a_fault_at_any_point_of_a_restore_costs_prefill_only(
    disk: Disk, kind: type[Exception]
) -> None:
    text = save_chat(disk, 40)
    hit = 0
    while True:
        hit += 1
        disk.start()
        disk.open("a")
        disk.open("b")
        faults = Faults(hit, kind)
        errors.fault_hook = faults
        reader = ask(disk.engine, "a", [*text, 1])
        other = ask(disk.engine, "b", [1, 2, 3])
        disk.run()
        errors.fault_hook = None
        for each in (reader, other):
            if each.reason is FinishReason.FAILED:  # the fault hit its own step
                each = talk(disk, each.request.owner, each.request.token_ids)
            expect_solo(each)
        assert disk.engine.cache.memory().held_bytes == 0
        disk.stop()
        if faults.num_hits < hit:
            break
    assert hit > 8


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_a_full_disk_stops_saving_and_nothing_else(
    disk: Disk, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    disk.start()
    disk.open("a")
    store_works = {"db.begin", "db.commit", "db.committed"}

    def hook(point: str) -> None:
        if point.startswith("file.") and point not in store_works:
            raise OSError(number, os.strerror(number))

    for point in ("file.create", "file.write", "file.fsync", "file.rename", "file.fsync_directory"):
        errors.fault_hook = lambda reached, point=point: hook(reached) if reached == point else None
        before = disk.engine._find("a").token_ids
        expect_solo(talk(disk, "a", [*before, 1, 2, 3, 4, 5]))
        assert disk.file_names() == []
    assert any(os.strerror(number) in line for line in caplog.messages)
    errors.fault_hook = None
    text = disk.engine._find("a").token_ids
    disk.stop()
    disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


def test_a_full_queue_drops_and_the_end_of_the_next_turn_saves(disk: Disk) -> None:
    disk.start(queue_bytes=0)
    disk.open("a")
    prompt = random_tokens(random.Random(8), 30)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    assert disk.file_names() == []
    disk.segments._queue_bytes = 1 << 20
    text += talk(disk, "a", text).tokens
    assert len(disk.file_names()) == 2
    disk.stop()
    disk.start()
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 1]))
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


def test_saving_waits_for_the_disk(disk: Disk) -> None:
    disk.start()
    disk.open("a")
    reader = ask(disk.engine, "a", random_tokens(random.Random(9), 30))
    while reader.reason is None:
        disk.engine.step()
    future = disk.engine.save("a")
    assert future is not None
    assert future.result() is True
    assert len(disk.file_names()) == 2
    disk.stop()


def test_residency_forgets_what_was_closed(disk: Disk) -> None:
    text = save_chat(disk, 20)
    disk.start()
    disk.open("a")
    talk(disk, "a", [*text, 1])
    disk.engine.close("a")
    residency = disk.engine.residency
    assert isinstance(residency, Residency)
    restorer = residency._restorer
    assert not residency._unsaved and not restorer._is_tried and restorer._restore is None
    disk.stop()


@pytest.mark.parametrize("seed", seeds(12))
def test_any_program_of_turns_forks_evictions_and_restarts_gives_the_words_of_no_cache(
    disk: Disk, seed: int
) -> None:
    run_program(disk, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(150, first=1000))
def test_any_long_program_gives_the_words_of_no_cache(disk: Disk, seed: int) -> None:
    run_program(disk, seed, num_commands=60)


COMMANDS = ["new", "turn", "turn", "turn", "fork", "rewind", "restart", "close", "prefetch", "harm"]


def run_program(disk: Disk, seed: int, num_commands: int = 35) -> None:
    """Do what users and disks do, in blocks of another size after some restarts."""
    print(f"KVCHAT_SEED={seed}")
    rng = random.Random(seed)
    num_tokens = rng.choice([60, 100])
    options: dict[str, Any] = {
        "budget": rng.choice([5, 64]),
        "slice_bytes": rng.choice([1, 20_000, 8 << 20]),
        "queue_bytes": rng.choice([20_000, 64 << 20]),
        "folder_bytes": rng.choice([100_000, 1 << 30]),
        "fetch_bytes": rng.choice([50_000, 1 << 30]),
        "costs": rng.choice([None, RestoreCosts(1e-5, 1e-9, is_fixed=True), RestoreCosts()]),
    }

    def start() -> int:
        size = rng.choice([1, 4, 4, 8])
        disk.start(num_blocks=num_tokens // size + 4, block_size=size, **options)
        return size

    texts: dict[str, tuple[list[int], int | None, int]] = {}
    size = start()
    for _ in range(num_commands):
        command = rng.choice(COMMANDS)
        if command == "new" or not texts:
            name = f"s{len(texts)}"
            window = rng.choice([None, None, 7, 20])
            texts[name] = ([], window, 0 if window is None else rng.choice([0, 5]))
        name = rng.choice(list(texts))
        text, window, sinks = texts[name]
        if command == "restart":
            disk.stop()
            size = start()
            continue
        if command == "harm":
            disk.run()
            harm_files(disk, rng)
            continue
        if command == "fork" and len(texts) < 8:
            child = f"s{len(texts)}"
            length = rng.randint(0, len(text))
            texts[child] = (text[:length], window, sinks)
            if disk.engine.is_open(name):
                disk.open(child, window=window, sinks=sinks)
                disk.engine.close(child)
                disk.engine.fork(name, child, length)
            continue
        if command == "close":
            disk.engine.close(name)
            continue
        if not disk.engine.is_open(name):
            disk.open(name, window=window, sinks=sinks)
        if command == "rewind":
            del text[rng.randint(0, len(text)) :]
            disk.engine.rewind(name, len(text))
            continue
        if command == "prefetch":
            disk.engine.prefetch(name, text)
            if rng.random() < 0.5:
                continue
        if len(text) > 45 and window is None:
            del text[20:]
        text += random_tokens(rng, rng.choice([1, 3, size, 2 * size + 1]))
        reader = talk(disk, name, text)
        expect_solo(reader, window, -(-sinks // size) * size)
        text += reader.tokens
    disk.stop()


def harm_files(disk: Disk, rng: random.Random) -> None:
    """Change, cut, lengthen, empty, swap or delete files, as disks and people do."""
    paths = sorted(disk.files.iterdir())
    for path in rng.sample(paths, min(len(paths), rng.randint(1, 3))):
        content = bytearray(path.read_bytes())
        kind = rng.choice(["flip", "flip", "flip", "cut", "grow", "zeros", "splice", "delete"])
        at = rng.randrange(len(content) + 1)
        if kind == "flip":
            content[at - 1] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[at:]
        elif kind == "grow":
            content += bytes(rng.choice([1, 8, 4096]))
        elif kind == "zeros":
            content[at : at + 4096] = bytes(len(content[at : at + 4096]))
        elif kind == "splice":
            other = rng.choice(paths)
            if other.exists():
                content[at:] = other.read_bytes()[at:]
        path.write_bytes(content)
        if kind == "delete":
            path.unlink()
