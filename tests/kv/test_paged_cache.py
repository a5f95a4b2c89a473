"""PagedKVCache: fork, rewind, windows, shared prefixes, reports; the pitfalls of others by name."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from kvchat import errors
from kvchat.errors import InvalidArgument
from kvchat.kv.cache import SequenceId
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.pool_view import BlockState
from kvchat.kv.spec import KVCacheSpec, LayerSpec
from tests.kv.token_tensors import GQA, MQA, PagedRun, TokenTensors, num_held_blocks, table_of

SIZE = 4
HYBRID = (GQA, replace(MQA, window=6))
KINDS: dict[str, tuple[LayerSpec, ...]] = {
    "global": (GQA,),
    "windowed": (replace(GQA, window=6),),
    "hybrid": HYBRID,
}
every_kind = pytest.mark.parametrize("layers", KINDS.values(), ids=KINDS)
A = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
B = [*A[:6], 70, 71, 72, 73, 74, 75]


def new_run(*layers: LayerSpec, num_blocks: int = 24) -> PagedRun:
    spec = KVCacheSpec(layers or (GQA,))
    return PagedRun(PagedKVCache(spec, num_blocks, block_size=SIZE), TokenTensors(spec))


def prompt(run: PagedRun, token_ids: list[int], sequence: SequenceId | None = None) -> SequenceId:
    """Send a prompt as an engine does: adopt what is resident, compute and compare the rest."""
    sequence = run.cache.open() if sequence is None else sequence
    length = run.cache.adopt(sequence, token_ids)
    run.feed(sequence, token_ids[length:])
    return sequence


# Pitfalls


@every_kind
def test_pitfall_1_a_rewound_and_refilled_block_serves_only_its_new_tokens(
    layers: tuple[LayerSpec, ...],
) -> None:
    run = new_run(*layers, num_blocks=4)
    sequence = prompt(run, A)
    if run.cache.truncate(sequence, 6) < 6:
        run.cache.adopt(sequence, B)
    run.feed(sequence, B[run.cache.length(sequence) :])
    run.cache.release(sequence)
    fresh = prompt(run, [*A, 1])
    run.check_rows(fresh, [*A, 1])


@every_kind
@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 7, 8, 9])
def test_pitfall_2_no_rewound_freed_or_unwritten_slot_is_ever_read(
    layers: tuple[LayerSpec, ...], length: int
) -> None:
    """All such slots are NaN, and every output equals dense attention."""
    run = new_run(*layers, num_blocks=6)
    cache = run.cache
    other, sequence = cache.open(), cache.open()
    run.step([(other, A[:5])])
    run.step([(sequence, A[:9])])
    cache.release(other)
    kept = cache.truncate(sequence, length)
    used = {
        block * SIZE + slot
        for index, block in enumerate(table_of(cache, sequence))
        for slot in range(SIZE)
        if block >= 0 and index * SIZE + slot < kept
    }
    pool, (tensor, *_) = cache.pools[0], cache.storages[0].tensors
    for block in range(pool.num_blocks):
        is_free = pool.state(block) is BlockState.FREE
        for slot in range(block * SIZE, (block + 1) * SIZE):
            if is_free or (pool.is_writable(block) and slot not in used):
                assert bool(tensor[:, slot].isnan().all())
    run.feed(sequence, B[kept:])


@every_kind
@pytest.mark.parametrize("number", range(1, 12))
def test_pitfall_5_a_step_cancelled_anywhere_leaks_nothing(
    layers: tuple[LayerSpec, ...], number: int
) -> None:
    """Every allocation, copy and layer fails once; then the step is repeated and is right."""
    run = new_run(*layers)
    cache = run.cache
    parent = prompt(run, A[:10])
    child = cache.fork(parent)
    rows = [(parent, [7, 8, 9]), (child, [5]), (cache.open(), A)]
    before = cache.pool_view()
    reached = 0

    def hook(point: str) -> None:
        nonlocal reached
        reached += 1
        if reached == number:
            raise MemoryError(point)

    errors.fault_hook = hook
    try:
        step = cache.reserve([(sequence, len(new)) for sequence, new in rows], [n for _, n in rows])
        try:
            packed = [
                (sequence, [*cache.token_ids(sequence), *new], cache.length(sequence))
                for sequence, new in rows
            ]
            run.tensors.attend(cache, packed)
        finally:
            step.rollback()
    except MemoryError:
        pass
    finally:
        errors.fault_hook = None
    after = cache.pool_view()
    assert after.sequences == before.sequences
    assert (after.states, after.ref_counts) == (before.states, before.ref_counts)
    cache.check_integrity()
    run.step(rows)


def test_pitfall_10_a_hundred_window_releases_leave_attention_exact() -> None:
    run = new_run(num_blocks=8)
    sequence = run.cache.open(window=9, sinks=SIZE)
    for number in range(100 * SIZE):
        run.step([(sequence, [number % 7])])
    assert table_of(run.cache, sequence).count(-1) == 97


@every_kind
@pytest.mark.parametrize("length", [1, SIZE, SIZE + 1, 2 * SIZE, 3 * SIZE])
def test_pitfall_12_a_prompt_cached_to_its_last_token_computes_one(
    layers: tuple[LayerSpec, ...], length: int
) -> None:
    run = new_run(*layers)
    token_ids = A[:length]
    prompt(run, token_ids)
    again, miss = run.cache.open(), run.cache.open()
    found = run.cache.adopt(again, token_ids)
    assert found == min(length // SIZE * SIZE, length - 1)
    run.step([(again, token_ids[found:]), (miss, [80, 81, 82])])  # hit and miss in one step
    run.check_rows(again, token_ids)


def test_pitfall_13_a_fork_at_a_full_pool_leaves_its_parent_untouched() -> None:
    run = new_run(num_blocks=3)
    parent = prompt(run, A[:10])
    child = run.cache.fork(parent, 7)
    run.check_rows(parent, A[:10])
    run.cache.release(child)
    run.feed(parent, [1, 2])
    run.check_rows(parent, [*A[:10], 1, 2])


@pytest.mark.parametrize("layers", [KINDS["global"], HYBRID], ids=["global", "hybrid"])
def test_pitfall_15_a_prompt_is_served_by_a_pool_of_exactly_its_size(
    layers: tuple[LayerSpec, ...],
) -> None:
    """Hits are referenced before anything is taken, in every group."""
    run = new_run(*layers, num_blocks=3)
    run.cache.release(prompt(run, A))
    assert run.cache.num_available == 3
    sequence = run.cache.open()
    assert run.cache.adopt(sequence, A) == len(A) - 1
    run.step([(sequence, A[-1:])])
    run.check_rows(sequence, A)


# Shared prefixes


@every_kind
def test_a_second_prompt_shares_the_blocks_of_the_first(layers: tuple[LayerSpec, ...]) -> None:
    run = new_run(*layers)
    first, second = prompt(run, A), prompt(run, B)
    assert run.cache.length(second) == len(B)
    if layers == KINDS["global"]:
        assert table_of(run.cache, second)[0] == table_of(run.cache, first)[0]
        assert table_of(run.cache, second)[1] != table_of(run.cache, first)[1]


def test_adopt_replaces_a_computed_partial_block_by_a_longer_full_one() -> None:
    run = new_run()
    first = prompt(run, A)
    second = run.cache.open()
    run.step([(second, A[:5])])
    assert run.cache.adopt(second, [*A, 1]) == len(A)
    # Its own first block was full, so it stays.
    assert table_of(run.cache, second)[0] != table_of(run.cache, first)[0]
    assert table_of(run.cache, second)[1:] == table_of(run.cache, first)[1:]
    run.check_rows(second, A)


def test_adopt_finds_the_rest_of_a_rewound_branch() -> None:
    run = new_run()
    sequence = prompt(run, A)
    before = table_of(run.cache, sequence)
    run.cache.truncate(sequence, 2)
    assert run.cache.adopt(sequence, [*A, 1]) == len(A)
    assert table_of(run.cache, sequence) == before
    run.cache.check_integrity()


@pytest.mark.parametrize("window", range(1, 14))
@pytest.mark.parametrize("sinks", [0, SIZE])
def test_a_windowed_prompt_cached_to_its_last_token_has_all_that_its_next_query_sees(
    window: int, sinks: int
) -> None:
    run = new_run(num_blocks=40)
    cache = run.cache
    token_ids = [number % 5 for number in range(7 * SIZE)]
    cache.release(prompt(run, token_ids, cache.open(window=window, sinks=sinks)))
    again = cache.open(window=window, sinks=sinks)
    assert cache.adopt(again, token_ids) == len(token_ids) - 1
    cache.check_integrity()
    run.feed(again, token_ids[-1:])
    run.check_rows(again, token_ids)


def test_adopting_more_lets_go_of_what_the_window_leaves_behind() -> None:
    run = new_run(replace(GQA, window=6), num_blocks=40)
    cache = run.cache
    token_ids = [number % 5 for number in range(8 * SIZE)]
    prompt(run, token_ids)
    second = cache.open()
    run.feed(second, token_ids[:5])
    assert cache.adopt(second, [*token_ids, 1]) == len(token_ids)
    assert num_held_blocks(cache, second) == 2
    run.feed(second, [1, 2, 3])


def test_sessions_of_different_windows_share_only_what_both_computed_alike() -> None:
    run = new_run()
    token_ids = [number % 5 for number in range(5 * SIZE)]
    prompt(run, token_ids, run.cache.open(window=6, sinks=SIZE))
    plain = run.cache.open()
    # The window hides something from position 10 on, in the third block.
    assert run.cache.adopt(plain, token_ids) == 2 * SIZE


def test_a_sequence_of_bare_tensors_finds_nothing_until_it_is_empty() -> None:
    run = new_run()
    prompt(run, A)
    sequence = run.cache.open()
    run.cache.reserve([(sequence, 2)]).commit()
    assert run.cache.adopt(sequence, A) == 2
    run.cache.truncate(sequence, 0)
    assert run.cache.adopt(sequence, A) == len(A) - 1
    run.cache.check_integrity()


# Fork and rewind


@every_kind
@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 11, 12])
def test_a_fork_goes_on_from_any_token_and_leaves_its_parent_alone(
    layers: tuple[LayerSpec, ...], length: int
) -> None:
    run = new_run(*layers)
    parent = prompt(run, A)
    child = run.cache.fork(parent, length)
    kept = run.cache.length(child)
    assert kept in (0, length)
    run.feed(child, [*A[kept:length], 90, 91, 92, 93, 94])
    run.step([(parent, [80]), (child, [95])])
    run.check_rows(parent, [*A, 80])
    run.check_rows(child, [*A[:length], 90, 91, 92, 93, 94, 95])


def test_a_fork_of_a_fork_of_a_fork_shares_one_prefix() -> None:
    run = new_run()
    sequences = [prompt(run, A)]
    for number in range(4):
        sequences.append(run.cache.fork(sequences[-1]))
        run.step([(sequences[-1], [90 + number])])
    assert {table_of(run.cache, sequence)[:3] for sequence in sequences} == {(0, 1, 2)}
    for number, sequence in enumerate(sequences):
        run.check_rows(sequence, [*A, *range(90, 90 + number)])


def test_rewind_and_regenerate_in_a_window_finds_what_was_released() -> None:
    """Released blocks stay cached until their room is needed, so nothing is computed again."""
    run = new_run()
    cache = run.cache
    token_ids = [number % 5 for number in range(20)]
    sequence = prompt(run, token_ids, cache.open(window=8, sinks=SIZE))
    run.feed(sequence, [1] * 8)
    assert cache.truncate(sequence, 20) == 0
    assert cache.adopt(sequence, token_ids) == 19
    run.feed(sequence, [*token_ids[19:], 2, 2])
    run.check_rows(sequence, [*token_ids, 2, 2])


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_a_windowed_session_holds_sinks_window_and_nothing_else(chunk: int) -> None:
    run = new_run(num_blocks=8)
    sequence = run.cache.open(window=8, sinks=SIZE)
    for _ in range(60):
        count = run.cache.chunk_limit(sequence, chunk)
        run.step([(sequence, [1] * count)])
        assert num_held_blocks(run.cache, sequence) <= 1 + 3


def test_what_is_held_stays_behind_a_window_until_it_is_let_go() -> None:
    run = new_run(replace(GQA, window=6))
    cache = run.cache
    sequence = cache.open()
    run.feed(sequence, list(range(10)))
    cache.hold(sequence)
    run.feed(sequence, list(range(10, 30)))
    child = cache.fork(sequence)
    for each in (sequence, child):
        assert not cache.can_rewind(each, 3) and cache.truncate(each, 11) == 11
        run.feed(each, list(range(11, 30)))
        cache.check_integrity()
        run.check_rows(each, list(range(30)))
    cache.let_go(sequence)
    cache.check_integrity()
    assert num_held_blocks(cache, sequence) == 2
    assert not cache.can_rewind(sequence, 11) and cache.can_rewind(child, 11)


def test_holding_again_begins_at_the_present() -> None:
    run = new_run(replace(GQA, window=6))
    cache = run.cache
    sequence = cache.open()
    cache.hold(sequence)
    run.feed(sequence, list(range(20)))
    assert num_held_blocks(cache, sequence) == 5
    cache.hold(sequence)
    assert num_held_blocks(cache, sequence) == 2
    before = cache.fork(sequence)
    run.feed(sequence, list(range(20, 40)))
    cache.rollback(sequence, before)
    run.feed(sequence, list(range(20, 40)))
    assert cache.truncate(sequence, 20) == 20
    cache.check_integrity()


def test_nothing_may_change_a_sequence_of_the_step_in_progress() -> None:
    run = new_run()
    cache = run.cache
    sequence, other = prompt(run, A[:6]), prompt(run, B)
    step = cache.reserve([(sequence, 1)], [[1]])
    changes: list[Callable[[SequenceId], object]] = [
        cache.fork,
        cache.release,
        lambda busy: cache.truncate(busy, 3),
        lambda busy: cache.adopt(busy, A),
        lambda busy: cache.shrink(busy, 24),
    ]
    for change in changes:
        with pytest.raises(AssertionError):
            change(sequence)
    cache.release(cache.fork(other))
    step.rollback()
    cache.fork(sequence)
    cache.check_integrity()


def test_a_row_rolled_back_may_change_before_the_others_commit() -> None:
    run = new_run()
    cache = run.cache
    first, second = prompt(run, A[:6]), prompt(run, B)
    step = cache.reserve([(first, 1), (second, 1)], [[1], [2]])
    step.rollback_row(step.rows[0])
    cache.release(first)
    step.commit()
    cache.check_integrity()
    assert cache.token_ids(second) == [*B, 2]


def test_one_step_at_a_time() -> None:
    run = new_run()
    sequence = run.cache.open()
    step = run.cache.reserve([(sequence, 1)], [[1]])
    with pytest.raises(AssertionError, match="neither"):
        run.cache.reserve([(sequence, 1)], [[1]])
    step.commit()
    with pytest.raises(AssertionError):
        step.commit()


def test_a_failed_reservation_leaves_the_cache_ready_for_the_next() -> None:
    run = new_run(num_blocks=2)
    sequence = prompt(run, A[:6])
    with pytest.raises(errors.OutOfBlocks):
        run.cache.reserve([(sequence, 7)], [[1] * 7])
    run.step([(sequence, [1, 2])])


def test_token_ids_are_a_copy() -> None:
    run = new_run()
    sequence = prompt(run, A)
    token_ids = run.cache.token_ids(sequence)
    run.cache.truncate(sequence, 3)
    assert token_ids == A


# Room


@every_kind
def test_blocks_for_is_what_a_reservation_takes(layers: tuple[LayerSpec, ...]) -> None:
    run = new_run(*layers)
    cache = run.cache
    private, empty, parent = prompt(run, A[:6]), cache.open(), prompt(run, B)
    shared = cache.fork(parent, 11)
    if cache.length(shared) == 0:
        run.feed(shared, [1])
    for sequence in (private, empty, parent, shared):
        for count in (1, 2, 3, 9):
            before = cache.num_available
            step = cache.reserve([(sequence, count)], [[1] * count])
            assert cache.blocks_for(sequence, count) == before - cache.num_available
            step.rollback()


def test_an_idle_sequence_gives_up_its_tail_first_and_no_more_than_is_wanted() -> None:
    run = new_run(num_blocks=4)
    sequence = prompt(run, A)
    assert run.cache.shrink(sequence, 1) == 12
    assert run.cache.shrink(sequence, 2) == 8
    run.check_rows(sequence, A[:8])
    run.cache.check_integrity()
    assert run.cache.adopt(sequence, A) == 11


@pytest.mark.parametrize("kind", ["windowed", "hybrid"])
def test_a_windowed_sequence_gives_up_all_or_nothing(kind: str) -> None:
    run = new_run(*KINDS[kind], num_blocks=4)
    sequence = prompt(run, A)
    available = run.cache.num_available
    assert run.cache.shrink(sequence, available) == 12
    assert run.cache.shrink(sequence, available + 1) == 0
    run.cache.check_integrity()


@pytest.mark.parametrize(("length", "limit"), [(0, 12), (5, 7), (11, 1), (12, 8), (13, 8), (30, 8)])
def test_chunks_end_where_sinks_begin_to_turn_and_fit_the_window(length: int, limit: int) -> None:
    run = new_run()
    sequence = run.cache.open(window=8, sinks=SIZE)
    run.feed(sequence, [1] * length)
    assert run.cache.chunk_limit(sequence, 100) == limit
    assert run.cache.chunk_limit(sequence, 1) == 1


def test_sinks_are_rounded_up_to_blocks() -> None:
    cache = new_run().cache
    visible = cache.visible_set(cache.open(window=8, sinks=5))
    assert (visible.window, visible.sinks) == (8, 8)


@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (-1, 0), (4, -1), (2.5, 0), (4, 0.5)])
def test_an_impossible_window_is_refused(window: Any, sinks: Any) -> None:
    with pytest.raises(InvalidArgument):
        new_run().cache.open(window=window, sinks=sinks)


@pytest.mark.parametrize("position", [-1, 13])
def test_a_position_outside_the_sequence_is_refused(position: int) -> None:
    run = new_run()
    sequence = prompt(run, A)
    with pytest.raises(InvalidArgument, match="12 tokens"):
        run.cache.fork(sequence, position)
    with pytest.raises(InvalidArgument, match="12 tokens"):
        run.cache.truncate(sequence, position)
    run.check_rows(sequence, A)


@pytest.mark.parametrize(("num_blocks", "block_size"), [(0, 4), (4, 0)])
def test_an_empty_pool_is_refused(num_blocks: int, block_size: int) -> None:
    with pytest.raises(InvalidArgument):
        PagedKVCache(KVCacheSpec((GQA,)), num_blocks, block_size=block_size)


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_blocks": 4, "block_size": 2.5},
        {"num_blocks": 4.0},
        {"num_blocks": "4"},
        {"num_blocks": [4.5]},
        {"pool_bytes": 1e6},
        {"pool_bytes": 1 << 20, "block_size": 8.0},
        {"pool_bytes": 1 << 20, "block_size": None},
        {"pool_bytes": 1 << 20, "max_sequences": 2.5},
    ],
    ids=str,
)
def test_a_pool_that_is_no_whole_number_of_anything_is_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="whole number"):
        PagedKVCache.create(KVCacheSpec((GQA,)), **sizes)


@pytest.mark.parametrize("number", [4.0, 2.5, "4"])
def test_a_position_that_is_no_whole_number_is_refused(number: Any) -> None:
    run = new_run()
    sequence = prompt(run, A)
    with pytest.raises(InvalidArgument, match="whole number"):
        run.cache.open(scheme_length=number)
    with pytest.raises(InvalidArgument, match="whole number"):
        run.cache.fork(sequence, number)
    with pytest.raises(InvalidArgument, match="whole number"):
        run.cache.truncate(sequence, number)
    run.check_rows(sequence, A)


def test_keys_of_another_type_than_the_pool_are_refused() -> None:
    run = new_run()
    run.cache.reserve([(run.cache.open(), 1)])
    query = torch.zeros(1, 4, 16, dtype=torch.bfloat16)
    with pytest.raises(InvalidArgument, match="bfloat16"):
        run.cache.attend(0, query, query[:, :2], query[:, :2])


# Reports


@pytest.fixture
def family() -> Iterator[PagedRun]:
    """A parent, its fork with two tokens of its own, and a closed session's cached blocks."""
    run = new_run(*HYBRID)
    cache = run.cache
    parent = cache.open(owner="p", label="A")
    run.step([(parent, A)])
    child = cache.fork(parent, owner="c", label="B")
    run.step([(child, [1, 2])])
    closed = cache.open(owner="x", label="C")
    run.step([(closed, B)])
    cache.release(closed)
    yield run
    cache.check_integrity()


def test_the_memory_report_adds_up_to_the_bytes_of_the_pool(family: PagedRun) -> None:
    report = family.cache.memory()
    one, two = (storage.nbytes // 24 for storage in family.cache.storages)
    assert report.pool_bytes == 24 * one + 24 * two == family.cache.nbytes
    # Group 0: 3 blocks shared, 1 private, 2 cached. Group 1 (window 6): the parent let block 0 go,
    # which is cached, and the child block 1; so 1 is shared, 2 are private. The closed one left 2
    # in each, its first block being equal to the parent's.
    assert report.shared_bytes == 3 * one + two
    assert report.private_bytes == one + 2 * two
    assert report.cached_bytes == 2 * one + 3 * two
    assert report.free_bytes == 18 * one + 18 * two
    assert report.held_bytes == 0


def test_the_memory_report_says_what_each_sequence_alone_would_free(family: PagedRun) -> None:
    one, two = (storage.nbytes // 24 for storage in family.cache.storages)
    parent, child = family.cache.memory().sequences
    assert (parent.owner, parent.num_tokens, parent.private_bytes) == ("p", 12, two)
    assert (parent.num_private_blocks, parent.num_shared_blocks) == (1, 4)
    assert (child.owner, child.num_tokens, child.private_bytes) == ("c", 14, one + two)
    assert (child.num_private_blocks, child.num_shared_blocks) == (2, 4)


def test_blocks_of_a_reserved_step_are_held(family: PagedRun) -> None:
    cache = family.cache
    step = cache.reserve([(cache.open(), 5)], [[1] * 5])
    assert cache.pool_view().num_held == 2
    assert cache.memory().held_bytes == 2 * sum(s.nbytes // 24 for s in cache.storages)
    cache.check_integrity()
    step.rollback()
    assert cache.pool_view().num_held == 0


def test_a_view_shows_states_owners_and_tables(family: PagedRun) -> None:
    view = family.cache.pool_view()
    parent, child = view.sequences
    assert (parent.session_id, parent.length, parent.num_runs) == ("p", 12, 1)
    assert child.table[:3] == parent.table
    assert [BlockState(view.states[block]) for block in child.table] == [
        BlockState.SHARED,
        BlockState.SHARED,
        BlockState.SHARED,
        BlockState.PRIVATE,
    ]
    assert [view.owners[block] for block in child.table] == [0, 0, 0, 1]
    assert [view.ref_counts[block] for block in child.table] == [2, 2, 2, 1]
    counts = [view.num_free, view.num_cached, view.num_private, view.num_shared, view.num_held]
    assert counts == [view.states.count(state) for state in range(5)]
    assert sum(counts) == view.num_blocks


def test_a_view_tells_bytes_of_all_groups_and_the_order_of_eviction(family: PagedRun) -> None:
    cache = family.cache
    cache.truncate(SequenceId(0), 0)
    view = cache.pool_view()
    assert view.cached == tuple(cache.pools[0].cached_blocks())
    assert len(view.cached) == view.num_cached > 0
    assert [view.states[block] for block in view.cached] == [BlockState.CACHED] * view.num_cached
    assert sum(group.num_blocks * group.block_bytes for group in view.groups) == cache.nbytes
    memory = cache.memory()
    child = view.sequences[1]
    assert sum(each.num_bytes for each in view.sequences) == memory.private_bytes
    assert (child.session_id, child.window, child.sinks) == ("c", None, 0)
    assert sum(g.num_cached * g.block_bytes for g in view.groups) == memory.cached_bytes


def test_a_view_points_at_blocks_that_were_just_copied_or_evicted() -> None:
    run = new_run(num_blocks=4)
    cache = run.cache
    parent = cache.open()
    run.step([(parent, A[:6])])
    child = cache.fork(parent)
    run.step([(child, [1])])
    (copied,) = cache.pool_view().copied
    assert copied == cache.pool_view().sequences[1].table[-1]
    cache.release(child)
    cache.release(parent)
    cached = cache.pools[0].cached_blocks()
    run.step([(cache.open(), [7] * 16)])
    assert cached and set(cache.pool_view().evicted) == set(cached)


def test_a_view_does_not_change_when_the_pool_does(family: PagedRun) -> None:
    view = family.cache.pool_view()
    copy = replace(view)
    prompt(family, [9] * 9)
    assert view == copy
    assert family.cache.pool_view().version > view.version


def test_a_view_shows_released_blocks_as_holes(family: PagedRun) -> None:
    assert family.cache.pool_view(1).sequences[0].table[0] == -1
    assert family.cache.pool_view(9).group_index == 1


def test_events_tell_what_happened_to_blocks() -> None:
    run = new_run(num_blocks=4)
    cache = run.cache
    parent = cache.open(label="A")
    run.step([(parent, A[:6])])
    child = cache.fork(parent, label="B")
    run.step([(child, [1])])
    cache.truncate(parent, 4)
    cache.release(child)
    sequence = cache.open(label="C")
    cache.adopt(sequence, A)
    cache.shrink(parent, 4)
    cache.shrink(sequence, 4)
    run.step([(cache.open(window=4), [1] * 4)])
    run.step([(cache.open(), [2] * 12)])
    events = cache.pool_view().events
    assert [(event.kind, event.num_blocks) for event in events] == [
        ("fork", 2),
        ("copy", 1),
        ("rewind", 1),
        ("free", 2),
        ("hit", 1),
        ("evict", 1),
        ("evict", 1),
        ("evict", 1),
    ]
    assert [event.number for event in events] == list(range(1, 9))
    assert "B shares 2 blocks with A" in events[0].text
