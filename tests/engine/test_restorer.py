"""How a chat comes back: soon, beside others, converted, and only if that is the cheaper way."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvchat import errors
from kvchat.engine.restore_costs import RestoreCosts
from kvchat.engine.restorer import DEADLINE_SECONDS
from kvchat.kv.segments import FetchedBlocks
from kvchat.sampling_params import SamplingParams
from tests.engine.disk_kit import Disk
from tests.engine.engine_kit import ask, random_tokens
from tests.engine.test_residency import NUM_NEW, expect_solo, save_chat, talk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    errors.fault_hook = None
    disk.segments.close()
    disk.store.close()


def computed_for(disk: Disk, text: list[int], **options: Any) -> int:
    """Start again, let the chat go on, and return how many tokens that computed."""
    disk.start(**options)
    disk.open("a")
    expect_solo(talk(disk, "a", [*text, 5, 6]))
    return disk.num_computed


LEAST = 1 + 2 + NUM_NEW - 1
"""What is computed in any case: the last reply's last token, two new ones, and the new reply"""

# Converting


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("count", [3, 40, 61, 93])
@pytest.mark.parametrize(("old", "new"), [(4, 8), (8, 4), (4, 16), (16, 1), (1, 4)])
def test_what_was_saved_in_blocks_of_another_size_is_converted(
    disk: Disk, old: int, new: int, count: int, kv_dtype: Any
) -> None:
    text = save_chat(disk, count, block_size=old, num_blocks=256 // old, kv_dtype=kv_dtype)
    options = {"block_size": new, "num_blocks": 256 // new, "kv_dtype": kv_dtype}
    assert computed_for(disk, text, **options) == LEAST
    disk.stop()


@pytest.mark.parametrize(("window", "sinks"), [(7, 0), (16, 16), (40, 0), (64, 8)])
@pytest.mark.parametrize(("old", "new"), [(4, 8), (8, 4)])
def test_a_window_is_converted_where_its_sinks_stay_the_same(
    disk: Disk, old: int, new: int, window: int, sinks: int
) -> None:
    text = save_chat(disk, 93, window=window, sinks=sinks, block_size=old, num_blocks=64)
    disk.start(block_size=new, num_blocks=64)
    disk.open("a", window=window, sinks=sinks)
    expect_solo(talk(disk, "a", [*text, 5, 6]), window, sinks)
    assert disk.num_computed == LEAST
    disk.stop()


def test_what_was_converted_is_saved_in_its_new_size_and_the_old_files_go(disk: Disk) -> None:
    text = save_chat(disk, 60, block_size=8)
    before = set(disk.file_names())
    assert computed_for(disk, text) == LEAST
    text = disk.engine._find("a").token_ids
    disk.stop()
    assert not before & set(disk.file_names())
    assert computed_for(disk, text) == LEAST
    assert disk.segments.other_sizes() == []
    disk.stop()


def test_a_fork_in_another_size_still_finds_its_files_after_the_parent_went_on(disk: Disk) -> None:
    disk.start(block_size=8)
    for name in "ab":
        disk.open(name)
    prompt = random_tokens(random.Random(1), 60)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    disk.engine.close("b")
    disk.engine.fork("a", "b")
    disk.segments.share("a", "b")
    disk.stop()
    assert computed_for(disk, text) == LEAST
    disk.stop()
    disk.start(block_size=8)
    disk.open("b")
    expect_solo(talk(disk, "b", [*text, 5, 6]))
    assert disk.num_computed <= LEAST  # less, where what "a" has saved since is converted back
    disk.stop()


def test_a_long_chat_in_another_size_comes_back_in_parts(disk: Disk) -> None:
    layer_windows = (None, None)
    text = save_chat(disk, 100, layer_windows=layer_windows, block_size=8)
    disk.start(layer_windows=layer_windows, fetch_bytes=30_000)
    disk.open("a")
    talk(disk, "a", [*text, 1])
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


# Whichever is cheaper


@pytest.mark.parametrize(
    ("costs", "is_restored"),
    [
        (RestoreCosts(is_fixed=True), True),
        (RestoreCosts(1.0, 1e-9, is_fixed=True), True),
        (RestoreCosts(1e-9, 1.0, is_fixed=True), False),
    ],
)
def test_the_cheaper_way_gives_the_same_words(
    disk: Disk, costs: RestoreCosts, is_restored: bool
) -> None:
    text = save_chat(disk, 60)
    num_computed = computed_for(disk, text, costs=costs)
    assert num_computed == (LEAST if is_restored else len(text) + 2 + NUM_NEW - 1)
    disk.stop()


def test_costs_are_measured_while_the_engine_runs(disk: Disk) -> None:
    costs = RestoreCosts()
    disk.start(costs=costs)
    disk.open("a")
    talk(disk, "a", random_tokens(random.Random(1), 60))
    assert costs.seconds_per_token is not None and costs.seconds_per_token > 0
    disk.stop()


# Before the request is known


def test_a_chat_comes_back_before_its_request_is_known(disk: Disk) -> None:
    text = save_chat(disk, 60)
    disk.start()
    disk.open("a")
    disk.engine.prefetch("a", text)
    disk.run()
    assert disk.engine.cache.length(disk.engine._find("a").cache_id) == len(text) - 1
    assert disk.num_computed == 0
    expect_solo(talk(disk, "a", [*text, 5, 6]))
    assert disk.num_computed == LEAST
    disk.stop()


def test_what_is_still_in_the_pool_is_not_read(disk: Disk) -> None:
    disk.start()
    disk.open("a")
    prompt = random_tokens(random.Random(1), 59)
    text = [*prompt, *talk(disk, "a", prompt).tokens]
    disk.engine.close("a")
    reads: list[str] = []
    errors.fault_hook = lambda point: reads.append(point) if point == "untrusted.open" else None
    disk.open("a")
    disk.engine.prefetch("a", text[:64])  # 16 full blocks; the open one is no longer there
    disk.run()
    assert reads == []
    assert disk.engine.cache.length(disk.engine._find("a").cache_id) == 64
    errors.fault_hook = None
    disk.stop()


@pytest.mark.parametrize("num_steps", range(5))
@pytest.mark.parametrize("kept", [0, 3, 30, 59, 68])
def test_a_request_may_come_at_any_time_and_say_something_else(
    disk: Disk, num_steps: int, kept: int
) -> None:
    text = save_chat(disk, 60)
    disk.start(slice_bytes=20_000)
    disk.open("a")
    disk.engine.prefetch("a", text)
    if num_steps:
        disk.segments.flush().result()
        disk.posted.popleft()()
    for _ in range(num_steps - 1):
        disk.engine.step()
    expect_solo(talk(disk, "a", [*text[:kept], 5, 6]))
    assert disk.num_computed <= 4 + 2 + NUM_NEW - 1
    assert disk.engine.cache.memory().held_bytes == 0
    disk.stop()


@pytest.mark.parametrize("event", ["rewind", "close", "fork"])
@pytest.mark.parametrize("num_steps", range(4))
def test_a_chat_that_comes_back_can_be_rewound_closed_and_forked(
    disk: Disk, num_steps: int, event: str
) -> None:
    text = save_chat(disk, 60)
    disk.start(slice_bytes=20_000)
    disk.open("a")
    disk.engine.prefetch("a", text)
    if num_steps:
        disk.segments.flush().result()
        disk.posted.popleft()()
    for _ in range(num_steps - 1):
        disk.engine.step()
    if event == "rewind":
        disk.engine.rewind("a", 30)
        del text[30:]
    elif event == "close":
        disk.engine.close("a")
        disk.open("a")
    else:
        disk.open("b")
        disk.engine.close("b")
        disk.engine.fork("a", "b")
        expect_solo(talk(disk, "b", [*text, 7]))
    expect_solo(talk(disk, "a", [*text, 5, 6]))
    assert disk.engine.cache.memory().held_bytes == 0
    disk.stop()


def test_chats_that_are_wanted_at_once_come_back_one_after_the_other(disk: Disk) -> None:
    disk.start(num_blocks=200)
    texts = {}
    for name in "abc":
        disk.open(name)
        prompt = random_tokens(random.Random(name), 40)
        texts[name] = [*prompt, *talk(disk, name, prompt).tokens]
    disk.stop()
    disk.start(num_blocks=200)
    for name, text in texts.items():
        disk.open(name)
        disk.engine.prefetch(name, text)
    disk.run()
    for name, text in texts.items():
        assert disk.engine.cache.length(disk.engine._find(name).cache_id) == len(text) - 1
    disk.stop()


# Beside others


def steps_until_first_token(disk: Disk, owner: str, token_ids: list[int]) -> int:
    reader = ask(disk.engine, owner, token_ids)
    for count in range(1, 1000):
        disk.engine.step()
        if reader.tokens:
            return count
    raise AssertionError("no token came")


@pytest.mark.parametrize("progress", ["reading", "staging"])
def test_a_long_restore_delays_the_first_token_of_another_chat_by_no_step(
    disk: Disk, progress: str
) -> None:
    text = save_chat(disk, 100)
    disk.start(slice_bytes=1, num_blocks=200)
    disk.open("b")
    alone = steps_until_first_token(disk, "b", [1, 2, 3])
    disk.run()
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 1])
    disk.engine.step()
    if progress == "staging":
        disk.segments.flush().result()
        disk.posted.popleft()()
        disk.engine.step()
        assert disk.engine.cache.memory().held_bytes > 0
    disk.open("c")
    assert steps_until_first_token(disk, "c", [4, 5, 6]) == alone
    assert not reader.tokens
    disk.run()
    expect_solo(reader)
    disk.stop()


def test_what_nobody_asked_for_yet_makes_nobody_wait_for_room(disk: Disk) -> None:
    text = save_chat(disk, 60, num_blocks=40)
    disk.start(num_blocks=40)
    disk.open("b")
    sampling = SamplingParams(temperature=0.0, max_tokens=60)
    running = ask(disk.engine, "b", random_tokens(random.Random(2), 90), sampling)
    for _ in range(4):
        disk.engine.step()
    assert running.tokens
    disk.open("a")
    disk.engine.prefetch("a", text)
    disk.segments.flush().result()
    disk.posted.popleft()()
    disk.engine.step()
    assert disk.engine.residency is not None and disk.engine.residency.lacks_room is None
    disk.open("c")
    assert steps_until_first_token(disk, "c", [4, 5, 6]) == 1
    disk.run()
    expect_solo(talk(disk, "a", [*text, 5, 6]))
    disk.stop()


def test_between_two_parts_of_a_long_chat_others_come_back(disk: Disk) -> None:
    windows: Any = {"layer_windows": (None, None)}
    disk.start(num_blocks=200, **windows)
    texts = {}
    for name, count in (("a", 300), ("b", 20), ("c", 20)):
        disk.open(name)
        prompt = random_tokens(random.Random(name), count)
        texts[name] = [*prompt, *talk(disk, name, prompt).tokens]
    disk.stop()
    disk.start(num_blocks=200, fetch_bytes=60_000, **windows)
    order: list[str] = []
    fetch = disk.segments.fetch

    def noted(owner: str, wanted: Any, on_done: Any, block_size: int | None = None) -> None:
        order.append(owner)
        fetch(owner, wanted, on_done, block_size)

    disk.segments.fetch = noted  # type: ignore[method-assign]
    readers = {}
    for name, text in texts.items():
        disk.open(name)
        readers[name] = ask(disk.engine, name, [*text, 1])
    disk.run()
    assert order[:4] == ["a", "b", "a", "c"] or order[:4] == ["a", "b", "c", "a"]
    assert order.count("a") > 3
    for name, text in texts.items():
        assert len(readers[name].tokens) == NUM_NEW
        assert readers[name].events[-1].timing.num_cached_tokens == len(text) - 1
    disk.stop()


# A disk that hangs


class Hanging:
    """A store whose reads wait until somebody lets them go."""

    def __init__(self, disk: Disk) -> None:
        self._fetch = disk.segments.fetch
        self.held: list[Callable[[], None]] = []
        disk.segments.fetch = self.fetch  # type: ignore[method-assign]

    def fetch(
        self,
        owner: str,
        wanted: Any,
        on_done: Callable[[FetchedBlocks], None],
        block_size: int | None = None,
    ) -> None:
        self.held.append(lambda: self._fetch(owner, wanted, on_done, block_size))

    def let_go(self) -> None:
        for each in self.held:
            each()
        self.held.clear()


@pytest.mark.parametrize("block_size", [4, 8])
def test_a_disk_that_hangs_is_not_waited_for_and_its_late_answer_is_ignored(
    disk: Disk, block_size: int
) -> None:
    text = save_chat(disk, 60, block_size=block_size)
    disk.start()
    hanging = Hanging(disk)
    disk.open("a")
    reader = ask(disk.engine, "a", [*text, 5, 6])
    disk.run()
    assert not reader.events and disk.engine.seconds_to_wait == DEADLINE_SECONDS
    disk.now += DEADLINE_SECONDS - 0.5
    assert not disk.engine.has_work and disk.engine.seconds_to_wait == 0.5
    disk.now += 0.5
    assert disk.engine.has_work
    disk.run()
    expect_solo(reader)
    assert disk.num_computed == len(text) + 2 + NUM_NEW - 1
    assert reader.events[0].notice is not None and "did not answer" in reader.events[0].notice
    assert disk.engine.seconds_to_wait is None

    def forget(owner: str) -> None:
        disk.engine.close(owner)
        for pool in disk.engine.cache.pools:
            pool.drop_cached()

    # Nobody else waits for that disk, until it has answered.
    forget("a")
    disk.open("b")
    expect_solo(talk(disk, "b", [*text[:50], 9]))
    hanging.let_go()
    disk.run()
    assert disk.engine.cache.memory().held_bytes == 0
    forget("b")
    disk.open("a")
    disk.model.counts.clear()
    again = ask(disk.engine, "a", [*text, 5, 6])
    disk.run()
    assert not again.events
    hanging.let_go()
    disk.run()
    expect_solo(again)
    assert disk.num_computed < 20 and again.events[0].notice is None
    disk.stop()


def test_a_cancelled_restore_owes_nothing(disk: Disk) -> None:
    text = save_chat(disk, 60)
    disk.start()
    hanging = Hanging(disk)
    disk.open("a")
    disk.engine.cancel(ask(disk.engine, "a", [*text, 1]).request)
    disk.open("b")
    first = ask(disk.engine, "b", [*text, 2])
    disk.engine.step()
    disk.engine.cancel(first.request)
    hanging.let_go()
    reader = ask(disk.engine, "b", [*text, 2])
    disk.engine.step()
    hanging.let_go()
    disk.run()
    expect_solo(reader)
    assert disk.num_computed == 2 + NUM_NEW - 1
    disk.stop()


# Damage


def damage_block(disk: Disk, number: int) -> None:
    """Change one byte of a block in the file of most blocks."""
    largest = max(disk.files.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    block_bytes = 2 * 4 * 4 * 32 * 4  # of layer group 0, whose blocks come first
    content[header_bytes + number * block_bytes + 100] ^= 1
    largest.write_bytes(content)


def test_a_damaged_block_costs_what_depends_on_it_and_the_reader_is_told(disk: Disk) -> None:
    windows: Any = {"layer_windows": (None, None)}
    text = save_chat(disk, 60, **windows)
    damage_block(disk, 12)
    disk.start(**windows)
    disk.open("a")
    reader = talk(disk, "a", [*text, 1])
    assert reader.events[0].notice == (
        "Rebuilt this chat's memory from its text (cache file damaged at block 12)."
    )
    assert all(event.notice is None for event in reader.events[1:])
    assert reader.events[-1].timing.num_cached_tokens == 12 * 4
    text = disk.engine._find("a").token_ids
    disk.stop()
    # What was computed again was saved again, so nothing is lost a second time.
    disk.start(**windows)
    disk.open("a")
    reader = talk(disk, "a", [*text, 1])
    assert disk.num_computed == 2 + NUM_NEW - 1 and reader.events[0].notice is None
    disk.stop()


def test_another_chat_still_uses_the_other_blocks_of_a_damaged_file(disk: Disk) -> None:
    windows: Any = {"layer_windows": (None, None)}
    text = save_chat(disk, 60, **windows)
    damage_block(disk, 12)
    names = set(disk.file_names())
    disk.start(**windows)
    disk.open("a")
    talk(disk, "a", [*text, 1])
    largest = max(disk.files.iterdir(), key=lambda path: path.stat().st_size)
    assert largest.name in names and len(disk.file_names()) == 3
    disk.engine.close("a")
    for pool in disk.engine.cache.pools:
        pool.drop_cached()
    disk.model.counts.clear()
    disk.open("b")
    reader = talk(disk, "b", [*text[:45], 90])
    assert reader.events[-1].timing.num_cached_tokens == 45
    assert reader.events[0].notice is None
    disk.stop()


def test_a_whole_file_that_is_lost_is_told_as_well(disk: Disk) -> None:
    text = save_chat(disk, 60)
    for path in disk.files.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    disk.start()
    disk.open("a")
    reader = talk(disk, "a", [*text, 1])
    expect_solo(reader)
    assert reader.events[0].notice == (
        "Rebuilt this chat's memory from its text (cache file damaged)."
    )
    disk.stop()
