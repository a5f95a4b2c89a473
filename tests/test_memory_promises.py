"""What a runtime promises about memory: the pool is the limit, and nothing is left behind."""

import gc
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvchat.errors import DataDirInUse, InvalidArgument, KVChatError, ModelError, ReplyFailed
from kvchat.hash_folder import HashFolder
from kvchat.kv.spec import KVDtype
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.simulate.process_figures import num_children, num_descriptors, rss_bytes

BLOCK_SIZE = 16
TOKEN_BYTES = 3 * 2 * 2 * 32 * 4
"""Three layers, keys and values, two heads of 32 numbers of 4 bytes."""
POOL_BYTES = 60 * BLOCK_SIZE * TOKEN_BYTES
SHORT = SamplingParams(temperature=0, max_tokens=2)
LONG = SamplingParams(temperature=0, max_tokens=200)
MIB = 1 << 20
Open = Callable[..., ChatRuntime]


@pytest.fixture
def open_runtime(tmp_path: Path) -> Open:
    def make(**options: object) -> ChatRuntime:
        arguments: dict[str, object] = {
            "model": HashFolder.over_bundled(context_tokens=600),
            "data_dir": tmp_path / "data",
            "device": "cpu",
            "weights": "fp32",
            "threads": 1,
            "block_size": BLOCK_SIZE,
            "pool_bytes": POOL_BYTES,
            **options,
        }
        return ChatRuntime(**arguments)  # type: ignore[arg-type]

    return make


def resources() -> tuple[set[threading.Thread], int, int]:
    gc.collect()
    return set(threading.enumerate()), num_descriptors(), num_children()


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Threads, open files and child processes are as many after a test as before."""
    before = resources()
    yield
    assert resources() == before


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
@pytest.mark.parametrize("pool_bytes", [POOL_BYTES, POOL_BYTES - 1, 5_000_001, 1 << 20])
def test_the_tensors_of_the_pool_take_at_most_what_was_asked_for(
    open_runtime: Open, kv_dtype: KVDtype, pool_bytes: int
) -> None:
    with open_runtime(save=False, kv_dtype=kv_dtype, pool_bytes=pool_bytes) as runtime:
        chats = [runtime.new_session() for _ in range(8)]
        for reply in runtime.broadcast(chats, "hello", SamplingParams(max_tokens=60)):
            reply.wait(60)
        memory = runtime.stats().memory
        num_bytes, tensor_bytes = runtime._engine.call(
            lambda engine: (
                engine.cache.nbytes,
                sum(
                    array.untyped_storage().nbytes()
                    for storage in engine.cache.storages
                    for arrays in storage.arrays
                    for array in arrays
                ),
            )
        ).result()
    assert memory.pool_bytes == num_bytes == tensor_bytes <= pool_bytes
    assert num_bytes > pool_bytes - BLOCK_SIZE * TOKEN_BYTES
    parts = (memory.free_bytes, memory.cached_bytes, memory.private_bytes, memory.shared_bytes)
    assert sum(parts) + memory.held_bytes == memory.pool_bytes


def test_a_pool_smaller_than_one_block_is_refused(open_runtime: Open) -> None:
    with open_runtime(save=False, pool_bytes=BLOCK_SIZE * TOKEN_BYTES - 1) as runtime:
        with pytest.raises(ReplyFailed, match=r"does not hold one block of 16 tokens.*--pool"):
            runtime.new_session().send("hello").wait(60)
        assert isinstance(runtime._engine.failure.__cause__, InvalidArgument)  # type: ignore[union-attr]


def fork_write_close(runtime: ChatRuntime, count: int) -> None:
    chat = runtime.sessions()[0]
    for number in range(count):
        fork = chat.fork()
        fork.send(f"word {number}", SHORT).wait(60)
        fork.delete()


def begin(runtime: ChatRuntime) -> None:
    """A chat of some blocks, and enough forks that every buffer has its size."""
    chat = runtime.new_session(window=None)
    chat.send("the river and the window " * 20, SHORT).wait(60)
    fork_write_close(runtime, 40)
    runtime.host.save(lambda database: None).result()
    gc.collect()


def test_a_fork_that_was_closed_leaves_no_object(open_runtime: Open) -> None:
    def count() -> Counter[str]:
        runtime._engine.call(lambda engine: None).result()
        runtime.host.save(lambda database: None).result()
        gc.collect()
        kinds = (type(each) for each in gc.get_objects())
        # Some libraries make classes whose module is no string.
        ours = (kind for kind in kinds if str(kind.__module__).startswith("kvchat."))
        return Counter(kind.__qualname__ for kind in ours)

    with open_runtime() as runtime:
        begin(runtime)
        before = count()
        fork_write_close(runtime, 25)
        # Fewer than one of a kind for each fork; some more are what happens to be alive.
        assert {kind: more for kind, more in (count() - before).items() if more >= 20} == {}


def test_forks_that_were_closed_leave_less_than_two_mib_a_thousand(open_runtime: Open) -> None:
    with open_runtime() as runtime:
        begin(runtime)
        before = rss_bytes()
        fork_write_close(runtime, 100)
        gc.collect()
        assert rss_bytes() - before <= 2 * MIB


@pytest.mark.slow
def test_three_thousand_forks_leave_less_than_two_mib_a_thousand(open_runtime: Open) -> None:
    with open_runtime() as runtime:
        begin(runtime)
        fork_write_close(runtime, 400)
        before = rss_bytes()
        fork_write_close(runtime, 3000)
        gc.collect()
        assert rss_bytes() - before <= 3 * 2 * MIB
        tracemalloc.start()
        fork_write_close(runtime, 100)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]
        fork_write_close(runtime, 1000)
        gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - traced
        tracemalloc.stop()
        assert growth <= 64 << 10


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("seed", [1, 2])
def test_when_every_chat_is_closed_the_pool_is_free_and_nothing_is_left(
    open_runtime: Open, seed: int
) -> None:
    rng = random.Random(seed)
    with open_runtime() as runtime:
        chats = [runtime.new_session(window=rng.choice((None, 40)), sinks=8) for _ in range(4)]
        for _ in range(30):
            chat = rng.choice(chats)
            match rng.randrange(5):
                case 0 if len(chats) < 12:
                    chats.append(chat.fork())
                case 1 if chat.messages:
                    chat.rewind(turns=1)
                case 2:
                    chat.undo()
                case 3:
                    chat.save()
                case _ if chat.reply is None or chat.reply.is_finished:
                    if chat.stats().num_tokens > 300:
                        chat.rewind(to="")
                    chat.send("tell me of the river", LONG if rng.random() < 0.5 else SHORT)
                case _:
                    chat.stop()
        for chat in chats:
            chat.delete()
        memory = runtime.stats().memory
        assert memory.private_bytes == memory.shared_bytes == memory.held_bytes == 0
        assert memory.free_bytes + memory.cached_bytes == memory.pool_bytes

        def drop_cached(engine: object) -> list[tuple[int, int, int]]:
            cache = engine.cache  # type: ignore[attr-defined]
            cache.check_integrity()
            for pool in cache.pools:
                pool.drop_cached()
            return [(pool.num_free, pool.num_blocks, len(pool.index)) for pool in cache.pools]

        for num_free, num_blocks, num_published in runtime._engine.call(drop_cached).result():
            assert num_free == num_blocks and num_published == 0


@pytest.mark.usefixtures("nothing_is_left")
def test_a_runtime_closed_in_the_middle_of_everything_leaves_nothing(open_runtime: Open) -> None:
    for _ in range(3):
        with open_runtime() as runtime:
            chats = [runtime.new_session() for _ in range(4)]
            replies = runtime.broadcast(chats, "hello " * 30, LONG)
            next(iter(replies[0]))
            chats[0].fork()
        assert all(reply.is_finished for reply in replies)


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "/nowhere"}, ModelError),
        ({"block_size": 17}, InvalidArgument),
        ({"window": 10_000}, InvalidArgument),
        ({"data_dir": Path("/dev/null/data")}, KVChatError),
    ],
)
def test_a_runtime_that_cannot_be_opened_leaves_nothing(
    open_runtime: Open, options: dict[str, object], error: type[KVChatError]
) -> None:
    with pytest.raises(error):
        open_runtime(**options)


@pytest.mark.usefixtures("nothing_is_left")
def test_a_runtime_that_is_refused_its_directory_leaves_nothing(open_runtime: Open) -> None:
    with open_runtime():
        before = resources()
        for _ in range(3):
            with pytest.raises(DataDirInUse):
                open_runtime()
        after = resources()
        # The first runtime is still starting its own threads and its child.
        assert after[1] <= before[1] + 8
