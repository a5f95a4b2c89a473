"""Slots keep their bytes; copies hold what they should and nothing else."""

import pytest
import torch
from torch import Tensor

from kvchat.kv.paged_cache import PagedKVCache
from kvchat.kv.spec import KVCacheSpec, LayerGroup
from kvchat.kv.storage import KVStorage
from tests.kv.token_tensors import GQA, PagedRun, TokenTensors, table_of

GROUP = LayerGroup(num_kv_heads=2, key_dim=3, value_dim=3, window=None, layer_indexes=(0, 1))
SIZE = 4


@pytest.fixture
def storage() -> KVStorage:
    return KVStorage(GROUP, 5, SIZE, dtype=torch.float32, device="cpu")


def test_written_keys_and_values_are_read_through_the_views(storage: KVStorage) -> None:
    key, value = torch.randn(3, 2, 3), torch.randn(3, 2, 3)
    storage.write(1, torch.tensor([7, 2, 19]), key, value)
    keys, values, *_ = storage.views[1]
    assert torch.equal(keys[0][:, [7, 2, 19]].transpose(0, 1), key)
    assert torch.equal(values[0][:, [7, 2, 19]].transpose(0, 1), value)


def test_a_write_touches_only_its_slots_and_its_layer(storage: KVStorage) -> None:
    storage.write(1, torch.tensor([7, 2]), torch.ones(2, 2, 3), torch.ones(2, 2, 3))
    written = ~storage.tensors[1].isnan().all(-1).all(0)
    assert written.nonzero().flatten().tolist() == [2, 7]
    assert bool(storage.tensors[0].isnan().all())


def test_a_device_without_index_copy_is_written_by_index(
    storage: KVStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def missing(*_: object) -> Tensor:
        calls.append(1)
        raise NotImplementedError

    monkeypatch.setattr(torch.Tensor, "index_copy_", missing)
    for slot in (3, 4):
        storage.write(0, torch.tensor([slot]), torch.ones(1, 2, 3), torch.ones(1, 2, 3))
    assert calls == [1]
    assert bool((storage.tensors[0][:, 3:5] == 1).all())


def test_a_copy_takes_the_valid_slots_of_all_layers_and_leaves_the_rest(
    storage: KVStorage,
) -> None:
    for tensor in storage.tensors:
        tensor.copy_(torch.randn(tensor.shape))
    before = [tensor.clone() for tensor in storage.tensors]
    storage.copy_blocks([(1, 3, 2)])
    for tensor, old in zip(storage.tensors, before, strict=True):
        assert torch.equal(tensor[:, 12:14], old[:, 4:6])
        old[:, 12:14] = old[:, 4:6]
        assert torch.equal(tensor, old)


def test_the_views_share_the_memory_of_the_tensors(storage: KVStorage) -> None:
    keys, values, *_ = storage.views[0]
    assert keys.shape == values.shape == (1, 2, 20, 3)
    assert keys.data_ptr() == storage.tensors[0].data_ptr()


def test_bytes_are_those_of_all_layers(storage: KVStorage) -> None:
    assert storage.nbytes == 2 * (2 * 2) * 20 * 3 * 4


def test_poison_fills_a_block_from_a_slot_on(storage: KVStorage) -> None:
    for tensor in storage.tensors:
        tensor.zero_()
    storage.poison(2, first=3)
    storage.poison(4)
    poisoned = storage.tensors[1].isnan().all(-1).all(0)
    assert poisoned.nonzero().flatten().tolist() == [11, 16, 17, 18, 19]


def test_a_pool_is_not_filled_unless_tests_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KVCHAT_POISON")
    assert not KVStorage(GROUP, 2, SIZE, dtype=torch.float32, device="cpu").is_poisoning


def test_no_operation_rewrites_a_stored_slot() -> None:
    """Pitfall 10: bytes of a slot stay until its block is freed, through all that can happen."""
    spec = KVCacheSpec((GQA,))
    cache = PagedKVCache(spec, 24, block_size=SIZE)
    run = PagedRun(cache, TokenTensors(spec))
    pool, (tensor,) = cache.pools[0], cache.storages[0].tensors
    stored: dict[int, Tensor] = {}
    freed: list[int] = []
    poison = pool.on_freed
    assert poison is not None

    def note_and_poison(block: int) -> None:
        freed.append(block)
        poison(block)

    pool.on_freed = note_and_poison

    def check() -> None:
        """Compare all slots stored before; then remember the slots stored now."""
        for block in freed:
            for slot in range(block * SIZE, (block + 1) * SIZE):
                stored.pop(slot, None)
        freed.clear()
        for slot, old in stored.items():
            assert torch.equal(tensor[:, slot], old), f"slot {slot} was rewritten"
        for sequence, state in cache._sequences.items():
            blocks = table_of(cache, sequence)
            for position in range(state.length):
                if blocks[position // SIZE] >= 0:
                    slot = blocks[position // SIZE] * SIZE + position % SIZE
                    stored.setdefault(slot, tensor[:, slot].clone())

    parent = cache.open()
    run.step([(parent, list(range(10)))])
    check()
    child, cut = cache.fork(parent), cache.fork(parent, 6)
    run.step([(child, [70]), (cut, [71, 72, 73]), (parent, [74])])
    check()
    cache.truncate(parent, 5)  # inside a block that is published
    run.step([(parent, [75, 76])])
    check()
    step = cache.reserve([(child, 3)], [[1, 2, 3]])
    run.tensors.attend(cache, [(child, [*range(10), 70, 1, 2, 3], 11)])
    step.rollback()
    check()
    windowed = cache.open(window=6, sinks=SIZE)
    for number in range(40):
        run.step([(windowed, [number])])
        check()
    for sequence in (parent, child, cut):
        cache.release(sequence)
        check()
    assert len(stored) > 40
