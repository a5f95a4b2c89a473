"""Every cache against dense attention, and random programs against plain lists."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kvchat import errors
from kvchat.errors import OutOfBlocks
from kvchat.kv.cache import KVCache, SequenceId
from kvchat.kv.contiguous import DynamicCache, NoCache, StaticCache
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.prefix_index import block_key
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec, VisibleSet
from tests.kv.token_tensors import GQA, MHA, MLA, MQA, PagedRun, TokenTensors, table_of

SPECS = {
    "MHA": KVCacheSpec((MHA, MHA)),
    "GQA": KVCacheSpec((GQA, GQA)),
    "MQA": KVCacheSpec((MQA, MQA)),
    "windowed": KVCacheSpec((replace(GQA, window=7), replace(GQA, window=7))),
    "MLA": KVCacheSpec((MLA, MLA)),
    "MLA hybrid": KVCacheSpec((MLA, replace(MLA, window=7), GQA)),
    "hybrid": KVCacheSpec((replace(GQA, window=7), MQA, replace(GQA, window=7), GQA)),
}
CACHES: dict[str, Callable[[KVCacheSpec], KVCache]] = {
    "NoCache": NoCache,
    "DynamicCache": DynamicCache,
    "StaticCache": lambda spec: StaticCache(spec, 128),
    "PagedKVCache": lambda spec: PagedKVCache(spec, 40, block_size=4),
    "PagedKVCache of single slots": lambda spec: PagedKVCache(spec, 160, block_size=1),
}


def take_step(
    cache: KVCache,
    tensors: TokenTensors,
    rows: Sequence[tuple[SequenceId, list[int], int]],
    visible: VisibleSet,
) -> None:
    """Bring the tokens of each row (sequence, all tokens, how many are new); compare; commit."""
    if isinstance(cache, NoCache):
        rows = [(sequence, token_ids, len(token_ids)) for sequence, token_ids, _ in rows]
    step = cache.reserve([(sequence, count) for sequence, _, count in rows])
    packed = [(sequence, ids, len(ids) - count) for sequence, ids, count in rows]
    assert list(step.positions) == [p for _, ids, start in packed for p in range(start, len(ids))]
    for layer_index, outputs in enumerate(tensors.attend(cache, packed)):
        for (_, ids, start), output in zip(packed, outputs, strict=True):
            expected = tensors.dense(layer_index, ids, visible)[start:]
            torch.testing.assert_close(output, expected, rtol=1e-4, atol=2e-5)
    step.commit()


@pytest.mark.parametrize("visible", [VisibleSet(), VisibleSet(9, 4)], ids=["all", "sinks"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("new_cache", CACHES.values(), ids=CACHES)
def test_every_cache_agrees_with_dense_attention(
    new_cache: Callable[[KVCacheSpec], KVCache], spec: KVCacheSpec, visible: VisibleSet
) -> None:
    """Prefill, decode, chunks, batches, and a rewind that goes on elsewhere."""
    cache, tensors = new_cache(spec), TokenTensors(spec)
    first, second = (cache.open(window=visible.window, sinks=visible.sinks) for _ in range(2))
    a, b = list(range(13)), list(range(50, 57))

    take_step(cache, tensors, [(first, a, 13), (second, b, 7)], visible)
    for number in range(8):  # the windows begin to slide at different steps
        a, b = [*a, number], [*b, number + 20]
        take_step(cache, tensors, [(second, b, 1), (first, a, 1)], visible)
    a = [*a, 3, 1, 4, 1, 5]
    b = [*b, 9]
    take_step(cache, tensors, [(first, a, 5), (second, b, 1)], visible)

    kept = 0 if isinstance(cache, NoCache) else cache.truncate(second, 10)
    assert kept == 10 or not isinstance(cache, DynamicCache | StaticCache)
    b = [*b[:10], 2, 7, 1]
    take_step(cache, tensors, [(first, [*a, 6], 1), (second, b, 13 - kept)], visible)
    cache.release(first)
    take_step(cache, tensors, [(second, [*b, 8], 1)], visible)


def test_fork_and_reservation_are_atomic_when_the_pool_is_full() -> None:
    """Pitfall 13: a fork takes no block; its first write waits and leaves all as it was."""
    spec = SPECS["hybrid"]
    cache = PagedKVCache(spec, 3, block_size=4)
    run = PagedRun(cache, TokenTensors(spec))
    parent = cache.open()
    run.step([(parent, list(range(10)))])
    assert cache.num_available == 0

    child = cache.fork(parent)
    tables = [table_of(cache, sequence, g) for sequence in (parent, child) for g in range(3)]
    for rows in ([(child, 1)], [(parent, 1)], [(parent, 1), (child, 1)]):
        with pytest.raises(OutOfBlocks):
            cache.reserve(rows, [[1]] * len(rows))
        cache.check_integrity()
    assert tables == [table_of(cache, seq, g) for seq in (parent, child) for g in range(3)]
    run.check_rows(parent, list(range(10)))
    run.check_rows(child, list(range(10)))

    cache.release(parent)
    run.step([(child, [70, 71])])
    run.check_rows(child, [*range(10), 70, 71])


SALT = b"model"
KV_DTYPES: list[KVDtype] = ["auto", "int8"]
WINDOWS = [VisibleSet(), VisibleSet(7, 4), VisibleSet(16), VisibleSet(3, 8)]
MACHINE_SPECS: list[tuple[LayerSpec, ...]] = [
    (GQA,),
    (replace(GQA, window=6),),
    (GQA, replace(MQA, window=5)),
    (MLA,),
]


def few_tokens(number: int) -> list[int]:
    """Return 1 to 24 token ids that often repeat each other's beginnings."""
    count, kind = number % 24 + 1, number // 24
    return [(place * kind) % 3 for place in range(count)]


places = st.integers(0, 1000)
token_lists = st.integers(0, 24 * 4 - 1).map(few_tokens)
some_rows = st.lists(st.tuples(places, token_lists), min_size=1, max_size=3)


class CacheMachine(RuleBasedStateMachine):
    """Sequences are lists of token ids; the cache must hold exactly what the lists say."""

    @initialize(
        layers=st.sampled_from(MACHINE_SPECS),
        block_size=st.sampled_from([1, 4, 8]),
        num_tokens=st.sampled_from([16, 40, 96, 200]),
        visible_sets=st.lists(st.sampled_from(WINDOWS), min_size=1, max_size=3),
        kv_dtype=st.sampled_from(KV_DTYPES),
    )
    def start(
        self,
        layers: tuple[LayerSpec, ...],
        block_size: int,
        num_tokens: int,
        visible_sets: list[VisibleSet],
        kv_dtype: KVDtype,
    ) -> None:
        spec = KVCacheSpec(layers)
        num_blocks = -(-num_tokens // block_size)
        self.cache = PagedKVCache(
            spec, num_blocks, block_size=block_size, salt=SALT, kv_dtype=kv_dtype
        )
        self.run_ = PagedRun(self.cache, TokenTensors(spec))
        self.lists: dict[SequenceId, list[int]] = {}
        self.past: list[list[int]] = [[]]
        self.has_windows = False
        for visible in visible_sets:
            self.open(visible)

    def pick(self, place: int) -> SequenceId:
        return list(self.lists)[place % len(self.lists)]

    def sees_all_it_needs(self, sequence: SequenceId, length: int) -> bool:
        """Say, position by position, whether nothing that a query at `length` sees was released."""
        session = self.cache.visible_set(sequence)
        for group in self.cache.spec.groups:
            visible = session.within(group.window)

            def sees(query: int, key: int, visible: VisibleSet = visible) -> bool:
                window, sinks = visible.window, visible.sinks
                return (
                    window is None or query < sinks + window or key < sinks or key > query - window
                )

            size, now = self.cache.block_size, len(self.lists[sequence])
            for first in range(0, length, size):
                block = range(first, first + size)
                is_held = any(sees(now, key) for key in block)
                if not is_held and any(sees(length, key) for key in block):
                    return False
        return True

    def clipped(self, sequence: SequenceId, tokens: list[int]) -> list[int]:
        return tokens[: self.cache.chunk_limit(sequence, len(tokens))]

    def rows(self, wanted: list[tuple[int, list[int]]]) -> list[tuple[SequenceId, list[int]]]:
        """Return rows of different sequences, clipped to what one step may hold."""
        chosen: dict[SequenceId, list[int]] = {}
        for place, tokens in wanted:
            sequence = self.pick(place)
            chosen.setdefault(sequence, self.clipped(sequence, tokens))
        return list(chosen.items())

    def has_sequences(self) -> bool:
        return bool(self.lists)

    def can_open(self) -> bool:
        return len(self.lists) < 6

    @precondition(can_open)
    @rule(visible=st.sampled_from(WINDOWS))
    def open(self, visible: VisibleSet) -> None:
        sequence = self.cache.open(window=visible.window, sinks=visible.sinks)
        self.lists[sequence] = []
        self.has_windows |= visible.window is not None

    @precondition(has_sequences)
    @rule(wanted=some_rows)
    def append(self, wanted: list[tuple[int, list[int]]]) -> None:
        rows = self.rows(wanted)
        need = sum(self.cache.blocks_for(sequence, len(new)) for sequence, new in rows)
        is_certain = need <= self.cache.num_available
        before = self.tables()
        try:
            self.run_.step(rows)
        except OutOfBlocks:
            assert not is_certain
            assert self.tables() == before
            return
        for sequence, new in rows:
            self.lists[sequence] += new
            self.past.append(list(self.lists[sequence]))

    @precondition(has_sequences)
    @rule(
        wanted=some_rows,
        num_layers=st.integers(0, 2),
    )
    def roll_back(self, wanted: list[tuple[int, list[int]]], num_layers: int) -> None:
        """A step that is cancelled before, inside or after its forward pass."""
        rows = self.rows(wanted)
        before = self.tables()
        try:
            step = self.reserve(rows)
        except OutOfBlocks:
            return
        self.attend(rows, num_layers)
        step.rollback()
        assert self.tables() == before

    @precondition(has_sequences)
    @rule(wanted=some_rows, lost=places)
    def lose_one_row(self, wanted: list[tuple[int, list[int]]], lost: int) -> None:
        """One row is rolled back after the forward pass, the others are committed."""
        rows = self.rows(wanted)
        try:
            step = self.reserve(rows)
        except OutOfBlocks:
            return
        self.attend(rows, len(self.cache.spec.layers))
        step.rollback_row(step.rows[lost % len(rows)])
        self.cache.check_integrity()
        step.commit()
        del rows[lost % len(rows)]
        for sequence, new in rows:
            self.lists[sequence] += new
            self.past.append(list(self.lists[sequence]))

    @precondition(has_sequences)
    @rule(
        wanted=some_rows,
        number=st.integers(1, 6),
    )
    def fail_while_reserving(self, wanted: list[tuple[int, list[int]]], number: int) -> None:
        """An allocation or a copy fails; nothing has happened."""
        rows, before, reached = self.rows(wanted), self.tables(), 0

        def hook(point: str) -> None:
            nonlocal reached
            reached += 1
            if reached == number:
                raise MemoryError(point)

        errors.fault_hook = hook
        try:
            self.reserve(rows).rollback()
        except (MemoryError, OutOfBlocks):
            pass
        finally:
            errors.fault_hook = None
        assert self.tables() == before

    @precondition(lambda self: self.has_sequences() and self.can_open())
    @rule(parent=places, position=places)
    def fork(self, parent: int, position: int) -> None:
        sequence = self.pick(parent)
        length = len(self.lists[sequence])
        length -= position % (length + 1)
        available = self.cache.num_available
        expected = length if self.sees_all_it_needs(sequence, length) else 0
        child = self.cache.fork(sequence, length)
        assert self.cache.length(child) == expected
        assert self.cache.num_available == available
        self.lists[child] = self.lists[sequence][:expected]

    @precondition(has_sequences)
    @rule(place=places, position=places)
    def rewind(self, place: int, position: int) -> None:
        sequence = self.pick(place)
        length = len(self.lists[sequence])
        length -= position % (length + 1)
        expected = length if self.sees_all_it_needs(sequence, length) else 0
        assert self.cache.truncate(sequence, length) == expected
        del self.lists[sequence][expected:]

    @precondition(lambda self: len(self.lists) > 2)
    @rule(place=places)
    def release(self, place: int) -> None:
        sequence = self.pick(place)
        self.cache.release(sequence)
        del self.lists[sequence]

    @precondition(has_sequences)
    @rule(place=places, source=places, extra=st.lists(st.integers(0, 2), max_size=4))
    def adopt(self, place: int, source: int, extra: list[int]) -> None:
        sequence = self.pick(place)
        had = self.lists[sequence]
        past = [tokens for tokens in self.past if tokens[: len(had)] == had]
        prompt = [*(past[source % len(past)] if past else had), *extra]
        length = self.cache.adopt(sequence, prompt)
        assert len(had) <= length <= max(len(had), len(prompt) - 1)
        self.lists[sequence] = prompt[:length]

    @precondition(has_sequences)
    @rule(place=places, more=st.integers(0, 2))
    def shrink(self, place: int, more: int) -> None:
        sequence = self.pick(place)
        had, available = self.lists[sequence], self.cache.num_available
        wanted = available + more
        length = self.cache.shrink(sequence, wanted)
        assert length == len(had) or available < wanted
        assert length == 0 or self.cache.num_available >= wanted
        self.lists[sequence] = had[:length]

    @rule(count=st.integers(1, 4))
    def evict(self, count: int) -> None:
        for pool in self.cache.pools:
            for _ in islice(pool.cached_blocks(), count):
                pool._evict_least_recently_used()

    @invariant()
    def the_pool_adds_up(self) -> None:
        self.cache.check_integrity()
        for index, pool in enumerate(self.cache.pools):
            view = self.cache.pool_view(index)
            assert view.num_held == 0
            assert view.num_free + view.num_cached + view.num_private + view.num_shared == (
                pool.num_blocks
            )

    @invariant()
    def every_sequence_reads_what_its_list_says(self) -> None:
        for sequence, token_ids in self.lists.items():
            self.run_.check_rows(sequence, token_ids)

    @invariant()
    def children_are_evicted_before_their_parents(self) -> None:
        """In groups without a window, where a child is worth nothing without its parent."""
        for pool, group in zip(self.cache.pools, self.cache.spec.groups, strict=True):
            if group.window is not None or self.has_windows:
                continue
            cached = [pool.index.entry(block) for block in pool.cached_blocks()]
            gone: set[bytes] = set()
            staying = [key for key, _ in cached]
            for block in range(pool.num_blocks):
                if block in pool.index and pool.ref_counts[block]:
                    staying.append(pool.index.entry(block)[0])
            for key, tokens in cached:
                assert not any(block_key(parent, tokens, SALT) == key for parent in gone)
                staying.remove(key)
                if key not in staying:
                    gone.add(key)

    def tables(self) -> list[tuple[int, ...]]:
        groups = range(len(self.cache.pools))
        return [table_of(self.cache, sequence, g) for sequence in self.lists for g in groups]

    def reserve(self, rows: list[tuple[SequenceId, list[int]]]):  # type: ignore[no-untyped-def]
        return self.cache.reserve(
            [(sequence, len(new)) for sequence, new in rows], [new for _, new in rows]
        )

    def attend(self, rows: list[tuple[SequenceId, list[int]]], num_layers: int) -> None:
        packed = [
            (sequence, [*self.lists[sequence], *new], len(self.lists[sequence]))
            for sequence, new in rows
        ]
        self.run_.tensors.attend(self.cache, packed, num_layers)


def run_machine(max_examples: int, num_steps: int) -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=num_steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def run_program(seed: int, num_steps: int) -> None:
    """Run the rules of CacheMachine as a seeded loop: longer, with more writes than the search."""
    rng = random.Random(seed)

    def place() -> int:
        return rng.randrange(1001)

    def rows() -> list[tuple[int, list[int]]]:
        return [(place(), few_tokens(rng.randrange(96))) for _ in range(rng.randint(1, 3))]

    machine = CacheMachine()
    machine.start(
        rng.choice(MACHINE_SPECS),
        rng.choice([1, 4, 8]),
        rng.choice([40, 96, 200]),
        rng.choices(WINDOWS, k=rng.randint(1, 3)),
        rng.choice(KV_DTYPES),
    )
    rules: dict[Callable[[], None], int] = {
        lambda: machine.append(rows()): 8,
        lambda: machine.append([(place(), [rng.randrange(3)])]): 6,
        lambda: machine.roll_back(rows(), rng.randint(0, 2)): 2,
        lambda: machine.lose_one_row(rows(), place()): 2,
        lambda: machine.fail_while_reserving(rows(), rng.randint(1, 6)): 1,
        lambda: machine.fork(place(), rng.choice([0, 1, place()])): 4,
        lambda: machine.rewind(place(), rng.choice([0, 1, 2, place()])): 3,
        lambda: machine.adopt(place(), place(), few_tokens(rng.randrange(4))): 3,
        lambda: machine.shrink(place(), rng.randint(0, 2)): 2,
        lambda: machine.open(rng.choice(WINDOWS)): 1,
        lambda: machine.evict(rng.randint(1, 3)): 1,
        lambda: machine.release(place()): 1,
    }
    for _ in range(num_steps):
        if len(machine.lists) > 5:
            machine.release(place())
        rng.choices(list(rules), list(rules.values()))[0]()
        machine.the_pool_adds_up()
        machine.every_sequence_reads_what_its_list_says()
        machine.children_are_evicted_before_their_parents()
        if not machine.lists:
            machine.open(VisibleSet())


def test_random_operations_keep_the_pool_consistent() -> None:
    run_machine(40, 30)


@pytest.mark.parametrize("seed", range(24))
def test_seeded_operations_keep_the_pool_consistent(seed: int) -> None:
    run_program(seed, 120)


@pytest.mark.slow
def test_long_random_operations_keep_the_pool_consistent() -> None:
    run_machine(1000, 80)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_long_seeded_operations_keep_the_pool_consistent(seed: int) -> None:
    run_program(seed, 500)
