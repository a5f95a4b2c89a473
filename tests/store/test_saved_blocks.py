"""Which file holds which block, and which of them was found damaged."""

from kvchat.kv.segments import SegmentIndex
from kvchat.store.saved_blocks import SavedBlocks

KEYS = tuple(bytes([number]) * 16 for number in range(4))
STEMS = tuple(bytes([100 + number]) * 16 for number in range(4))
IDS = tuple(tuple(range(4 * number, 4 * number + 4)) for number in range(4))


def index_of(first: int, count: int, places: tuple[tuple[int, ...], ...]) -> SegmentIndex:
    behind = first + count
    return SegmentIndex(
        "", first, KEYS[first:behind], STEMS[first:behind], IDS[first:behind], places
    )


def saved_blocks() -> SavedBlocks:
    """File "a" has blocks 0 to 2 in group 0 and block 1 in group 1; file "b" has block 1 again."""
    saved = SavedBlocks()
    saved.add("a", index_of(0, 3, ((0, 1, 2), (1,))))
    saved.add("b", index_of(1, 1, ((0,), ())))
    return saved


def test_a_block_is_found_in_the_groups_of_all_its_files() -> None:
    saved = saved_blocks()
    assert [saved.groups(key) for key in KEYS] == [1, 3, 1, 0]
    assert saved.find(KEYS[1], IDS[1]) == 3
    assert saved.find(KEYS[1], IDS[0]) == 0
    assert saved.places(KEYS[1], 0) == [("a", 1), ("b", 0)]
    assert saved.places(KEYS[1], 1) == [("a", 1)]
    assert saved.names(KEYS) == {"a", "b"}


def test_a_lost_block_is_looked_for_elsewhere_and_its_neighbors_stay() -> None:
    saved = saved_blocks()
    saved.lose("a", 1, 0)
    assert saved.is_damaged("a") and not saved.is_damaged("b")
    assert saved.places(KEYS[1], 0) == [("b", 0)]
    assert [saved.groups(key) for key in KEYS] == [1, 3, 1, 0]
    saved.lose("b", 0, 0)
    assert [saved.groups(key) for key in KEYS] == [1, 2, 1, 0]


def test_a_file_that_is_written_again_is_whole_again() -> None:
    saved = saved_blocks()
    saved.lose("a", 2, 0)
    assert saved.groups(KEYS[2]) == 0 and saved.find_tail(STEMS[2], IDS[2]) is None
    saved.add("a", index_of(0, 3, ((0, 1, 2), (1,))))
    assert saved.groups(KEYS[2]) == 1 and not saved.is_damaged("a")
    assert saved.find_tail(STEMS[2], IDS[2][:2]) == (KEYS[2], 2, 1)


def test_nothing_is_left_of_removed_files() -> None:
    saved = saved_blocks()
    saved.lose("a", 0, 0)
    for name in ("a", "a", "b", "c"):
        saved.remove(name)
        saved.lose(name, 0, 0)
    assert len(saved) == 0 and not saved.names(KEYS)
    assert not any((saved._masks, saved._places, saved._keys, saved._damaged))
