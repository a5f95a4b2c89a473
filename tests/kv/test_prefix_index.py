"""Chained keys, and blocks found by what they hold and by nothing else."""

import pytest

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import BlockTable
from kvchat.kv.integrity import check_pool
from kvchat.kv.paged_sequence import PagedSequence, chain_key
from kvchat.kv.prefix_index import ROOT_KEY, PrefixIndex, block_key, num_equal
from kvchat.kv.resident_prefix import find_resident_prefix
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE = 4


def write(sequence: PagedSequence, token_ids: list[int]) -> None:
    step = Step(SIZE)
    step.add(sequence, len(token_ids), token_ids)
    step.commit()


def rewind(sequence: PagedSequence, length: int) -> None:
    assert sequence.token_ids is not None
    sequence.tables[0].truncate(length)
    sequence.length = length
    del sequence.token_ids[length:], sequence.keys[length // SIZE :]


def num_found(pool: BlockPool, token_ids: list[int]) -> int:
    """Return how many tokens of a fresh prompt are resident."""
    fresh = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    prefix = find_resident_prefix(
        fresh, token_ids, [WindowSchedule.always(VisibleSet())], SIZE, b""
    )
    return 0 if prefix is None else prefix.length


@pytest.mark.parametrize(
    ("parent", "token_ids", "salt"),
    [(b"\1" * 16, [1, 2], b"s"), (ROOT_KEY, [1, 3], b"s"), (ROOT_KEY, [1, 2], b"t")],
    ids=["parent", "tokens", "salt"],
)
def test_a_key_depends_on_its_parent_its_tokens_and_the_salt(
    parent: bytes, token_ids: list[int], salt: bytes
) -> None:
    key = block_key(ROOT_KEY, [1, 2], b"s")
    assert len(key) == 16
    assert key == block_key(ROOT_KEY, (1, 2), b"s")
    assert key != block_key(parent, token_ids, salt)


def test_salt_and_tokens_do_not_run_into_each_other() -> None:
    first = (1).to_bytes(8, "little")
    assert block_key(ROOT_KEY, [2], first) != block_key(ROOT_KEY, [1, 2], b"")


def test_a_collision_of_keys_is_no_hit() -> None:
    index = PrefixIndex()
    index.publish(3, b"same", [1, 2])
    assert index.find(b"same", [1, 2]) == 3
    assert index.find(b"same", [1, 9]) is None


def test_a_key_is_known_until_its_last_block_goes() -> None:
    index = PrefixIndex()
    index.publish(3, b"key", [1, 2])
    index.publish(5, b"key", [1, 2])
    assert index.find(b"key", [1, 2]) == 3
    index.forget(3)
    assert index.find(b"key", [1, 2]) == 5
    index.forget(5)
    assert index.find(b"key", [1, 2]) is None
    assert len(index) == 0


def test_twins_are_expected_while_two_blocks_have_a_key() -> None:
    index = PrefixIndex()
    index.publish(3, b"key", [1, 2])
    index.publish(4, b"other", [1, 3])
    assert not index.has_twins
    index.publish(5, b"key", [1, 2])
    index.publish(6, b"key", [1, 2])
    index.forget(3)
    assert index.has_twins
    index.forget(6)
    assert not index.has_twins
    index.forget(5)
    assert not index.has_twins


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 1500])
@pytest.mark.parametrize("behind", [0, 1, 700])
def test_two_lists_have_in_common_what_is_before_their_first_difference(
    length: int, behind: int
) -> None:
    common = list(range(length))
    assert num_equal(common, (*common, *range(behind))) == length
    assert num_equal([*common, -1, *common], [*common, -2, *common]) == length


def test_a_block_published_twice_is_our_bug() -> None:
    index = PrefixIndex()
    index.publish(3, b"key", [1])
    with pytest.raises(AssertionError):
        index.publish(3, b"other", [2])


def test_blocks_are_found_only_after_commit() -> None:
    pool = BlockPool(8)
    writer = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    step = Step(SIZE)
    step.add(writer, 8, list(range(8)))
    assert num_found(pool, list(range(9))) == 0
    step.commit()
    assert num_found(pool, list(range(9))) == 8


def test_a_partial_block_is_never_published() -> None:
    pool = BlockPool(8)
    writer = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    write(writer, list(range(7)))
    assert len(pool.index) == 1
    write(writer, [7])
    assert len(pool.index) == 2


def test_a_prompt_cached_to_its_last_token_leaves_one_to_compute() -> None:
    pool = BlockPool(8)
    writer = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    write(writer, list(range(8)))
    assert num_found(pool, list(range(8))) == 7
    assert num_found(pool, list(range(7))) == 6


def test_a_rewound_and_refilled_block_is_not_found_under_its_old_hash() -> None:
    """Pitfall 1: A is rewound inside a block, then filled with B; of A only B's part is found."""
    pool = BlockPool(2)
    writer = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    a, b = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 60, 70, 80]
    write(writer, a)
    rewind(writer, 5)
    write(writer, b[5:])  # the pool is full, so the block is written in place
    assert num_found(pool, [*a, 9]) == 5
    assert num_found(pool, [*b, 9]) == 8
    check_pool(pool, writer.tables)


def test_a_rewound_branch_is_found_while_there_is_room_for_both() -> None:
    pool = BlockPool(3)
    writer = PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
    a, b = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 60, 70, 80]
    write(writer, a)
    rewind(writer, 5)
    write(writer, b[5:])
    assert num_found(pool, [*a, 9]) == 8
    assert num_found(pool, [*b, 9]) == 8
    check_pool(pool, writer.tables)


def test_two_sequences_that_compute_equal_blocks_both_publish_them() -> None:
    pool = BlockPool(4)
    first, second = (
        PagedSequence(WindowSchedule.always(VisibleSet()), [BlockTable(pool, SIZE)])
        for _ in range(2)
    )
    step = Step(SIZE)
    step.add(first, 4, [1, 2, 3, 4])
    step.add(second, 4, [1, 2, 3, 4])
    step.commit()
    assert len(pool.index) == 2
    rewind(first, 0)
    pool.drop_cached()
    assert num_found(pool, [1, 2, 3, 4, 5]) == 4


def test_a_window_salts_keys_from_the_first_block_with_a_hidden_token() -> None:
    windowed = PagedSequence(WindowSchedule.always(VisibleSet(window=6, sinks=4)), [])
    plain = PagedSequence(WindowSchedule.always(VisibleSet()), [])
    for index in range(4):
        for sequence in (windowed, plain):
            sequence.keys.append(chain_key(sequence, index, [index] * SIZE, SIZE, b"salt"))
    # Position 10 is the first that does not see everything; it lies in the block of 8..11.
    assert windowed.keys[:2] == plain.keys[:2]
    assert windowed.keys[2] != plain.keys[2]
    assert windowed.keys[3] != plain.keys[3]
