"""Blocks as bytes: what one pool gives, another takes, bit by bit."""

from typing import Literal

import pytest
import torch

from kvchat.kv.block_bytes import array_layout, export_blocks, import_block
from kvchat.kv.spec import LayerGroup
from kvchat.kv.storage import KVStorage

GROUP = LayerGroup(2, 8, 8, None, (0, 1, 2))


def make_storage(
    dtype: torch.dtype = torch.float32, kv_dtype: Literal["auto", "int8"] = "auto", seed: int = 0
) -> KVStorage:
    storage = KVStorage(GROUP, 10, 4, dtype=dtype, device="cpu", kv_dtype=kv_dtype)
    generator = torch.Generator().manual_seed(seed)
    for place in range(3):
        key, value = torch.randn(2, 40, 2, 8, generator=generator).to(dtype)
        storage.write(place, torch.arange(40), key, value)
    return storage


def equal_blocks(
    first: KVStorage, block: int, second: KVStorage, other: int, num_slots: int = 4
) -> bool:
    return all(
        torch.equal(
            mine[:, block * 4 : block * 4 + num_slots], theirs[:, other * 4 :][:, :num_slots]
        )
        for ours, others in zip(first.arrays, second.arrays, strict=True)
        for mine, theirs in zip(ours, others, strict=True)
    )


@pytest.mark.parametrize(
    ("dtype", "kv_dtype"),
    [
        (torch.float32, "auto"),
        (torch.bfloat16, "auto"),
        (torch.float16, "auto"),
        (torch.float32, "int8"),
    ],
)
def test_blocks_come_back_bit_by_bit_at_another_place(
    dtype: torch.dtype, kv_dtype: Literal["auto", "int8"]
) -> None:
    source = make_storage(dtype, kv_dtype)
    target = make_storage(dtype, kv_dtype, seed=1)
    blocks = [5, 6, 7, 2, 9]
    contents = export_blocks(source, blocks)
    layout = array_layout(source)
    for nth, block in enumerate([0, 4, 8, 1, 3]):
        arrays = [
            memoryview(content)[nth * each.num_bytes : (nth + 1) * each.num_bytes]
            for each, content in zip(layout, contents, strict=True)
        ]
        assert not equal_blocks(source, blocks[nth], target, block)
        import_block(target, block, arrays, 4)
        assert equal_blocks(source, blocks[nth], target, block)


def test_the_bytes_do_not_depend_on_the_order_in_memory() -> None:
    head_major, token_major = make_storage(), make_storage()
    for arrays in (token_major.arrays,):
        for layer, (tensor,) in enumerate(arrays):
            arrays[layer] = (tensor.transpose(0, 1).contiguous().transpose(0, 1),)
    assert token_major.arrays[0][0].stride() != head_major.arrays[0][0].stride()
    assert export_blocks(head_major, [3, 4, 1]) == export_blocks(token_major, [3, 4, 1])


def test_slots_that_are_not_valid_are_neither_read_nor_written() -> None:
    source, target = make_storage(), make_storage(seed=1)
    kept = make_storage(seed=1)
    (content,) = export_blocks(source, [5], 3)
    import_block(target, 2, [memoryview(content)], 3)
    assert equal_blocks(source, 5, target, 2, 3)
    assert torch.equal(target.tensors[0][:, 11], kept.tensors[0][:, 11])
    (whole,) = export_blocks(source, [5])
    numbers = torch.frombuffer(content, dtype=torch.float32).view(3, 4, 4, 8)
    assert not numbers[:, :, 3].any() and len(whole) == len(content)


def test_nothing_is_exported_as_nothing() -> None:
    assert export_blocks(make_storage(), []) == [bytearray()]


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_what_one_order_in_memory_saved_another_takes(kv_dtype: Literal["auto", "int8"]) -> None:
    head_major, token_major = (
        make_storage(kv_dtype=kv_dtype),
        make_storage(kv_dtype=kv_dtype, seed=1),
    )
    for layer, arrays in enumerate(token_major.arrays):
        token_major.arrays[layer] = tuple(
            each.transpose(0, 1).contiguous().transpose(0, 1) for each in arrays
        )
    for source, target in ((head_major, token_major), (token_major, head_major)):
        for block in (3, 8):
            contents = [memoryview(content) for content in export_blocks(source, [block])]
            assert not equal_blocks(source, block, target, block - 1)
            import_block(target, block - 1, contents, 4)
            assert equal_blocks(source, block, target, block - 1)
