"""Room for weights: tensors side by side, none on another's place, freed with the last."""

import gc
import mmap
from weakref import ref

import pytest
import torch

from kvchat.model import weight_memory
from kvchat.model.weight_memory import WeightMemory

SHAPES = [(3, 5), (64,), (1000, 100), (0, 4), (17, 1, 2), (300_000,), (70, 1000)]


def test_tensors_have_their_shapes_and_places_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_memory, "_ARENA_BYTES", 200_000)
    memory = WeightMemory()
    tensors = [memory.empty(shape).fill_(number) for number, shape in enumerate(SHAPES)]
    for number, (tensor, shape) in enumerate(zip(tensors, SHAPES, strict=True)):
        assert tensor.shape == shape and tensor.dtype == torch.uint8 and tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0
        assert bool((tensor == number).all())


def test_small_matrices_lie_side_by_side() -> None:
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        pytest.skip("this system has no large pages")
    memory = WeightMemory()
    one, other = memory.empty((10, 10)), memory.empty((10, 10))
    assert other.data_ptr() - one.data_ptr() == 128


def test_memory_is_given_back_with_the_last_tensor_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        pytest.skip("this system has no large pages")
    taken: list[ref[mmap.mmap]] = []

    class Pages(mmap.mmap):
        def __init__(self, *arguments: object) -> None:
            taken.append(ref(self))

    monkeypatch.setattr(mmap, "mmap", Pages)
    memory = WeightMemory()
    one, other = memory.empty((10, 10)).fill_(1), memory.empty((10, 10)).fill_(2)
    (pages,) = taken
    del memory, one
    gc.collect()
    assert pages() is not None and int(other.sum()) == 200
    del other
    gc.collect()
    assert pages() is None
