"""Room counted in blocks of each layer group."""

from kvchat.kv.block_counts import BlockCounts


def test_counts_add_up_group_by_group() -> None:
    assert BlockCounts([1, 5]) + BlockCounts([2, 0]) == BlockCounts([3, 5])
    assert BlockCounts([1, 5]) + 2 == BlockCounts([3, 7])


def test_what_fits_fits_in_every_group() -> None:
    available = BlockCounts([3, 7])
    assert BlockCounts([3, 7]).fits(available)
    assert not BlockCounts([4, 0]).fits(available)
    assert BlockCounts([4, 0]).lacking(available) == (0,)
    assert BlockCounts([4, 8]).lacking(available) == (0, 1)
