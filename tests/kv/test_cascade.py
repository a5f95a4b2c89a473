"""Cascade: rows that share blocks attend to them together, and to nothing else than alone."""

import random
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from kvchat.kv import attention_metadata, paged_attention, shared_runs
from kvchat.kv.attention_metadata import MAX_RUNS, AttentionMetadata, RunPart
from kvchat.kv.block_pool import BlockPool
from kvchat.kv.cache import SequenceId
from kvchat.kv.kv_run import KVRun
from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.partial_attention import Part, attend_run
from kvchat.kv.shared_runs import SharedRange, VisibleRange, find_shared_runs
from kvchat.kv.spec import KVCacheSpec, KVDtype, LayerSpec
from kvchat.native.kernels import Kernels
from tests.kv.token_tensors import GQA, MHA, MLA, MQA, TokenTensors, table_of

SIZE = 4
ATTENDED = {"MHA": MHA, "GQA": GQA, "MQA": MQA, "MLA": MLA}
ODD = replace(GQA, soft_cap=4.0, rotary=None)


class Forest:
    """Sequences that were forked at random, and steps of several of them at once."""

    def __init__(
        self,
        rng: random.Random,
        layers: tuple[LayerSpec, ...],
        *,
        kv_dtype: KVDtype = "auto",
        block_size: int = SIZE,
        scattered: bool = False,
        kernels: Kernels | None = None,
    ) -> None:
        self.rng = rng
        self.kernels = kernels
        spec = KVCacheSpec(layers)
        self.cache = PagedKVCache(
            spec, 1200, block_size=block_size, kv_dtype=kv_dtype, kernels=kernels
        )
        self.kv_dtype = kv_dtype
        self.tensors = TokenTensors(spec)
        if scattered:
            for pool in self.cache.pools:
                for block in pool.take(1200)[::2]:
                    pool.give_back(block)
        self.sequences: list[SequenceId] = []

    def open(self, window: int | None = None, sinks: int = 0) -> SequenceId:
        self.sequences.append(self.cache.open(window=window, sinks=sinks))
        return self.sequences[-1]

    def fork(self, parent: SequenceId, length: int | None = None) -> SequenceId:
        self.sequences.append(self.cache.fork(parent, length))
        return self.sequences[-1]

    def tokens(self, count: int) -> list[int]:
        return [self.rng.randrange(50) for _ in range(count)]

    def feed(self, sequence: SequenceId, count: int) -> None:
        """Bring random tokens without comparing anything."""
        while count > 0:
            chunk = self.cache.chunk_limit(sequence, count)
            self.step([(sequence, self.tokens(chunk))], is_checked=False)
            count -= chunk

    def step(
        self, rows: list[tuple[SequenceId, list[int]]], *, is_checked: bool = True
    ) -> list[AttentionMetadata]:
        """Attend rows with and without sharing, and compare with each other and with the truth."""
        cache = self.cache
        packed = []
        for sequence, new in rows:
            ids = [*cache.token_ids(sequence), *new]
            packed.append((sequence, ids, cache.length(sequence)))

        def attend(is_cascading: bool) -> list[list[Tensor]]:
            cache.is_cascading = is_cascading
            step = cache.reserve([(s, len(new)) for s, new in rows], [new for _, new in rows])
            self.plans = list(cache._metadata)
            outputs = self.tensors.attend(cache, packed)
            if is_cascading:
                if self.kernels is None:
                    check_keys(cache, rows)
                step.commit()
            else:
                step.rollback()
            return outputs

        alone = attend(is_cascading=False) if is_checked else None
        visible = [cache.visible_set(sequence) for sequence, _ in rows]
        together = attend(is_cascading=True)
        if alone is None:
            return self.plans
        for layer_index, of_rows in enumerate(together):
            for place, (_, ids, start) in enumerate(packed):
                found = of_rows[place]
                truth = self.tensors.dense(layer_index, ids, visible[place], self.kv_dtype)[start:]
                assert found.isfinite().all()
                torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)
                torch.testing.assert_close(found, alone[layer_index][place], rtol=0, atol=1e-5)
        cache.check_integrity()
        return self.plans


def slots_of(part: RunPart) -> list[int]:
    if part.gathered is not None:
        return part.gathered.tolist()
    return list(range(part.first_slot, part.first_slot + part.num_slots))


def check_keys(cache: PagedKVCache, rows: list[tuple[SequenceId, list[int]]]) -> None:
    """Check for every token and layer group that it sees its keys, each of them once."""
    assert cache._step is not None
    size = cache.block_size
    for group_index, plan in enumerate(cache._metadata):
        first = 0
        for row, step_row, (sequence, new) in zip(plan.rows, cache._step.rows, rows, strict=True):
            seen = cache.schedules(sequence)[group_index].last
            table = step_row.groups[group_index].table_after(step_row.sequence.tables[group_index])
            for place in range(len(new)):
                token, at = first + place, step_row.start + place
                found: list[int] = []
                for part in row.parts:
                    mask = None if part.visible is None else part.visible[place].tolist()
                    found += [
                        slot
                        for index, slot in enumerate(slots_of(part))
                        if mask is None or mask[index]
                    ]
                for shared in plan.shared:
                    tokens = (
                        range(shared.first_token, shared.first_token + shared.num_tokens)
                        if shared.tokens is None
                        else shared.tokens.tolist()
                    )
                    if token in tokens:
                        found += [slot for part in shared.parts for slot in slots_of(part)]
                visible = [
                    position
                    for position in range(at + 1)
                    if not seen.has_slid(at)
                    or position < seen.sinks
                    or position > at - (seen.window or 0)
                ]
                if len(new) > 1:  # its own chunk is attended to causally, not as stored keys
                    visible = [position for position in visible if position < step_row.start]
                expected = [table.blocks[p // size] * size + p % size for p in visible]
                assert sorted(found) == sorted(expected)
            first += len(new)


def random_forest(
    seed: int,
    *,
    layers: tuple[LayerSpec, ...],
    kv_dtype: KVDtype,
    kernels: Kernels | None = None,
    most_tokens: int = 60,
) -> None:
    rng = random.Random(seed)
    forest = Forest(
        rng,
        layers,
        kv_dtype=kv_dtype,
        block_size=rng.choice([1, 4, 8]),
        scattered=rng.random() < 0.3,
        kernels=kernels,
    )
    for _ in range(rng.randint(1, 2)):
        window = rng.choice([None, None, 7, 16, 40])
        sinks = 0 if window is None else rng.choice([0, 4, 9])
        forest.feed(forest.open(window, sinks), rng.randint(1, most_tokens))
    for _ in range(12):
        if len(forest.sequences) < 7 and rng.random() < 0.7:
            parent = rng.choice(forest.sequences)
            length = rng.choice([None, rng.randint(0, forest.cache.length(parent))])
            forest.fork(parent, length)
        chosen = rng.sample(forest.sequences, rng.randint(1, len(forest.sequences)))
        rows = []
        for sequence in chosen:
            count = rng.choice([1, 1, 1, 2, 5, rng.randint(1, 20)])
            count = forest.cache.chunk_limit(sequence, count)
            rows.append((sequence, forest.tokens(count)))
        forest.step(rows)


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share what windows have in common however short it is."""
    monkeypatch.setattr(shared_runs, "MIN_WINDOW_TOKENS", 1)


KINDS = {
    "GQA": (GQA, GQA),
    "MLA": (MLA,),
    "layer window": (GQA, replace(MQA, window=13)),
    "odd": (ODD, replace(ODD, window=9)),
}


@pytest.mark.usefixtures("short_windows")
@pytest.mark.parametrize(
    ("kind", "kv_dtype", "seed"), list(product(KINDS, ("auto", "int8"), range(4)))
)
def test_any_forest_attends_together_as_alone_and_as_densely(
    kind: str, kv_dtype: KVDtype, seed: int
) -> None:
    random_forest(seed, layers=KINDS[kind], kv_dtype=kv_dtype)


@pytest.mark.slow
@pytest.mark.usefixtures("short_windows")
@pytest.mark.parametrize(
    ("kind", "kv_dtype", "seed"), list(product(KINDS, ("auto", "int8"), range(100, 200)))
)
def test_any_of_many_forests_attends_together_as_alone_and_as_densely(
    kind: str, kv_dtype: KVDtype, seed: int
) -> None:
    random_forest(seed, layers=KINDS[kind], kv_dtype=kv_dtype)


def count_slots(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of keys of each call over stored keys."""
    counts: list[int] = []

    def counting(query: Tensor, run: KVRun, layer: LayerSpec, *rest: object) -> Part:
        counts.append(run.key.shape[2])
        return attend_run(query, run, layer, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(paged_attention, "attend_run", counting)
    return counts


@pytest.mark.parametrize("name", ATTENDED)
def test_eight_forks_read_their_prompt_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forest = Forest(random.Random(0), (ATTENDED[name],))
    parent = forest.open()
    forest.feed(parent, 64)
    forks = [forest.fork(parent) for _ in range(8)]
    counts = count_slots(monkeypatch)
    forest.step([(fork, [number]) for number, fork in enumerate(forks)], is_checked=False)
    assert sorted(counts) == [1] * 8 + [64]
    counts.clear()
    forest.step([(fork, [number]) for number, fork in enumerate(forks)])
    # First without sharing, then with.
    assert sum(counts) == 8 * 66 + 64 + 8 * 2
    assert forest.plans[0].num_slots_read == 64 + 8 * 2


def test_a_fork_of_a_fork_of_a_fork_reads_every_part_once() -> None:
    forest = Forest(random.Random(1), (GQA,))
    first = forest.open()
    forest.feed(first, 20)
    second = forest.fork(first)
    forest.feed(second, 12)
    third = forest.fork(second)
    forest.feed(third, 8)
    fourth = forest.fork(third)
    fifth = forest.fork(third, 36)
    plan, *_ = forest.step([(each, [3]) for each in (third, first, fifth, second, fourth)])
    parts = [sum(part.num_slots for part in shared.parts) for shared in plan.shared]
    assert parts == [20, 12, 4, 4]
    assert [shared.num_tokens for shared in plan.shared] == [5, 4, 3, 2]


def test_chunks_share_what_lies_wholly_before_them() -> None:
    forest = Forest(random.Random(2), (GQA, MQA))
    parent = forest.open()
    forest.feed(parent, 30)
    forks = [forest.fork(parent), forest.fork(parent, 29), forest.fork(parent, 17)]
    plan, *_ = forest.step(
        [(fork, forest.tokens(count)) for fork, count in zip(forks, (9, 1, 6), strict=True)]
    )
    parts = [sum(part.num_slots for part in shared.parts) for shared in plan.shared]
    assert parts == [16, 12]
    assert [shared.num_tokens for shared in plan.shared] == [16, 10]


def test_sinks_are_shared_with_clamped_queries_and_windows_from_256_tokens_on() -> None:
    forest = Forest(random.Random(3), (GQA,))
    parent = forest.open(window=300, sinks=8)
    forest.feed(parent, 340)
    forks = [forest.fork(parent) for _ in range(3)]
    forest.feed(forks[0], 5)
    plan, *_ = forest.step([(fork, [7]) for fork in (parent, *forks)])
    sizes = {
        (sum(part.num_slots for part in shared.parts), shared.turn is not None)
        for shared in plan.shared
    }
    # The first fork stands at 345 and sees 46 .. 345; positions 46 .. 339 are common to all.
    assert sizes == {(8, True), (340 - 46, False)}
    forest.feed(forks[0], 50)
    plan, *_ = forest.step([(fork, [7]) for fork in forks])
    assert {shared.num_tokens for shared in plan.shared if shared.turn is not None} == {3}
    # Only the two that stand together still have so much in common.
    assert {shared.num_tokens for shared in plan.shared if shared.turn is None} == {2}


def test_sinks_are_shared_by_rows_that_slid_and_rows_that_did_not() -> None:
    forest = Forest(random.Random(4), (GQA, MLA))
    parent = forest.open(window=16, sinks=8)
    forest.feed(parent, 20)
    fork = forest.fork(parent)
    forest.feed(fork, 25)
    plan, *_ = forest.step([(parent, [1]), (fork, [2])])
    assert any(shared.turn is not None and shared.num_tokens == 2 for shared in plan.shared)


def test_a_shared_part_in_many_pieces_is_gathered_once() -> None:
    forest = Forest(random.Random(5), (GQA,), scattered=True)
    parent = forest.open()
    forest.feed(parent, (MAX_RUNS + 2) * SIZE)
    plan, *_ = forest.step([(forest.fork(parent), [1]), (forest.fork(parent), [2])])
    (shared,) = plan.shared
    assert [part.gathered is None for part in shared.parts] == [False]


def test_one_row_and_strangers_plan_nothing_shared() -> None:
    forest = Forest(random.Random(6), (GQA,))
    for _ in range(4):
        forest.feed(forest.open(), 30)
    plan, *_ = forest.step([(sequence, [1]) for sequence in forest.sequences])
    assert plan.shared == ()
    child = forest.fork(forest.sequences[0])
    plan, *_ = forest.step([(child, [1])])
    assert plan.shared == ()


def test_blocks_found_by_their_content_are_shared_like_those_of_forks() -> None:
    forest = Forest(random.Random(7), (GQA,))
    prompt = forest.tokens(40)
    forest.step([(forest.open(), prompt)])
    second = forest.open()
    assert forest.cache.adopt(second, prompt) == 39
    assert table_of(forest.cache, second)[:9] == table_of(forest.cache, forest.sequences[0])[:9]
    plan, *_ = forest.step([(forest.sequences[0], [1]), (second, prompt[39:])])
    assert [shared.num_tokens for shared in plan.shared] == [2]


def test_a_plan_is_made_once_for_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counting(ranges: list[VisibleRange], pool: BlockPool, block_size: int) -> list[SharedRange]:
        calls.append(len(ranges))
        return find_shared_runs(ranges, pool, block_size)

    monkeypatch.setattr(attention_metadata, "find_shared_runs", counting)
    forest = Forest(random.Random(8), (GQA,) * 5)
    parent = forest.open()
    forest.feed(parent, 20)
    calls.clear()
    forest.step([(forest.fork(parent), [1]), (parent, [2])], is_checked=False)
    assert calls == [2]
