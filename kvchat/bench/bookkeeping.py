"""What fork and rewind cost, and how much memory forks and short chats take: blocks, not maths.

Keys and values are reserved and never written, so nothing here depends on a model's speed.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

from kvchat.bench.figure import Figure
from kvchat.bench.own_engine import no_model_engine
from kvchat.engine.engine import Engine
from kvchat.errors import KVChatError
from kvchat.kv.contiguous import StaticCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerSpec, SequenceId

NUM_TIMES = 40
NUM_FORKS = 100
FORKED_TOKENS = 4096 + 5
"""Not a whole number of blocks, so that every fork shares a block that is cut open."""
CONTEXT_TOKENS = 2048
SHORT_CHATS = (20, 35, 48, 61, 77, 90, 103, 120)
"""Tokens of short chats, each of which a cache that is allocated ahead gives a whole context."""
FORK_SECONDS = 1e-4


def spec(num_layers: int = 12) -> KVCacheSpec:
    """Return what the 125m shape stores: 12 layers, 12 heads of 64."""
    return KVCacheSpec(tuple(LayerSpec(12, 12, 64, 64, 64**-0.5) for _ in range(num_layers)))


def bookkeeping_figures(most_tokens: int) -> Iterator[Figure]:
    """Yield times by length up to `most_tokens`, then memory."""
    length = 1024
    while length <= most_tokens:
        yield from _times(length)
        length *= 2
    yield from _forks()
    yield from _short_chats()


def _times(length: int) -> Iterator[Figure]:
    cache = PagedKVCache(spec(1), 2 * -(-length // 32) + 64)
    engine = no_model_engine(cache, context_tokens=2 * length)
    sequence = cache.open()
    ids = [7 * token % 3000 for token in range(length)]
    _append(cache, sequence, ids)
    forks: list[SequenceId] = []
    yield _time_figure(
        f"fork of {length} tokens in the cache (PagedKVCache.fork)",
        lambda: forks.append(cache.fork(sequence)),
        lambda: cache.release(forks.pop()),
    )

    yield _time_figure(
        f"rewind from {length} tokens to half of them in the cache (PagedKVCache.truncate)",
        lambda: cache.truncate(sequence, length // 2),
        lambda: _come_back(cache, sequence, ids),
    )
    twin = cache.open()
    _append(cache, twin, ids)

    def compute_again() -> None:
        _append(cache, twin, ids[length // 2 :])

    yield _time_figure(
        f"the same where another chat computed the same {length} tokens",
        lambda: cache.truncate(twin, length // 2),
        compute_again,
        is_wanted=False,
    )
    cache.release(twin)
    cache.release(sequence)
    cache.check_integrity()
    yield from _engine_times(engine, length, ids)


def _engine_times(engine: Engine, length: int, ids: list[int]) -> Iterator[Figure]:
    """Yield the same through the engine, which also keeps the tokens' ids.

    Last what a session has its engine do when somebody goes back in a chat: find where the chats
    part, cut, and count what the next message will cost.
    """
    kept = ids[: length // 2]
    engine.open("chat")
    chat = engine._find("chat")

    def ready() -> None:
        chat.token_ids = list(ids)
        _come_back(engine.cache, chat.cache_id, ids)

    def go_back() -> None:
        engine.rewind("chat", engine.num_common("chat", kept))
        engine.resume_cost("chat", kept)

    ready()
    yield _time_figure(
        f"fork of {length} tokens in the engine (Engine.fork, all a session's fork asks of it)",
        lambda: engine.fork("chat", "fork"),
        lambda: engine.close("fork"),
    )
    yield _time_figure(
        f"rewind from {length} tokens to half of them in the engine (Engine.rewind)",
        lambda: engine.rewind("chat", len(kept)),
        ready,
    )
    yield _time_figure(
        f"rewind from {length} tokens to half of them as a session asks it of the engine",
        go_back,
        ready,
    )
    engine.cache.check_integrity()


def _time_figure(
    name: str,
    call: Callable[[], object],
    undo: Callable[[], object],
    *,
    is_wanted: bool = True,
) -> Figure:
    """Return the median time of a call in ms, each undone before the next."""
    seconds = []
    for _ in range(NUM_TIMES):
        started = perf_counter()
        call()
        seconds.append(perf_counter() - started)
        undo()
    return Figure(
        name,
        1000 * median(seconds),
        " ms",
        must=1000 * FORK_SECONDS if is_wanted else None,
        at_least=False,
        note=f"{1000 * min(seconds):.3f} to {1000 * max(seconds):.3f}",
    )


def _append(cache: PagedKVCache, sequence: SequenceId, ids: list[int]) -> None:
    with cache.reserve([(sequence, len(ids))], [ids]):
        pass


def _come_back(cache: PagedKVCache, sequence: SequenceId, ids: list[int]) -> None:
    """Give a rewound sequence its blocks back; what was not rewound would cost nothing to cut."""
    if cache.adopt(sequence, [*ids, -1]) != len(ids):
        raise KVChatError("What a rewind cut off was not there any more.")


def _used_bytes(cache: PagedKVCache) -> int:
    report = cache.memory()
    return report.private_bytes + report.shared_bytes


def _forks() -> Iterator[Figure]:
    cache = PagedKVCache(spec(), FORKED_TOKENS // 32 + 2 * NUM_FORKS)
    parent = cache.open()
    _append(cache, parent, [7 * token % 3000 for token in range(FORKED_TOKENS)])
    one = _used_bytes(cache)
    block_bytes = cache.nbytes // cache.num_blocks
    gc.collect()
    tracemalloc.start()
    forks = [cache.fork(parent) for _ in range(NUM_FORKS)]
    of_python = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    shared = _used_bytes(cache)
    yield Figure(
        f"{NUM_FORKS} forks of a chat of {FORKED_TOKENS} tokens ÷ one chat: blocks",
        shared / one,
        "x",
        must=1.05,
        at_least=False,
    )
    yield Figure(
        f"{NUM_FORKS} forks ÷ one chat: blocks and Python's tables",
        (shared + of_python) / one,
        "x",
        must=1.05,
        at_least=False,
        note=f"{of_python / NUM_FORKS / 1024:.0f} KiB of Python a fork",
    )
    for fork in forks:
        _append(cache, fork, [1])
    grown = (_used_bytes(cache) - shared) / block_bytes
    yield Figure(
        "blocks taken by each fork that wrote a token",
        grown / NUM_FORKS,
        "",
        must=1.0,
        at_least=False,
    )
    cache.check_integrity()


def _short_chats() -> Iterator[Figure]:
    paged = PagedKVCache(spec(), len(SHORT_CHATS) * CONTEXT_TOKENS // 32)
    ahead = StaticCache(spec(), CONTEXT_TOKENS)
    for length in SHORT_CHATS:
        _append(paged, paged.open(), [length + 7 * token % 3000 for token in range(length)])
        ahead.open()
    saved = 100 * (1 - _used_bytes(paged) / ahead.nbytes)
    lengths = f"{min(SHORT_CHATS)} to {max(SHORT_CHATS)}"
    yield Figure(
        f"memory saved: chats of {lengths} tokens in contexts of {CONTEXT_TOKENS}",
        saved,
        " %",
        must=93.8,
        note="against a cache that is allocated ahead",
    )
